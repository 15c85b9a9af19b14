"""A ticket held against what the account says of its fields. Pure; nothing is raised, nothing is sent."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from ..errors import InvalidRequestError
from ..records import FieldMetadata, NewTicket, Problem, SubType, TicketUpdate
from .serialize import field_values, names_lead

# A match cannot be interrupted, and on a value that almost matches some patterns take time without end: a power of
# its length, and twice as much for each character where a group is repeated, as in "^(\w+[.-]?)+$".
_LONGEST = 256  # characters that a pattern is tried on; 0.1 s at most, for the patterns that people write
_LONGEST_FOR_GROUPS = 16
_REPEATED_GROUP = re.compile(r"\)[*+{]")


def problems_of(
    ticket: NewTicket | TicketUpdate, fields: Iterable[FieldMetadata], sub_types: Collection[SubType]
) -> list[Problem]:
    """Everything that is wrong, in the account's order of fields; empty when all is well. Messages show no values."""
    try:
        values = field_values(ticket)
    except InvalidRequestError as error:
        return [Problem("", "invalid", str(error))]
    return [*_lead_problems(ticket, values), *_field_problems(ticket, values, fields), *_options(values, sub_types)]


def _lead_problems(ticket: NewTicket | TicketUpdate, values: dict[str, Any]) -> Iterator[Problem]:
    if isinstance(ticket, NewTicket) and not names_lead(ticket, values):
        yield Problem("LeadId", "lead", "the lead is missing: give lead_id, lead_email or lead_phone")


def _field_problems(
    ticket: NewTicket | TicketUpdate, values: dict[str, Any], fields: Iterable[FieldMetadata]
) -> Iterator[Problem]:
    for field in fields:
        if field.active is False or field.deleted:
            continue
        value = values.get(field.schema_name)
        if not _is_blank(value):
            yield from _text_problems(field, value)
        elif field.mandatory and (isinstance(ticket, NewTicket) or field.schema_name in values):
            yield Problem(field.schema_name, "mandatory", f"{field.schema_name} is mandatory")


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _text_problems(field: FieldMetadata, value: Any) -> Iterator[Problem]:
    """Bounds mean something for text only; for numbers the account's metadata carries generic defaults."""
    if not isinstance(value, str):
        return
    name, length = field.schema_name, len(value)
    if field.min_length is not None and length < field.min_length:
        yield Problem(name, "min_length", f"{name} has {length} characters; at least {field.min_length} are needed")
    if field.max_length is not None and 0 < field.max_length < length:
        yield Problem(name, "max_length", f"{name} has {length} characters; at most {field.max_length} are allowed")
    if field.regex and not _matches(field.regex, value):
        yield Problem(name, "regex", f"{name} does not match the account's pattern {field.regex[:100]}")


def _matches(pattern: str, value: str) -> bool:
    """As the service's platform matches: anywhere, unless anchored. What cannot be tried here refuses nothing: a
    pattern of another dialect, or a value too long for it."""
    if len(value) > (_LONGEST_FOR_GROUPS if _REPEATED_GROUP.search(pattern) else _LONGEST):
        return True
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return True


def _options(values: dict[str, Any], sub_types: Collection[SubType]) -> Iterator[Problem]:
    value = values.get("SubType")
    known = {name for option in sub_types for name in (option.value, option.text)}
    if known and not _is_blank(value) and value not in known:
        yield Problem("SubType", "option", f"SubType is none of the account's {len(sub_types)} values")
