"""Whether a run of the demo was right: what the client was told, held against what the emulator has seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from ... import InvalidRequestError, NotSentError, RateLimit
from ...emulator import Emulator, Fault, Latency, RateLimited, Serve, Status, StoredTicket
from .run import NEW_STATUS, Run
from .tickets import MARKER, DemoRow

TIME_LIMIT = 30.0
"""Seconds that a run may take."""

_UNSENT = (NotSentError, InvalidRequestError)


@attrs.frozen
class Line:
    """A line of the table: ``found`` is a number for people, ``note`` says what it means, ``wrong`` what is wrong
    with it (nothing: "")."""

    name: str
    found: str
    note: str
    wrong: str = ""


@attrs.frozen
class Evidence:
    """All that is known at the end; ``rate`` is what the client kept to."""

    rows: Sequence[DemoRow]
    run: Run
    emulator: Emulator
    rate: RateLimit

    @property
    def stored(self) -> Mapping[str, StoredTicket]:
        return self.emulator.tickets

    def ticket_of(self, row: DemoRow) -> StoredTicket | None:
        """The ticket that the row's receipt names, if it is the row's; without a receipt any of the row's."""
        receipt = self.run.receipts.get(row.key)
        numbers = [receipt.number] if receipt else list(self.stored)
        found = (self.stored.get(number) for number in numbers)
        return next((ticket for ticket in found if ticket and ticket.fields.get(MARKER) == row.key), None)


def table(evidence: Evidence) -> list[Line]:
    """Every line; the run was right when none of them is wrong."""
    return [line(evidence) for line in _LINES]


def planned(emulator: Emulator) -> list[str]:
    """What is still to go wrong on purpose, in words."""
    pending = [fault for fault in emulator.faults.pending for _ in range(fault.times)]
    return [_words(fault) for fault in pending if not isinstance(fault, Serve)]


def _happened(emulator: Emulator) -> list[str]:
    return [_words(call.fault) for call in emulator.calls if not (call.refused or isinstance(call.fault, Serve))]


def _words(fault: Fault) -> str:
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


def _tickets(evidence: Evidence) -> Line:
    errors = [f"{row.key} ({evidence.run.errors[row.key]})" for row in evidence.rows if row.key in evidence.run.errors]
    found = f"{len(evidence.run.receipts)} of {len(evidence.rows)}"
    return Line("tickets", found, "created, each with its receipt", _some("no receipt for", errors))


def _resumed(evidence: Evidence) -> Line:
    first, second = evidence.run.interrupted, evidence.run.resumed
    left = len(evidence.rows) - first.total
    note = f"rows that were left when the run was stopped after {first.total}"
    wrong = "" if second.skipped == first.created else f"{second.skipped} of {first.created} were known"
    return Line("resumed", f"{second.created} of {left}", note, wrong)


def _attachments(evidence: Evidence) -> Line:
    with_files = [row for row in evidence.rows if row.digests]
    broken = [row.key for row in with_files if _digests(evidence.ticket_of(row)) != row.digests]
    found = f"{len(with_files) - len(broken)} of {len(with_files)}"
    return Line("attachments", found, "the same SHA-256 on both sides", _some("other bytes in", broken))


def _digests(ticket: StoredTicket | None) -> tuple[str, ...]:
    return tuple(file.sha256 for file in ticket.files) if ticket else ()


def _read_back(evidence: Evidence) -> Line:
    sent, got = evidence.rows[0].ticket, evidence.run.read
    names = ("title", "description", "type", "status", "priority", "channel")
    other = [name for name in names if getattr(got, name, None) != getattr(sent, name)]
    return Line("read back", f"{int(not other)} of 1", "the fields that were sent", _some("not as sent:", other))


def _updated(evidence: Evidence) -> Line:
    ticket = evidence.ticket_of(evidence.rows[0])
    status = ticket and ticket.fields.get("Status")
    right = evidence.run.updated is not None and status == NEW_STATUS
    wrong = "" if right else f"the status is {status}"
    return Line("updated", f"{int(right)} of 1", f"the status is {NEW_STATUS}", wrong)


def _calls(evidence: Evidence) -> Line:
    repeats = sum(len(receipt.attempts) - 1 for receipt in evidence.run.receipts.values())
    return Line("calls", str(len(evidence.emulator.calls)), f"{repeats} of them were repeats")


def _refused_by_us(evidence: Evidence) -> Line:
    unsent = [key for key, error in evidence.run.errors.items() if isinstance(error, _UNSENT)]
    return Line(
        "refused by us",
        str(len(unsent)),
        "rows that the client gave up before it sent them",
        _some("never sent:", unsent),
    )


def _refused_by_it(evidence: Evidence) -> Line:
    refused = evidence.emulator.refused
    wrong = f"the limit of {_limit(evidence.rate)} was not kept" if refused else ""
    return Line("refused by it", str(refused), f"for its limit of {_limit(evidence.rate)}, which was kept", wrong)


def _injected(evidence: Evidence) -> Line:
    happened, missing = _happened(evidence.emulator), planned(evidence.emulator)
    found = f"{len(happened)} of {len(happened) + len(missing)}"
    return Line("on purpose", found, ", ".join(happened), _some("did not happen:", missing))


def _seconds(evidence: Evidence) -> Line:
    calls, rate = len(evidence.emulator.calls), evidence.rate
    least = f"{calls} calls / ({rate.calls} in {rate.per:g} s) = {calls * rate.per / rate.calls:.1f}"
    share = f"{least}; the rest: {rate.per:g} s before a resumed run sends, half the speed after a 429"
    wrong = f"more than {TIME_LIMIT:g}" if evidence.run.seconds > TIME_LIMIT else ""
    return Line("seconds", f"{evidence.run.seconds:.1f}", share, wrong)


def _doubled(evidence: Evidence) -> Line:
    keys = Counter(ticket.fields.get(MARKER) for ticket in evidence.stored.values())
    extra = [str(key) for key, times in keys.items() for _ in range(times - 1)]
    return Line("doubled", str(len(extra)), "rows that became two tickets", _some("there again:", extra))


def _lost(evidence: Evidence) -> Line:
    lost = [row.key for row in evidence.rows if evidence.ticket_of(row) is None]
    return Line("lost", str(len(lost)), "rows that became none", _some("not there:", lost))


def _limit(rate: RateLimit) -> str:
    return f"{rate.calls} calls in {rate.per:g} s"


def _some(words: str, found: Sequence[str]) -> str:
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"{words} {', '.join(found[:3])}{more}" if found else ""


_LINES = (
    _tickets,
    _resumed,
    _attachments,
    _read_back,
    _updated,
    _calls,
    _refused_by_us,
    _refused_by_it,
    _injected,
    _seconds,
    _doubled,
    _lost,
)
