"""The one cattrs converter: between the records and the service's JSON.

`to_wire` raises InvalidRequestError for what a caller gave and cannot be right; `from_wire` raises ValueError,
TypeError, KeyError or AttributeError for what the service gave and does not document, and `responses` makes the right
error of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, tzinfo
from typing import Any, TypeVar

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

from ..records import (
    UNSET,
    ActivityReceipt,
    Conversation,
    FieldMetadata,
    Lead,
    NewTicket,
    Permission,
    SubType,
    Ticket,
    TicketReceipt,
    TicketUpdate,
    TrashResult,
)
from . import field_map
from .serialize import Wire, new_ticket_to_wire, update_to_wire
from .values import as_is, date, mapping

T = TypeVar("T")
Read = Callable[[Mapping[str, Any]], Any]

_converter = cattrs.Converter(detailed_validation=False)


def to_wire(record: Any) -> Wire:
    """The JSON object that the service takes or shows for a record."""
    wire: Wire = _converter.unstructure(record)
    return wire


def from_wire(cls: type[T], wire: Any) -> T:
    """The record that a JSON object of the service stands for."""
    return _converter.structure(mapping(wire), cls)


def in_zone(record: Any, zone: tzinfo) -> Any:
    """The same record with its dates in another zone."""
    values = attrs.asdict(record, recurse=False)
    dates = {name: _moved(value, zone) for name, value in values.items() if isinstance(value, datetime)}
    return attrs.evolve(record, **dates)


def _moved(date: datetime, zone: tzinfo) -> datetime:
    try:
        return date.astimezone(zone)
    except OverflowError:
        # The last day of the year 9999 stands for "never" in many systems; it has no time in zones to the east.
        return date


def _reader(cls: type[Any], shape: field_map.Shape, known: Iterable[str] = ()) -> Read:
    """Build ``cls`` from a JSON object; what neither ``shape`` nor ``known`` lists goes to its ``extra``."""
    overrides: dict[str, Any] = {name: override(omit=True) for name in attrs.fields_dict(cls)}
    if "extra" in overrides:
        overrides["extra"] = override(struct_hook=as_is)
    for name, (wire_name, read) in shape.items():
        overrides[name] = override(rename=wire_name, struct_hook=read)
    build = make_dict_structure_fn(cls, _converter, **overrides)
    listed = {*field_map.wire_names(shape).values(), *known}

    def reader(wire: Mapping[str, Any]) -> Any:
        extra = {name: value for name, value in wire.items() if name not in listed}
        return build({**wire, "extra": extra}, cls)

    return reader


_read_permission = _reader(Permission, field_map.PERMISSION)
_read_ticket = _reader(Ticket, field_map.TICKET, ("Fields", "UserPermissions"))
_read_field = _reader(FieldMetadata, field_map.FIELD, ("ValidationProperties",))
_read_lead = _reader(Lead, field_map.LEAD)
_read_note = _reader(ActivityReceipt, field_map.NOTE, field_map.ENVELOPE)
_read_trashed = _reader(TrashResult, field_map.TRASHED)
_read_portal_activity = _reader(ActivityReceipt, field_map.PORTAL_ACTIVITY, field_map.ENVELOPE)


def _picked(values: Mapping[str, Any], shape: field_map.Shape) -> dict[str, Any]:
    """The attributes that ``shape`` finds in ``values``."""
    return {name: read(values[wire_name]) for name, (wire_name, read) in shape.items() if wire_name in values}


def _ticket_from_wire(wire: Mapping[str, Any]) -> Any:
    listed = wire.get("Fields") or []
    fields = {entry["SchemaName"]: entry.get("Value") for entry in listed}
    permissions = wire.get("UserPermissions") or {}
    return attrs.evolve(
        _read_ticket(wire),
        **_picked(fields, field_map.TICKET_FIELDS),
        fields=fields,
        sub_fields={entry["SchemaName"]: entry["SubFields"] for entry in listed if entry.get("SubFields") is not None},
        permissions={name: _read_permission(mapping(entry)) for name, entry in permissions.items()},
    )


def _ticket_to_wire(ticket: Ticket) -> Wire:
    fields = [
        {"SchemaName": schema, "Value": value, "SubFields": ticket.sub_fields.get(schema)}
        for schema, value in ticket.fields.items()
    ]
    permissions = {
        name: {**_shown(permission, field_map.PERMISSION), **permission.extra}
        for name, permission in ticket.permissions.items()
    }
    return {**_shown(ticket, field_map.TICKET), "Fields": fields, "UserPermissions": permissions, **ticket.extra}


def _receipt_to_wire(receipt: TicketReceipt) -> Wire:
    return {"Status": "Success", "ReasonForFailure": None, **_shown(receipt, field_map.RECEIPT), **receipt.extra}


def _shown(record: Any, shape: field_map.Shape) -> Wire:
    return {wire_name: getattr(record, name) for name, wire_name in field_map.wire_names(shape).items()}


def _activity_from_wire(wire: Mapping[str, Any]) -> Any:
    receipt = _read_note(wire) if "RelatedTicketId" in wire else _read_portal_activity(wire)
    if receipt.ticket_number is None and receipt.id is None:
        raise ValueError("neither RelatedTicketId nor Id is there")
    return receipt


def _trashed_from_wire(wire: Mapping[str, Any]) -> Any:
    if "SuccessfulIds" not in wire and "FailedIds" not in wire:
        raise ValueError("neither SuccessfulIds nor FailedIds is there")
    return _read_trashed(wire)


def _field_from_wire(wire: Mapping[str, Any]) -> Any:
    rules = wire.get("ValidationProperties") or {}
    return attrs.evolve(_read_field(wire), **_picked(rules, field_map.VALIDATION), validation=dict(rules))


def _lead_from_wire(wire: Mapping[str, Any]) -> Any:
    return attrs.evolve(_read_lead(wire), fields=dict(wire))


def _given_from_wire(wire: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The attributes of a record that `to_wire` wrote: named fields by name, the others in ``fields``."""
    values = {entry["SchemaName"]: entry["Value"] for entry in wire["Fields"]}
    named = {name: values.pop(schema) for name, schema in names.items() if schema in values}
    if named.get("due_date") is not None:
        named["due_date"] = date(named["due_date"])
    return {**named, "fields": values}


