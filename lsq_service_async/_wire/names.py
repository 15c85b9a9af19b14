"""The service's names for what the records call otherwise; each table is one class or one part of it.

Pages: apidocs.leadsquared.com/create-tickets, .../get-a-tickets-details-by-id,
.../update-a-ticket-with-attachments.
"""

from typing import Final

TICKET_FIELDS: Final = {
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
"""Fields that a caller may set by a Python name, in the order in which they are sent."""

LEAD_FIELDS: Final = {"lead_email": "LeadDetail.EmailAddress", "lead_phone": "LeadDetail.Phone"}
"""Fields that name the lead of a new ticket where its id is not known."""

SHOWN_FIELDS: Final = TICKET_FIELDS | {
    "key": "TicketKey",
    "category_id": "TicketCategoryId",
    "service_group_id": "RelatedServiceGroupId",
    "stage_id": "RelatedStageId",
    "requester": "RelatedRequester",
}
"""Fields that a `Ticket` shows by a Python name."""

TICKET: Final = {
    "number": "Id",
    "ticket_id": "TicketId",
    "lead_id": "LeadId",
    "opportunity_id": "OpportunityId",
    "type_id": "TypeId",
    "permissions": "UserPermissions",
}
RECEIPT: Final = {"number": "Id", "ticket_id": "TicketId", "key": "Key", "message": "Message"}
PERMISSION: Final = {"allowed": "Allowed", "scope_filters": "ScopeFilters"}
ENVELOPE: Final = ("Status", "ReasonForFailure")
"""What an answer says of the call itself; `answers` reads it before a record is made."""
