"""The operations of the service, as a Starlette application.

An operation returns a response or raises `HTTPException`. "An inference" marks behavior that the vendor does not
document.
"""

from __future__ import annotations

import json
import random as randomness
import re
from dataclasses import dataclass, replace
from typing import Any, get_args

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .facts import Facts, OffsetReading
from .multipart import FORM_TYPE, Body
from .payloads import (
    ANY_TEXT,
    COUNT,
    JSON_ANSWER,
    NUMBER,
    TEXT,
    TEXTS,
    list_of,
    not_per_spec,
    one_of,
    read_json,
    read_ticket,
)
from .store import (
    CONVERSATION_TYPES,
    LEAD_PREFIX,
    ConversationType,
    StoredConversation,
    StoredTicket,
    TicketStore,
    load_data,
)

MARKETING = "/v2/"
"""The prefix of the paths of the marketing API."""

LEAD_FIELDS = (f"{LEAD_PREFIX}EmailAddress", f"{LEAD_PREFIX}Phone")
"""The fields that identify the lead of a new ticket without a LeadId."""

_SUB_TYPES = load_data("sub_types")
_SAMPLES = load_data("samples")
_FIELDS = load_data("fields")


def _account_fields(facts: Facts) -> list[dict[str, Any]]:
    """Return the fields of ``facts``, or invented fields. A missing marker field is added."""
    template, marker = _FIELDS["template"], facts.marker_field
    fields = [*(facts.fields or _FIELDS["fields"])]
    if marker not in {None, *(field["SchemaName"] for field in fields)}:
        fields.append({"SchemaName": marker, "DisplayName": marker, "FieldType": "custom"})
    return [
        {
            **template,
            "Id": number,
            "Sequence": number - 1,
            **field,
            "ValidationProperties": template["ValidationProperties"] | (field.get("ValidationProperties") or {}),
        }
        for number, field in enumerate(fields, 1)
    ]


