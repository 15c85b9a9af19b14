"""Converts arguments of calls to JSON. A value that cannot be valid raises InvalidRequestError."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

from ..errors import InvalidRequestError, shown
from ..records import UNSET, NewTicket, Ticket, TicketReceipt, TicketRef, TicketUpdate
from ..records.tickets import number_of

SETTABLE: Final = {
    "title": "Title",
    "customer_id": "RelatedCustomerId",
    "description": "Description",
    "type": "Type",
    "sub_type": "SubType",
    "status": "Status",
    "priority": "Priority",
    "channel": "Channel",
    "cc_emails": "CcEmails",
    "tags": "Tags",
    "due_date": "DueDate",
    "agent_id": "RelatedAgentId",
}
"""The schema names of the attributes that a caller can set, in the order in which they are sent."""

LEAD_FIELDS: Final = {"lead_email": "LeadDetail.EmailAddress", "lead_phone": "LeadDetail.Phone"}
"""The schema names of the attributes that identify the lead of a new ticket."""

_encoder = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def encode(value: Any) -> bytes:
    """Return compact UTF-8 JSON. Raises InvalidRequestError if the value has no JSON form or a number overflows."""
    try:
        text = _encoder.encode(value)
        if re.search("[0-9]{300}", text):  # the encoder accepts whole numbers of any size
            json.loads(text, parse_int=finite_int)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"this cannot be sent as JSON: {error}") from None


def finite(text: str) -> float:
    """Convert a JSON number. NaN and a number that overflows raise ValueError."""
    value = float(text)
    if not abs(value) < float("inf"):
        raise ValueError(f"{text:.40} is not a finite number")
    return value


def finite_int(text: str) -> int:
    """Like `finite`, for a whole number."""
    if len(text) > 300:
        finite(text)
    return int(text)


def new_ticket_dto(ticket: NewTicket, marker: str | None = None) -> dict[str, Any]:
    """Return the JSON of apidocs.leadsquared.com/create-tickets."""
    fields = [{"SchemaName": name, "Value": value} for name, value in field_values(ticket, marker).items()]
    if not ticket.names_lead:
        raise InvalidRequestError("a ticket needs its lead: give lead_id, lead_email or lead_phone")
    lead_id = None if ticket.lead_id is None else str(ticket.lead_id)
    return {"TypeId": "1", "Id": None, "LeadId": lead_id, "Fields": fields, "RelatedTicketTypeId": 1}


def update_dto(number: str, update: TicketUpdate) -> dict[str, Any]:
    """Return the ticketDTO of apidocs.leadsquared.com/update-a-ticket-with-attachments."""
    fields = [{"SchemaName": name, "Value": value} for name, value in field_values(update).items()]
    dto = {"TypeId": "1", "Id": number, "Fields": fields, "RelatedTicketTypeId": 1}
    return dto if update.lead_id is UNSET else {**dto, "LeadId": str(update.lead_id)}


def field_values(ticket: NewTicket | TicketUpdate, marker: str | None = None) -> dict[str, Any]:
    """Return the values to send, by schema name. The client sets ``marker``, so the ticket must not."""
    if not isinstance(ticket.fields, Mapping):
        raise InvalidRequestError(f"fields must map schema names to values, not be a {type(ticket.fields).__name__}")
    values = _named_values(ticket)
    if twice := sorted(values.keys() & ticket.fields.keys()):
        raise InvalidRequestError(f"a field must not be given both by attribute and in fields: {', '.join(twice)}")
    for name, value in ticket.fields.items():
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise InvalidRequestError(f"a schema name in fields must be printable text, not {shown(name)}")
        values[name] = value
    if marker in values:
        raise InvalidRequestError(f"{marker} is Config.marker_field; give its value as reference=")
    for name, value in values.items():
        if isinstance(value, date):
            values[name] = _date(name, value)
        elif isinstance(value, UUID):
            values[name] = str(value)
    return values


def _named_values(ticket: NewTicket | TicketUpdate) -> dict[str, Any]:
    is_new = isinstance(ticket, NewTicket)
    names, not_given = (SETTABLE | LEAD_FIELDS, None) if is_new else (SETTABLE, UNSET)
    values = {}
    for name in ("lead_id", *names):
        value = getattr(ticket, name)
        if value is not_given:
            continue
        if name == "due_date" and isinstance(value, str):  # the record could not convert it to a date
            raise InvalidRequestError(f"due_date: {shown(value, 40)} is not a date with a time zone; {_DATES}")
        is_date = name == "due_date" and isinstance(value, date)
        if not (is_date or value is None or isinstance(value, str | UUID)):
            raise InvalidRequestError(f"{name} must be text or None, not {type(value).__name__}")
        if name == "lead_id" and not is_new and not value:  # the service would keep the lead
            raise InvalidRequestError("lead_id of an update must not be empty; leave it out to keep the lead")
        if name in names:
            values[names[name]] = value
    return values


_DATES = "write datetime(2026, 1, 31, 9, 0, tzinfo=UTC) or '2026-01-31T09:00:00+00:00'"


def _date(name: str, moment: date) -> str:
    """Return a date as the service writes it: UTC without a zone, whole seconds or milliseconds."""
    if not isinstance(moment, datetime):
        raise InvalidRequestError(f"{name}: the date {moment} has no time; {_DATES}")
    if moment.tzinfo is None:
        raise InvalidRequestError(f"{name}: the date has no time zone; {_DATES}")
    try:
        utc = moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise InvalidRequestError(f"{name}: this date is outside the years 1 to 9999 in UTC: {moment}") from None
    return utc.isoformat(timespec="milliseconds" if utc.microsecond else "seconds")


def ticket_ref(ticket: TicketRef) -> str:
    """Return a ticket's number or GUID for a URL. A key, such as "#143", becomes the number."""
    text = ticket.number if isinstance(ticket, Ticket | TicketReceipt) else ticket
    if isinstance(text, UUID) or (isinstance(text, int) and not isinstance(text, bool) and 0 < text < 10**18):
        text = str(text)
    text = number_of(text) if isinstance(text, str) else text
    # Percent-encoding would not be enough: even an encoded ".." leaves the path of the account.
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9-]{1,64}", text):
        what = "by its number ('143'), key ('#143') or GUID"
        raise InvalidRequestError(f"a ticket must be given {what}, not {shown(text)}")
    return text


def ticket_number(ticket: TicketRef) -> str:
    """Return a ticket's number, for operations that take no GUID."""
    text = ticket_ref(ticket)
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise InvalidRequestError(f"give the ticket number ('143'), not {shown(text)}; tickets.get returns the number")
    return text
