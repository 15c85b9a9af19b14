"""Reading the JSON that describes a ticket, strictly by the vendor's pages; what departs from them is a 400.

https://apidocs.leadsquared.com/create-tickets/ and https://apidocs.leadsquared.com/update-a-ticket-with-attachments/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .answers import not_per_spec
from .reading import json_object, text_or_null

Value = str | int | float | None
"""What a field holds: text, a number or null."""

LEAD_PREFIX = "LeadDetail."
"""Fields of this name describe the lead, not the ticket."""

LEAD_FIELDS = (f"{LEAD_PREFIX}EmailAddress", f"{LEAD_PREFIX}Phone")
"""The fields that name a lead where no LeadId does."""


@dataclass(frozen=True)
class Draft:
    """What a caller says of a ticket: its number (an update), its lead, and the fields to set, in the given order."""

    number: str | None
    lead_id: str | None
    fields: Mapping[str, Value]

    @property
    def names_a_lead(self) -> bool:
        return bool(self.lead_id or any(self.fields.get(name) for name in LEAD_FIELDS))


def read_new_ticket(text: bytes) -> Draft:
    """The draft of a ticket to create: no number, and a lead."""
    draft = _read(text)
    if draft.number is not None:
        raise not_per_spec("Id must be null when a ticket is created")
    if not draft.names_a_lead:
        raise not_per_spec(f"one of LeadId, {', '.join(LEAD_FIELDS)} is mandatory")
    return draft


def read_update(text: bytes, number: str) -> Draft:
    """The draft of changes to the ticket ``number``, which it must name as its Id."""
    draft = _read(text)
    if draft.number != number:
        raise not_per_spec(f'Id must be the number of the ticket, "{number}"')
    return draft


def _read(text: bytes) -> Draft:
    dto = json_object(text)
    if dto.get("TypeId") != "1":
        raise not_per_spec('TypeId must be "1"')
    if type(dto.get("RelatedTicketTypeId")) is not int or dto["RelatedTicketTypeId"] != 1:
        raise not_per_spec("RelatedTicketTypeId must be 1")
    return Draft(text_or_null(dto, "Id"), text_or_null(dto, "LeadId"), _fields(dto.get("Fields")))


def _fields(entries: object) -> dict[str, Value]:
    if not isinstance(entries, list):
        raise not_per_spec("Fields must be a list")
    return dict(_field(entry) for entry in entries)


def _field(entry: object) -> tuple[str, Value]:
    match entry:
        case {"SchemaName": str(name), "Value": value} if name:
            return name, _value(name, value)
        case _:
            raise not_per_spec("an entry of Fields needs a SchemaName and a Value")


def _value(name: str, value: Any) -> Value:
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise not_per_spec(f"the Value of {name} must be a text, a number or null")
    return value
