"""Readers of single JSON values: strict about identifiers, lenient about everything else.

cattrs calls each with the value and the type of the attribute, which is not needed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any


def identifier(value: Any, _: Any = None) -> str:
    """Return a number or GUID as text. The pages print numbers as text and as JSON numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value:
        return value
    raise ValueError("the identifier of the record is missing")


def optional_identifier(value: Any, _: Any = None) -> str | None:
    """Return a number or GUID as text, and null as None."""
    return None if value is None else identifier(value)


def identifiers(value: Any, _: Any = None) -> tuple[str, ...]:
    """Return a list of identifiers as a tuple, and null as an empty one."""
    return tuple(map(identifier, value or ()))


def text(value: Any, _: Any = None) -> str | None:
    """Return text or None. cattrs alone would turn null into the text "None"."""
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"expected text or null, not {type(value).__name__}")


def type_id(value: Any, _: Any = None) -> str | None:
    """Return text or None. The page get-a-tickets-details-by-id shows the text "null"."""
    return None if value == "null" else text(value)


def lenient_text(value: Any, _: Any = None) -> str | None:
    """Return text or a number as text, and None for anything else."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def text_or_number(value: Any, _: Any = None) -> str | int | None:
    """Return text or a whole number unchanged, and None for anything else."""
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def whole_number(value: Any, _: Any = None) -> int | None:
    """Return a whole number, and None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def is_true(value: Any, _: Any = None) -> bool:
    """Return True for true only: several booleans may be null or missing."""
    return value is True


def unchanged(value: Any, _: Any = None) -> Any:
    """Return any value, for attributes whose shape is not documented."""
    return value


def entries(value: Any, _: Any = None) -> tuple[Any, ...]:
    """Return the entries of a list, and nothing for any other value."""
    return tuple(value) if isinstance(value, list) else ()


def json_object(value: Any) -> Mapping[str, Any]:
    """Return a JSON object. Any other value raises TypeError."""
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, not {type(value).__name__}")
    return value


def json_list(value: Any) -> list[Any]:
    """Return a JSON array. Any other value raises TypeError."""
    if not isinstance(value, list):
        raise TypeError(f"expected an array, not {type(value).__name__}")
    return value


def date(value: Any, zone: tzinfo = UTC) -> datetime | None:
    """Return ISO text as a date in ``zone``, and None for anything else.

    Dates have no zone in the answers. The vendor's samples show that they are UTC.
    """
    try:
        parsed = datetime.fromisoformat(value)
        moment = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
    try:
        return moment.astimezone(zone)
    except OverflowError:  # 9999-12-31, which often means "never", would be in the year 10000 in an eastern zone
        return moment
