"""Plays the demo. Then compares the client's results with the tickets and calls that the emulator recorded."""

from __future__ import annotations

import asyncio
import csv
import hashlib
from collections import Counter
from collections.abc import Awaitable, Iterator, Sequence
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
from ...emulator import Emulator, Latency, RateLimited, Serve, Status, StoredTicket
from ..progress import ProgressDisplay

T = TypeVar("T")
MARKER = "CustomData.DemoRow"
"""The field that stores the key of the row from which a ticket was created."""
NEW_STATUS = "On Hold"
FILES = {
    "demo-07": ("gateway.log", b"gateway-3: links 1 to 8 up, 0 errors\n" * 10_000),
    "demo-23": ("note.txt", b"Side door, second corridor on the left; the key is at the desk.\n"),
}
"""The name and content of each attachment, by row key."""
FAULTS = (
    Serve(times=9, method="POST"),
    Status(500, method="POST"),
    Serve(times=15, method="POST"),
    Latency(2.0, method="POST"),
    # The 429 is last, because it lowers the rate of later calls.
    Serve(times=27, method="POST"),
    RateLimited(retry_after=1, method="POST"),
)
FAULTS_IN_WORDS = "answers one call with 500, one with 429, and one 2 s late"
TIME_LIMIT = 30.0
"""The maximum duration in seconds."""


def demo_emulator(rate: RateLimit) -> Emulator:
    """Return the emulator of the demo, which enforces *rate* strictly and injects three faults."""
    emulator = Emulator(rate_limit=(rate.calls, rate.per), window="sliding")
    emulator.faults.add(*FAULTS)
    return emulator


def demo_rows(folder: Path) -> list[BulkRow]:
    """Return the rows of tickets.csv. One row has an attachment in *folder*, another row has one in memory."""
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
    """The emulator, and the client's results by row key. `errors` can also have the keys "read" and "update"."""

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
    """Create all tickets in the open emulator, then read and update one of them. After an error, continue."""
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
    # Even after Ctrl-C, the journal must be closed before its folder is deleted.
    async with aclosing(outcomes):
        async for outcome in outcomes:
            _record(outcome, result, display)
            if job.summary().total == stop_after:
                job.stop()
    return job.summary()


def _record(outcome: RowOutcome, result: DemoResult, display: ProgressDisplay) -> None:
    if outcome.key in result.receipts or outcome.key in result.errors:
        return  # known from the interrupted run
    if outcome.receipt:
        result.receipts[outcome.key] = outcome.receipt
        for remark in remarks(outcome.receipt):
            display.say(f"{outcome.key}: {remark}")
    else:
        result.errors[outcome.key] = cast(LSQServiceError, outcome.error)
        display.say(f"{outcome.key}: {outcome.error}")
    display.step()


async def _call(name: str, call: Awaitable[T], result: DemoResult, display: ProgressDisplay) -> T | None:
    """Return the result of *call*. After an error, record the error under *name* and return None."""
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
            found.append("rate limited (429); all calls paused, then this call was sent again")
        elif attempt.status != 200:
            found.append(f"failed with {attempt.status or 'no connection'}; sent again")
        elif attempt.seconds > 1.0:
            found.append(f"answered after {attempt.seconds:.1f} s; other calls continued meanwhile")
    return found


@attrs.frozen
class Check:
    """One line of the table that the demo prints. `problem` is empty if the check passed."""

    name: str
    found: str
    meaning: str
    problem: str = ""


def check_result(result: DemoResult) -> list[Check]:
    """Return all checks, in the order of the table."""
    return [*_check_reports(result), *_check_calls(result), *_check_tickets(result)]


