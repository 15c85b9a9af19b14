"""Plays the demo: a bulk run that is interrupted and continued, one read, one update."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import aclosing
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, cast

import attrs

from ... import (
    Attachment,
    BulkRow,
    Config,
    LSQServiceError,
    NewTicket,
    RateLimit,
    ServiceClient,
    Ticket,
    TicketReceipt,
    TicketUpdate,
)
from ...bulk import RowOutcome, Summary
from ...emulator import Emulator, Latency, RateLimited, Serve, Status
from ..progress import ProgressDisplay

T = TypeVar("T")
MARKER = "CustomData.DemoRow"
"""The field with the key of the row that a ticket was made from."""
NEW_STATUS = "On Hold"
"""The status that the update sets."""
FILES = {
    "demo-07": ("gateway.log", b"gateway-3: links 1 to 8 up, 0 errors\n" * 10_000),
    "demo-23": ("note.txt", b"Side door, second corridor on the left; the key is at the desk.\n"),
}
"""Names and content of the attachments, by the key of their row."""
FAULTS = (
    Serve(times=9, method="POST"),
    Status(500, method="POST"),
    Serve(times=15, method="POST"),
    Latency(2.0, method="POST"),
    # Late, because a 429 halves the rate of all later calls.
    Serve(times=27, method="POST"),
    RateLimited(retry_after=1, method="POST"),
)
_SLOW = 1.0  # s


@attrs.frozen(kw_only=True)
class DemoResult:
    """What the client reported, and the emulator with what it stored.

    `receipts` and `errors` are by row key; the read and the update have the keys "read" and "update".
    """

    rows: Sequence[BulkRow]
    emulator: Emulator
    rate: RateLimit
    receipts: Mapping[str | None, TicketReceipt]
    errors: Mapping[str | None, LSQServiceError]
    interrupted: Summary
    resumed: Summary
    read: Ticket | None
    updated: TicketReceipt | None
    seconds: float


def demo_emulator(rate: RateLimit) -> Emulator:
    """The emulator of the demo: strict about `rate`, with three faults."""
    emulator = Emulator(rate_limit=(rate.calls, rate.per), window="sliding")
    emulator.faults.add(*FAULTS)
    return emulator


def demo_rows(folder: Path) -> list[BulkRow]:
    """The rows of tickets.csv. One has an attachment in *folder*, another has one in memory."""
    (log_row, (log_name, log)), (note_row, (note_name, note)) = FILES.items()
    path = folder / log_name
    path.write_bytes(log)
    attached: dict[str, Path | Attachment] = {log_row: path, note_row: Attachment.from_bytes(note, name=note_name)}
    rows = []
    text = files(__package__).joinpath("tickets.csv").read_text(encoding="utf-8")
    for record in csv.DictReader(text.splitlines()):
        fields: dict[str, Any] = dict(record)
        key = fields.pop("key")
        attachments = [attached[key]] if key in attached else []
        rows.append(BulkRow(key, NewTicket(**fields, fields={MARKER: key}), attachments))
    return rows


async def play(
    emulator: Emulator, rows: Sequence[BulkRow], rate: RateLimit, display: ProgressDisplay
) -> DemoResult:
    """Open the emulator and send all rows to it. An error of one call is recorded and does not stop the others."""
    clock = asyncio.get_running_loop().time
    async with emulator, ServiceClient(Config(**emulator.settings, rate_limit=rate)) as client:
        demo = _Demo(client, display)
        started = clock()
        with TemporaryDirectory() as folder:
            journal = Path(folder, "journal")
            interrupted = await demo.create(rows, journal, stop_after=len(rows) // 3)
            display.say(f"Interrupted after {interrupted.total} rows. A new run continues with the same journal.")
            resumed = await demo.create(rows, journal)
        receipt = demo.receipts.get(rows[0].key)
        read = await demo.call("read", client.tickets.get(receipt)) if receipt else None
        if read:
            display.say(f'Read ticket {read.key}: "{read.title}", {read.status}.')
        update = TicketUpdate(status=NEW_STATUS)
        updated = await demo.call("update", client.tickets.update(read, update)) if read else None
        if read and updated:
            display.say(f"Updated ticket {read.key}: {NEW_STATUS}.")
        return DemoResult(
            rows=rows,
            emulator=emulator,
            rate=rate,
            receipts=demo.receipts,
            errors=demo.errors,
            interrupted=interrupted,
            resumed=resumed,
            read=read,
            updated=updated,
            seconds=clock() - started,
        )


class _Demo:
    """Makes calls and records what the client reports."""

    def __init__(self, client: ServiceClient, display: ProgressDisplay) -> None:
        self.receipts: dict[str | None, TicketReceipt] = {}
        self.errors: dict[str | None, LSQServiceError] = {}
        self._client = client
        self._display = display

    async def create(self, rows: Sequence[BulkRow], journal: Path, stop_after: int | None = None) -> Summary:
        job = self._client.bulk.create(rows, journal=journal)
        outcomes: Any = aiter(job)
        # Ctrl-C leaves this loop; the journal must be closed before its folder is deleted.
        async with aclosing(outcomes):
            async for outcome in outcomes:
                self._record(outcome)
                if job.summary().total == stop_after:
                    job.stop()
        return job.summary()

    def _record(self, outcome: RowOutcome) -> None:
        if outcome.key in self.receipts or outcome.key in self.errors:
            return  # a row of the interrupted run
        if outcome.receipt:
            self.receipts[outcome.key] = outcome.receipt
            for remark in remarks(outcome.receipt):
                self._display.say(f"{outcome.key}: {remark}")
        else:
            self.errors[outcome.key] = cast(LSQServiceError, outcome.error)
            self._display.say(f"{outcome.key}: {outcome.error}")
        self._display.step()

    async def call(self, name: str, call: Awaitable[T]) -> T | None:
        """Await *call* and return its result, or None after an error, which is recorded under *name*."""
        try:
            return await call
        except LSQServiceError as error:
            self.errors[name] = error
            self._display.say(f"{name}: {error}")
            return None


def remarks(receipt: TicketReceipt) -> list[str]:
    """Describe each attempt that was slow or failed."""
    found = []
    for attempt in receipt.attempts:
        if attempt.status == 429:
            found.append("429 (rate limited); all calls paused, then it was sent again")
        elif attempt.status != 200:
            found.append(f"{attempt.status or 'no connection'}; it was sent again")
        elif attempt.seconds > _SLOW:
            found.append(f"answered after {attempt.seconds:.1f} s; other calls continued meanwhile")
    return found
