"""Tickets: one method per documented operation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import tzinfo
from functools import partial
from typing import Any

import attrs

from ._wire.call import Call, Idempotency, Progress, Send, encode, ticket_number, ticket_ref
from ._wire.parse import from_wire, in_zone, to_wire
from ._wire.values import listed, mapping
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
    """The ticket operations of a client; reached as ``client.tickets``."""

    def __init__(self, send: Send, *, org_id: str, zone: tzinfo) -> None:
        self._send = send
        self._org_id = int(org_id) if org_id.isdecimal() else org_id
        self._zone = zone

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
                idempotency=Idempotency.NON_IDEMPOTENT,
                parse=partial(from_wire, TicketReceipt),
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
                idempotency=Idempotency.SAFE,
                parse=lambda answer: in_zone(from_wire(Ticket, answer), self._zone),
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

        ``ticket`` is its number or a record; a GUID will not do. A record's lead is sent along, as the page shows it,
        so give the number where the record may be old. Without files it is repeated like a read, as
        doing it twice changes nothing; with files like a create, as they would be added twice.

        Page: apidocs.leadsquared.com/update-a-ticket-with-attachments
        """
        if not isinstance(update, TicketUpdate):
            raise InvalidRequestError(f"update takes a TicketUpdate, not {type(update).__name__}")
        number, given_lead = ticket_number(ticket), update.lead_id
        if isinstance(ticket, Ticket) and ticket.lead_id and update.lead_id is UNSET:
            update = attrs.evolve(update, lead_id=ticket.lead_id)
        files = await _attachments(attachments)
        dto = to_wire(update)
        if not dto["Fields"] and not files and given_lead is UNSET:
            raise InvalidRequestError("the update changes nothing: give a field or an attachment")
        return await self._send(
            Call(
                operation="tickets.update",
                method="PUT",
                path=f"/tickets/{number}/update",
                idempotency=Idempotency.NON_IDEMPOTENT if files else Idempotency.IDEMPOTENT,
                parse=partial(from_wire, TicketReceipt),
                dto=encode({"TypeId": dto.pop("TypeId"), "Id": number, **dto}),
                attachments=files,
                progress=progress,
            )
        )

    async def trash(self, tickets: Iterable[TicketRef]) -> TrashResult:
        """Trash tickets, by number or record; for admins only.

        Some may fail where others succeed, so look at both parts of the result. Not repeated where no answer came, as
        it would list what was done as failed.

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
                parse=partial(from_wire, TrashResult),
                json=encode({"TicketIds": numbers}),
            )
        )

    async def conversations(
        self, ticket: TicketRef, *, types: Iterable[str] = tuple(ActivityType)
    ) -> list[Conversation]:
        """E-mails and portal messages of a ticket, by number or record; of all known ``types`` unless some are named.

        Repeated whenever that can help, as it only reads.

        Page: apidocs.leadsquared.com/get-ticket-conversations
        """
        wanted = [types] if isinstance(types, str) or not isinstance(types, Iterable) else list(types)
        if not wanted or not all(isinstance(name, str) and name.strip() for name in wanted):
            raise InvalidRequestError("types are names such as 'InboundEmail', and there must be one")
        # Here the ticket's number is a JSON number, and is called TicketId.
        body = {"TicketId": int(ticket_number(ticket)), "OrgId": self._org_id, "ActivityType": wanted}
        return await self._send(
            Call(
                operation="tickets.conversations",
                method="POST",
                path="/conversation/filter",
                idempotency=Idempotency.SAFE,
                parse=self._read_conversations,
                json=encode(body),
            )
        )

    def _read_conversations(self, answer: Any) -> list[Conversation]:
        found = listed(mapping(answer)["ConversationList"])
        return [in_zone(from_wire(Conversation, entry), self._zone) for entry in found]

    async def add_note(self, ticket: TicketRef, text: str) -> ActivityReceipt:
        """Add an internal note to a ticket, by number or record.

        Not repeated where it was sent and no answer came, as it would be added twice.

        Page: apidocs.leadsquared.com/post-an-internal-note-on-a-ticket-2
        """
        note = {
            "TextPart": _some_text(text),
            "ActivityType": "CreateInternalNote",
            "StorageType": "Permament",  # the vendor's spelling, which must be sent
            "RelatedTicketId": int(ticket_number(ticket)),
        }
        return await self._add("add_note", "/internalnote/upload", note)

    async def add_portal_activity(self, ticket: TicketRef, text: str, *, direction: str = "INBOUND") -> ActivityReceipt:
        """Add a message of the customer portal to a ticket, by number, GUID or record.

        The page shows the ``direction`` INBOUND alone. Not repeated where it was sent and no answer came, as it would
        be added twice.

        Page: apidocs.leadsquared.com/?p=5010
        """
        activity = {"Text": _some_text(text), "Direction": _some_text(direction)}
        # Singular, where all other paths say tickets.
        return await self._add("add_portal_activity", f"/ticket/{ticket_ref(ticket)}/portal/activity", activity)

    async def _add(self, operation: str, path: str, body: dict[str, Any]) -> ActivityReceipt:
        return await self._send(
            Call(
                operation=f"tickets.{operation}",
                method="POST",
                path=path,
                idempotency=Idempotency.NON_IDEMPOTENT,
                parse=partial(from_wire, ActivityReceipt),
                json=encode(body),
            )
        )


def _some_text(text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        raise InvalidRequestError("there is no text to add")
    return text


async def _attachments(given: Iterable[Attachable]) -> tuple[Attachment, ...]:
    # Asking a file system can block; most calls have no files and need no thread.
    return await asyncio.to_thread(as_attachments, given) if given else ()
