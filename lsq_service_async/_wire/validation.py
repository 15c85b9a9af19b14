"""Validates a ticket against the field metadata of the account."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from ..errors import InvalidRequestError, printable
from ..records import FieldMetadata, NewTicket, Problem, SubType, TicketUpdate
from .patterns import is_found
from .serialize import encode, field_values


def problems_of(
    ticket: NewTicket | TicketUpdate,
    fields: Iterable[FieldMetadata],
    sub_types: Collection[SubType],
    marker: str | None = None,
) -> list[Problem]:
    """Return all problems: a missing lead, then those of the fields in the account's order, then a wrong SubType.

    Only the messages of the rule "invalid" may quote a value of the ticket.
    """
    is_new = isinstance(ticket, NewTicket)
    marker = marker if is_new else None
    try:
        values = field_values(ticket, marker)
        encode([values, str(ticket.lead_id)])
    except InvalidRequestError as error:
        return [Problem("", "invalid", str(error))]
    found = []
    if isinstance(ticket, NewTicket) and not ticket.names_lead:
        found.append(Problem("LeadId", "lead", "the lead is missing: give lead_id, lead_email or lead_phone"))
    for field in fields:
        if field.active is False or field.deleted or field.schema_name == marker:
            continue
        value = values.get(field.schema_name)
        if not _is_blank(value):
            found.extend(_text_problems(field, value))
        elif field.mandatory and (is_new or field.schema_name in values):
            found.append(Problem(field.schema_name, "mandatory", f"{printable(field.schema_name, 80)} is mandatory"))
    sub_type, known = values.get("SubType"), [name for option in sub_types for name in (option.value, option.text)]
    if known and not _is_blank(sub_type) and sub_type not in known:
        message = f"SubType must be one of the account's {len(sub_types)} values"
        found.append(Problem("SubType", "option", message))
    return found


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _text_problems(field: FieldMetadata, value: Any) -> Iterator[Problem]:
    """Yield the problems of a text. Numbers are not checked: their bounds in the metadata are only defaults."""
    if not isinstance(value, str):
        return
    name, length = printable(field.schema_name, 80), len(value)
    if field.min_length is not None and length < field.min_length:
        yield Problem(
            field.schema_name, "min_length", f"{name} has {length} characters; at least {field.min_length} are needed"
        )
    if field.max_length is not None and 0 < field.max_length < length:
        yield Problem(
            field.schema_name, "max_length", f"{name} has {length} characters; at most {field.max_length} are allowed"
        )
    if field.regex and not is_found(field.regex, value):
        yield Problem(
            field.schema_name, "regex", f"{name} does not match the account's pattern {printable(field.regex, 100)}"
        )
