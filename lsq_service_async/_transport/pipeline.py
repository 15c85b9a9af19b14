"""The way of a call, read from top to bottom: send, _send_with_retries, _send_within_limits, _send_once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from .._wire import Api, AttemptResult, Call, Outcome, parse_response, with_attempts
from ..config import CallOptions, Config
from ..errors import LSQServiceError, NotSentError, OutcomeUnknownError, RateLimitError
from ..events import Event, Hook
from ..limits.gate import Gate, Slot
from .exchange import Exchange
from .failures import ClientClosedError, broken, overdue, verdict_of
from .retry import repeating, settle
from .run import Run, now
from .scrub import redact
from .upload import Body, prepare

T = TypeVar("T")
_log = logging.getLogger("lsq_service_async")
_CLOSED = "the client was closed before the call was sent"
HEAVY = 8 << 20  # an upload over 8 MiB holds its slot for long


class Pipeline:
    """Sends calls within the limit, with retries, and tells the hooks. Owns the flights that are under way."""

    def __init__(self, config: Config, exchange: Exchange, gates: Mapping[Api, Gate], hooks: Sequence[Hook]) -> None:
        self._config = config
        self._exchange = exchange
        self._gates = gates
        self._hooks = list(hooks)
        self._failed_hooks: set[int] = set()
        self._flights: set[asyncio.Task[AttemptResult[Any]]] = set()
        self._queued: set[asyncio.Timeout] = set()
        self._closing = False

    async def send(self, call: Call[T], options: CallOptions) -> T:
        """The record of a good answer, or the error that all attempts together come to."""
        run = Run(call, options, digests=self._config.attachment_digests)
        try:
            await self._prepare(run)
            verdict = await self._send_with_retries(run)
        except LSQServiceError as error:
            verdict = AttemptResult(outcome=Outcome.NOT_APPLIED, error=error)
        except Exception as error:
            verdict = broken(error, call, handed_over=run.sends > 0 and run.body.handed_over)
        except BaseException as error:
            self._tell(run.ended(run.outcome_so_far, error))
            raise
        failure = settle(call, run.attempts, verdict)
        unknown = isinstance(failure, OutcomeUnknownError)
        self._tell(run.ended(Outcome.UNKNOWN if unknown else verdict.outcome, failure))
        if failure is not None:
            failure.reference, failure.attempts = run.reference, tuple(run.attempts)
            raise failure
        doubtful = [attempt for attempt in run.attempts if attempt.outcome is Outcome.UNKNOWN]
        is_doubled = bool(doubtful) and not call.repeatable
        if is_doubled:
            _log.warning(
                "%s may have been applied twice (reference %s): attempt %d was answered with %s, and attempt %d was "
                "applied. To get an error instead, set RetryPolicy(repeat_creates=False).",
                call.operation, run.reference, doubtful[-1].number, doubtful[-1].status, run.sends,
            )  # fmt: skip
        record: T = with_attempts(verdict.record, tuple(run.attempts), possible_duplicate=is_doubled)
        return record

    async def _prepare(self, run: Run) -> None:
        try:
            async with asyncio.timeout_at(run.deadline):
                await prepare(run.call.attachments, self._config)
        except TimeoutError:
            raise NotSentError("the deadline passed while the attachments were copied; nothing was sent") from None

    async def _send_with_retries(self, run: Run) -> AttemptResult[Any]:
        return await repeating(lambda: self._send_within_limits(run), run.call, run.options.retry, run.seconds_left)

    async def _send_within_limits(self, run: Run) -> AttemptResult[Any]:
        asked = now()
        run.renew_body()
        try:
            slot = await self._acquire(run)
            await self._before_send(run, slot)
        except NotSentError as error:
            return AttemptResult(outcome=Outcome.NOT_APPLIED, error=error)
        run.sends += 1
        self._tell(run.attempt_started(queued=now() - asked))
        return await self._await_flight(run, self._launch(run, slot))

    async def _acquire(self, run: Run) -> Slot:
        """The right to one send; NotSentError when the client is closed meanwhile."""
        heavy = run.body.length > HEAVY
        try:
            async with asyncio.timeout(None) as patience:
                self._queued.add(patience)
                self._refuse_if_closing()
                gate = self._gates[run.call.api]
                return await gate.acquire(run.options.lane, deadline=run.deadline, heavy=heavy, again=run.sends > 0)
        except TimeoutError:
            raise NotSentError(_CLOSED) from None
        finally:
            self._queued.discard(patience)

    async def _before_send(self, run: Run, slot: Slot) -> None:
        """Let the caller make its intent durable; a send that must not begin leaves the slot as it was."""
        try:
            if run.options.before_send is not None:
                await run.options.before_send(run.reference)
            self._refuse_if_closing()
        except BaseException:
            slot.unused()
            raise

    def _refuse_if_closing(self) -> None:
        if self._closing:
            raise NotSentError(_CLOSED)

    def _launch(self, run: Run, slot: Slot) -> asyncio.Task[AttemptResult[Any]]:
        flight = asyncio.create_task(self._send_once(run, slot), name=f"lsq {run.call.operation} {run.reference}")
        self._flights.add(flight)
        flight.add_done_callback(self._flights.discard)
        return flight

    async def _await_flight(self, run: Run, flight: asyncio.Task[AttemptResult[Any]]) -> AttemptResult[Any]:
        """Wait for a send without being able to break it: cancelled inside httpx, it could lose its connection for
        ever, and a cancelled create may have been applied. Who leaves early leaves it to the hooks."""
        started = now()
        try:
            await asyncio.wait([flight], timeout=None if run.deadline is None else run.deadline - started)
        except asyncio.CancelledError:
            run.left = True
            self._land(run, flight, started)
            raise
        return self._land(run, flight, started)

    def _land(self, run: Run, flight: asyncio.Task[AttemptResult[Any]], started: float) -> AttemptResult[Any]:
        """What is known of a send as its caller stops waiting. It may have ended in the turn of the loop in which the
        caller was cancelled; one that goes on tells the hooks of its end by itself."""
        seconds = now() - started
        if flight.done():
            verdict = flight.result()
            self._tell(run.attempt_ended(verdict, seconds))
        else:
            run.leave()
            verdict = overdue(run.call, handed_over=run.body.handed_over)
        run.attempts.append(run.attempt(verdict, seconds))
        return verdict

    async def _send_once(self, run: Run, slot: Slot) -> AttemptResult[Any]:
        """One flight. It ends in a verdict, whatever happens; cancelled (only by `aclose`), in an unknown one."""
        started, verdict = now(), None
        try:
            verdict = await self._attempted(run)
        except Exception as error:
            verdict = broken(error, run.call, handed_over=run.body.handed_over)
        except BaseException as error:
            error.__traceback__ = None  # frames of httpx, with the request's headers in their locals
            raise
        finally:
            self._give_back(slot, verdict, run.body)
        self._pause_if_refused(run, verdict)
        if run.left:
            self._tell(run.attempt_ended(verdict, now() - started))
        return verdict

    async def _attempted(self, run: Run) -> AttemptResult[Any]:
        body, hide = run.body, partial(redact, self._config)
        try:
            answer = await self._exchange(run.call, body, run.options.timeout)
            return parse_response(run.call, answer.status, answer.headers, answer.body, hide)
        except Exception as error:
            return verdict_of(error, run.call, self._config, handed_over=body.handed_over)
        except asyncio.CancelledError:
            return verdict_of(ClientClosedError(), run.call, self._config, handed_over=body.handed_over)

    def _give_back(self, slot: Slot, verdict: AttemptResult[Any] | None, body: Body) -> None:
        never_left = verdict is None or (verdict.outcome is Outcome.NOT_APPLIED and verdict.status is None)
        slot.unused() if never_left and not body.started else slot.answered()

    def _pause_if_refused(self, run: Run, verdict: AttemptResult[Any]) -> None:
        error, gate = verdict.error, self._gates[run.call.api]
        if isinstance(error, RateLimitError):
            for event in gate.refused(run.reference, error.retry_after, error.limit):
                self._tell(event)

    def _tell(self, event: Event) -> None:
        for index, hook in enumerate(self._hooks):
            try:
                hook(event)
            except (Exception, asyncio.CancelledError) as error:
                if index not in self._failed_hooks:
                    self._failed_hooks.add(index)
                    _log.error("a hook raised %r; it is told of later events, and this is not logged again", error)

    async def aclose(self, timeout: float) -> None:
        """Send away who waits for the limit, wait at most ``timeout`` seconds for the flights, then end them.

        What was sent and not answered by then is told as unknown.
        """
        self._closing = True
        for patience in self._queued:
            patience.reschedule(now())
        if self._flights:
            _log.info("closing waits for %d calls under way, at most %g s", len(self._flights), timeout)
            await asyncio.wait(set(self._flights), timeout=timeout)
        for flight in self._flights & self._exchange.cancellable:
            flight.cancel()
        if self._flights:
            await asyncio.wait(set(self._flights))
