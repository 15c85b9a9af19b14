"""The one cattrs converter: between the records and the service's JSON.

`to_wire` checks what a caller gave and raises InvalidRequestError; `from_wire` reads what the service gave and
raises ValueError, TypeError or KeyError, which `answers` turns into the right error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

from ..errors import InvalidRequestError
from ..records import UNSET, NewTicket, Permission, Ticket, TicketReceipt, TicketUpdate
from . import names

T = TypeVar("T")
Wire = dict[str, Any]

_converter = cattrs.Converter(detailed_validation=False)


def to_wire(record: Any) -> Wire:
    """The JSON object that the service takes or shows for a record."""
    wire: Wire = _converter.unstructure(record)
    return wire


def from_wire(cls: type[T], wire: Any) -> T:
    """The record that a JSON object of the service stands for."""
    return _converter.structure(wire, cls)


# --- reading: strict about what identifies, lenient about the rest --------------------------------------------


def _text(value: Any, _: Any = None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"text or null was expected, not {type(value).__name__}")


def _identifier(value: Any, _: Any = None) -> str:
    # Numbers come as text or as JSON numbers, page by page.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value:
        return value
    raise ValueError("the answer has no number of a ticket")


def _type_id(value: Any, _: Any = None) -> str | None:
    # The page get-a-tickets-details-by-id shows the *text* "null".
    return None if value == "null" else _text(value)


def _field_text(value: Any, _: Any = None) -> str | None:
    """The text of a ticket field; None for what is no text, which stays readable under ``fields``."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _field_id(value: Any, _: Any = None) -> str | int | None:
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def _field_date(value: Any, _: Any = None) -> datetime | None:
    """Dates come as ISO text without a zone; they are UTC by strong inference from the vendor's samples."""
    try:
        date = datetime.fromisoformat(value)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _as_is(value: Any, _: Any = None) -> Any:
    return value


def _reader(
    cls: type[Any], wire_names: Mapping[str, str], hooks: Mapping[str, Callable[..., Any]], known: Iterable[str] = ()
) -> Callable[[Wire], Any]:
    """Build ``cls`` from a JSON object; what neither ``wire_names`` nor ``known`` lists goes to its ``extra``."""
    overrides: dict[str, Any] = {field.name: override(omit=True) for field in attrs.fields(cls)}
    overrides["extra"] = override(struct_hook=_as_is)
    for name, wire_name in wire_names.items():
        overrides[name] = override(rename=wire_name, struct_hook=hooks.get(name, _text))
    build = make_dict_structure_fn(cls, _converter, **overrides)
    listed = {*wire_names.values(), *known}

    def read(wire: Wire) -> Any:
        extra = {name: value for name, value in wire.items() if name not in listed}
        return build({**wire, "extra": extra}, cls)

    return read


def _permissions(value: Any, _: Any = None) -> dict[str, Permission]:
    return {name: _read_permission(entry) for name, entry in (value or {}).items()}


_FIELD = "Fields."  # keeps the schema names apart from the names at the top of the same answer

_read_permission = _reader(Permission, names.PERMISSION, dict.fromkeys(names.PERMISSION, _as_is))
_read_receipt = _reader(TicketReceipt, names.RECEIPT, {"number": _identifier}, names.ENVELOPE)
_read_ticket = _reader(
    Ticket,
    names.TICKET | {name: _FIELD + schema for name, schema in names.SHOWN_FIELDS.items()},
    {
        **dict.fromkeys(names.SHOWN_FIELDS, _field_text),
        **dict.fromkeys(("category_id", "service_group_id", "stage_id"), _field_id),
        "due_date": _field_date,
        "number": _identifier,
        "type_id": _type_id,
        "permissions": _permissions,
    },
)


def _ticket_from_wire(wire: Any, _: Any) -> Ticket:
    listed = wire.get("Fields") or []
    fields = {entry["SchemaName"]: entry.get("Value") for entry in listed}
    sub_fields = {entry["SchemaName"]: entry["SubFields"] for entry in listed if entry.get("SubFields") is not None}
    top = {name: value for name, value in wire.items() if name != "Fields"}
    ticket: Ticket = _read_ticket(top | {_FIELD + schema: value for schema, value in fields.items()})
    extra = {name: value for name, value in ticket.extra.items() if not name.startswith(_FIELD)}
    return attrs.evolve(ticket, fields=fields, sub_fields=sub_fields, extra=extra)


def _ticket_to_wire(ticket: Ticket) -> Wire:
    top = {wire_name: getattr(ticket, name) for name, wire_name in names.TICKET.items()}
    permissions = {
        name: {wire_name: getattr(entry, attribute) for attribute, wire_name in names.PERMISSION.items()}
        for name, entry in ticket.permissions.items()
    }
    fields = [
        {"SchemaName": schema, "Value": value, "SubFields": ticket.sub_fields.get(schema)}
        for schema, value in ticket.fields.items()
    ]
    return {**top, "Fields": fields, "UserPermissions": permissions, **ticket.extra}


