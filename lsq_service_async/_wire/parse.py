"""Converts decoded JSON of the service to records with cattrs.

JSON that is not as documented raises ValueError, TypeError, KeyError or AttributeError. The documentation:
apidocs.leadsquared.com/create-tickets, .../get-a-tickets-details-by-id, .../update-a-ticket-with-attachments,
.../delete-tickets, .../get-ticket-conversations, .../post-an-internal-note-on-a-ticket-2, .../?p=5010, .../?p=5117,
.../?p=5102, .../get-a-lead-by-email-id, .../get-lead-by-phone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
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
from .serialize import SETTABLE

T = TypeVar("T")

# Readers of single values. cattrs passes the type as the second argument.


def _identifier(value: Any, _: Any = None) -> str:
    """Return a number or GUID as text: 143, "143" and "143.0" become "143"."""
    number = re.sub(r"^([0-9]+)\.0+$", r"\1", value.strip()) if isinstance(value, str) else _whole_number(value)
    text = "" if number is None else str(number)
    if not text:
        raise ValueError("the identifier of the record is missing")
    return text


def _optional_identifier(value: Any, _: Any = None) -> str | None:
    return None if value is None or (isinstance(value, str) and not value.strip()) else _identifier(value)


def _name(value: Any, _: Any = None) -> str:
    return value if isinstance(value, str) and value else _identifier(value)


def _identifiers(value: Any, _: Any = None) -> tuple[str, ...]:
    return () if value is None else tuple(map(_identifier, _json_list(value)))


def _text(value: Any, _: Any = None) -> str | None:
    """Return text or None. cattrs alone would turn null into the text "None"."""
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"expected text or null, not {type(value).__name__}")


def _type_id(value: Any, _: Any = None) -> str | None:
    """Return text, or None for null and for the text "null" (see get-a-tickets-details-by-id)."""
    return None if value == "null" else _text(value)


def _lenient_text(value: Any, _: Any = None) -> str | None:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _text_or_number(value: Any, _: Any = None) -> str | int | None:
    return value if isinstance(value, str) else _whole_number(value)


def _whole_number(value: Any, _: Any = None) -> int | None:
    """Return a whole number, such as 143 or 143.0, and None for anything else."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:  # a larger number may be rounded
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _is_true(value: Any, _: Any = None) -> bool:
    return value is True


def _entries(value: Any, _: Any = None) -> tuple[Any, ...]:
    """Return a list as a tuple, and an empty tuple for any other value."""
    return tuple(value) if isinstance(value, list) else ()


def _json_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"expected an array, not {type(value).__name__}")
    return value


def _date(value: Any, zone: tzinfo = UTC) -> datetime | None:
    """Return ISO text as a date in ``zone``, and None for anything else. Dates without a time zone are in UTC."""
    try:
        parsed = datetime.fromisoformat(value)
        moment = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
    try:
        return moment.astimezone(zone)
    except OverflowError:  # 9999-12-31 ("never") would be in the year 10000 in an eastern zone
        return moment


_converter = cattrs.Converter(detailed_validation=False)
_unchanged = _converter.get_structure_hook(Any)  # for attributes whose shape is not documented
_converter.register_structure_hook(str, _identifier)
_converter.register_structure_hook(str | None, _text)
_converter.register_structure_hook(str | int | None, _text_or_number)
_converter.register_structure_hook(int | None, _whole_number)
_converter.register_structure_hook(bool, _is_true)
_converter.register_structure_hook(bool | None, _unchanged)
_converter.register_structure_hook(datetime | None, _unchanged)
_converter.register_structure_hook_func(lambda kind: getattr(kind, "__origin__", None) is Mapping, _unchanged)

_wire_names: dict[type[Any], set[str | None]] = {}


