"""Names of ticket fields: the attribute of a record, and the schema name of the service (page create-tickets)."""

from __future__ import annotations

from typing import Final

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
"""Fields that a caller can set by attribute, in the order in which they are sent."""

LEAD_FIELDS: Final = {"lead_email": "LeadDetail.EmailAddress", "lead_phone": "LeadDetail.Phone"}
"""Fields of a new ticket that name its lead by e-mail address or phone number."""

READ_ONLY: Final = {"key": "TicketKey", "requester": "RelatedRequester"}
"""Text fields that a `Ticket` has as attributes and that a caller cannot set."""
