"""Every operation: path, check, change of the store, response.

An endpoint returns a response or raises `RefusedError`. The body was read before: ``request.state.body``.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router

from .multipart import FORM_TYPE, Body
from .payloads import JSON_BODY, LEAD_FIELDS, LEAD_PREFIX, Payload, TicketPayload, Value
from .responses import RefusedError, json_response, not_per_spec, text_response
from .store import CONVERSATION_TYPES, ConversationType, Lead, StoredConversation, StoredTicket, TicketStore, load_data

OffsetReading = Literal["from_zero", "from_one", "page"]
"""The meaning of an Offset: records before the page, position of its first record, or number of the page from 1.

The vendor's sample sends 0, but the text says that 1 returns the records 1 to 25; so 0 is the first page in all three.
"""

_PORTAL_TYPES: Mapping[str, ConversationType] = {"INBOUND": "PortalInbound", "OUTBOUND": "PortalOutbound"}
_SUB_TYPES = load_data("sub_types")
_SAMPLES = load_data("samples")


@dataclass(frozen=True)
class Operations:
    """The operations on one account.

    ``admin``: the keys belong to an administrator. ``enforce_mandatory``: new tickets need all mandatory fields.
    """

    org_id: str
    store: TicketStore
    admin: bool = True
    enforce_mandatory: bool = False
    metadata_offset: OffsetReading = "from_zero"

    def __post_init__(self) -> None:
        readings = get_args(OffsetReading)
        if self.metadata_offset not in readings:
            raise ValueError(f"metadata_offset must be one of {', '.join(readings)}; not {self.metadata_offset!r}")

    def routes(self) -> list[Mount]:
        """Return the routes of both APIs."""
        tenant = [
            _route("POST", "/tickets", self.create_ticket),
            _route("PUT", "/tickets/{ticket}/update", self.update_ticket),
            _route("GET", "/tickets/{ticket}", self.get_ticket),
            _route("PUT", "/tickets/trash", self.trash_tickets),
            _route("POST", "/conversation/filter", self.list_conversations),
            _route("POST", "/internalnote/upload", self.add_note),
            _route("POST", "/ticket/{ticket}/portal/activity", self.add_portal_activity),
            _route("POST", "/ticket-types/1/fields/filter", self.list_fields),
            _route("GET", "/lookups/SubType/values", self.list_sub_types),
        ]
        marketing = [
            _route("GET", "/Leads.GetByEmailaddress", self.lead_by_email),
            _route("GET", "/RetrieveLeadByPhoneNumber", self.lead_by_phone),
        ]
        return [
            Mount(f"/api/tenants/{self.org_id}", Router(tenant, redirect_slashes=False)),
            Mount("/v2/LeadManagement.svc", Router(marketing, redirect_slashes=False)),
        ]

    async def create_ticket(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/create-tickets/, or as a form /create-ticket-with-attachments/."""
        body: Body = request.state.body
        payload = TicketPayload.read(body, JSON_BODY, FORM_TYPE)
        if payload.number is not None:
            raise not_per_spec("Id must be null when a ticket is created")
        if not payload.lead_id and not any(payload.fields.get(name) for name in LEAD_FIELDS):
            raise not_per_spec(f"one of LeadId, {', '.join(LEAD_FIELDS)} is mandatory")
        if self.enforce_mandatory:
            mandatory = [field["SchemaName"] for field in FIELDS if field["ValidationProperties"]["IsMandatory"]]
            missing = [name for name in mandatory if payload.fields.get(name) in (None, "")]
            if missing:
                raise not_per_spec(f"mandatory fields are missing: {', '.join(missing)}")
        ticket = self.store.create(payload, body.files)
        message = "Ticket has been created successfully" if body.media_type == FORM_TYPE else None
        return _receipt(ticket, Message=message, TicketId=ticket.ticket_id)

    async def update_ticket(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/update-a-ticket-with-attachments/: always a form."""
        body: Body = request.state.body
        ticket = self._ticket(request.path_params["ticket"])
        payload = TicketPayload.read(body, FORM_TYPE)
        if payload.number != ticket.number:
            raise not_per_spec(f'Id must be the number of the ticket, "{ticket.number}"')
        ticket = self.store.update(ticket, payload, body.files)
        return _receipt(ticket, Message="Ticket properties have been updated successfully")

    async def get_ticket(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/get-a-tickets-details-by-id/: by number, or by GUID (an inference)."""
        return json_response(_ticket_json(self._ticket(request.path_params["ticket"])))

    async def trash_tickets(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/delete-tickets/: texts in, numbers out.

        Tickets that do not exist are listed as failed in a 200 (an inference: the page shows an empty list).
        """
        self._require_admin()
        numbers = Payload(request.state.body, JSON_BODY).texts("TicketIds")
        # A longer number cannot be a ticket's, and Python refuses to convert very long ones.
        if not all(re.fullmatch("[0-9]{1,18}", number) for number in numbers):
            raise not_per_spec("TicketIds must be numbers of tickets, as texts")
        answer: dict[str, list[int]] = {"SuccessfulIds": [], "FailedIds": []}
        for number in numbers:
            answer["SuccessfulIds" if self.store.trash(number) else "FailedIds"].append(int(number))
        return json_response(answer)

    async def list_conversations(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/get-ticket-conversations/: TicketId and OrgId are numbers.

        At least one type is required (an inference).
        """
        payload = Payload(request.state.body, JSON_BODY)
        if str(payload.number("OrgId")) != self.org_id:
            raise not_per_spec("OrgId must be the number of the tenant")
        types = payload.texts("ActivityType")
        if not CONVERSATION_TYPES.issuperset(types):
            raise not_per_spec(f"ActivityType must be some of {', '.join(sorted(CONVERSATION_TYPES))}")
        ticket = self._ticket(str(payload.number("TicketId")))
        found = [_message_json(message) for message in ticket.conversations if message.activity_type in types]
        return json_response({"Total": len(found), "Conversations": None, "ConversationList": found})

    async def add_note(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/post-an-internal-note-on-a-ticket-2/: the vendor spells it "Permament"."""
        payload = Payload(request.state.body, JSON_BODY)
        payload.one_of("ActivityType", ["CreateInternalNote"])
        payload.one_of("StorageType", ["Permament"])
        ticket = self._ticket(str(payload.number("RelatedTicketId")))
        self.store.add_note(ticket, payload.text("TextPart"))
        return json_response({**_SAMPLES["note"], "RelatedTicketId": ticket.number, "RelatedOrgId": self.org_id})

    async def add_portal_activity(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/?p=5010: the path has "ticket" in the singular."""
        payload = Payload(request.state.body, JSON_BODY)
        activity_type = _PORTAL_TYPES[payload.one_of("Direction", _PORTAL_TYPES)]
        ticket = self._ticket(request.path_params["ticket"])
        message = self.store.add_message(ticket, activity_type, text=payload.text("Text"))
        return json_response({"Id": str(message.id), "Status": "Success", "Message": None})

    async def list_fields(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/?p=5117: one page of the fields that match SearchText.

        The search covers both names and ignores case; an empty text or null matches every field (inferences).
        """
        self._require_admin()
        payload = Payload(request.state.body, JSON_BODY)
        limit, offset = payload.number("Limit", least=1), payload.number("Offset")
        search = payload.text("SearchText").lower() if payload.get("SearchText") else ""
        found = [field for field in FIELDS if search in f"{field['DisplayName']}\n{field['SchemaName']}".lower()]
        first = offset if self.metadata_offset == "from_zero" else max(offset - 1, 0)
        first *= limit if self.metadata_offset == "page" else 1
        return json_response({"Total": len(found), "TicketsFields": found[first : first + limit]})

    async def list_sub_types(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/?p=5102: a bare array."""
        self._require_admin()
        return json_response(_SUB_TYPES)

    async def lead_by_email(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/get-a-lead-by-email-id/."""
        return _leads(self.store.leads.by_email(_parameter(request, "emailaddress")))

    async def lead_by_phone(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/get-lead-by-phone/."""
        return _leads(self.store.leads.by_phone(_parameter(request, "phone")))

    def _ticket(self, name: str) -> StoredTicket:
        ticket = self.store.find(name)
        if ticket is None:
            # The body is an inference: no page describes the response for an unknown ticket.
            body = {"Status": "Error", "ExceptionMessage": f"Ticket {name} does not exist"}
            raise RefusedError(json_response(body, 404))
        return ticket

    def _require_admin(self) -> None:
        # The pages restrict some operations to administrators, but none documents a 403.
        if not self.admin:
            raise RefusedError(text_response(403, "This operation is for administrators only."))


def _route(method: str, path: str, endpoint: Callable[[Request], Awaitable[Response]]) -> Route:
    route = Route(path, endpoint, methods=[method])
    route.methods = {method}  # Starlette adds HEAD to every GET, but the service documents none.
    return route


def _parameter(request: Request, name: str) -> str:
    value = request.query_params.get(name)
    if not value:
        # A 500 that is a refusal: https://apidocs.leadsquared.com/error-handling/
        error = {"ExceptionType": "MXMandatoryAttributeMissingException", "ExceptionMessage": f"'{name}' is mandatory"}
        raise RefusedError(json_response({"Status": "Error", **error}, 500))
    return value


def _leads(lead: Lead | None) -> Response:
    return json_response([] if lead is None else [lead])


def _receipt(ticket: StoredTicket, **attributes: str | None) -> Response:
    return json_response({**_SAMPLES["receipt"], "Id": ticket.number, "Key": ticket.key, **attributes})


def _ticket_json(ticket: StoredTicket) -> dict[str, Any]:
    """The ticket with every key of the documented response; the account's own fields are between the standard ones."""
    first, last = dict(_SAMPLES["first_fields"]), dict(_SAMPLES["last_fields"])
    own: dict[str, Value] = {}
    for name, value in ticket.fields.items():
        # LeadDetail.* describe the lead and are not in the documented response.
        if not name.startswith(LEAD_PREFIX):
            (first if name in first else last if name in last else own)[name] = value
    first["TicketKey"] = ticket.key
    fields = [{"SchemaName": name, "Value": value, "SubFields": None} for name, value in (first | own | last).items()]
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


def _load_fields() -> list[dict[str, Any]]:
    data = load_data("fields")
    template, rules = data["template"], data["template"]["ValidationProperties"]
    return [
        {
            **template,
            **field,
            "Id": number,
            "Sequence": number - 1,
            "ValidationProperties": {**rules, **field.get("ValidationProperties", {})},
        }
        for number, field in enumerate(data["fields"], 1)
    ]


FIELDS = _load_fields()