def _receipt_to_wire(receipt: TicketReceipt) -> Wire:
    named = {wire_name: getattr(receipt, name) for name, wire_name in names.RECEIPT.items()}
    return {"Status": "Success", "ReasonForFailure": None, **named, **receipt.extra}


# --- writing: what cannot be right is refused here, before it costs a call ------------------------------------


def _date_to_wire(name: str, date: datetime) -> str:
    if date.tzinfo is None:
        raise InvalidRequestError(f"{name}: the date has no zone; write e.g. datetime(2026, 1, 31, 9, 0, tzinfo=UTC)")
    utc = date.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="milliseconds" if utc.microsecond else "seconds")


def _value_to_wire(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return _date_to_wire(name, value)
    return str(value) if isinstance(value, UUID) else value


def _check_text(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, str | UUID):
        raise InvalidRequestError(f"{name} must be text or None, not {type(value).__name__}")


def _named_fields(record: NewTicket | TicketUpdate, wire_names: Mapping[str, str], absent: Any) -> Wire:
    given = {name: value for name in wire_names if (value := getattr(record, name)) is not absent}
    for name, value in given.items():
        if not (name == "due_date" and isinstance(value, datetime)):
            _check_text(name, value)
    return {wire_names[name]: value for name, value in given.items()}


def _fields(record: NewTicket | TicketUpdate, named: Wire) -> list[Wire]:
    twice = sorted(named.keys() & record.fields.keys())
    if twice:
        raise InvalidRequestError(f"given twice, by its Python name and in fields: {', '.join(twice)}")
    for name in record.fields:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise InvalidRequestError(f"a field's schema name must be printable text, not {name!r}")
    return [
        {"SchemaName": name, "Value": _value_to_wire(name, value)} for name, value in {**named, **record.fields}.items()
    ]


def _new_ticket_to_wire(ticket: NewTicket) -> Wire:
    _check_text("lead_id", ticket.lead_id)
    named = _named_fields(ticket, names.TICKET_FIELDS | names.LEAD_FIELDS, None)
    fields = _fields(ticket, named)
    given = {entry["SchemaName"] for entry in fields if entry["Value"] not in (None, "")}
    if not ticket.lead_id and given.isdisjoint(names.LEAD_FIELDS.values()):
        raise InvalidRequestError("a ticket needs its lead: give lead_id, lead_email or lead_phone")
    lead_id = _value_to_wire("lead_id", ticket.lead_id)
    return {"TypeId": "1", "Id": None, "LeadId": lead_id, "Fields": fields, "RelatedTicketTypeId": 1}


def _update_to_wire(update: TicketUpdate) -> Wire:
    fields = _fields(update, _named_fields(update, names.TICKET_FIELDS, UNSET))
    wire: Wire = {"TypeId": "1", "Fields": fields, "RelatedTicketTypeId": 1}
    if update.lead_id is not UNSET:
        _check_text("lead_id", update.lead_id)
        wire["LeadId"] = _value_to_wire("lead_id", update.lead_id)
    return wire


def _fields_from_wire(cls: type[Any], wire: Wire, wire_names: Mapping[str, str]) -> dict[str, Any]:
    """The attributes of a record that was written by `to_wire`: named fields by name, the others in ``fields``."""
    values = {entry["SchemaName"]: entry["Value"] for entry in wire["Fields"]}
    named = {name: values.pop(schema) for name, schema in wire_names.items() if schema in values}
    if named.get("due_date") is not None:
        named["due_date"] = _field_date(named["due_date"])
    return {**named, "fields": values}


def _new_ticket_from_wire(wire: Wire, _: Any) -> NewTicket:
    about = _fields_from_wire(NewTicket, wire, names.TICKET_FIELDS | names.LEAD_FIELDS)
    return NewTicket(lead_id=wire.get("LeadId"), **about)


def _update_from_wire(wire: Wire, _: Any) -> TicketUpdate:
    return TicketUpdate(lead_id=wire.get("LeadId", UNSET), **_fields_from_wire(TicketUpdate, wire, names.TICKET_FIELDS))


for _cls, _from, _to in (
    (Ticket, _ticket_from_wire, _ticket_to_wire),
    (TicketReceipt, lambda wire, _: _read_receipt(wire), _receipt_to_wire),
    (NewTicket, _new_ticket_from_wire, _new_ticket_to_wire),
    (TicketUpdate, _update_from_wire, _update_to_wire),
):
    _converter.register_structure_hook(_cls, _from)
    _converter.register_unstructure_hook(_cls, _to)
