"""The reports of a run: a plan, an outcome for each row, a summary, rate and time left."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sized
from typing import Literal

import attrs

from ..errors import (
    APIStatusError,
    AuthenticationError,
    InvalidRequestError,
    LSQServiceError,
    NotSentError,
    RateLimitError,
    ServerError,
)
from ..records import Outcome, TicketReceipt
from ._journal_file import Entry, State
from .rows import BulkRow, Source

OutcomeState = Literal["created", "updated", "skipped", "failed", "unknown"]


@attrs.frozen
class RowOutcome:
    """The result of one row of the input.

    A created, updated or skipped row has a ``receipt``, unless you resolved the row without a ticket number. A failed
    row has a receipt if an earlier run applied the row, and its content has changed since that run. ``row`` is the row
    that you passed to the job, as a `BulkRow`. ``possible_duplicate`` is True if an earlier attempt of the row may have
    been applied too.
    """

    key: str
    state: OutcomeState
    receipt: TicketReceipt | None = None
    error: LSQServiceError | None = None
    row: BulkRow | None = attrs.field(default=None, eq=False, repr=False)
    possible_duplicate: bool = attrs.field(default=False, kw_only=True)


@attrs.frozen
class Plan:
    """An estimate of a run.

    ``calls`` is the number of rows to send, plus ``max_reads`` if a `Lookup` has to look up unknown rows. Retries are
    not included. ``seconds`` is the time of these calls at the pace of the rate limit. ``done`` is the number of rows
    that are done before the run. ``calls`` and ``seconds`` are None if the length of the input is not known.
    """

    calls: int | None
    seconds: float | None
    done: int


@attrs.frozen
class Summary:
    """The number of rows in each state so far.

    Each row in ``possible_duplicates`` is also counted in ``created`` or ``updated``.
    """

    created: int = 0
    updated: int = 0
    skipped: int = 0
    failed: int = 0
    unknown: int = 0
    possible_duplicates: int = 0

    @property
    def total(self) -> int:
        return self.created + self.updated + self.skipped + self.failed + self.unknown


def previous_error(entry: Entry) -> LSQServiceError:
    """Return the error of a row that failed or became unknown in an earlier run."""
    what = "failed" if entry.state is State.FAILED else "may have been applied"
    reason = f" ({entry.error})" if entry.error else ""
    text, is_safe = f"Row {entry.key!r} {what} in an earlier run{reason}.", entry.state is State.FAILED
    return LSQServiceError(text, reference=entry.reference, safe_to_repeat=is_safe)


def state_for_error(error: LSQServiceError) -> State:
    """Return the state of a row whose call raised an error. Pending and failed mean that no attempt was applied."""
    if any(attempt.outcome is Outcome.UNKNOWN for attempt in error.attempts):
        return State.UNKNOWN
    last = error.attempts[-1].outcome if error.attempts else None
    if isinstance(error, NotSentError | AuthenticationError | RateLimitError) or last is Outcome.NOT_APPLIED:
        return State.PENDING  # the row is not the cause
    is_refused = isinstance(error, APIStatusError | InvalidRequestError)
    is_broken = isinstance(error, ServerError) and error.exception_type is None and last is not Outcome.REFUSED
    return State.FAILED if is_refused and not is_broken else State.UNKNOWN


class Progress:
    """Counts the rows of a run. The run does not send rows whose state in the journal is in ``kept``."""

    def __init__(self, rows: Source, kept: set[State]) -> None:
        self.in_flight: set[str] = set()
        """The keys of rows whose results are not stored yet."""
        self._rows = rows
        self._kept = kept
        self._to_keep = 0
        self._counts: Counter[str] = Counter()
        self._sent = 0
        self._first_send: float | None = None
        self._last_result = 0.0

    def plan(self, states: Mapping[State, int], seconds_per_call: float, reads: int) -> Plan:
        """Return the plan of a run with ``reads`` reads for look-ups."""
        done = states.get(State.DONE, 0)
        if not isinstance(self._rows, Sized):
            return Plan(None, None, done)
        calls = max(0, len(self._rows) - sum(states.get(state, 0) for state in self._kept)) + reads
        return Plan(calls, calls * seconds_per_call, done)

    def run_started(self, states: Mapping[State, int]) -> None:
        """Call this when the run begins, with the number of rows of the journal in each state."""
        self._to_keep = sum(states.get(state, 0) for state in self._kept)

    def row_started(self, key: str) -> None:
        """Call this when a row is stored as in flight."""
        if self._first_send is None:
            self._first_send = asyncio.get_running_loop().time()
        self.in_flight.add(key)

    def row_finished(self, key: str) -> None:
        """Call this when the result of a row is stored. Does nothing if the row was not sent."""
        if key in self.in_flight:
            self.in_flight.discard(key)
            self._sent += 1
            self._last_result = asyncio.get_running_loop().time()

    def outcome_delivered(self, outcome: RowOutcome) -> None:
        self._counts[outcome.state] += 1
        if outcome.possible_duplicate and outcome.state != "skipped":
            self._counts["possible_duplicates"] += 1

    def summary(self) -> Summary:
        return Summary(**self._counts)

    def remaining(self) -> int | None:
        """Return how many rows are still to be sent, or None if the length of the input is not known."""
        if not isinstance(self._rows, Sized):
            return None
        delivered = self.summary().total
        return max(0, len(self._rows) - delivered - max(0, self._to_keep - (delivered - self._sent)))

    def per_second(self) -> float:
        """Return the average number of rows sent per second, or 0.0 before the first result."""
        return 0.0 if self._first_send is None else self._sent / max(self._last_result - self._first_send, 0.001)