def _register(cls: type[Any], *ignored: str, **attributes: Any) -> None:
    """Register how cattrs makes a record of this class.

    ``attributes`` maps each attribute to its JSON name or to an ``override``. Other attributes keep their defaults.
    JSON values without an attribute are stored in ``extra``, unless their names are in ``ignored``.
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
    if not isinstance(answer, dict):
        raise TypeError(f"expected an object, not {type(answer).__name__}")
    extra = {name: value for name, value in answer.items() if name not in _wire_names[cls]}
    return _converter.structure({**answer, **(computed or {}), "extra": extra}, cls)


_envelope = ("Status", "ReasonForFailure")
_computed = override()
_register(
    TicketReceipt,
    *_envelope,
    number="Id",
    ticket_id=override(rename="TicketId", struct_hook=_optional_identifier),
    key="Key",
    message="Message",
)
_register(
    ActivityReceipt,
    *_envelope,
    ticket_number=override(rename="RelatedTicketId", struct_hook=_optional_identifier),
    id=override(rename="Id", struct_hook=_optional_identifier),
    message="Message",
)
_register(
    TrashResult,
    successful=override(rename="SuccessfulIds", struct_hook=_identifiers),
    failed=override(rename="FailedIds", struct_hook=_identifiers),
)
_register(Permission, allowed="Allowed", scope_filters=override(rename="ScopeFilters", struct_hook=_unchanged))
# `parse_ticket` adds each field of the ticket under its name with the prefix "Fields.".
_loose_texts = {
    name: override(rename=f"Fields.{schema_name}", struct_hook=_lenient_text)
    for name, schema_name in {**SETTABLE, "key": "TicketKey", "requester": "RelatedRequester"}.items()
}
_register(
    Ticket,
    *("Fields", "UserPermissions"),
    number="Id",
    ticket_id=override(rename="TicketId", struct_hook=_optional_identifier),
    lead_id="LeadId",
    opportunity_id="OpportunityId",
    type_id=override(rename="TypeId", struct_hook=_type_id),
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
    attachments=override(rename="Attachments", struct_hook=_entries),
    created_by="CreatedBy",
    created_on=_computed,
)
_register(
    FieldMetadata,
    "ValidationProperties",
    schema_name=override(rename="SchemaName", struct_hook=_name),
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
    regex=override(rename="ValidationProperties.Regex", struct_hook=_lenient_text),
    validation=_computed,
)
_register(
    SubType,
    text=override(rename="Text", struct_hook=_name),
    value=override(rename="Value", struct_hook=_name),
)
_register(Lead, id="ProspectID", email="EmailAddress", phone="Phone", fields=_computed)


def parse_ticket(answer: Any, zone: tzinfo) -> Ticket:
    listed = answer.get("Fields") or []
    permissions = answer.get("UserPermissions") or {}
    fields = {field["SchemaName"]: field.get("Value") for field in listed}
    computed = {
        **{f"Fields.{name}": value for name, value in fields.items()},
        "due_date": _date(fields.get("DueDate"), zone),
        "fields": fields,
        "sub_fields": {f["SchemaName"]: f["SubFields"] for f in listed if f.get("SubFields") is not None},
        "permissions": {name: parse(Permission, permission) for name, permission in permissions.items()},
    }
    return parse(Ticket, answer, computed)


def parse_conversations(answer: Any, zone: tzinfo) -> list[Conversation]:
    found = _entries(answer["ConversationList"])
    return [parse(Conversation, wire, {"created_on": _date(wire.get("CreatedOn"), zone)}) for wire in found]


def parse_activity(answer: Any) -> ActivityReceipt:
    """Return the receipt of a note (with a ticket number) or of a portal activity (with an id)."""
    receipt = parse(ActivityReceipt, answer)
    if receipt.ticket_number is None and receipt.id is None:
        raise ValueError("the answer has neither RelatedTicketId nor Id")
    return receipt


def parse_trash_result(answer: Any) -> TrashResult:
    if not answer.keys() & {"SuccessfulIds", "FailedIds"}:
        raise ValueError("the answer has neither SuccessfulIds nor FailedIds")
    return parse(TrashResult, answer)


def parse_field_page(answer: Any) -> tuple[list[FieldMetadata], int]:
    """Return the fields of one page, and the total number of fields."""
    fields = []
    for field in _entries(answer["TicketsFields"]):
        rules = dict(field.get("ValidationProperties") or {})
        computed = {f"ValidationProperties.{name}": value for name, value in rules.items()}
        fields.append(parse(FieldMetadata, field, {**computed, "validation": rules}))
    return fields, _whole_number(answer.get("Total")) or len(fields)


def parse_sub_types(answer: Any) -> list[SubType]:
    return [parse(SubType, entry) for entry in _json_list(answer)]


def parse_first_lead(answer: Any) -> Lead | None:
    leads = _json_list(answer)
    return parse(Lead, leads[0], {"fields": dict(leads[0])}) if leads else None
