"""What the demo does: every row created in a task group, one ticket read back, one updated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

import attrs

from .. import Config, Lane, LSQServiceError, RateLimit, ServiceClient, Ticket, TicketReceipt, TicketUpdate
from ..emulator import Emulator
from .demo_tickets import DemoRow

T = TypeVar("T")
NEW_STATUS = "On Hold"
"""What the updated ticket has at the end."""

_SLOW = 1.0  # s


@attrs.frozen(kw_only=True)
class Run:
    """What the client was told. ``receipts`` are by the key of their row, and so are ``errors``; those of the read and
    the update are under "read" and "update". ``seconds`` is how long all of it took."""

    receipts: Mapping[str, TicketReceipt]
    errors: Mapping[str, LSQServiceError]
    read: Ticket | None = None
    updated: TicketReceipt | None = None
    seconds: float


class Watcher(Protocol):
    """Who looks on."""

    def say(self, remark: str) -> None:
        """Something worth a line has happened."""

    def step(self) -> None:
        """A row is done, well or not."""


async def run_demo(emulator: Emulator, rows: Sequence[DemoRow], rate: RateLimit, watcher: Watcher) -> Run:
    """Open the emulator, and send it all rows at ``rate``. What fails is in the result, and stops nothing else."""
    async with emulator, ServiceClient(Config(**emulator.settings, rate_limit=rate)) as client:
        return await _Demo(client, watcher).run(rows)


class _Demo:
    """One run, on an open client."""

    def __init__(self, client: ServiceClient, watcher: Watcher) -> None:
        self._client = client
        self._watcher = watcher
        self._receipts: dict[str, TicketReceipt] = {}
        self._errors: dict[str, LSQServiceError] = {}

    async def run(self, rows: Sequence[DemoRow]) -> Run:
        clock = asyncio.get_running_loop().time
        started = clock()
        await self._create_all(rows)
        first = self._receipts.get(rows[0].key)
        read = await self._read(first) if first else None
        updated = await self._update(read) if read else None
        return Run(receipts=self._receipts, errors=self._errors, read=read, updated=updated, seconds=clock() - started)

    async def _create_all(self, rows: Sequence[DemoRow]) -> None:
        async with asyncio.TaskGroup() as group:
            for row in rows:
                group.create_task(self._create(row))

    async def _create(self, row: DemoRow) -> None:
        # The lane of scripts: evenly paced, where the interactive one sends 25 at once and then waits.
        tickets = self._client.with_options(lane=Lane.BULK).tickets
        receipt = await self._or_error(row.key, tickets.create(row.ticket, attachments=row.attachments))
        if receipt:
            self._receipts[row.key] = receipt
            for remark in remarks(receipt):
                self._watcher.say(f"{row.key}: {remark}")
        self._watcher.step()

    async def _read(self, receipt: TicketReceipt) -> Ticket | None:
        ticket = await self._or_error("read", self._client.tickets.get(receipt))
        if ticket:
            self._watcher.say(f'read ticket {ticket.key} back: "{ticket.title}", {ticket.status}')
        return ticket

    async def _update(self, ticket: Ticket) -> TicketReceipt | None:
        update = self._client.tickets.update(ticket, TicketUpdate(status=NEW_STATUS))
        receipt = await self._or_error("update", update)
        if receipt:
            self._watcher.say(f"updated ticket {ticket.key}: {NEW_STATUS}")
        return receipt

    async def _or_error(self, what: str, answer: Awaitable[T]) -> T | None:
        try:
            return await answer
        except LSQServiceError as error:
            self._errors[what] = error
            self._watcher.say(f"{what}: {error}")
            return None


def remarks(receipt: TicketReceipt) -> Iterator[str]:
    """A line for each send that did not go as usual."""
    for attempt in receipt.attempts:
        if attempt.status == 429:
            yield "refused with 429; all calls paused, then it was sent again"
        elif attempt.status != 200:
            yield f"failed with {attempt.status or 'no connection'}, and was sent again"
        elif attempt.seconds > _SLOW:
            yield f"answered after {attempt.seconds:.1f} s; the others went on meanwhile"
