"""Plays the demo: a bulk run that is interrupted and continued, one read, one update."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Awaitable, Sequence
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
"""The field that stores the key of the row from which a ticket was created."""
NEW_STATUS = "On Hold"
FILES = {
    "demo-07": ("gateway.log", b"gateway-3: links 1 to 8 up, 0 errors\n" * 10_000),
    "demo-23": ("note.txt", b"Side door, second corridor on the left; the key is at the desk.\n"),
}
"""Name and content of the attachment of a row."""
FAULTS = (
    Serve(times=9, method="POST"),
    Status(500, method="POST"),
    Serve(times=15, method="POST"),
    Latency(2.0, method="POST"),
    # Late, because a 429 lowers the rate of all later calls.
    Serve(times=27, method="POST"),
    RateLimited(retry_after=1, method="POST"),
)
FAULTS_IN_WORDS = "answers one call with 500, one with 429, and one 2 s late"


def demo_emulator(rate: RateLimit) -> Emulator:
    """The emulator of the demo: it enforces *rate* strictly and injects three faults."""
    emulator = Emulator(rate_limit=(rate.calls, rate.per), window="sliding")
    emulator.faults.add(*FAULTS)
    return emulator


def demo_rows(folder: Path) -> list[BulkRow]:
    """The rows of tickets.csv. One has a file in *folder* attached, another one a file in memory."""
    (log_row, (log_name, log)), (note_row, (note_name, note)) = FILES.items()
    (folder / log_name).write_bytes(log)
    attached: dict[str, Path | Attachment] = {
        log_row: folder / log_name,
        note_row: Attachment.from_bytes(note, name=note_name),
    }
    rows = []
    for record in csv.DictReader(files(__package__).joinpath("tickets.csv").read_text("utf-8").splitlines()):
        fields: dict[str, Any] = dict(record)
        key = fields.pop("key")
        rows.append(BulkRow(key, NewTicket(**fields, fields={MARKER: key}), [attached[key]] if key in attached else ()))
    return rows


@attrs.define(kw_only=True)
class DemoResult:
    """The reports of the client, and the emulator with its tickets and calls.

    The keys of `receipts` and `errors` are row keys; a failed read or update is in `errors` as "read" or "update".
    """

    rows: Sequence[BulkRow]
    emulator: Emulator
    rate: RateLimit
    receipts: dict[str | None, TicketReceipt] = attrs.Factory(dict)
    errors: dict[str | None, LSQServiceError] = attrs.Factory(dict)
    interrupted: Summary = attrs.Factory(Summary)
    resumed: Summary = attrs.Factory(Summary)
    read: Ticket | None = None
    updated: TicketReceipt | None = None
    seconds: float = 0.0


async def play(emulator: Emulator, rows: Sequence[BulkRow], rate: RateLimit, display: ProgressDisplay) -> DemoResult:
    """Send all rows to the open emulator. An error of one call is recorded and does not stop the others."""
    result = DemoResult(rows=rows, emulator=emulator, rate=rate)
    clock = asyncio.get_running_loop().time
    async with ServiceClient(Config(**emulator.settings, rate_limit=rate)) as client:
        started = clock()
        with TemporaryDirectory() as folder:
            journal = Path(folder, "journal")
            result.interrupted = await _create(client, journal, result, display, stop_after=len(rows) // 3)
            display.say(
                f"Interrupted after {result.interrupted.total} rows. A new run continues with the same journal."
            )
            result.resumed = await _create(client, journal, result, display)
        if first := result.receipts.get(rows[0].key):
            result.read = await _call("read", client.tickets.get(first), result, display)
        if ticket := result.read:
            display.say(f'Read ticket {ticket.key}: "{ticket.title}", {ticket.status}.')
            update = client.tickets.update(ticket, TicketUpdate(status=NEW_STATUS))
            result.updated = await _call("update", update, result, display)
            if result.updated:
                display.say(f"Updated ticket {ticket.key}: {NEW_STATUS}.")
        result.seconds = clock() - started
    return result


async def _create(
    client: ServiceClient, journal: Path, result: DemoResult, display: ProgressDisplay, stop_after: int | None = None
) -> Summary:
    job = client.bulk.create(result.rows, journal=journal)
    outcomes: Any = aiter(job)
    # Ctrl-C leaves this loop; the journal must be closed before its folder is deleted.
    async with aclosing(outcomes):
        async for outcome in outcomes:
            _record(outcome, result, display)
            if job.summary().total == stop_after:
                job.stop()
    return job.summary()


def _record(outcome: RowOutcome, result: DemoResult, display: ProgressDisplay) -> None:
    if outcome.key in result.receipts or outcome.key in result.errors:
        return  # reported by the interrupted run
    if outcome.receipt:
        result.receipts[outcome.key] = outcome.receipt
        for remark in remarks(outcome.receipt):
            display.say(f"{outcome.key}: {remark}")
    else:
        result.errors[outcome.key] = cast(LSQServiceError, outcome.error)
        display.say(f"{outcome.key}: {outcome.error}")
    display.step()


async def _call(name: str, call: Awaitable[T], result: DemoResult, display: ProgressDisplay) -> T | None:
    """Await *call* and return its result, or None after an error, which is recorded under *name*."""
    try:
        return await call
    except LSQServiceError as error:
        result.errors[name] = error
        display.say(f"{name}: {error}")
        return None


def remarks(receipt: TicketReceipt) -> list[str]:
    """Describe each attempt that failed or was slow."""
    found = []
    for attempt in receipt.attempts:
        if attempt.status == 429:
            found.append("rate limited (429); all calls paused, then this one was sent again")
        elif attempt.status != 200:
            found.append(f"failed with {attempt.status or 'no connection'}; sent again")
        elif attempt.seconds > 1.0:
            found.append(f"answered after {attempt.seconds:.1f} s; other calls continued meanwhile")
    return found
