"""Tickets: one method per documented operation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial

import attrs

from ._wire.calls import Call, Kind, Progress, Send, encode, ticket_number, ticket_ref
from ._wire.converter import from_wire, to_wire
from .attachments import Attachable, Attachment, as_attachments
from .errors import InvalidRequestError
from .records import UNSET, NewTicket, Ticket, TicketReceipt, TicketRef, TicketUpdate


class Tickets:
    """The ticket operations of a client; reached as ``client.tickets``."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def create(
        self, ticket: NewTicket, *, attachments: Iterable[Attachable] = (), progress: Progress | None = None
    ) -> TicketReceipt:
        """Create a ticket, with files or without.

        ``progress(sent, total)`` is called with bytes of the whole body. Repeated after 429, where no connection
        was made, and after 500, 502, 503 and 504 unless ``RetryPolicy(repeat_creates=False)``; never where the
        request was sent and no answer came: that raises OutcomeUnknownError. A ticket that cannot be right raises
        InvalidRequestError before anything is sent.

        Page: apidocs.leadsquared.com/create-tickets, .../create-ticket-with-attachments
        """
        if not isinstance(ticket, NewTicket):
            raise InvalidRequestError(f"create takes a NewTicket, not {type(ticket).__name__}")
        dto = to_wire(ticket)
        files = await _attachments(attachments)
        if files:
            # The sample of the page with attachments has no Id; that of the JSON page has null.
            del dto["Id"]
        body = encode(dto)
        return await self._send(
            Call(
                operation="tickets.create",
                method="POST",
                path="/tickets",
                kind=Kind.CREATE,
                read=partial(from_wire, TicketReceipt),
                json=None if files else body,
                dto=body if files else None,
                attachments=files,
                progress=progress,
            )
        )

    async def get(self, ticket: TicketRef) -> Ticket:
        """A ticket as it is now, by number, GUID or record. Repeated whenever that can help.

        Raises NotFoundError where there is none.

        Page: apidocs.leadsquared.com/get-a-tickets-details-by-id
        """
        return await self._send(
            Call(
                operation="tickets.get",
                method="GET",
                path=f"/tickets/{ticket_ref(ticket)}",
                kind=Kind.READ,
                read=partial(from_wire, Ticket),
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
        """Change fields of a ticket, and add files to it; the files that it has stay.

        ``ticket`` is its number or a record; a GUID will not do. Without files it is repeated like a read, as
        doing it twice changes nothing; with files like a create, as they would be added twice.

        Page: apidocs.leadsquared.com/update-a-ticket-with-attachments
        """
        if not isinstance(update, TicketUpdate):
            raise InvalidRequestError(f"update takes a TicketUpdate, not {type(update).__name__}")
        number = ticket_number(ticket)
        if isinstance(ticket, Ticket) and ticket.lead_id and update.lead_id is UNSET:
            update = attrs.evolve(update, lead_id=ticket.lead_id)
        files = await _attachments(attachments)
        dto = to_wire(update)
        if not dto["Fields"] and not files:
            raise InvalidRequestError("the update changes nothing: give a field or an attachment")
        return await self._send(
            Call(
                operation="tickets.update",
                method="PUT",
                path=f"/tickets/{number}/update",
                kind=Kind.CREATE if files else Kind.UPDATE,
                read=partial(from_wire, TicketReceipt),
                dto=encode({"TypeId": dto.pop("TypeId"), "Id": number, **dto}),
                attachments=files,
                progress=progress,
            )
        )


async def _attachments(given: Iterable[Attachable]) -> tuple[Attachment, ...]:
    # Asking a file system can block; most calls have no files and need no thread.
    return await asyncio.to_thread(as_attachments, given) if given else ()
