"""One logical call on its way, and what is told of it."""

from __future__ import annotations

import asyncio
import math
import secrets
from typing import Any

import attrs

from .._wire import Attempt, AttemptResult, Call, Outcome
from ..config import CallOptions
from ..events import AttemptEnded, AttemptStarted, CallEnded
from .upload import Body, Progress


def now() -> float:
    """Seconds on the clock by which all deadlines go, which is that of the running loop."""
    return asyncio.get_running_loop().time()


@attrs.define(eq=False)
class Run:
    """``sends`` counts the attempts that began; ``left`` is True once nobody waits for the one that is under way."""

    call: Call[Any]
    options: CallOptions
    digests: bool = attrs.field(kw_only=True)
    started: float = attrs.field(factory=now, init=False)
    reference: str = attrs.field(factory=lambda: secrets.token_hex(8), init=False)
    boundary: str = attrs.field(factory=lambda: secrets.token_hex(16), init=False)
    attempts: list[Attempt] = attrs.field(factory=list, init=False)
    sends: int = attrs.field(default=0, init=False)
    progress: Progress = attrs.field(init=False)
    body: Body = attrs.field(init=False)
    left: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.progress = Progress(self.call.progress)

    def renew_body(self) -> None:
        """A body serves one attempt."""
        self.body = Body(self.call, self.boundary, self.progress, digests=self.digests, patience=self.options.timeout)

    @property
    def deadline(self) -> float | None:
        """When all of it must be over, on the loop's clock."""
        return None if self.options.deadline is None else self.started + self.options.deadline

    def seconds_left(self) -> float:
        """Until the deadline; ``inf`` if there is none."""
        return math.inf if self.deadline is None else self.deadline - now()

    def leave(self) -> None:
        """Nobody waits for the send that is under way: what is not sent yet stays unsent."""
        self.left = True
        self.body.fail()

    @property
    def outcome_so_far(self) -> Outcome:
        """The worst of all attempts, unless the last one was applied."""
        outcomes = [attempt.outcome for attempt in self.attempts] or [Outcome.NOT_APPLIED]
        doubtful = Outcome.UNKNOWN in outcomes and outcomes[-1] is not Outcome.APPLIED
        return Outcome.UNKNOWN if doubtful else outcomes[-1]

    def attempt(self, verdict: AttemptResult[Any], seconds: float) -> Attempt:
        """For the receipt or the error: the send that is under way ended so, as far as its caller knows."""
        return Attempt(
            number=self.sends,
            outcome=verdict.outcome,
            status=verdict.status,
            seconds=seconds,
            reason=None if verdict.error is None else str(verdict.error),
            digests=tuple(self.body.digests),
        )

    def attempt_started(self, *, queued: float) -> AttemptStarted:
        """For the hooks: one more send begins."""
        return AttemptStarted(reference=self.reference, operation=self.call.operation, number=self.sends, queued=queued)

    def attempt_ended(self, verdict: AttemptResult[Any], seconds: float) -> AttemptEnded:
        """For the hooks: the last send ended."""
        return AttemptEnded(
            reference=self.reference,
            operation=self.call.operation,
            number=self.sends,
            outcome=verdict.outcome.value,
            status=verdict.status,
            seconds=seconds,
            error=verdict.error,
            result=verdict.record,
            abandoned=self.left,
        )

    def ended(self, outcome: Outcome, error: BaseException | None) -> CallEnded:
        """For the hooks: all of it is over for its caller."""
        return CallEnded(
            reference=self.reference,
            operation=self.call.operation,
            outcome=outcome.value,
            attempts=self.sends,
            seconds=now() - self.started,
            error=error,
        )
