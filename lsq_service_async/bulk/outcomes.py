"""What a run tells: what it will cost, what came of each row, and how many ended how."""

from __future__ import annotations

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
from .journal import Entry
from .journal_file import State
from .rows import BulkRow

OutcomeState = Literal["created", "updated", "skipped", "failed", "unknown"]


@attrs.frozen
class RowOutcome:
    """What came of one row of the input. ``receipt`` is there for created, updated and skipped ones, but for those of
    which the user said that they were applied, and no number; ``row`` is what was given, a plain ticket as a `BulkRow`
    without a key."""

    key: str
    state: OutcomeState
    receipt: TicketReceipt | None = None
    error: LSQServiceError | None = None
    row: BulkRow | None = attrs.field(default=None, eq=False, repr=False)


@attrs.frozen
class Plan:
    """What a run will cost: ``calls`` to send and the least ``seconds`` that takes at the limit, both None where the
    input does not say how long it is; ``done`` rows that an earlier run has finished.

    It is reckoned from how many rows the journal has in which state, as if all of them were in the input.
    """

    calls: int | None
    seconds: float | None
    done: int


@attrs.frozen
class Summary:
    """How many rows ended how, so far."""

    created: int = 0
    updated: int = 0
    skipped: int = 0
    failed: int = 0
    unknown: int = 0

    @property
    def total(self) -> int:
        return self.created + self.updated + self.skipped + self.failed + self.unknown


def earlier(entry: Entry) -> LSQServiceError:
    """The error of a row that this run does not touch."""
    words = {State.FAILED: "failed", State.UNKNOWN: "may or may not have been applied"}[entry.state]
    why = f" ({entry.error})" if entry.error else ""
    return LSQServiceError(f"the row {entry.key!r} {words} in an earlier run{why}")


def state_after(error: LSQServiceError) -> State:
    """What is known of a row whose send ended so. Pending and failed ones were certainly not applied, by any of their
    attempts: they may be sent again, and mended."""
    if any(attempt.outcome is Outcome.UNKNOWN for attempt in error.attempts):
        return State.UNKNOWN
    if isinstance(error, NotSentError | AuthenticationError | RateLimitError):  # they say nothing of the row
        return State.PENDING
    if isinstance(error, ServerError) and error.exception_type is None:
        return State.UNKNOWN
    return State.FAILED if isinstance(error, APIStatusError | InvalidRequestError) else State.UNKNOWN
