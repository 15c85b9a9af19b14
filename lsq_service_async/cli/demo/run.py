"""What the demo does: a bulk run that is interrupted once and resumed, one ticket read back, one updated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeVar, cast

import attrs

from ... import Config, LSQServiceError, RateLimit, ServiceClient, Ticket, TicketReceipt, TicketUpdate
from ...bulk import BulkJob, RowOutcome, Summary
from ...emulator import Emulator
from .tickets import DemoRow

T = TypeVar("T")
NEW_STATUS = "On Hold"
"""What the updated ticket has at the end."""

_SLOW = 1.0  # s


@attrs.frozen(kw_only=True)
class Run:
    """What the client was told. ``receipts`` are by the key of their row, and so are ``errors``; those of the read and
    the update are under "read" and "update". ``interrupted`` and ``resumed`` are what the two parts of the bulk run
    counted. ``seconds`` is how long all of it took."""

    receipts: Mapping[str, TicketReceipt]
    errors: Mapping[str, LSQServiceError]
    read: Ticket | None = None
    updated: TicketReceipt | None = None
    interrupted: Summary
    resumed: Summary
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
        interrupted, resumed = await self._create_all(rows)
        first = self._receipts.get(rows[0].key)
        read = await self._read(first) if first else None
        updated = await self._update(read) if read else None
        return Run(
            receipts=self._receipts,
            errors=self._errors,
            read=read,
            updated=updated,
            interrupted=interrupted,
            resumed=resumed,
            seconds=clock() - started,
        )

    async def _create_all(self, rows: Sequence[DemoRow]) -> tuple[Summary, Summary]:
        """Stopped after a third of the rows, as by Ctrl-C; another job with the same journal does the rest."""
        with TemporaryDirectory() as folder:
            journal = Path(folder, "journal")
            first = await self._carry_on(self._job(rows, journal), stop_after=len(rows) // 3)
            self._watcher.say(f"interrupted after {first.total} rows; a new run goes on with the same journal")
            return first, await self._carry_on(self._job(rows, journal))

    def _job(self, rows: Sequence[DemoRow], journal: Path) -> BulkJob:
        return self._client.bulk.create([row.for_bulk() for row in rows], journal=journal)

    async def _carry_on(self, job: BulkJob, stop_after: int | None = None) -> Summary:
        outcomes: Any = aiter(job)
        # Closed also where this loop is left by Ctrl-C, as the journal is in a folder that goes away.
        async with aclosing(outcomes):
            async for outcome in outcomes:
                self._note(outcome)
                if job.summary().total == stop_after:
                    job.stop()
        return job.summary()

    def _note(self, outcome: RowOutcome) -> None:
        """Rows that an earlier part has told of are not news."""
        if outcome.key in self._receipts or outcome.key in self._errors:
            return
        if outcome.receipt:
            self._receipts[outcome.key] = outcome.receipt
            for remark in remarks(outcome.receipt):
                self._watcher.say(f"{outcome.key}: {remark}")
        else:
            self._errors[outcome.key] = cast(LSQServiceError, outcome.error)
            self._watcher.say(f"{outcome.key}: {outcome.error}")
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
