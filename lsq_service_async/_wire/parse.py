"""Converts decoded JSON of the service to records with cattrs.

JSON that is not as documented raises ValueError, TypeError, KeyError or AttributeError. The pages:
apidocs.leadsquared.com/create-tickets, .../get-a-tickets-details-by-id, .../update-a-ticket-with-attachments,
.../delete-tickets, .../get-ticket-conversations, .../post-an-internal-note-on-a-ticket-2, .../?p=5010, .../?p=5117,
.../?p=5102, .../get-a-lead-by-email-id, .../get-lead-by-phone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any, TypeVar

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

from ..records import (
    ActivityReceipt,
    Conversation,
    FieldMetadata,
    Lead,
    Permission,
    SubType,
    Ticket,
    TicketReceipt,
    TrashResult,
)
from . import values
from .field_map import READ_ONLY, SETTABLE

T = TypeVar("T")

_converter = cattrs.Converter(detailed_validation=False)
_converter.register_structure_hook(str, values.identifier)
_converter.register_structure_hook(str | None, values.text)
_converter.register_structure_hook(str | int | None, values.text_or_number)
_converter.register_structure_hook(int | None, values.whole_number)
_converter.register_structure_hook(bool, values.is_true)
_converter.register_structure_hook(bool | None, values.unchanged)
_converter.register_structure_hook(datetime | None, values.unchanged)
_converter.register_structure_hook_func(lambda kind: getattr(kind, "__origin__", None) is Mapping, values.unchanged)

_wire_names: dict[type[Any], set[str | None]] = {}


def _register(cls: type[Any], *ignored: str, **attributes: Any) -> None:
    """Tell cattrs how to make a record of this class.

    ``attributes`` maps each attribute to its name in the JSON, or to an ``override``; the others keep their defaults.
    Values of the JSON that no attribute uses are stored in ``extra``, except those with ``ignored`` names.
    """
    attributes = {
        name: override(rename=given) if isinstance(given, str) else given for name, given in attributes.items()
    }
    _wire_names[cls] = {*ignored, *(given.rename for given in attributes.values())}
    omitted: dict[str, Any] = {name: override(omit=True) for name in attrs.fields_dict(cls)}
    omitted |= {"extra": override()} if "extra" in omitted else {}
    hook = make_dict_structure_fn(cls, _converter, **omitted | attributes)
    _converter.register_structure_hook(cls, hook)


def parse(cls: type[T], answer: Any, computed: Mapping[str, Any] | None = None) -> T:
    """Return the record of a JSON object. ``computed`` adds values that the caller has converted."""
    wire = values.json_object(answer)
    extra = {name: value for name, value in wire.items() if name not in _wire_names[cls]}
    return _converter.structure({**wire, **(computed or {}), "extra": extra}, cls)


_envelope = ("Status", "ReasonForFailure")
_computed = override()
_register(TicketReceipt, *_envelope, number="Id", ticket_id="TicketId", key="Key", message="Message")
_register(
    ActivityReceipt,
    *_envelope,
    ticket_number=override(rename="RelatedTicketId", struct_hook=values.optional_identifier),
    id=override(rename="Id", struct_hook=values.optional_identifier),
    message="Message",
)
_register(
    TrashResult,
    successful=override(rename="SuccessfulIds", struct_hook=values.identifiers),
    failed=override(rename="FailedIds", struct_hook=values.identifiers),
)
_register(Permission, allowed="Allowed", scope_filters=override(rename="ScopeFilters", struct_hook=values.unchanged))
# The values of ticket fields are in a list. `parse_ticket` adds each with the prefix "Fields.".
_loose_texts = {
    name: override(rename=f"Fields.{schema_name}", struct_hook=values.lenient_text)
    for name, schema_name in (SETTABLE | READ_ONLY).items()
}
_register(
    Ticket,
    *("Fields", "UserPermissions"),
    number="Id",
    ticket_id="TicketId",
    lead_id="LeadId",
    opportunity_id="OpportunityId",
    type_id=override(rename="TypeId", struct_hook=values.type_id),
    category_id="Fields.TicketCategoryId",
    service_group_id="Fields.RelatedServiceGroupId",
    stage_id="Fields.RelatedStageId",
    **_loose_texts | dict.fromkeys(("due_date", "fields", "sub_fields", "permissions"), _computed),
)
_register(
    Conversation,
    id="Id",
    activity_type="RelatedActivityType",
    text="Text",
    html="Html",
    attachments=override(rename="Attachments", struct_hook=values.entries),
    created_by="CreatedBy",
    created_on=_computed,
)
_register(
    FieldMetadata,
    "ValidationProperties",
    schema_name="SchemaName",
    id="Id",
    display_name="DisplayName",
    description="Description",
    data_type="DataType",
    field_type="FieldType",
    active="Active",
    deleted="Deleted",
    mandatory="ValidationProperties.IsMandatory",
    min_length="ValidationProperties.MinLength",
    max_length="ValidationProperties.MaxLength",
    regex=override(rename="ValidationProperties.Regex", struct_hook=values.lenient_text),
    validation=_computed,
)
_register(SubType, text="Text", value="Value")
_register(Lead, id="ProspectID", email="EmailAddress", phone="Phone", fields=_computed)


def parse_ticket(answer: Any, zone: tzinfo) -> Ticket:
    """Return a ticket with its dates in ``zone``."""
    wire = values.json_object(answer)
    listed = wire.get("Fields") or []
    permissions = wire.get("UserPermissions") or {}
    fields = {field["SchemaName"]: field.get("Value") for field in listed}
    computed = {
        **{f"Fields.{name}": value for name, value in fields.items()},
        "due_date": values.date(fields.get("DueDate"), zone),
        "fields": fields,
        "sub_fields": {f["SchemaName"]: f["SubFields"] for f in listed if f.get("SubFields") is not None},
        "permissions": {name: parse(Permission, permission) for name, permission in permissions.items()},
    }
    return parse(Ticket, wire, computed)


def parse_conversations(answer: Any, zone: tzinfo) -> list[Conversation]:
    """Return the conversations of an answer with their dates in ``zone``."""
    found = values.entries(values.json_object(answer)["ConversationList"])
    return [parse(Conversation, wire, {"created_on": values.date(wire.get("CreatedOn"), zone)}) for wire in found]


def parse_activity(answer: Any) -> ActivityReceipt:
    """Return the receipt of a note, which has the number of its ticket, or of a portal activity, which has an id."""
    receipt = parse(ActivityReceipt, answer)
    if receipt.ticket_number is None and receipt.id is None:
        raise ValueError("the answer has neither RelatedTicketId nor Id")
    return receipt


def parse_trash_result(answer: Any) -> TrashResult:
    """Return which tickets were trashed. Raises ValueError if the answer has neither of the two lists."""
    if not values.json_object(answer).keys() & {"SuccessfulIds", "FailedIds"}:
        raise ValueError("the answer has neither SuccessfulIds nor FailedIds")
    return parse(TrashResult, answer)


def parse_field_page(answer: Any) -> tuple[list[FieldMetadata], int]:
    """Return the fields of one page, and the total number of fields in the account."""
    fields = []
    for field in values.entries(values.json_object(answer)["TicketsFields"]):
        rules = dict(values.json_object(field).get("ValidationProperties") or {})
        computed = {f"ValidationProperties.{name}": value for name, value in rules.items()}
        fields.append(parse(FieldMetadata, field, {**computed, "validation": rules}))
    return fields, values.whole_number(answer.get("Total")) or len(fields)


def parse_sub_types(answer: Any) -> list[SubType]:
    """Return the values of the field SubType."""
    return [parse(SubType, entry) for entry in values.json_list(answer)]


def parse_first_lead(answer: Any) -> Lead | None:
    """Return the first lead of a list, and None for an empty list."""
    leads = values.json_list(answer)
    return parse(Lead, leads[0], {"fields": dict(values.json_object(leads[0]))}) if leads else None
