"""The service's names for what the records call otherwise, one table for each record.

A table maps the Python name to the name on the wire and the function of `values` that reads the value. Pages:
apidocs.leadsquared.com/create-tickets, .../get-a-tickets-details-by-id, .../update-a-ticket-with-attachments,
.../delete-tickets, .../get-ticket-conversations, .../post-an-internal-note-on-a-ticket-2, .../?p=5010, .../?p=5117,
.../?p=5102, .../get-a-lead-by-email-id, .../get-lead-by-phone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from .values import as_is, date, flag, identifier, identifiers, listed, some_id, some_number, some_text, text, type_id

Shape = Mapping[str, tuple[str, Callable[..., Any]]]

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
"""Ticket fields that a caller may set by a Python name, in the order in which they are sent."""

LEAD_FIELDS: Final = {"lead_email": "LeadDetail.EmailAddress", "lead_phone": "LeadDetail.Phone"}
"""Fields that name the lead of a new ticket where its id is not known."""

TICKET_FIELDS: Final[Shape] = {
    **{name: (schema, some_text) for name, schema in SETTABLE.items()},
    "due_date": ("DueDate", date),
    "key": ("TicketKey", some_text),
    "category_id": ("TicketCategoryId", some_id),
    "service_group_id": ("RelatedServiceGroupId", some_id),
    "stage_id": ("RelatedStageId", some_id),
    "requester": ("RelatedRequester", some_text),
}
"""Ticket fields that a `Ticket` shows by a Python name."""

TICKET: Final[Shape] = {
    "number": ("Id", identifier),
    "ticket_id": ("TicketId", text),
    "lead_id": ("LeadId", text),
    "opportunity_id": ("OpportunityId", text),
    "type_id": ("TypeId", type_id),
}
PERMISSION: Final[Shape] = {"allowed": ("Allowed", as_is), "scope_filters": ("ScopeFilters", as_is)}
RECEIPT: Final[Shape] = {
    "number": ("Id", identifier),
    "ticket_id": ("TicketId", text),
    "key": ("Key", text),
    "message": ("Message", text),
}
NOTE: Final[Shape] = {"ticket_number": ("RelatedTicketId", identifier), "message": ("Message", text)}
PORTAL_ACTIVITY: Final[Shape] = {"id": ("Id", identifier), "message": ("Message", text)}
TRASHED: Final[Shape] = {"successful": ("SuccessfulIds", identifiers), "failed": ("FailedIds", identifiers)}
CONVERSATION: Final[Shape] = {
    "id": ("Id", identifier),
    "activity_type": ("RelatedActivityType", text),
    "text": ("Text", text),
    "html": ("Html", text),
    "attachments": ("Attachments", listed),
    "created_by": ("CreatedBy", text),
    "created_on": ("CreatedOn", date),
}
FIELD: Final[Shape] = {
    "schema_name": ("SchemaName", identifier),
    "id": ("Id", some_number),
    "display_name": ("DisplayName", text),
    "description": ("Description", text),
    "data_type": ("DataType", text),
    "field_type": ("FieldType", text),
    "active": ("Active", as_is),
    "deleted": ("Deleted", flag),
}
VALIDATION: Final[Shape] = {
    "mandatory": ("IsMandatory", flag),
    "min_length": ("MinLength", some_number),
    "max_length": ("MaxLength", some_number),
    "regex": ("Regex", some_text),
}
"""What a field's ValidationProperties say; the numeric bounds beside them are generic defaults."""

SUB_TYPE: Final[Shape] = {"text": ("Text", identifier), "value": ("Value", identifier)}
LEAD: Final[Shape] = {"id": ("ProspectID", identifier), "email": ("EmailAddress", text), "phone": ("Phone", text)}

ENVELOPE: Final = ("Status", "ReasonForFailure")
"""What an answer says of the call itself; `responses` reads it before a record is made."""


def wire_names(shape: Shape) -> dict[str, str]:
    """Python name to wire name alone."""
    return {name: wire_name for name, (wire_name, _) in shape.items()}
