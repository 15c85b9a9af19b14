"""Decides when a call is sent again, and derives the error and the outcome of the call."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from .._logging import logger
from .._wire import Attempt, AttemptResult, Idempotency, Outcome, Retry
from ..errors import LSQServiceError, NotSentError, OutcomeUnknownError, RateLimitError
from .context import CallContext
from .failures import unfinished

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState


def retrying(context: CallContext, sleep: Callable[[float], Awaitable[None]]) -> AsyncRetrying:
    """Return a new retry loop for one call. If two calls shared a loop, each would see the results of the other."""
    from tenacity import AsyncRetrying, retry_if_result  # imported here, because many programs never retry

    policy = context.options.retry

    def stop(state: RetryCallState) -> bool:
        result: AttemptResult[Any] = state.outcome.result()  # type: ignore[union-attr]  # is set by now
        next_start = context.clock() + max(state.upcoming_sleep, result.pause)
        is_late = context.deadline is not None and next_start >= context.deadline
        return is_late or state.attempt_number >= policy.attempts

    def wait(state: RetryCallState) -> float:
        result: AttemptResult[Any] = state.outcome.result()  # type: ignore[union-attr]  # is set by now
        if isinstance(result.error, RateLimitError) or result.pause:
            return 0.0  # the limiter is paused already, for all calls
        longest = min(policy.backoff_cap, policy.backoff * 2.0 ** min(state.attempt_number - 1, 60))
        return max(random.uniform(0, longest), result.retry_after or 0.0)  # full jitter

    def log(state: RetryCallState) -> None:
        result: AttemptResult[Any] = state.outcome.result()  # type: ignore[union-attr]  # is set by now
        pause, number = max(state.upcoming_sleep, context.pause), context.number
        level = logging.WARNING if state.attempt_number >= 3 or pause > 10 else logging.INFO
        about = {"reference": context.reference, "operation": context.call.operation, "attempt": number}
        is_looked_up = policy.repeat_creates == "look" and result.retry is Retry.ON_SERVER_ERROR
        what = "looked up" if is_looked_up and context.call.create is not None else "sent again"
        text = "%s is %s in %.1f s (reference %s), because attempt %d failed: %s"
        logger.log(level, text, context.call.operation, what, pause, context.reference, number, result.error,
                 extra={**about, "status": result.status, "pause": pause})  # fmt: skip

    return AsyncRetrying(
        sleep=sleep,
        retry=retry_if_result(partial(is_retryable, context)),
        stop=stop,
        wait=wait,
        before_sleep=log,
        retry_error_callback=lambda _: None,  # if no attempts or no time are left, the last result counts
        reraise=True,
    )


def is_retryable(context: CallContext, result: AttemptResult[Any]) -> bool:
    """Whether the policy permits another attempt after this result."""
    if result.retry is Retry.ON_SERVER_ERROR:
        policy = context.options.retry.repeat_creates
        return context.call.repeatable or policy is True or (policy == "look" and context.call.create is not None)
    return result.retry is Retry.ALWAYS or (result.retry is Retry.ON_NO_RESPONSE and context.call.repeatable)


def final_error(context: CallContext, error: BaseException) -> BaseException:
    """Return the exception to raise for a call that failed with ``error``.

    If an earlier attempt may have been applied, a later refusal or timeout does not prove that nothing was applied.
    """
    if not isinstance(error, Exception):
        return error
    if isinstance(error, LSQServiceError):
        failure = error
    else:
        failure = unfinished(context, f"this client failed with {type(error).__name__}")
        failure.__cause__ = error
    call, attempts = context.call, context.attempts
    is_certain = all(attempt.outcome is not Outcome.UNKNOWN for attempt in attempts)
    # A repeatable call raises the error of its last attempt if the outcome of this attempt is unknown.
    is_last = not is_certain and attempts[-1].outcome is Outcome.UNKNOWN and not isinstance(failure, NotSentError)
    is_safe = call.idempotency is Idempotency.SAFE or (call.repeatable and is_last)
    if not is_certain and not is_safe and not isinstance(failure, OutcomeUnknownError):
        by = "" if len(attempts) == 1 else f" by one of {len(attempts)} attempts"
        text = f"{call.operation} may have been applied{by}. The last attempt failed: {failure}"
        unknown = OutcomeUnknownError(text, safe_to_repeat=call.repeatable, body=getattr(failure, "body", None))
        unknown.__cause__ = failure
        failure = unknown
    failure.reference, failure.attempts, failure.headers = context.reference, tuple(attempts), context.headers
    if isinstance(failure, OutcomeUnknownError) and call.create is not None:
        failure.lost, failure.ticket, failure.above = call.create, call.create.ticket, call.create.above or None
        failure.sent_at = datetime.now(UTC) - timedelta(seconds=context.clock() - call.create.sent_at)
    return failure


def final_outcome(context: CallContext, error: BaseException) -> Outcome:
    """Return UNKNOWN if a failed call may have been applied, and otherwise the outcome of its last attempt.

    A read without a usable answer counts as not applied.
    """
    outcomes = [attempt.outcome for attempt in context.attempts] or [Outcome.NOT_APPLIED]
    is_unknown = Outcome.UNKNOWN in outcomes and outcomes[-1] is not Outcome.APPLIED
    if not is_unknown and not isinstance(error, OutcomeUnknownError):
        return outcomes[-1]
    return Outcome.NOT_APPLIED if context.call.idempotency is Idempotency.SAFE else Outcome.UNKNOWN


def doubtful_attempt(context: CallContext) -> Attempt | None:
    """Return the attempt that makes an applied call a possible duplicate, or None."""
    if context.call.repeatable:
        return None
    return next((attempt for attempt in context.attempts if attempt.outcome is Outcome.UNKNOWN), None)
