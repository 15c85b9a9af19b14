"""What callers gave, as the service takes it. What cannot be right is refused here, before it costs a call."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ..errors import InvalidRequestError
from ..records import UNSET, NewTicket, TicketUpdate
from .field_map import LEAD_FIELDS, SETTABLE

Wire = dict[str, Any]


def new_ticket_to_wire(ticket: NewTicket) -> Wire:
    """The JSON of the page create-tickets; InvalidRequestError without any of the three lead fields."""
    values = field_values(ticket)
    if not names_lead(ticket, values):
        raise InvalidRequestError("a ticket needs its lead: give lead_id, lead_email or lead_phone")
    lead_id = _value("lead_id", ticket.lead_id)
    return {"TypeId": "1", "Id": None, "LeadId": lead_id, "Fields": _entries(values), "RelatedTicketTypeId": 1}


def update_to_wire(update: TicketUpdate) -> Wire:
    """The DTO of the page update-a-ticket-with-attachments, but for the ticket's number."""
    wire: Wire = {"TypeId": "1", "Fields": _entries(field_values(update)), "RelatedTicketTypeId": 1}
    if update.lead_id is not UNSET:
        wire["LeadId"] = _value("lead_id", update.lead_id)
    return wire


def field_values(record: NewTicket | TicketUpdate) -> Wire:
    """Schema name to value as it is sent, of all fields that a caller gave, by their Python names or in ``fields``."""
    if not isinstance(record.fields, Mapping):
        raise InvalidRequestError(f"fields is a mapping of schema names to values, not {type(record.fields).__name__}")
    if isinstance(record, NewTicket):
        _check_text("lead_id", record.lead_id)
        return _merged(record, _named(record, SETTABLE | LEAD_FIELDS, None))
    if record.lead_id is not UNSET:
        _check_text("lead_id", record.lead_id)
    return _merged(record, _named(record, SETTABLE, UNSET))


def names_lead(ticket: NewTicket, values: Wire) -> bool:
    """Whether one of the three fields that name a lead is there and not blank."""
    return bool(ticket.lead_id) or any(values.get(schema) for schema in LEAD_FIELDS.values())


def _named(record: NewTicket | TicketUpdate, names: Mapping[str, str], absent: Any) -> Wire:
    given = {name: value for name in names if (value := getattr(record, name)) is not absent}
    for name, value in given.items():
        if not (name == "due_date" and isinstance(value, datetime)):
            _check_text(name, value)
    return {names[name]: value for name, value in given.items()}


def _entries(values: Wire) -> list[Wire]:
    return [{"SchemaName": name, "Value": value} for name, value in values.items()]


def _merged(record: NewTicket | TicketUpdate, named: Wire) -> Wire:
    twice = sorted(named.keys() & record.fields.keys())
    if twice:
        raise InvalidRequestError(f"given twice, by its Python name and in fields: {', '.join(twice)}")
    for name in record.fields:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise InvalidRequestError(f"a field's schema name must be printable text, not {name!r}")
    return {name: _value(name, value) for name, value in {**named, **record.fields}.items()}


def _check_text(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, str | UUID):
        raise InvalidRequestError(f"{name} must be text or None, not {type(value).__name__}")


def _value(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return _date(name, value)
    return str(value) if isinstance(value, UUID) else value


def _date(name: str, date: datetime) -> str:
    """As the service prints dates: in UTC, without a zone, with no fraction or three digits of it."""
    if date.tzinfo is None:
        raise InvalidRequestError(f"{name}: the date has no zone; write e.g. datetime(2026, 1, 31, 9, 0, tzinfo=UTC)")
    try:
        utc = date.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise InvalidRequestError(f"{name}: no such date in UTC: {date}") from None
    return utc.isoformat(timespec="milliseconds" if utc.microsecond else "seconds")