@dataclass
class Operations:
    """The operations on one account. ``keys``: the access key and the secret key."""

    store: TicketStore
    org_id: str
    keys: tuple[str, str]
    admin: bool
    enforce_mandatory: bool
    metadata_offset: OffsetReading
    facts: Facts
    random: randomness.Random

    def __post_init__(self) -> None:
        readings = get_args(OffsetReading)
        if self.metadata_offset not in readings:
            raise ValueError(f"metadata_offset must be one of {', '.join(readings)}; not {self.metadata_offset!r}")
        self.fields: list[dict[str, Any]] = _account_fields(self.facts)

    def service(self) -> Starlette:
        """Return the application, which reads the body of a call from ``request.state.body``."""
        tenant, marketing = f"/api/tenants/{self.org_id}", f"{MARKETING}LeadManagement.svc"
        operations = [
            Route(f"{tenant}/tickets", self.create_ticket, methods=["POST"]),
            Route(f"{tenant}/tickets/{{ticket}}/update", self.update_ticket, methods=["PUT"]),
            Route(f"{tenant}/tickets/{{ticket}}", self.get_ticket),
            Route(f"{tenant}/tickets/trash", self.trash_tickets, methods=["PUT"]),
            Route(f"{tenant}/conversation/filter", self.list_conversations, methods=["POST"]),
            Route(f"{tenant}/internalnote/upload", self.add_note, methods=["POST"]),
            Route(f"{tenant}/ticket/{{ticket}}/portal/activity", self.add_portal_activity, methods=["POST"]),
            Route(f"{tenant}/ticket-types/1/fields/filter", self.list_fields, methods=["POST"]),
            Route(f"{tenant}/lookups/SubType/values", self.list_sub_types),
            Route(f"{marketing}/Leads.GetByEmailaddress", self.find_lead_by_email),
            Route(f"{marketing}/RetrieveLeadByPhoneNumber", self.find_lead_by_phone),
        ]
        for operation in operations:
            # Starlette adds HEAD, which the vendor does not document.
            operation.methods = (operation.methods or set()) - {"HEAD"}
        unknown = Mount("", PlainTextResponse(TEXTS[404], 404))
        return Starlette(routes=[*operations, unknown], middleware=[Middleware(KeyMiddleware, keys=self.keys)])

    async def create_ticket(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/create-tickets/; as a form: /create-ticket-with-attachments/."""
        body: Body = request.state.body
        lead_id, fields = read_ticket(body)
        if lead_id is None and not any(fields.get(name) for name in LEAD_FIELDS):
            raise not_per_spec(f"one of LeadId, {', '.join(LEAD_FIELDS)} is mandatory")
        mandatory = [field["SchemaName"] for field in self.fields if field["ValidationProperties"]["IsMandatory"]]
        missing = [name for name in mandatory if fields.get(name) in (None, "")]
        if self.enforce_mandatory and missing:
            raise not_per_spec(f"mandatory fields are missing: {', '.join(missing)}")
        self.facts.add_others(self.store, self.random)
        ticket = self.store.create(lead_id, fields, body.files)
        if changes := self.facts.rewrite(ticket):
            self.store.put(replace(ticket, fields={**ticket.fields, **changes}))
        message = "Ticket has been created successfully" if body.media_type == FORM_TYPE else None
        return _receipt(ticket, Message=message, TicketId=ticket.ticket_id)

    async def update_ticket(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/update-a-ticket-with-attachments/: the body is always a form."""
        body: Body = request.state.body
        ticket = self._ticket_of(request)
        lead_id, fields = read_ticket(body, ticket.number)
        fields, files = {**ticket.fields, **fields}, ticket.files + body.files
        self.store.put(replace(ticket, lead_id=lead_id or ticket.lead_id, fields=fields, files=files))
        return _receipt(ticket, Message="Ticket properties have been updated successfully")

    async def get_ticket(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/get-a-tickets-details-by-id/: by number, or by GUID (an inference)."""
        return _json(_ticket_json(self._ticket_of(request)))

    async def trash_tickets(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/delete-tickets/: ids are strings in the request, and numbers in the response.

        It is an inference that FailedIds has the tickets that do not exist.
        """
        self._require_admin()
        # Python refuses to convert very long strings to numbers.
        numbers = list_of("strings of digits", lambda text: isinstance(text, str) and re.fullmatch("[0-9]{1,18}", text))
        answer: dict[str, list[int]] = {"SuccessfulIds": [], "FailedIds": []}
        for number in read_json(request.state.body, TicketIds=numbers)["TicketIds"]:
            answer["SuccessfulIds" if self.store.trash(number) else "FailedIds"].append(int(number))
        return _json(answer)

    async def list_conversations(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/get-ticket-conversations/: TicketId and OrgId are JSON numbers.

        It is an inference that ActivityType needs at least one type.
        """
        types = list_of(f"one or more of {', '.join(CONVERSATION_TYPES)}", CONVERSATION_TYPES.__contains__)
        tenant = ("the number of the tenant", lambda value: type(value) is int and str(value) == self.org_id)
        payload = read_json(request.state.body, TicketId=NUMBER, OrgId=tenant, ActivityType=types)
        ticket = self._ticket(str(payload["TicketId"]))
        messages = [message for message in ticket.conversations if message.activity_type in payload["ActivityType"]]
        listed = [_message_json(message) for message in messages]
        return _json({"Total": len(listed), "Conversations": None, "ConversationList": listed})

    async def add_note(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/post-an-internal-note-on-a-ticket-2/: StorageType is "Permament" (sic)."""
        kinds = {"ActivityType": one_of("CreateInternalNote"), "StorageType": one_of("Permament")}
        payload = read_json(request.state.body, **kinds, RelatedTicketId=NUMBER, TextPart=TEXT)
        ticket = self._ticket(str(payload["RelatedTicketId"]))
        self.store.put(replace(ticket, notes=(*ticket.notes, payload["TextPart"])))
        return _json({**_SAMPLES["note"], "RelatedTicketId": ticket.number, "RelatedOrgId": self.org_id})

    async def add_portal_activity(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/?p=5010: here the path has "ticket", not "tickets"."""
        payload = read_json(request.state.body, Direction=one_of("INBOUND", "OUTBOUND"), Text=TEXT)
        activity_type: ConversationType = "PortalInbound" if payload["Direction"] == "INBOUND" else "PortalOutbound"
        ticket = self._ticket_of(request)
        message = self.store.add_message(ticket, activity_type, text=payload["Text"])
        return _json({"Id": str(message.id), "Status": "Success", "Message": None})

    async def list_fields(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/?p=5117: returns one page of the fields that match SearchText.

        Inferences: the search covers the display name and the schema name, and ignores case. Null matches every field.
        """
        self._require_admin()
        payload = read_json(request.state.body, Limit=COUNT, Offset=NUMBER, SearchText=ANY_TEXT)
        limit, offset, search = payload["Limit"], payload["Offset"], (payload["SearchText"] or "").lower()
        found = [field for field in self.fields if search in f"{field['DisplayName']}\n{field['SchemaName']}".lower()]
        first = offset if self.metadata_offset == "from_zero" else max(offset - 1, 0)
        first *= limit if self.metadata_offset == "page" else 1
        return _json({"Total": len(found), "TicketsFields": found[first : first + limit]})

    async def list_sub_types(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/?p=5102: the response is a bare array."""
        self._require_admin()
        return _json(_SUB_TYPES)

    async def find_lead_by_email(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/get-a-lead-by-email-id/: returns an array with at most one lead."""
        lead = self.store.leads.by_email(_parameter(request, "emailaddress"))
        return _json([] if lead is None else [lead])

    async def find_lead_by_phone(self, request: Request) -> Response:
        """https://apidocs.leadsquared.com/get-lead-by-phone/: returns an array with at most one lead."""
        lead = self.store.leads.by_phone(_parameter(request, "phone"))
        return _json([] if lead is None else [lead])

    def _require_admin(self) -> None:
        # The 403 is an inference. The pages only restrict some operations to administrators.
        if not self.admin:
            raise HTTPException(403, "This operation is for administrators only.")

    def _ticket_of(self, request: Request) -> StoredTicket:
        name = request.path_params["ticket"]
        return self._ticket(name, is_known=self.facts.accepts(name))

    def _ticket(self, name: str, *, is_known: bool = True) -> StoredTicket:
        ticket = self.store.find(name) if is_known else None
        if ticket is None:
            # An inference: no page describes the response for an unknown ticket.
            answer = self.facts.unknown_ticket or {}
            status, text = answer.get("status", 404), answer.get("body")
            if text is not None:
                raise HTTPException(status, text)
            raise _error(status, ExceptionMessage=f"Ticket {name} does not exist")
        if not self.facts.can_read(ticket):
            status = self.facts.unreadable_status
            raise HTTPException(status, TEXTS.get(status, ""))
        return ticket


@dataclass(frozen=True)
class KeyMiddleware:
    """Answers with a 401 unless both keys are right. The marketing API uses other header names."""

    app: ASGIApp
    keys: tuple[str, str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        names = ("accesskey", "secretkey") if scope["path"].startswith(MARKETING) else ("access-key", "secret-key")
        is_authorized = tuple(Headers(scope=scope).get(f"x-lsq-{name}") for name in names) == self.keys
        await (self.app if is_authorized else PlainTextResponse(TEXTS[401], 401))(scope, receive, send)


def _json(value: object) -> Response:
    return Response(json.dumps(value, ensure_ascii=False), media_type=JSON_ANSWER)


def _error(status: int, **attributes: str) -> HTTPException:
    return HTTPException(status, json.dumps({"Status": "Error", **attributes}), {"content-type": JSON_ANSWER})


def _parameter(request: Request, name: str) -> str:
    """Return a query parameter. If it is missing, raise the documented 500.

    https://apidocs.leadsquared.com/error-handling/
    """
    if value := request.query_params.get(name):
        return value
    exception = "MXMandatoryAttributeMissingException"
    raise _error(500, ExceptionType=exception, ExceptionMessage=f"'{name}' is mandatory")


def _receipt(ticket: StoredTicket, **attributes: str | None) -> Response:
    return _json({**_SAMPLES["receipt"], "Id": ticket.number, "Key": ticket.key, **attributes})


def _ticket_json(ticket: StoredTicket) -> dict[str, Any]:
    """Return the documented response. In Fields, five standard fields come after the custom fields."""
    # The fields of the lead are not in the documented response.
    values = {name: value for name, value in ticket.fields.items() if not name.startswith(LEAD_PREFIX)}
    values["TicketKey"] = ticket.key
    last = _SAMPLES["last_fields"]
    own = {name: value for name, value in values.items() if name not in last}
    everything = _SAMPLES["first_fields"] | own | last | values
    fields = [{"SchemaName": name, "Value": value, "SubFields": None} for name, value in everything.items()]
    identity = {"Id": ticket.number, "TicketId": ticket.ticket_id, "LeadId": ticket.lead_id}
    return {**_SAMPLES["ticket"], **identity, "Fields": fields}


def _message_json(message: StoredConversation) -> dict[str, Any]:
    # The vendor's times have no time zone. Milliseconds that are 0 are left out.
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
