"""A stored ticket as the service prints it, with every key of the documented answer.

https://apidocs.leadsquared.com/get-a-tickets-details-by-id/
"""

from __future__ import annotations

from typing import Any

from ..account.store import StoredTicket
from ..drafts import LEAD_PREFIX, Value

_FIRST_FIELDS: dict[str, Value] = {
    "Type": None,
    "TicketKey": None,
    "Title": None,
    "Description": None,
    "Status": None,
    "Priority": None,
    "Channel": None,
    "CcEmails": "",
    "Tags": "",
    "DueDate": None,
    "SubType": None,
}
# The printed answer has the account's own fields between these and those.
_LAST_FIELDS: dict[str, Value] = {
    "TicketCategoryId": None,
    "RelatedServiceGroupId": None,
    "RelatedAgentId": None,
    "RelatedStageId": None,
    "RelatedRequester": None,
}
_PERMISSIONS = (
    "CreateTicket",
    "AssignTicket",
    "UpdateTicket",
    "DeleteTicket",
    "EditOwnInternalNote",
    "MarkTicketSpam",
    "CloseTicket",
    "ExportTicket",
    "PurgeTicket",
    "ImportTicket",
    "BulkUpdateTicket",
    "ViewTicket",
    "ResolveTicket",
    "EditInternalNote",
    "Reply",
    "AddInternalNote",
    "CreateChildTicket",
    "MergeTicket",
)


def printed(ticket: StoredTicket) -> dict[str, Any]:
    return {
        "TypeId": "null",
        "Id": ticket.number,
        "TicketId": ticket.ticket_id,
        "LeadId": ticket.lead_id,
        "OpportunityId": None,
        "Association": 0,
        "BulkUpdate": False,
        "Dispose": False,
        "Fields": [{"SchemaName": name, "Value": value, "SubFields": None} for name, value in _fields(ticket).items()],
        "UserPermissions": {name: {"Allowed": True, "ScopeFilters": ["ALL_TICKETS"]} for name in _PERMISSIONS},
        "TriggerSLA": True,
        "TriggerAssignmentRule": True,
        "TriggerAutomation": True,
        "TriggerTicketEvents": None,
        "TriggerNotification": True,
        "IsVisited": None,
        "IsMigrated": False,
        "IsUpdated": False,
        "TicketCreationType": "SYSTEM",
        "CallSessionId": None,
        "PrimaryTicket": True,
        "V2Api": False,
    }


def receipt(ticket: StoredTicket, message: str | None, ticket_id: str | None) -> dict[str, Any]:
    """The envelope of create and update."""
    return {
        "Status": "Success",
        "ReasonForFailure": None,
        "Id": ticket.number,
        "Message": message,
        "TicketId": ticket_id,
        "Key": ticket.key,
    }


def _fields(ticket: StoredTicket) -> dict[str, Value]:
    # LeadDetail.* describe the lead, and the printed ticket has none of them.
    own = {name: value for name, value in ticket.fields.items() if not name.startswith(LEAD_PREFIX)}
    fixed = {name: own.pop(name, default) for name, default in (_FIRST_FIELDS | _LAST_FIELDS).items()}
    fixed["TicketKey"] = ticket.key
    return {**{name: fixed[name] for name in _FIRST_FIELDS}, **own, **{name: fixed[name] for name in _LAST_FIELDS}}
