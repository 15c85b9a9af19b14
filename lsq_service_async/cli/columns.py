"""Turns column names and values, from a file or from options, into a ticket. Pure: reads and sends nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from .. import NewTicket, TicketUpdate

TicketType = type[NewTicket] | type[TicketUpdate]
KEY, TARGET, FILES, ERROR = "key", "target", "attachments", "error"
RESERVED = (KEY, TARGET, FILES, ERROR)
"""Columns that are not fields of the ticket."""


class ColumnError(ValueError):
    """A column has a name or a value that cannot be used. The message contains the fix."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(f"column {column}: {message}")


def field_names(ticket_type: TicketType) -> tuple[str, ...]:
    """The fields with a Python name, such as title and lead_email."""
    return tuple(field.name for field in attrs.fields(ticket_type) if field.name != "fields")


def check_columns(names: Iterable[str], ticket_type: TicketType, *, in_file: bool = False) -> None:
    """Raise ColumnError for a name that is blank, given twice, or an unknown Python name.

    Every other name is a schema name, such as CustomData.SRC_CS_2, which only the account can check.
    """
    reserved = [name for name in RESERVED if ticket_type is TicketUpdate or name != TARGET]
    known = (*field_names(ticket_type), *(reserved if in_file else ()))
    seen: dict[str, str] = {}
    for name in names:
        if not name.strip():
            raise ColumnError("?", "the column has no name; name it or remove it")
        if name not in known and name.replace("_", "").islower():
            if name == TARGET:
                raise ColumnError(name, "only an update has a target; add --operation update, or remove the column")
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"use one of {', '.join(known)}, or a schema name"
            raise ColumnError(name, f"no such field; {hint}")
        folded = name.replace("_", "").lower()
        if folded in seen:
            raise ColumnError(name, f"same field as {seen[folded]}; remove one of the two")
        seen[folded] = name


def make_ticket(record: Mapping[str, Any], ticket_type: TicketType) -> NewTicket | TicketUpdate:
    """Return a ticket with all columns that are not empty. Raises ColumnError for a value of the wrong type."""
    names = field_names(ticket_type)
    named: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    for name, value in record.items():
        if name in RESERVED or value == "":
            continue
        if name in names:
            named[name] = _field_value(name, value)
        elif isinstance(value, list | dict):
            raise ColumnError(name, "a field holds one value: text, a number, true, false or null")
        else:
            fields[name] = value
    return ticket_type(**named, fields=fields)


def _field_value(name: str, value: Any) -> Any:
    if value is not None and not isinstance(value, str):
        raise ColumnError(name, f"expected text, not {type(value).__name__}; put the value in quotes")
    if value is None or name != "due_date":
        return value
    try:
        date = datetime.fromisoformat(value)
    except ValueError:
        raise ColumnError(name, f"{value!r:.40} is not a date; write it like 2026-01-31T09:00:00+05:30") from None
    if date.tzinfo is None:
        raise ColumnError(name, f"{value!r:.40} has no time zone; write it like 2026-01-31T09:00:00+05:30")
    return date


def attachment_paths(record: Mapping[str, Any]) -> tuple[Path, ...]:
    """The paths of the attachments: text separated by `;`, or a list of texts."""
    given = record.get(FILES) or ""
    paths = given.split(";") if isinstance(given, str) else given
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise ColumnError(FILES, "expected paths as text, separated by ;")
    return tuple(Path(path.strip()) for path in paths if path.strip())


def text_value(record: Mapping[str, Any], name: str) -> str | None:
    """Return a key or ticket number as text (JSON may have a number); None if the column is empty or missing."""
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise ColumnError(name, f"expected text, not {type(value).__name__}")
    return str(value).strip() or None if value is not None else None