def _new_ticket_from_wire(wire: Mapping[str, Any]) -> NewTicket:
    return NewTicket(lead_id=wire.get("LeadId"), **_given_from_wire(wire, field_map.SETTABLE | field_map.LEAD_FIELDS))


def _update_from_wire(wire: Mapping[str, Any]) -> TicketUpdate:
    return TicketUpdate(lead_id=wire.get("LeadId", UNSET), **_given_from_wire(wire, field_map.SETTABLE))


def _register(cls: type[Any], read: Read, write: Callable[[Any], Wire] | None = None) -> None:
    _converter.register_structure_hook(cls, lambda wire, _: read(wire))
    if write is not None:
        _converter.register_unstructure_hook(cls, write)


_register(Ticket, _ticket_from_wire, _ticket_to_wire)
_register(TicketReceipt, _reader(TicketReceipt, field_map.RECEIPT, field_map.ENVELOPE), _receipt_to_wire)
_register(NewTicket, _new_ticket_from_wire, new_ticket_to_wire)
_register(TicketUpdate, _update_from_wire, update_to_wire)
_register(ActivityReceipt, _activity_from_wire)
_register(TrashResult, _trashed_from_wire)
_register(Conversation, _reader(Conversation, field_map.CONVERSATION))
_register(FieldMetadata, _field_from_wire)
_register(SubType, _reader(SubType, field_map.SUB_TYPE))
_register(Lead, _lead_from_wire)
