"""How single values of an answer are read: strict about what identifies a record, lenient about the rest.

Each function takes the value of a JSON object, and a type that it does not need (cattrs passes one).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def as_is(value: Any, _: Any = None) -> Any:
    """Whatever it is: for what no page describes."""
    return value


def text(value: Any, _: Any = None) -> str | None:
    """Text or null, and nothing that looks like it: cattrs alone would make the text "None" of null."""
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"text or null was expected, not {type(value).__name__}")


def identifier(value: Any, _: Any = None) -> str:
    """A number or GUID as text; numbers come as text or as JSON numbers, page by page."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value:
        return value
    raise ValueError("what identifies the record is missing")


def identifiers(value: Any, _: Any = None) -> tuple[str, ...]:
    """A list of them; null is an empty one."""
    return tuple(map(identifier, value or ()))


def type_id(value: Any, _: Any = None) -> str | None:
    """The page get-a-tickets-details-by-id shows the *text* "null"."""
    return None if value == "null" else text(value)


def some_text(value: Any, _: Any = None) -> str | None:
    """The text of what may be text or a number; None for what is neither."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def some_id(value: Any, _: Any = None) -> str | int | None:
    """An id of a kind that comes as text here and as a number there; None for anything else."""
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def some_number(value: Any, _: Any = None) -> int | None:
    """A whole number; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def flag(value: Any, _: Any = None) -> bool:
    """True for true alone; several booleans may be null or missing."""
    return value is True


def date(value: Any, _: Any = None) -> datetime | None:
    """Dates come as ISO text without a zone; they are UTC by strong inference from the vendor's samples."""
    try:
        read = datetime.fromisoformat(value)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def listed(value: Any, _: Any = None) -> tuple[Any, ...]:
    """The entries of a list, untouched; none for anything else."""
    return tuple(value) if isinstance(value, list) else ()


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object, or TypeError."""
    if not isinstance(value, dict):
        raise TypeError(f"an object was expected, not {type(value).__name__}")
    return value
