"""Every operation: path, check, change of the store, response.

An operation takes the body, which was read before, and the ticket of the path; it returns a response or raises
`RefusedError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from .multipart import FORM_TYPE, Body
from .payloads import ANY_TEXT, COUNT, LEAD_PREFIX, NUMBER, TEXT, list_of, one_of, read_json, read_ticket
from .responses import RefusedError, json_response, not_per_spec, text_response
from .store import CONVERSATION_TYPES, ConversationType, StoredConversation, StoredTicket, TicketStore, load_data

OffsetReading = Literal["from_zero", "from_one", "page"]
"""The meaning of an Offset: records before the page, position of its first record, or number of the page from 1.

The vendor's sample sends 0, but the text says that 1 returns the records 1 to 25; so 0 is the first page in all three.
"""

MARKETING = "/v2/"
"""Paths that begin so belong to the marketing API, and all others to the tenant's API."""

LEAD_FIELDS = (f"{LEAD_PREFIX}EmailAddress", f"{LEAD_PREFIX}Phone")
"""The fields that identify the lead of a new ticket without a LeadId."""

_SUB_TYPES = load_data("sub_types")
_SAMPLES = load_data("samples")
_FIELDS = load_data("fields")
FIELDS: list[dict[str, Any]] = [
    {
        **_FIELDS["template"],
        **field,
        "Id": number,
        "Sequence": number - 1,
        "ValidationProperties": _FIELDS["template"]["ValidationProperties"] | field.get("ValidationProperties", {}),
    }
    for number, field in enumerate(_FIELDS["fields"], 1)
]


