"""Names and values, from a file or from options, become a ticket. Pure: nothing is read, nothing is sent."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from .. import NewTicket, TicketUpdate

Kind = type[NewTicket] | type[TicketUpdate]
KEY, TARGET, FILES, ERROR = "key", "target", "attachments", "error"
RESERVED = (KEY, TARGET, FILES, ERROR)
"""Columns that are no fields of the ticket."""
_ADVICE = {TARGET: "only an update has one; add --operation update, or leave the column out"}


class ColumnError(ValueError):
    """What is in this column cannot be used; the message says what to do."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(f"column {column}: {message}")


def python_names(kind: Kind) -> tuple[str, ...]:
    """The fields that have a name of their own, such as title and lead_email."""
    return tuple(field.name for field in attrs.fields(kind) if field.name != "fields")


def columns_beside(kind: Kind) -> tuple[str, ...]:
    """What a file may have beside the fields."""
    return RESERVED if kind is TicketUpdate else tuple(name for name in RESERVED if name != TARGET)


def check_columns(names: Iterable[str], kind: Kind, beside: tuple[str, ...] = ()) -> None:
    """ColumnError for a name that is blank, comes twice, or looks like a Python name and is none, nor ``beside`` them.

    All else is taken for a schema name, such as CustomData.SRC_CS_2, which only the account can judge.
    """
    known = (*python_names(kind), *beside)
    seen: dict[str, str] = {}
    for name in names:
        _check_column(name, known)
        plain = _without_case(name)
        if plain in seen:
            raise ColumnError(name, f"the same field as {seen[plain]}; leave one of them out")
        seen[plain] = name


def _check_column(name: str, known: tuple[str, ...]) -> None:
    if not name.strip():
        raise ColumnError("?", "it has no name; give it one, or remove it")
    if name not in known and name.replace("_", "").islower():
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"it is one of {', '.join(known)}, or a schema name"
        raise ColumnError(name, _ADVICE.get(name) or f"no such field; {hint}")


def _without_case(name: str) -> str:
    return name.replace("_", "").lower()


def ticket_of(record: Mapping[str, Any], kind: Kind) -> NewTicket | TicketUpdate:
    """A ticket of the columns that are not empty. ColumnError for a value that no field takes."""
    values = {name: value for name, value in record.items() if name not in RESERVED and value != ""}
    names = python_names(kind)
    named: dict[str, Any] = {name: _named(name, value) for name, value in values.items() if name in names}
    fields = {name: _plain(name, value) for name, value in values.items() if name not in names}
    return kind(**named, fields=fields)


def _named(name: str, value: Any) -> Any:
    if value is None or (isinstance(value, str) and name != "due_date"):
        return value
    if isinstance(value, str):
        return _date(name, value)
    raise ColumnError(name, f"text is needed, not {type(value).__name__}; put it in quotes")


def _date(name: str, text: str) -> datetime:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        raise ColumnError(name, f"{text!r:.40} is no date; write it like 2026-01-31T09:00:00+05:30") from None
    if date.tzinfo is None:
        raise ColumnError(name, f"{text!r:.40} has no zone; write it like 2026-01-31T09:00:00+05:30")
    return date


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, list | dict):
        raise ColumnError(name, "a field holds one value; give text, a number, true, false or null")
    return value


def files_of(record: Mapping[str, Any]) -> tuple[Path, ...]:
    """The paths of the attachments: text with ``;`` between them, or a list of texts."""
    given = record.get(FILES) or ""
    paths = given.split(";") if isinstance(given, str) else given
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise ColumnError(FILES, "paths are text, with ; between them")
    return tuple(Path(path.strip()) for path in paths if path.strip())


def text_of(record: Mapping[str, Any], name: str) -> str | None:
    """A key or a ticket's number, which JSON may give as a number; None where there is none."""
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise ColumnError(name, f"text is needed, not {type(value).__name__}")
    return str(value).strip() or None if value is not None else None
