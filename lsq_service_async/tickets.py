"""Ticket operations: one method per documented operation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import tzinfo
from functools import partial
from typing import Any

from ._wire.call import Call, Idempotency, Progress, Send
from ._wire.parse import parse, parse_activity, parse_conversations, parse_ticket, parse_trash_result
from ._wire.serialize import encode, new_ticket_dto, ticket_number, ticket_ref, update_dto
from .attachments import Attachable, Attachment, as_attachments
from .errors import InvalidRequestError
from .records import (
    UNSET,
    ActivityReceipt,
    ActivityType,
    Conversation,
    NewTicket,
    Ticket,
    TicketReceipt,
    TicketRef,
    TicketUpdate,
    TrashResult,
)


class Tickets:
    """The ticket operations of a client, available as ``client.tickets``."""

    def __init__(self, send: Send, *, org_id: str, zone: tzinfo) -> None:
        self._send = send
        self._org_id = int(org_id) if org_id.isdecimal() else org_id
        self._zone = zone

    async def create(
        self, ticket: NewTicket, *, attachments: Iterable[Attachable] = (), progress: Progress | None = None
    ) -> TicketReceipt:
        """Create a ticket, with or without attachments, and return a receipt with its number.

        ``progress(sent, total)`` is called during an upload with the bytes sent so far and the bytes of the whole body.

        The request is sent again if the connection broke before all of it was sent, after a 429, and after a 500, 502,
        503 or 504 unless ``RetryPolicy(repeat_creates=False)``. If it was sent and no response arrived, it is not sent
        again and OutcomeUnknownError is raised. An argument that cannot be valid raises InvalidRequestError.

        Page: apidocs.leadsquared.com/create-tickets, .../create-ticket-with-attachments
        """
        return await self._send(create_call(ticket, await prepare_attachments(attachments), progress))

    async def get(self, ticket: TicketRef) -> Ticket:
        """Read a ticket by number, GUID or record. Raises NotFoundError if it does not exist.

        The request is sent again after a 429, 500, 502, 503 or 504, and if no usable response arrived.

        Page: apidocs.leadsquared.com/get-a-tickets-details-by-id
        """
        return await self._send(
            Call(
                operation="tickets.get",
                method="GET",
                path=f"/tickets/{ticket_ref(ticket)}",
                idempotency=Idempotency.SAFE,
                parse=partial(parse_ticket, zone=self._zone),
            )
        )

    async def update(
        self,
        ticket: TicketRef,
        update: TicketUpdate,
        *,
        attachments: Iterable[Attachable] = (),
        progress: Progress | None = None,
    ) -> TicketReceipt:
        """Change fields of a ticket and add attachments to it. Attachments that it already has are kept.

        ``ticket`` is a number or a record, not a GUID. The lead of a `Ticket` is sent with the update, as in the sample
        of the page; pass the number if the lead may have changed since. ``progress`` is called as in `create`.

        Without attachments, the request is retried like `get`. With attachments, it is retried like `create`, because a
        repeat could add them twice. An update that changes nothing or cannot be valid raises InvalidRequestError.

        Page: apidocs.leadsquared.com/update-a-ticket-with-attachments
        """
        return await self._send(update_call(ticket, update, await prepare_attachments(attachments), progress))

    async def trash(self, tickets: Iterable[TicketRef]) -> TrashResult:
        """Trash tickets by number or record. The keys must belong to an admin.

        Some tickets may fail while others succeed: check ``successful`` and ``failed`` of the result. If no response
        arrived, the request is not sent again, because a second response would report trashed tickets as failed.

        Page: apidocs.leadsquared.com/delete-tickets
        """
        if isinstance(tickets, str) or not isinstance(tickets, Iterable):
            raise InvalidRequestError("trash takes a list, also for one ticket: trash(['160'])")
        numbers = list(dict.fromkeys(map(ticket_number, tickets)))
        if not numbers:
            raise InvalidRequestError("trash needs at least one ticket")
        return await self._send(
            Call(
                operation="tickets.trash",
                method="PUT",
                path="/tickets/trash",
                idempotency=Idempotency.NON_IDEMPOTENT,
                parse=parse_trash_result,
                json=encode({"TicketIds": numbers}),
            )
        )

    async def conversations(
        self, ticket: TicketRef, *, types: Iterable[str] = tuple(ActivityType)
    ) -> list[Conversation]:
        """Return the e-mails and portal messages of a ticket, which is given by number or record.

        ``types`` are names of activity types; by default all of `ActivityType`. The request is retried like `get`.

        Page: apidocs.leadsquared.com/get-ticket-conversations
        """
        wanted = [types] if isinstance(types, str) or not isinstance(types, Iterable) else list(types)
        if not wanted or not all(isinstance(name, str) and name.strip() for name in wanted):
            raise InvalidRequestError("types must be one or more names such as 'InboundEmail'")
        # Here, TicketId is the ticket's number as a JSON number; in other places it is the GUID.
        body = {"TicketId": int(ticket_number(ticket)), "OrgId": self._org_id, "ActivityType": wanted}
        return await self._send(
            Call(
                operation="tickets.conversations",
                method="POST",
                path="/conversation/filter",
                idempotency=Idempotency.SAFE,
                parse=partial(parse_conversations, zone=self._zone),
                json=encode(body),
            )
        )

    async def add_note(self, ticket: TicketRef, text: str) -> ActivityReceipt:
        """Add an internal note to a ticket, which is given by number or record.

        Retried like `create`, because a repeat could add the note twice. A blank text raises InvalidRequestError.

        Page: apidocs.leadsquared.com/post-an-internal-note-on-a-ticket-2
        """
        note = {
            "TextPart": _not_blank(text),
            "ActivityType": "CreateInternalNote",
            "StorageType": "Permament",  # the vendor's spelling, which the service requires
            "RelatedTicketId": int(ticket_number(ticket)),
        }
        return await self._add("add_note", "/internalnote/upload", note)

    async def add_portal_activity(self, ticket: TicketRef, text: str, *, direction: str = "INBOUND") -> ActivityReceipt:
        """Add a message of the customer portal to a ticket, which is given by number, GUID or record.

        The only ``direction`` on the page is "INBOUND". Retried like `create`, because a repeat could add the message
        twice. A blank text or direction raises InvalidRequestError.

        Page: apidocs.leadsquared.com/?p=5010
        """
        activity = {"Text": _not_blank(text), "Direction": _not_blank(direction)}
        # "ticket" is singular in this path only.
        return await self._add("add_portal_activity", f"/ticket/{ticket_ref(ticket)}/portal/activity", activity)

    async def _add(self, operation: str, path: str, body: dict[str, Any]) -> ActivityReceipt:
        return await self._send(
            Call(
                operation=f"tickets.{operation}",
                method="POST",
                path=path,
                idempotency=Idempotency.NON_IDEMPOTENT,
                parse=parse_activity,
                json=encode(body),
            )
        )


def _not_blank(text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        raise InvalidRequestError("the text must not be blank")
    return text


async def prepare_attachments(given: Iterable[Attachable]) -> tuple[Attachment, ...]:
    """Open attachments in a thread, because that can block. Most calls have none and need no thread."""
    return await asyncio.to_thread(as_attachments, given) if given else ()


def create_call(
    ticket: NewTicket, attachments: tuple[Attachment, ...] = (), progress: Progress | None = None
) -> Call[TicketReceipt]:
    """Return the call that creates a ticket. Raises InvalidRequestError for a ticket that cannot be valid."""
    if not isinstance(ticket, NewTicket):
        raise InvalidRequestError(f"create takes a NewTicket, not {type(ticket).__name__}")
    dto = new_ticket_dto(ticket)
    if attachments:
        del dto["Id"]  # create-tickets shows "Id": null; create-ticket-with-attachments shows no Id
    body = encode(dto)
    return Call(
        operation="tickets.create",
        method="POST",
        path="/tickets",
        idempotency=Idempotency.NON_IDEMPOTENT,
        parse=partial(parse, TicketReceipt),
        json=None if attachments else body,
        dto=body if attachments else None,
        attachments=attachments,
        progress=progress,
    )


def update_call(
    ticket: TicketRef, update: TicketUpdate, attachments: tuple[Attachment, ...] = (), progress: Progress | None = None
) -> Call[TicketReceipt]:
    """Return the call that updates a ticket. Raises InvalidRequestError for an update that cannot be valid."""
    if not isinstance(update, TicketUpdate):
        raise InvalidRequestError(f"update takes a TicketUpdate, not {type(update).__name__}")
    number = ticket_number(ticket)
    dto = update_dto(number, update)
    if not dto["Fields"] and not attachments and update.lead_id is UNSET:
        raise InvalidRequestError("the update changes nothing: give a field or an attachment")
    if isinstance(ticket, Ticket) and ticket.lead_id and update.lead_id is UNSET:
        dto["LeadId"] = ticket.lead_id
    return Call(
        operation="tickets.update",
        method="PUT",
        path=f"/tickets/{number}/update",
        idempotency=Idempotency.NON_IDEMPOTENT if attachments else Idempotency.IDEMPOTENT,
        parse=partial(parse, TicketReceipt),
        dto=encode(dto),
        attachments=attachments,
        progress=progress,
    )