@dataclass(frozen=True)
class Operations:
    """The operations on one account.

    ``keys``: the access key and the secret key. ``admin``: they belong to an administrator. ``enforce_mandatory``: new
    tickets need all mandatory fields.
    """

    store: TicketStore
    org_id: str
    keys: tuple[str, str]
    admin: bool
    enforce_mandatory: bool
    metadata_offset: OffsetReading

    def __post_init__(self) -> None:
        readings = get_args(OffsetReading)
        if self.metadata_offset not in readings:
            raise ValueError(f"metadata_offset must be one of {', '.join(readings)}; not {self.metadata_offset!r}")

    def answer(self, request: Request, body: Body) -> Response:
        """Carry the call out if both keys are right. A path or method without an operation is the documented 404."""
        path, query = request.scope["path"], request.query_params
        # The two APIs use different header names.
        names = ("accesskey", "secretkey") if path.startswith(MARKETING) else ("access-key", "secret-key")
        if tuple(request.headers.get(f"x-lsq-{name}") for name in names) != self.keys:
            return text_response(401)
        tenant, ticket = re.escape(f"/api/tenants/{self.org_id}"), "([^/]+)"
        operations: dict[str, Callable[..., Response]] = {
            f"POST {tenant}/tickets": self.create_ticket,
            f"PUT {tenant}/tickets/{ticket}/update": self.update_ticket,
            f"GET {tenant}/tickets/{ticket}": self.get_ticket,
            f"PUT {tenant}/tickets/trash": self.trash_tickets,
            f"POST {tenant}/conversation/filter": self.list_conversations,
            f"POST {tenant}/internalnote/upload": self.add_note,
            f"POST {tenant}/ticket/{ticket}/portal/activity": self.add_portal_activity,
            f"POST {tenant}/ticket-types/1/fields/filter": self.list_fields,
            f"GET {tenant}/lookups/SubType/values": self.list_sub_types,
            rf"GET {MARKETING}LeadManagement\.svc/Leads\.GetByEmailaddress": lambda _: self.find_lead(
                "emailaddress", query
            ),
            rf"GET {MARKETING}LeadManagement\.svc/RetrieveLeadByPhoneNumber": lambda _: self.find_lead("phone", query),
        }
        # The pages restrict some operations to administrators, but none documents a 403.
        restricted = (self.trash_tickets, self.list_fields, self.list_sub_types)
        for pattern, operation in operations.items():
            if match := re.fullmatch(pattern, f"{request.method} {path}"):
                if operation in restricted and not self.admin:
                    return text_response(403, "This operation is for administrators only.")
                try:
                    return operation(body, *match.groups())
                except RefusedError as error:
                    return error.response
        return text_response(404)

    def create_ticket(self, body: Body) -> Response:
        """https://apidocs.leadsquared.com/create-tickets/, or as a form /create-ticket-with-attachments/."""
        lead_id, fields = read_ticket(body)
        if lead_id is None and not any(fields.get(name) for name in LEAD_FIELDS):
            raise not_per_spec(f"one of LeadId, {', '.join(LEAD_FIELDS)} is mandatory")
        mandatory = [field["SchemaName"] for field in FIELDS if field["ValidationProperties"]["IsMandatory"]]
        missing = [name for name in mandatory if fields.get(name) in (None, "")]
        if self.enforce_mandatory and missing:
            raise not_per_spec(f"mandatory fields are missing: {', '.join(missing)}")
        ticket = self.store.create(lead_id, fields, body.files)
        message = "Ticket has been created successfully" if body.media_type == FORM_TYPE else None
        return _receipt(ticket, Message=message, TicketId=ticket.ticket_id)

    def update_ticket(self, body: Body, name: str) -> Response:
        """https://apidocs.leadsquared.com/update-a-ticket-with-attachments/: always a form."""
        ticket = self._ticket(name)
        lead_id, fields = read_ticket(body, ticket.number)
        fields, files = {**ticket.fields, **fields}, ticket.files + body.files
        self.store.put(replace(ticket, lead_id=lead_id or ticket.lead_id, fields=fields, files=files))
        return _receipt(ticket, Message="Ticket properties have been updated successfully")

    def get_ticket(self, body: Body, name: str) -> Response:
        """https://apidocs.leadsquared.com/get-a-tickets-details-by-id/: by number, or by GUID (an inference)."""
        return json_response(_ticket_json(self._ticket(name)))

    def trash_tickets(self, body: Body) -> Response:
        """https://apidocs.leadsquared.com/delete-tickets/: texts in, numbers out.

        Tickets that do not exist are listed as failed in a 200 (an inference: the page shows an empty list).
        """
        # A longer number cannot be a ticket's, and Python refuses to convert very long ones.
        numbers = list_of("numbers as texts", lambda text: isinstance(text, str) and re.fullmatch("[0-9]{1,18}", text))
        answer: dict[str, list[int]] = {"SuccessfulIds": [], "FailedIds": []}
        for number in read_json(body, TicketIds=numbers)["TicketIds"]:
            answer["SuccessfulIds" if self.store.trash(number) else "FailedIds"].append(int(number))
        return json_response(answer)

    def list_conversations(self, body: Body) -> Response:
        """https://apidocs.leadsquared.com/get-ticket-conversations/: TicketId and OrgId are numbers.

        At least one type is required (an inference).
        """
        types = list_of(f"some of {', '.join(CONVERSATION_TYPES)}", CONVERSATION_TYPES.__contains__)
        tenant = ("the number of the tenant", lambda value: type(value) is int and str(value) == self.org_id)
        payload = read_json(body, TicketId=NUMBER, OrgId=tenant, ActivityType=types)
        ticket = self._ticket(str(payload["TicketId"]))
        messages = [message for message in ticket.conversations if message.activity_type in payload["ActivityType"]]
        listed = [_message_json(message) for message in messages]
        return json_response({"Total": len(listed), "Conversations": None, "ConversationList": listed})

    def add_note(self, body: Body) -> Response:
        """https://apidocs.leadsquared.com/post-an-internal-note-on-a-ticket-2/: the vendor spells it "Permament"."""
        kinds = {"ActivityType": one_of("CreateInternalNote"), "StorageType": one_of("Permament")}
        payload = read_json(body, **kinds, RelatedTicketId=NUMBER, TextPart=TEXT)
        ticket = self._ticket(str(payload["RelatedTicketId"]))
        self.store.put(replace(ticket, notes=(*ticket.notes, payload["TextPart"])))
        return json_response({**_SAMPLES["note"], "RelatedTicketId": ticket.number, "RelatedOrgId": self.org_id})

    def add_portal_activity(self, body: Body, name: str) -> Response:
        """https://apidocs.leadsquared.com/?p=5010: the path has "ticket" in the singular."""
        payload = read_json(body, Direction=one_of("INBOUND", "OUTBOUND"), Text=TEXT)
        activity_type: ConversationType = "PortalInbound" if payload["Direction"] == "INBOUND" else "PortalOutbound"
        message = self.store.add_message(self._ticket(name), activity_type, text=payload["Text"])
        return json_response({"Id": str(message.id), "Status": "Success", "Message": None})

    def list_fields(self, body: Body) -> Response:
        """https://apidocs.leadsquared.com/?p=5117: one page of the fields that match SearchText.

        The search covers both names and ignores case; an empty text or null matches every field (inferences).
        """
        payload = read_json(body, Limit=COUNT, Offset=NUMBER, SearchText=ANY_TEXT)
        limit, offset, search = payload["Limit"], payload["Offset"], (payload["SearchText"] or "").lower()
        found = [field for field in FIELDS if search in f"{field['DisplayName']}\n{field['SchemaName']}".lower()]
        first = offset if self.metadata_offset == "from_zero" else max(offset - 1, 0)
        first *= limit if self.metadata_offset == "page" else 1
        return json_response({"Total": len(found), "TicketsFields": found[first : first + limit]})

    def list_sub_types(self, body: Body) -> Response:
        """https://apidocs.leadsquared.com/?p=5102: a bare array."""
        return json_response(_SUB_TYPES)

    def find_lead(self, parameter: str, query: QueryParams) -> Response:
        """https://apidocs.leadsquared.com/get-a-lead-by-email-id/ and /get-lead-by-phone/: at most one lead.

        A missing parameter is a 500 that is a refusal: https://apidocs.leadsquared.com/error-handling/
        """
        value = query.get(parameter)
        if not value:
            exception = "MXMandatoryAttributeMissingException"
            error = {"Status": "Error", "ExceptionType": exception, "ExceptionMessage": f"'{parameter}' is mandatory"}
            return json_response(error, 500)
        leads = self.store.leads
        lead = leads.by_phone(value) if parameter == "phone" else leads.by_email(value)
        return json_response([] if lead is None else [lead])

    def _ticket(self, name: str) -> StoredTicket:
        ticket = self.store.find(name)
        if ticket is None:
            # The body is an inference: no page describes the response for an unknown ticket.
            body = {"Status": "Error", "ExceptionMessage": f"Ticket {name} does not exist"}
            raise RefusedError(json_response(body, 404))
        return ticket


