"""Checks the demo: compares the client's reports with the tickets and calls that the emulator recorded."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

import attrs

from ... import BulkRow
from ...emulator import Serve, StoredTicket
from .demo import FILES, MARKER, NEW_STATUS, DemoResult

TIME_LIMIT = 30.0
"""Seconds that the demo may take."""


@attrs.frozen
class Check:
    """One line of the table. `problem` is empty if the check passed."""

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
    """The ticket of *row* in the emulator; if the row has a receipt, only the ticket with its number."""
    stored, receipt = result.emulator.tickets, result.receipts.get(row.key)
    found = [stored.get(receipt.number)] if receipt else stored.values()
    return next((ticket for ticket in found if ticket and ticket.fields.get(MARKER) == row.key), None)


def _files_match(row: BulkRow, ticket: StoredTicket | None) -> bool:
    sent = [hashlib.sha256(FILES[row.key][1]).hexdigest()] if row.key in FILES else []
    return ticket is not None and [file.sha256 for file in ticket.files] == sent


def _list(words: str, found: list[str]) -> str:
    """Return *words* and up to three of the items, or an empty text without items."""
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"{words} {', '.join(found[:3])}{more}" if found else ""
