"""Decoded JSON of the service as records, by way of cattrs.

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

_in_attributes: dict[type[Any], set[str | None]] = {}


def _register(cls: type[Any], *ignored: str, **overrides: Any) -> None:
    """Register the overrides of an attrs class. Attributes without one are left out.

    Names of the JSON that are neither in an override nor in ``ignored`` go to the attribute ``extra``.
    """
    _in_attributes[cls] = {*ignored, *(given.rename for given in overrides.values())}
    names = attrs.fields_dict(cls).keys()
    overrides |= {"extra": override()} if "extra" in names else {}
    omitted: dict[str, Any] = {name: override(omit=True) for name in names - overrides.keys()}
    _converter.register_structure_hook(cls, make_dict_structure_fn(cls, _converter, **overrides, **omitted))


def parse(cls: type[T], answer: Any, computed: Mapping[str, Any] | None = None) -> T:
    """Return the record of a JSON object. ``computed`` adds values that the object has in another form."""
    wire = values.json_object(answer)
    extra = {name: value for name, value in wire.items() if name not in _in_attributes[cls]}
    return _converter.structure({**wire, **(computed or {}), "extra": extra}, cls)


_register(
    TicketReceipt,
    *("Status", "ReasonForFailure"),
    number=override(rename="Id"),
    ticket_id=override(rename="TicketId"),
    key=override(rename="Key"),
    message=override(rename="Message"),
)
_register(
    ActivityReceipt,
    *("Status", "ReasonForFailure"),
    ticket_number=override(rename="RelatedTicketId", struct_hook=values.optional_identifier),
    id=override(rename="Id", struct_hook=values.optional_identifier),
    message=override(rename="Message"),
)
_register(
    TrashResult,
    successful=override(rename="SuccessfulIds", struct_hook=values.identifiers),
    failed=override(rename="FailedIds", struct_hook=values.identifiers),
)
_register(
    Permission,
    allowed=override(rename="Allowed"),
    scope_filters=override(rename="ScopeFilters", struct_hook=values.unchanged),
)
# The values of ticket fields are in a list, so `parse_ticket` adds them under the prefix "Fields.".
_register(
    Ticket,
    *("Fields", "UserPermissions"),
    number=override(rename="Id"),
    ticket_id=override(rename="TicketId"),
    lead_id=override(rename="LeadId"),
    opportunity_id=override(rename="OpportunityId"),
    type_id=override(rename="TypeId", struct_hook=values.type_id),
    category_id=override(rename="Fields.TicketCategoryId"),
    service_group_id=override(rename="Fields.RelatedServiceGroupId"),
    stage_id=override(rename="Fields.RelatedStageId"),
    **{
        name: override(rename=f"Fields.{schema_name}", struct_hook=values.lenient_text)
        for name, schema_name in (SETTABLE | READ_ONLY).items()
        if name != "due_date"
    },
    due_date=override(),
    fields=override(),
    sub_fields=override(),
    permissions=override(),
)
_register(
    Conversation,
    id=override(rename="Id"),
    activity_type=override(rename="RelatedActivityType"),
    text=override(rename="Text"),
    html=override(rename="Html"),
    attachments=override(rename="Attachments", struct_hook=values.entries),
    created_by=override(rename="CreatedBy"),
    created_on=override(),
)
_register(
    FieldMetadata,
    "ValidationProperties",
    schema_name=override(rename="SchemaName"),
    id=override(rename="Id"),
    display_name=override(rename="DisplayName"),
    description=override(rename="Description"),
    data_type=override(rename="DataType"),
    field_type=override(rename="FieldType"),
    active=override(rename="Active"),
    deleted=override(rename="Deleted"),
    mandatory=override(rename="ValidationProperties.IsMandatory"),
    min_length=override(rename="ValidationProperties.MinLength"),
    max_length=override(rename="ValidationProperties.MaxLength"),
    regex=override(rename="ValidationProperties.Regex", struct_hook=values.lenient_text),
    validation=override(),
)
_register(SubType, text=override(rename="Text"), value=override(rename="Value"))
_register(
    Lead,
    id=override(rename="ProspectID"),
    email=override(rename="EmailAddress"),
    phone=override(rename="Phone"),
    fields=override(),
)


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
        raise ValueError("neither RelatedTicketId nor Id is there")
    return receipt


def parse_trash_result(answer: Any) -> TrashResult:
    """Return which tickets were trashed. An answer without both lists is not a result."""
    if not values.json_object(answer).keys() & {"SuccessfulIds", "FailedIds"}:
        raise ValueError("neither SuccessfulIds nor FailedIds is there")
    return parse(TrashResult, answer)


def parse_field_page(answer: Any) -> tuple[list[FieldMetadata], int]:
    """Return the fields of one page, and the number of all fields."""
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