def _receipt(ticket: StoredTicket, **attributes: str | None) -> Response:
    return json_response({**_SAMPLES["receipt"], "Id": ticket.number, "Key": ticket.key, **attributes})


def _ticket_json(ticket: StoredTicket) -> dict[str, Any]:
    """The ticket with every key of the documented response; the account's own fields are between the standard ones."""
    # LeadDetail.* describe the lead and are not in the documented response.
    values = {name: value for name, value in ticket.fields.items() if not name.startswith(LEAD_PREFIX)}
    values["TicketKey"] = ticket.key
    last = _SAMPLES["last_fields"]
    own = {name: value for name, value in values.items() if name not in last}
    everything = _SAMPLES["first_fields"] | own | last | values
    fields = [{"SchemaName": name, "Value": value, "SubFields": None} for name, value in everything.items()]
    identity = {"Id": ticket.number, "TicketId": ticket.ticket_id, "LeadId": ticket.lead_id}
    return {**_SAMPLES["ticket"], **identity, "Fields": fields}


def _message_json(message: StoredConversation) -> dict[str, Any]:
    # The vendor's times have no zone, and three digits of the second's fraction or none if it is 0.
    timespec = "milliseconds" if message.created_on.microsecond // 1000 else "seconds"
    return {
        "RelatedActivityType": message.activity_type,
        "Html": message.html,
        "Text": message.text,
        "Attachments": list(message.attachments),
        "CreatedBy": message.created_by,
        "CreatedOn": message.created_on.replace(tzinfo=None).isoformat(timespec=timespec),
        "Id": message.id,
    }
