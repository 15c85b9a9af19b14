"""What is said on a ticket: e-mails and portal messages, which can be read back, and internal notes, which cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..account.account import Account
from ..account.conversations import CONVERSATION_TYPES, ConversationType, StoredConversation, printed_time
from ..account.store import StoredTicket
from ..answers import Answer, json_answer, not_per_spec
from ..asked import Asked
from ..reading import number_of, one_of, text_of, texts_of

_PORTAL_TYPES: Mapping[str, ConversationType] = {"INBOUND": "PortalInbound", "OUTBOUND": "PortalOutbound"}


def of_ticket(account: Account, asked: Asked) -> Answer:
    """https://apidocs.leadsquared.com/get-ticket-conversations/: TicketId and OrgId are numbers.

    That at least one type must be named is an inference.
    """
    dto = asked.json()
    if str(number_of(dto, "OrgId")) != account.org_id:
        raise not_per_spec("OrgId must be the number of the tenant")
    types = texts_of(dto, "ActivityType")
    if not CONVERSATION_TYPES.issuperset(types):
        raise not_per_spec(f"ActivityType must be some of {', '.join(sorted(CONVERSATION_TYPES))}")
    found = [said for said in _ticket(account, dto, "TicketId").conversations if said.activity_type in types]
    listed = [_printed(said) for said in found]
    return json_answer({"Total": len(found), "Conversations": None, "ConversationList": listed})


def add_note(account: Account, asked: Asked) -> Answer:
    """https://apidocs.leadsquared.com/post-an-internal-note-on-a-ticket-2/: "Permament" is how the vendor spells it."""
    dto = asked.json()
    one_of(dto, "ActivityType", ["CreateInternalNote"])
    one_of(dto, "StorageType", ["Permament"])
    ticket = account.store.note(_ticket(account, dto, "RelatedTicketId"), text_of(dto, "TextPart"))
    return json_answer(
        {
            "Message": "Activity Created",
            "RelatedTicketId": ticket.number,
            "RelatedOrgId": account.org_id,
            "RelatedChannelMonitoringRequestId": 0,
        }
    )


def add_portal_activity(account: Account, asked: Asked) -> Answer:
    """https://apidocs.leadsquared.com/?p=5010: the path has "ticket" in the singular."""
    dto = asked.json()
    kind = _PORTAL_TYPES[one_of(dto, "Direction", _PORTAL_TYPES)]
    said = account.store.converse(account.ticket(asked.names["ticket"]), kind, text=text_of(dto, "Text"))
    return json_answer({"Id": str(said.id), "Status": "Success", "Message": None})


def _ticket(account: Account, dto: Mapping[str, Any], name: str) -> StoredTicket:
    return account.ticket(str(number_of(dto, name)))


def _printed(said: StoredConversation) -> dict[str, Any]:
    return {
        "RelatedActivityType": said.activity_type,
        "Html": said.html,
        "Text": said.text,
        "Attachments": list(said.attachments),
        "CreatedBy": said.created_by,
        "CreatedOn": printed_time(said.created_on),
        "Id": said.id,
    }
