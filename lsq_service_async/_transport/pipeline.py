"""The way of a call, read from top to bottom: send, _send_with_retries, _send_within_limits, _send_once."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import attrs

from .._wire import Api, Attempt, Call, Outcome, Verdict, read_answer, with_attempts
from ..config import CallOptions, Config
from ..errors import NotSentError, OutcomeUnknownError, RateLimitError
from ..events import AttemptEnded, AttemptStarted, CallEnded, Event, Hook
from ..limits.gate import Gate, Slot
from .exchange import Answer, Exchange
from .failures import ClientClosedError, unanswered, verdict_of
from .retry import repeating, settle
from .upload import Body, Progress, prepare

T = TypeVar("T")
_log = logging.getLogger("lsq_service_async")
HEAVY = 8 << 20  # an upload over 8 MiB holds its slot for long


@attrs.define(eq=False)
class _Run:
    """One logical call on its way."""

    call: Call[Any]
    options: CallOptions
    started: float
    digests: bool
    reference: str = attrs.field(factory=lambda: secrets.token_hex(8))
    boundary: str = attrs.field(factory=lambda: secrets.token_hex(16))
    attempts: list[Attempt] = attrs.field(factory=list)
    sends: int = 0
    progress: Progress = attrs.field(init=False)
    body: Body = attrs.field(init=False)
    left: bool = False

    def __attrs_post_init__(self) -> None:
        self.progress = Progress(self.call.progress)
        self.renew_body()

    def renew_body(self) -> None:
        """A body serves one attempt."""
        self.body = Body(self.call, self.boundary, self.progress, digests=self.digests)

    @property
    def deadline(self) -> float | None:
        return None if self.options.deadline is None else self.started + self.options.deadline

    def leave(self) -> None:
        """Nobody waits for the send that is under way: what is not sent yet stays unsent."""
        self.left = True
        self.body.fail()

    @property
    def outcome_so_far(self) -> Outcome:
        unknown = self.left or any(attempt.outcome is Outcome.UNKNOWN for attempt in self.attempts)
        return Outcome.UNKNOWN if unknown else Outcome.NOT_APPLIED


class Pipeline:
    """Sends calls within the limit, with retries, and tells the hooks. Owns the flights that are under way."""

    def __init__(self, config: Config, exchange: Exchange, gates: Mapping[Api, Gate], hooks: Sequence[Hook]) -> None:
        self._config = config
        self._exchange = exchange
        self._gates = gates
        self._hooks = list(hooks)
        self._failed_hooks: set[int] = set()
        self._flights: set[asyncio.Task[Verdict[Any]]] = set()

    async def send(self, call: Call[T], options: CallOptions) -> T:
        """The record of a good answer, or the error that all attempts together come to."""
        started = _now()
        await prepare(call.attachments, self._config)
        run = _Run(call, options, started, self._config.attachment_digests)
        try:
            verdict = await self._send_with_retries(run)
        except BaseException as error:
            self._tell_end(run, run.outcome_so_far, error)
            raise
        failure = settle(call, run.attempts, verdict)
        unknown = isinstance(failure, OutcomeUnknownError)
        self._tell_end(run, Outcome.UNKNOWN if unknown else verdict.outcome, failure)
        if failure is not None:
            failure.reference, failure.attempts = run.reference, tuple(run.attempts)
            raise failure
        record: T = with_attempts(verdict.record, tuple(run.attempts))
        return record

    async def _send_with_retries(self, run: _Run) -> Verdict[Any]:
        return await repeating(
            lambda: self._send_within_limits(run), run.call, run.options.retry, lambda: _seconds_left(run)
        )

    async def _send_within_limits(self, run: _Run) -> Verdict[Any]:
        asked = _now()
        try:
            heavy = run.body.length > HEAVY
            slot = await self._gates[run.call.api].acquire(run.options.lane, deadline=run.deadline, heavy=heavy)
        except NotSentError as error:
            return Verdict(outcome=Outcome.NOT_APPLIED, error=error)
        await _before_send(run, slot)
        run.sends += 1
        run.renew_body()
        self._tell(
            AttemptStarted(
                reference=run.reference, operation=run.call.operation, number=run.sends, queued=_now() - asked
            )
        )
        return await self._await_flight(run, self._launch(run, slot))

    def _launch(self, run: _Run, slot: Slot) -> asyncio.Task[Verdict[Any]]:
        flight = asyncio.create_task(self._send_once(run, slot), name=f"lsq {run.call.operation} {run.reference}")
        self._flights.add(flight)
        flight.add_done_callback(self._flights.discard)
        return flight

    async def _await_flight(self, run: _Run, flight: asyncio.Task[Verdict[Any]]) -> Verdict[Any]:
        """Wait for a send without being able to break it: cancelled inside httpx, it could lose its connection for
        ever, and a cancelled create may have been applied. Who leaves early leaves it to the hooks."""
        number, started = run.sends, _now()
        try:
            async with asyncio.timeout_at(run.deadline):
                verdict = await asyncio.shield(flight)
        except TimeoutError:
            run.leave()
            error = unanswered(run.call, "the deadline passed before its answer came")
            verdict = Verdict(outcome=Outcome.UNKNOWN, error=error)
        except asyncio.CancelledError:
            run.leave()
            raise
        run.attempts.append(_attempt(run, number, verdict, _now() - started))
        return verdict

    async def _send_once(self, run: _Run, slot: Slot) -> Verdict[Any]:
        """One flight. It ends in a verdict, whatever happens; cancelled (only by `aclose`), in an unknown one."""
        body, started, number = run.body, _now(), run.sends
        try:
            answer = await self._exchange(run.call, body, run.options.timeout)
            verdict = self._read(run.call, answer)
        except Exception as error:
            verdict = verdict_of(error, run.call, handed_over=body.handed_over)
        except asyncio.CancelledError:
            verdict = verdict_of(ClientClosedError(), run.call, handed_over=body.handed_over)
        self._give_back(slot, verdict, body)
        self._pause_if_refused(run, verdict)
        self._tell_attempt(run, number, verdict, _now() - started)
        return verdict

    def _read(self, call: Call[Any], answer: Answer) -> Verdict[Any]:
        verdict = read_answer(call, answer.status, answer.headers, answer.body)
        keys = [key.reveal().encode() for key in (self._config.access_key, self._config.secret_key)]
        if verdict.error is None or not any(key in answer.body for key in keys):
            return verdict
        # The service repeated a key: read its words again without it.
        body = answer.body
        for key in keys:
            body = body.replace(key, b"***")
        return attrs.evolve(verdict, error=read_answer(call, answer.status, answer.headers, body).error)

    def _give_back(self, slot: Slot, verdict: Verdict[Any], body: Body) -> None:
        never_left = verdict.outcome is Outcome.NOT_APPLIED and verdict.status is None and not body.started
        slot.unused() if never_left else slot.answered()

    def _pause_if_refused(self, run: _Run, verdict: Verdict[Any]) -> None:
        error, gate = verdict.error, self._gates[run.call.api]
        if isinstance(error, RateLimitError):
            for event in gate.refused(run.reference, error.retry_after, error.limit):
                self._tell(event)

    def _tell_attempt(self, run: _Run, number: int, verdict: Verdict[Any], seconds: float) -> None:
        self._tell(
            AttemptEnded(
                reference=run.reference,
                operation=run.call.operation,
                number=number,
                outcome=verdict.outcome.value,
                status=verdict.status,
                seconds=seconds,
                error=verdict.error,
                result=verdict.record,
                abandoned=run.left,
            )
        )

    def _tell_end(self, run: _Run, outcome: Outcome, error: BaseException | None) -> None:
        self._tell(
            CallEnded(
                reference=run.reference,
                operation=run.call.operation,
                outcome=outcome.value,
                attempts=run.sends,
                seconds=_now() - run.started,
                error=error,
            )
        )

    def _tell(self, event: Event) -> None:
        for index, hook in enumerate(self._hooks):
            try:
                hook(event)
            except Exception as error:
                if index not in self._failed_hooks:
                    self._failed_hooks.add(index)
                    _log.error("a hook raised %r; it is told of later events, and this is not logged again", error)

    async def aclose(self, timeout: float) -> None:
        """Wait at most ``timeout`` seconds for the flights, then end them; what they did is told as unknown."""
        if self._flights:
            _, open_flights = await asyncio.wait(set(self._flights), timeout=timeout)
            for flight in open_flights:
                flight.cancel()
            await asyncio.gather(*open_flights, return_exceptions=True)


async def _before_send(run: _Run, slot: Slot) -> None:
    """Let the caller make its intent durable; a send that must not begin leaves the slot as it was."""
    try:
        if run.options.before_send is not None:
            await run.options.before_send()
    except BaseException:
        slot.unused()
        raise


def _now() -> float:
    return asyncio.get_running_loop().time()


def _seconds_left(run: _Run) -> float:
    return float("inf") if run.deadline is None else run.deadline - _now()


def _attempt(run: _Run, number: int, verdict: Verdict[Any], seconds: float) -> Attempt:
    return Attempt(
        number=number,
        outcome=verdict.outcome,
        status=verdict.status,
        seconds=seconds,
        reason=None if verdict.error is None else str(verdict.error),
        digests=tuple(run.body.digests),
    )
