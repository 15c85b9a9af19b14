"""Sends calls within the rate limit, with retries. Start reading at `Pipeline.send`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import attrs

from .._logging import logger
from .._wire import Api, Attempt, AttemptResult, Found, Outcome, OwnTickets, Retry, Unclear
from ..config import Config
from ..errors import LSQServiceError, NotSentError, OutcomeUnknownError, RateLimitError, printable
from ..events import AttemptEnded, CallEnded, CallStarted, Event, Hook, LimitPaused
from ..limits import Limiter, Slot
from .attempt import HttpSender
from .context import CallContext
from .failures import unfinished_result
from .retry import doubtful_attempt, final_error, final_outcome, is_retryable, retrying
from .upload import prepare

T = TypeVar("T")
_CLOSED = "The client was closed before the call was sent. Nothing was applied."
LARGE = 8 << 20  # bytes; larger uploads take long, so they get at most half of the slots


class Pipeline:
    """Sends calls and owns the requests in flight."""

    def __init__(
        self,
        config: Config,
        sender: HttpSender,
        limiters: Mapping[Api, Limiter],
        hooks: Sequence[Hook],
        own_tickets: OwnTickets,
    ) -> None:
        self._config = config
        self._sender = sender
        self._limiters = limiters
        self._hooks = list(hooks)
        self._own_tickets = own_tickets
        self._failed_hooks: set[int] = set()
        self._flights: dict[asyncio.Task[AttemptResult[Any]], CallContext] = {}
        self._waiting: set[asyncio.Timeout] = set()
        self._is_closing = False

    async def send(self, context: CallContext) -> Any:
        """Make attempts until a result is final. Return the record of the call or raise its error."""
        call, record = context.call, None
        error: BaseException | None = None
        if self._hooks:
            self._emit(context, CallStarted(reference=context.reference, operation=call.operation))
        try:
            length = len(call.body or b"")
            if call.attachments:
                about = call.attachments, self._config, context.deadline
                context.attachments = await self._unless_closed(prepare, *about)
                length += sum(attachment.length or 0 for attachment in context.attachments)
            context.is_large = length > LARGE
            result = await self._attempt(context)
            if result.error is not None and is_retryable(context, result):
                async for attempt in retrying(context, partial(self._unless_closed, asyncio.sleep)):
                    if attempt.retry_state.attempt_number > 1:
                        result = await self._looked_up(context, result) or await self._attempt(context)
                    attempt.retry_state.set_result(result)
            error = result.error
        except BaseException as raised:
            error = raised
        if error is None:
            record = _with_attempts(context, result.record)
        else:
            error = final_error(context, error)
        if self._hooks:
            ended = CallEnded(
                reference=context.reference,
                operation=call.operation,
                outcome=(Outcome.APPLIED if error is None else final_outcome(context, error)).value,
                attempts=context.number,
                seconds=context.clock() - context.started,
                error=error,
                possible_duplicate=error is None and doubtful_attempt(context) is not None,
            )
            self._emit(context, ended)
        if error is not None:
            raise error
        return record

    async def _attempt(self, context: CallContext) -> AttemptResult[Any]:
        """Wait for the rate limit, send one attempt and wait for its result.

        If the caller is cancelled, the request continues: httpx would leak the connection of a cancelled request, and a
        create may be applied anyway. The hooks still get the result.
        """
        call, asked = context.call, context.clock()
        context.is_started = context.fully_sent = False
        context.silence, context.headers, context.pause, context.digests = 0.0, {}, 0.0, []
        context.slot = slot = await self._acquire(context)
        context.number += 1
        # Some transports do not report when they send, so a request without a body counts as sent from here on.
        context.fully_sent = call.body is None
        started = context.clock()
        if call.create is not None:
            self._own_tickets.started(call.create, started)
        if self._hooks:
            self._emit(context, self._sender.started(context, started - asked))
        # A copy, because hooks cannot run in a context in which a task is running.
        name, variables = f"lsq {call.operation} {context.reference}", context.hook_context.copy()
        flight = asyncio.create_task(self._send_once(context, slot), name=name, context=variables)
        self._flights[flight] = context
        flight.add_done_callback(self._flights.pop)
        reason = "the deadline passed"
        try:
            await asyncio.wait([flight], timeout=None if context.deadline is None else context.deadline - started)
        except asyncio.CancelledError:
            context.abandoned, reason = True, "the caller was cancelled"
            raise
        finally:
            # If the task still runs, it emits AttemptEnded later.
            seconds, is_done = context.clock() - started, flight.done()
            if is_done and not flight.cancelled() and flight.exception() is None:
                result = flight.result()
            else:  # still running, cancelled, or ended by SystemExit
                result = unfinished_result(context, reason)
            if is_done:
                self._emit_attempt_end(context, result, seconds)
            else:
                context.abandoned = True
            context.attempts.append(
                Attempt(
                    number=context.number,
                    outcome=result.outcome,
                    status=result.status,
                    seconds=seconds,
                    reason=None if result.error is None else str(result.error),
                    digests=tuple(context.digests),
                )
            )
        if result.retry is Retry.AT_ONCE:
            return await self._attempt(context)
        return flight.result() if is_done else result

    async def _looked_up(self, context: CallContext, last: AttemptResult[Any]) -> AttemptResult[Any] | None:
        """Look up a create before it is sent again, if the policy requires this. Return None to send the call again."""
        call, policy = context.call, context.options.retry
        if policy.repeat_creates != "look" or last.retry is not Retry.ON_SERVER_ERROR:
            return None
        if call.create is None or call.look_up is None:
            return None
        try:
            async with asyncio.timeout_at(context.deadline):
                # After a 502 or 504 of a gateway, the service may still apply the create for about a minute.
                verdict = await call.look_up(call.create, 60.0 if last.status in (502, 504) else 0.0)
        except (LSQServiceError, TimeoutError) as failure:
            verdict = Unclear(f"the look-up failed ({str(failure) or 'the deadline passed'})")
        if isinstance(verdict, Unclear):
            text = f"{call.operation} may have been applied, and its look-up is unclear: {verdict.reason}."
            error = OutcomeUnknownError(f"{text} The last attempt failed: {last.error}")
            return AttemptResult(outcome=Outcome.UNKNOWN, error=error, status=last.status)
        if isinstance(verdict, Found):
            context.attempts[-1] = attrs.evolve(context.attempts[-1], outcome=Outcome.APPLIED)
            return AttemptResult(outcome=Outcome.APPLIED, record=verdict.receipt)
        context.attempts[-1] = attrs.evolve(context.attempts[-1], outcome=Outcome.NOT_APPLIED)
        call.create.ended_at, call.create.doubts = None, 0
        return None

    async def _acquire(self, context: CallContext) -> Slot:
        """Wait for a slot, then for ``before_send``."""
        slot = await self._unless_closed(
            self._limiters[context.call.api].acquire,
            context.options.lane,
            deadline=context.deadline,
            is_large=context.is_large,
            is_retry=context.number > 0,
        )
        try:
            if context.call.before_send is not None:
                is_doubtful = bool(context.attempts) and doubtful_attempt(context) is not None
                await context.call.before_send(context.reference, is_doubtful)
            if self._is_closing:
                raise NotSentError(_CLOSED)
        except BaseException:
            slot.cancel()
            raise
        return slot

    async def _unless_closed(self, wait: Callable[..., Awaitable[T]], *args: Any, **options: Any) -> T:
        """Return the result of ``wait``. Raises NotSentError if the client is closed before ``wait`` returns."""
        if self._is_closing:
            raise NotSentError(_CLOSED)
        try:
            async with asyncio.timeout(None) as waiting:  # `aclose` makes this timeout expire
                self._waiting.add(waiting)
                return await wait(*args, **options)
        except TimeoutError:
            raise NotSentError(_CLOSED) from None
        finally:
            self._waiting.discard(waiting)

    async def _send_once(self, context: CallContext, slot: Slot) -> AttemptResult[Any]:
        """Make one attempt and release its slot. Runs in a task that only `aclose` cancels."""
        started, result = context.clock(), None
        is_doubtful = bool(context.attempts) and doubtful_attempt(context) is not None
        try:
            result = await self._sender.send(context)
        except Exception as error:
            result = unfinished_result(context, f"this client failed with {type(error).__name__}")
        finally:
            is_unused = result is None or (result.status is None and result.outcome is Outcome.NOT_APPLIED)
            if is_unused and not context.is_started:
                slot.cancel()
            elif result is None or context.silence is None:
                slot.release()
            else:
                slot.release(silence=context.silence)
        record: Any = result.record
        if is_doubtful and hasattr(record, "possible_duplicate"):
            result = attrs.evolve(result, record=attrs.evolve(record, possible_duplicate=True))
        if (create := context.call.create) is not None:
            is_unknown = result.outcome is Outcome.UNKNOWN
            self._own_tickets.ended(create, context.clock(), result.record, is_unknown=is_unknown)
        if result.pause or isinstance(result.error, RateLimitError):
            self._slow_down(context, result, started)
        if context.abandoned:
            self._emit_attempt_end(context, result, context.clock() - started)
        return result

    def _slow_down(self, context: CallContext, result: AttemptResult[Any], sent: float) -> None:
        """Pause all calls of the limiter. If the service reported the rate limit, also lower the rate."""
        limiter, refusal = self._limiters[context.call.api], result.error
        if isinstance(refusal, RateLimitError):
            if refusal.is_quota:
                logger.warning("A quota of the account is used up: %s was refused (reference %s): %s",
                             context.call.operation, context.reference, refusal)  # fmt: skip
            events = limiter.refused(context.reference, refusal.retry_after, refusal.limit, sent=sent)
        else:
            limiter.pause(result.pause)
            events = [LimitPaused(reference=context.reference, seconds=result.pause)]
        for event in events:
            if isinstance(event, LimitPaused):
                context.pause = event.seconds
            self._emit(context, event)

    def _emit_attempt_end(self, context: CallContext, result: AttemptResult[Any], seconds: float) -> None:
        if logger.isEnabledFor(logging.DEBUG):
            text = "Attempt %d of %s ended after %.3f s: %s, status %s (reference %s)"
            logger.debug(text, context.number, context.call.operation, seconds, result.outcome, result.status,
                         context.reference)  # fmt: skip
        if self._hooks:
            ended = AttemptEnded(
                reference=context.reference,
                operation=context.call.operation,
                number=context.number,
                outcome=result.outcome.value,
                status=result.status,
                seconds=seconds,
                error=result.error,
                result=result.record,
                abandoned=context.abandoned,
                headers=context.headers,
            )
            self._emit(context, ended)

    def _emit(self, context: CallContext, event: Event) -> None:
        """Call every hook. Only the first exception of each hook is logged."""
        for index, hook in enumerate(self._hooks):
            try:
                context.hook_context.run(hook, event)
            except (Exception, asyncio.CancelledError) as error:
                if index not in self._failed_hooks:
                    self._failed_hooks.add(index)
                    with suppress(Exception):
                        text = "A hook raised %s. Later exceptions of this hook are not logged."
                        logger.error(text, printable(repr(error), 300))

    async def aclose(self, timeout: float) -> None:
        """Reject calls that wait. Give the requests in flight ``timeout`` seconds, then cancel those that remain."""
        self._is_closing = True
        for waiting in self._waiting:
            waiting.reschedule(asyncio.get_running_loop().time())
        if self._flights:
            logger.info("Closing: waiting up to %g s for %d requests in flight.", timeout, len(self._flights))
            await asyncio.wait(set(self._flights), timeout=timeout)
        # Requests that are still connecting are cancelled 1 s later, because httpx can leak an unfinished connection.
        for is_last, grace in ((False, 1.0), (True, None)):
            for flight in self._sender.interruptible & self._flights.keys():
                if is_last or self._flights[flight].is_started:
                    flight.cancel()
            if self._flights:
                await asyncio.wait(set(self._flights), timeout=grace)


def _with_attempts(context: CallContext, record: Any) -> Any:
    """Add the attempts to the record of an applied call. Warn if the call may have been applied twice."""
    attempts = tuple(context.attempts)
    doubtful = doubtful_attempt(context) if len(attempts) > 1 else None
    if doubtful is not None:
        text = (
            "%s may have been applied twice (reference %s): attempt %d was answered with %s, and attempt %d was "
            "applied. To get an error instead, set RetryPolicy(repeat_creates=False)."
        )
        logger.warning(text, context.call.operation, context.reference, doubtful.number, doubtful.status,
                     context.number)  # fmt: skip
    return attrs.evolve(record, attempts=attempts) if hasattr(record, "attempts") else record
