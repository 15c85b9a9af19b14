"""Checks the demo: compares what the client reported with what the emulator stored."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator

import attrs

from ... import BulkRow, InvalidRequestError, NotSentError
from ...emulator import Fault, Latency, RateLimited, Serve, Status, StoredTicket
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
    """All checks, in the order of the table."""
    return [*_check_calls(result), *_check_limit(result), *_check_tickets(result)]


def describe_faults(faults: Iterable[Fault]) -> list[str]:
    """Describe each fault, as often as it occurs."""
    return [_describe(fault) for fault in faults if not isinstance(fault, Serve) for _ in range(fault.times)]


def _describe(fault: Fault) -> str:
    match fault:
        case Status(status=status):
            return f"a {status}"
        case RateLimited(retry_after=None):
            return "a 429"
        case RateLimited(retry_after=seconds):
            return f"a 429 (Retry-After {seconds})"
        case Latency(seconds=seconds):
            return f"an answer {seconds:g} s late"
        case _:
            return type(fault).__name__


def _check_calls(result: DemoResult) -> Iterator[Check]:
    rows, receipts, first, second = result.rows, result.receipts, result.interrupted, result.resumed
    errors = [f"{row.key} ({result.errors[row.key]})" for row in rows if row.key in result.errors]
    yield Check("tickets", f"{len(receipts)} of {len(rows)}", "created, with a receipt", _list("no receipt:", errors))

    forgotten = f"{second.skipped} of {first.created} rows were known" if second.skipped != first.created else ""
    found = f"{second.created} of {len(rows) - first.total}"
    yield Check("resumed", found, f"rows left when the run was stopped after {first.total}", forgotten)

    with_files = [row for row in rows if row.attachments]
    broken = [str(row.key) for row in with_files if not _files_match(row, _ticket_of(row, result))]
    found = f"{len(with_files) - len(broken)} of {len(with_files)}"
    yield Check("attachments", found, "SHA-256 sent equals SHA-256 stored", _list("different in", broken))

    sent = rows[0].ticket
    names = ("title", "description", "type", "status", "priority", "channel")
    different = [name for name in names if getattr(result.read, name, None) != getattr(sent, name)]
    yield Check("read back", f"{int(not different)} of 1", "same fields as sent", _list("different:", different))

    ticket = _ticket_of(rows[0], result)
    status = ticket and ticket.fields.get("Status")
    updated = result.updated is not None and status == NEW_STATUS
    yield Check("updated", f"{int(updated)} of 1", f"status is {NEW_STATUS}", "" if updated else f"status is {status}")


def _check_limit(result: DemoResult) -> Iterator[Check]:
    emulator, rate = result.emulator, result.rate
    repeats = sum(len(receipt.attempts) - 1 for receipt in result.receipts.values())
    yield Check("calls", str(len(emulator.calls)), f"{repeats} of them were repeats")

    unsent = [str(key) for key, error in result.errors.items() if isinstance(error, NotSentError | InvalidRequestError)]
    yield Check("not sent", str(len(unsent)), "calls that the client rejected", _list("never sent:", unsent))

    limit = f"{rate.calls} calls in {rate.per:g} s"
    exceeded = f"the limit of {limit} was exceeded" if emulator.refused else ""
    yield Check("over the limit", str(emulator.refused), f"calls rejected for the limit of {limit}", exceeded)

    played = [_describe(call.fault) for call in emulator.calls if not (call.refused or isinstance(call.fault, Serve))]
    missing = describe_faults(emulator.faults.pending)
    found = f"{len(played)} of {len(played) + len(missing)}"
    yield Check("faults", found, ", ".join(played), _list("did not happen:", missing))

    calls = len(emulator.calls)
    meaning = (
        f"{calls} calls at {rate.calls} in {rate.per:g} s take {calls * rate.per / rate.calls:.1f} s; the rest is "
        f"{rate.per:g} s before a resumed run starts, and half the rate after a 429"
    )
    too_long = f"more than {TIME_LIMIT:g}" if result.seconds > TIME_LIMIT else ""
    yield Check("seconds", f"{result.seconds:.1f}", meaning, too_long)


def _check_tickets(result: DemoResult) -> Iterator[Check]:
    times = Counter(ticket.fields.get(MARKER) for ticket in result.emulator.tickets.values())
    doubled = [str(key) for key, number in times.items() for _ in range(number - 1)]
    yield Check("doubled", str(len(doubled)), "rows with two tickets", _list("two tickets:", doubled))

    lost = [str(row.key) for row in result.rows if _ticket_of(row, result) is None]
    yield Check("lost", str(len(lost)), "rows without a ticket", _list("no ticket:", lost))


def _ticket_of(row: BulkRow, result: DemoResult) -> StoredTicket | None:
    """The stored ticket that was made from *row*; if the row has a receipt, only the ticket that it names."""
    stored = result.emulator.tickets
    receipt = result.receipts.get(row.key)
    for number in [receipt.number] if receipt else list(stored):
        ticket = stored.get(number)
        if ticket and ticket.fields.get(MARKER) == row.key:
            return ticket
    return None


def _files_match(row: BulkRow, ticket: StoredTicket | None) -> bool:
    sent = hashlib.sha256(FILES[row.key][1]).hexdigest() if row.key in FILES else None
    return ticket is not None and [file.sha256 for file in ticket.files] == [sent]


def _list(words: str, found: list[str]) -> str:
    """*words* and up to three of the items found, or nothing if there are none."""
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"{words} {', '.join(found[:3])}{more}" if found else ""