def _check_reports(result: DemoResult) -> Iterator[Check]:
    rows, receipts, first, second = result.rows, result.receipts, result.interrupted, result.resumed
    errors = [f"{row.key} ({result.errors[row.key]})" for row in rows if row.key in result.errors]
    yield Check("tickets", f"{len(receipts)} of {len(rows)}", "created, with a receipt", _list("no receipt:", errors))

    found = f"{second.created} of {len(rows) - first.total}"
    problem = f"skipped {second.skipped} of {first.created} finished rows" if second.skipped != first.created else ""
    yield Check("resumed", found, f"created by a second run; the first was stopped after {first.total}", problem)

    with_files = [row for row in rows if row.attachments]
    broken = [str(row.key) for row in with_files if not _files_match(row, _ticket_of(row, result))]
    found = f"{len(with_files) - len(broken)} of {len(with_files)}"
    yield Check("attachments", found, "stored with the SHA-256 of the original", _list("different in", broken))

    names = ("title", "description", "type", "status", "priority", "channel")
    different = [name for name in names if getattr(result.read, name, None) != getattr(rows[0].ticket, name)]
    yield Check("read back", f"{int(not different)} of 1", "same fields as sent", _list("different:", different))

    ticket = _ticket_of(rows[0], result)
    status = ticket and ticket.fields.get("Status")
    is_updated = result.updated is not None and status == NEW_STATUS
    problem = "" if is_updated else f"status is {status}" if result.updated else "no receipt"
    yield Check("updated", f"{int(is_updated)} of 1", f"status is {NEW_STATUS}", problem)


def _check_calls(result: DemoResult) -> Iterator[Check]:
    calls, rate = result.emulator.calls, result.rate
    repeats = sum(len(receipt.attempts) - 1 for receipt in result.receipts.values())
    yield Check("calls", str(len(calls)), f"{repeats} of them were repeats")

    limit, refused = f"{rate.calls} calls in {rate.per:g} s", result.emulator.refused
    yield Check(
        "over the limit", str(refused), f"calls refused because of the limit of {limit}", "exceeded" if refused else ""
    )

    played = sum(not isinstance(call.fault, Serve) for call in calls)
    missing = sum(fault.times for fault in result.emulator.faults.pending if not isinstance(fault, Serve))
    problem = f"{missing} did not happen" if missing else ""
    yield Check("faults", f"{played} of {played + missing}", "injected on purpose", problem)

    least = f"{len(calls)} calls at {rate.calls} in {rate.per:g} s take {len(calls) * rate.per / rate.calls:.1f} s"
    meaning = f"{least}; a resumed run first waits {rate.per:g} s, and a 429 lowers the rate"
    problem = f"more than {TIME_LIMIT:g}" if result.seconds > TIME_LIMIT else ""
    yield Check("seconds", f"{result.seconds:.1f}", meaning, problem)


def _check_tickets(result: DemoResult) -> Iterator[Check]:
    times = Counter(ticket.fields.get(MARKER) for ticket in result.emulator.tickets.values())
    twice = [str(key) for key, number in times.items() if number > 1]
    yield Check("duplicates", str(len(twice)), "rows with two tickets", _list("two tickets:", twice))

    lost = [str(row.key) for row in result.rows if _ticket_of(row, result) is None]
    yield Check("lost", str(len(lost)), "rows without a ticket", _list("no ticket:", lost))


def _ticket_of(row: BulkRow, result: DemoResult) -> StoredTicket | None:
    stored, receipt = result.emulator.tickets, result.receipts.get(row.key)
    found = [stored.get(receipt.number)] if receipt else stored.values()
    return next((ticket for ticket in found if ticket and ticket.fields.get(MARKER) == row.key), None)


def _files_match(row: BulkRow, ticket: StoredTicket | None) -> bool:
    sent = [hashlib.sha256(FILES[row.key][1]).hexdigest()] if row.key in FILES else []
    return ticket is not None and [file.sha256 for file in ticket.files] == sent


def _list(words: str, found: list[str]) -> str:
    """Return *words* and up to three items of *found*, or an empty text."""
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"{words} {', '.join(found[:3])}{more}" if found else ""
