"""Ticket operations: one method per documented operation."""

from __future__ import annotations

import asyncio
import inspect
import math
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Any

from ._wire.call import Call, Idempotency, LookUp, Progress, Send
from ._wire.lookup import OwnTickets, Search, SentCreate
from ._wire.parse import parse, parse_activity, parse_conversations, parse_ticket, parse_trash_result
from ._wire.serialize import encode, new_ticket_dto, ticket_number, ticket_ref, update_dto
from .attachments import Attachable, as_tuple
from .errors import (
    APIStatusError,
    AuthenticationError,
    InvalidRequestError,
    OutcomeUnknownError,
    RateLimitError,
    ServerError,
    shown,
)
from .records import (
    UNSET,
    ActivityReceipt,
    ActivityType,
    Conversation,
    NewTicket,
    NumberRange,
    Ticket,
    TicketReceipt,
    TicketRef,
    TicketUpdate,
    TrashResult,
    Verdict,
)


class Tickets:
    """The ticket operations of a client, available as ``client.tickets``."""

    def __init__(self, send: Send, *, org_id: str, zone: tzinfo, own: OwnTickets, marker: str | None = None) -> None:
        self._send = send
        self._own = own
        self._marker = marker
        self._org_id = int(org_id) if org_id.isdecimal() else org_id
        self._zone = zone

    async def create(
        self,
        ticket: NewTicket,
        *,
        attachments: Iterable[Attachable] = (),
        reference: str | None = None,
        progress: Progress | None = None,
    ) -> TicketReceipt:
        """Create a ticket, with or without attachments, and return a receipt with its number.

        ``reference`` is the id of the call in events, logs and errors. It has 1 to 64 characters: letters, digits and
        ``._:-``. By default, it is random. If `Config.marker_field` is set, the reference is also sent in that field.
        During an upload, ``progress(sent, total)`` is called with the number of bytes sent so far and the size of the
        whole body.

        The request is retried if nothing was applied and a repeat may succeed, for example after a 429. By default, it
        is also retried after a 500, 502, 503 or 504 without the field ``ExceptionType``, although the ticket may have
        been created; see `RetryPolicy`. If the whole request was sent and no response arrived, the request is not
        retried, and OutcomeUnknownError is raised. An argument that cannot be valid raises InvalidRequestError.

        Page: apidocs.leadsquared.com/create-tickets, .../create-ticket-with-attachments
        """
        call = create_call(
            ticket, attachments, progress, reference=reference, marker=self._marker, look_up=self._decide
        )
        return await self._send(call)

    async def look_up(self, error: OutcomeUnknownError, *, quiet: float = 60.0, max_reads: int = 200) -> Verdict:
        """Find out whether a create that raised OutcomeUnknownError was applied: `Found`, `Absent` or `Unclear`.

        The look-up reads every ticket that the lost create may have created, by its number. The numbers end before the
        number of the first ticket that this client creates at least ``quiet`` seconds after the lost create ended. If
        there is no such ticket yet, or if more than ``max_reads`` tickets would have to be read, the result is
        `Unclear`.

        Without `Config.marker_field`, tickets are compared by content. This is safe only if no other program creates
        tickets with the same text.

        Raises InvalidRequestError if ``error`` was not raised by a create, or was pickled. Also raises the errors of
        `get`, except NotFoundError and other refusals that concern one ticket.
        """
        lost = getattr(error, "lost", None)
        if not isinstance(lost, SentCreate):
            raise InvalidRequestError(
                f"look_up takes an OutcomeUnknownError that a create raised in this process, not {shown(error)}"
            )
        return await self._decide(lost, quiet, max_reads)

    async def _decide(self, lost: SentCreate, quiet: float, max_reads: int = 200) -> Verdict:
        return await LookUps(self.get, self._own, quiet=quiet, max_reads=max_reads).decide(lost)

    async def get(self, ticket: TicketRef) -> Ticket:
        """Read a ticket by number, GUID or record. Raises NotFoundError if the ticket does not exist.

        The request is retried if a repeat may succeed, for example after a 429 or 503, or if no response arrived.

        Page: apidocs.leadsquared.com/get-a-tickets-details-by-id
        """
        number = ticket_ref(ticket)
        return await self._send(
            Call(
                operation="tickets.get",
                method="GET",
                path=f"/tickets/{number}",
                template="/tickets/{ticket}",
                idempotency=Idempotency.SAFE,
                parse=partial(parse_ticket, zone=self._zone),
                ticket=number,
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
        """Change fields of a ticket and add attachments to it. The ticket keeps its earlier attachments.

        ``ticket`` is a number or a record, not a GUID. If it is a `Ticket`, its lead is sent with the update, as in the
        sample on the page below. If the lead may have changed after the ticket was read, pass the number instead.
        ``progress`` is called as in `create`.

        Without attachments, the request is retried like `get`. With attachments, a repeat could add the attachments
        twice, so the request is retried only if `create` would be retried. An update that changes nothing or cannot be
        valid raises InvalidRequestError.

        Page: apidocs.leadsquared.com/update-a-ticket-with-attachments
        """
        return await self._send(update_call(ticket, update, attachments, progress))

    async def trash(self, tickets: Iterable[TicketRef]) -> TrashResult:
        """Move tickets, given by number or record, to the trash. The API keys must belong to an admin.

        Some tickets may fail while others succeed: check ``successful`` and ``failed`` of the result. If no response
        arrived, the request is not retried, because tickets that are already in the trash would be reported as failed.

        Page: apidocs.leadsquared.com/delete-tickets
        """
        if isinstance(tickets, str | bytes | bytearray | memoryview | Mapping) or not isinstance(tickets, Iterable):
            raise InvalidRequestError("trash takes a list, even for one ticket: trash(['160'])")
        numbers = [str(number) for number in dict.fromkeys(int(ticket_number(ticket)) for ticket in tickets)]
        if not numbers:
            raise InvalidRequestError("trash needs at least one ticket")
        return await self._send(
            Call(
                operation="tickets.trash",
                method="PUT",
                path="/tickets/trash",
                idempotency=Idempotency.NON_IDEMPOTENT,
                parse=parse_trash_result,
                body=encode({"TicketIds": numbers}),
            )
        )

    async def conversations(
        self, ticket: TicketRef, *, types: Iterable[str] = tuple(ActivityType)
    ) -> list[Conversation]:
        """Return the e-mails and portal messages of a ticket, which is given by number or record.

        ``types`` are names of activity types, by default all of `ActivityType`. The request is retried like `get`.

        Page: apidocs.leadsquared.com/get-ticket-conversations
        """
        wanted = [types] if isinstance(types, str) or not isinstance(types, Iterable) else list(types)
        if not wanted or not all(isinstance(name, str) and name.strip() for name in wanted):
            raise InvalidRequestError("types must be one or more names such as 'InboundEmail'")
        # Here TicketId is the ticket number. In responses, it is the GUID.
        body = {"TicketId": int(ticket_number(ticket)), "OrgId": self._org_id, "ActivityType": wanted}
        return await self._send(
            Call(
                operation="tickets.conversations",
                method="POST",
                path="/conversation/filter",
                idempotency=Idempotency.SAFE,
                parse=partial(parse_conversations, zone=self._zone),
                body=encode(body),
            )
        )

    async def add_note(self, ticket: TicketRef, text: str) -> ActivityReceipt:
        """Add an internal note to a ticket, which is given by number or record.

        A repeat could add the note twice, so the request is retried only if `create` would be retried. A blank text
        raises InvalidRequestError.

        Page: apidocs.leadsquared.com/post-an-internal-note-on-a-ticket-2
        """
        number = ticket_number(ticket)
        note = {
            "TextPart": _not_blank(text, "text"),
            "ActivityType": "CreateInternalNote",
            "StorageType": "Permament",  # the vendor's spelling
            "RelatedTicketId": int(number),
        }
        return await self._add("add_note", "/internalnote/upload", note, ticket=number)

    async def add_portal_activity(self, ticket: TicketRef, text: str, *, direction: str = "INBOUND") -> ActivityReceipt:
        """Add a message of the customer portal to a ticket, which is given by number, GUID or record.

        The page below shows only one ``direction``, "INBOUND". A repeat could add the message twice, so the request is
        retried only if `create` would be retried. A blank text or direction raises InvalidRequestError.

        Page: apidocs.leadsquared.com/?p=5010
        """
        activity = {"Text": _not_blank(text, "text"), "Direction": _not_blank(direction, "direction")}
        # "ticket" is singular in this path only.
        path, template = f"/ticket/{ticket_ref(ticket)}/portal/activity", "/ticket/{ticket}/portal/activity"
        return await self._add("add_portal_activity", path, activity, template=template)

    async def _add(
        self, operation: str, path: str, body: dict[str, Any], *, ticket: str | None = None, template: str | None = None
    ) -> ActivityReceipt:
        return await self._send(
            Call(
                operation=f"tickets.{operation}",
                method="POST",
                path=path,
                template=template,
                idempotency=Idempotency.NON_IDEMPOTENT,
                parse=parse_activity,
                ticket=ticket,
                body=encode(body),
            )
        )


class LookUps:
    """Makes one look-up, or all look-ups of a bulk run.

    ``loop_epoch`` returns the Unix time at which the event loop's clock was 0.
    """

    def __init__(
        self,
        get: Callable[[str], Awaitable[Ticket]],
        own: OwnTickets,
        *,
        quiet: float,
        max_reads: float,
        loop_epoch: Callable[[], float] = float,
    ) -> None:
        self._get = get
        self._loop_epoch = loop_epoch
        self._own = own
        self._search = Search(own, quiet=quiet, max_reads=max_reads)

    @property
    def highest(self) -> int:
        """The highest ticket number that this client knows."""
        return self._own.highest

    def remember(self, highest: int, numbers: Iterable[tuple[int, float | None, int | None]]) -> None:
        """Remember the tickets of earlier runs.

        ``numbers`` has a tuple for each ticket: its number, the Unix time when its create was sent, and the highest
        ticket number that was known then. The time and the highest number can be None.
        """
        self._own.highest = max(self._own.highest, highest)
        for number, sent_at, above in numbers:
            self._search.remember(number, -math.inf if sent_at is None else sent_at - self._loop_epoch(), above)

    def recall(self, ticket: NewTicket, *, sent_at: float | None, ended_at: float | None, **sent: Any) -> SentCreate:
        """Return a create of an earlier run, for a look-up. ``sent_at`` and ``ended_at`` are Unix times."""
        begun = -math.inf if sent_at is None else sent_at - self._loop_epoch()
        ended = None if ended_at is None else ended_at - self._loop_epoch()
        create = SentCreate(ticket=ticket, sent_at=begun, ended_at=ended, **sent)
        lost = self._own.lost if create.reference else ()
        same = (other for other in lost if (other.reference, other.ticket) == (create.reference, ticket))
        known = next(same, None)  # sent by this client, in an earlier run
        if create.receipt is None and known is None:
            self._own.add_lost(create)
        elif create.receipt is not None and known is not None:
            self._own.add_found(known, create.receipt)
        return known or create

    def number_range(self, create: SentCreate) -> NumberRange:
        """Return the ticket numbers that a lost create can have."""
        if create.above is None:
            return NumberRange(None, None, None, create.reference or None)
        sent_at = datetime.fromtimestamp(create.sent_at + self._loop_epoch(), UTC)
        return NumberRange(create.above, self._search.fence(create), sent_at, create.reference)

    def is_ready(self, create: SentCreate) -> bool:
        """Whether a look-up can already decide if a create was applied."""
        below = self._search.fence(create)
        return below is not None and not self._search.has_rival(create, below)

    def seconds_left(self, create: SentCreate) -> float:
        """The seconds until the service can no longer apply a create."""
        return self._search.seconds_left(create, asyncio.get_running_loop().time())

    def reads_for(self, create: SentCreate) -> float:
        """The number of reads that a look-up would take."""
        return self._search.reads_for(create)

    async def decide(self, lost: SentCreate) -> Verdict:
        """Find out whether a create was applied. Raises the same errors as `Tickets.look_up`."""
        steps = self._search.decide(lost, asyncio.get_running_loop().time())
        try:
            numbers = next(steps)
            while True:
                tickets: dict[int, Ticket | None] = {}
                results = await asyncio.gather(*map(self._read, numbers), return_exceptions=True)
                for number, result in zip(numbers, results, strict=True):
                    if isinstance(result, BaseException):
                        raise result
                    tickets[number] = result
                numbers = steps.send(tickets)
        except StopIteration as end:
            verdict: Verdict = end.value
            return verdict

    async def _read(self, number: int) -> Ticket | None:
        try:
            return await self._get(str(number))
        except APIStatusError as error:
            is_transient = isinstance(error, ServerError) and error.exception_type is None
            if is_transient or isinstance(error, AuthenticationError | RateLimitError):
                raise
            return None


def _not_blank(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequestError(f"{name} must be text that is not blank")
    return value


def _files(attachments: Iterable[Attachable] | None, progress: Any) -> tuple[Attachable, ...]:
    """Check ``progress``, and return the attachments as a tuple. A wrong type raises InvalidRequestError."""
    is_sync = callable(progress) and not any(map(inspect.iscoroutinefunction, (progress, progress.__call__)))
    if progress is not None and not is_sync:
        raise InvalidRequestError(f"progress must be a function that is not async, not {shown(progress)}")
    return as_tuple(attachments)


def create_call(
    ticket: NewTicket,
    attachments: Iterable[Attachable] = (),
    progress: Progress | None = None,
    *,
    reference: str | None = None,
    marker: str | None = None,
    look_up: LookUp | None = None,
) -> Call[TicketReceipt]:
    """Return the call that creates a ticket. Raises InvalidRequestError for a ticket that cannot be valid."""
    if not isinstance(ticket, NewTicket):
        raise InvalidRequestError(f"create takes a NewTicket, not {type(ticket).__name__}")
    if reference is None:
        reference = secrets.token_hex(8)
    elif not isinstance(reference, str) or not re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", reference):
        raise InvalidRequestError(f"a reference is 1 to 64 letters, digits and . _ : -, not {shown(reference)}")
    dto = new_ticket_dto(ticket, marker)
    has_none = progress is None and isinstance(attachments, tuple) and not attachments
    files = () if has_none else _files(attachments, progress)
    if marker is not None:
        dto["Fields"].append({"SchemaName": marker, "Value": reference})
    if files:
        del dto["Id"]  # the page create-ticket-with-attachments shows no Id
    return Call(
        operation="tickets.create",
        method="POST",
        path="/tickets",
        idempotency=Idempotency.NON_IDEMPOTENT,
        parse=partial(parse, TicketReceipt),
        body=encode(dto),
        is_multipart=bool(files),
        attachments=files,
        progress=progress,
        create=SentCreate(ticket=ticket, reference=reference, marker=marker, attachments=files),
        look_up=look_up,
    )


def update_call(
    ticket: TicketRef, update: TicketUpdate, attachments: Iterable[Attachable] = (), progress: Progress | None = None
) -> Call[TicketReceipt]:
    """Return the call that updates a ticket. Raises InvalidRequestError for an update that cannot be valid."""
    if not isinstance(update, TicketUpdate):
        raise InvalidRequestError(f"update takes a TicketUpdate, not {type(update).__name__}")
    number = ticket_number(ticket)
    dto, files = update_dto(number, update), _files(attachments, progress)
    if not dto["Fields"] and not files and update.lead_id is UNSET:
        raise InvalidRequestError("the update changes nothing: give a field or an attachment")
    if isinstance(ticket, Ticket) and ticket.lead_id and update.lead_id is UNSET:
        dto["LeadId"] = ticket.lead_id
    return Call(
        operation="tickets.update",
        method="PUT",
        path=f"/tickets/{number}/update",
        template="/tickets/{ticket}/update",
        idempotency=Idempotency.NON_IDEMPOTENT if files else Idempotency.IDEMPOTENT,
        parse=partial(parse, TicketReceipt),
        ticket=number,
        body=encode(dto),
        is_multipart=True,
        attachments=files,
        progress=progress,
    )
