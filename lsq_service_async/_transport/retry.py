"""Retries: which attempts are repeated, how long to wait before, and what several attempts add up to."""

from __future__ import annotations

import logging
import random
from typing import Any

from tenacity import AsyncRetrying, RetryCallState, retry_if_result

from .._wire import AttemptResult, Idempotency, Outcome, Retry, with_attempts
from ..errors import LSQServiceError, OutcomeUnknownError, RateLimitError
from .context import CallContext

_log = logging.getLogger("lsq_service_async")


def retrying(context: CallContext) -> AsyncRetrying:
    """Make the retry loop of one call. A loop that is shared hands its tasks each other's results.

    Only results are repeated. An exception, a cancellation included, must not reach the loop: it ends the call.
    """
    policy = context.options.retry

    def stop(state: RetryCallState) -> bool:
        time = context.clock() + state.upcoming_sleep
        return state.attempt_number >= policy.attempts or (context.deadline is not None and time >= context.deadline)

    def wait(state: RetryCallState) -> float:
        result: AttemptResult[Any] = state.outcome.result()  # type: ignore[union-attr]  # is set by now
        if isinstance(result.error, RateLimitError):
            return 0.0  # the limiter is paused already, for all calls
        longest = min(policy.backoff_cap, policy.backoff * 2.0 ** min(state.attempt_number - 1, 60))
        return max(random.uniform(0, longest), result.retry_after or 0.0)  # full jitter

    return AsyncRetrying(
        retry=retry_if_result(lambda result: _is_retryable(context, result)),
        stop=stop,
        wait=wait,
        retry_error_callback=lambda _: None,  # out of attempts or time: the last result counts
        reraise=True,
    )


def _is_retryable(context: CallContext, result: AttemptResult[Any]) -> bool:
    if result.retry is Retry.ON_SERVER_ERROR:
        return context.call.repeatable or context.options.retry.repeat_creates
    return result.retry is Retry.ALWAYS or (result.retry is Retry.ON_NO_RESPONSE and context.call.repeatable)


def final_error(context: CallContext, result: AttemptResult[Any]) -> LSQServiceError | None:
    """Return the error of a call whose last result is ``result``, with its reference and attempts.

    Once an attempt may have been applied, no later refusal or timeout can mean that nothing was applied.
    """
    call, error = context.call, result.error
    if error is None:
        return None
    is_settled = isinstance(error, OutcomeUnknownError) or (result.outcome is Outcome.UNKNOWN and call.repeatable)
    was_unknown = any(attempt.outcome is Outcome.UNKNOWN for attempt in context.attempts)
    if was_unknown and not is_settled and call.idempotency is not Idempotency.SAFE:
        number = len(context.attempts)
        message = f"{call.operation} may have been applied by one of {number} attempts. The last error was: {error}"
        body = getattr(error, "body", None)
        unknown = OutcomeUnknownError(message, safe_to_repeat=call.repeatable, body=body)
        unknown.__cause__ = error
        error = unknown
    error.reference, error.attempts = context.reference, tuple(context.attempts)
    return error


def finished_record(context: CallContext, result: AttemptResult[Any]) -> Any:
    """Return the record of a call that was applied, with its attempts. Warn if the call may have been applied twice."""
    doubtful = None
    if not context.call.repeatable:
        doubtful = next((attempt for attempt in context.attempts if attempt.outcome is Outcome.UNKNOWN), None)
    if doubtful is not None:
        _log.warning(
            "%s may have been applied twice (reference %s): attempt %d was answered with %s, and attempt %d was "
            "applied. To get an error instead, set RetryPolicy(repeat_creates=False).",
            context.call.operation, context.reference, doubtful.number, doubtful.status, context.number,
        )  # fmt: skip
    return with_attempts(result.record, tuple(context.attempts), possible_duplicate=doubtful is not None)


def worst_outcome(context: CallContext) -> Outcome:
    """Return the worst outcome of the attempts so far, unless the last one was applied."""
    outcomes = [attempt.outcome for attempt in context.attempts] or [Outcome.NOT_APPLIED]
    is_doubtful = Outcome.UNKNOWN in outcomes and outcomes[-1] is not Outcome.APPLIED
    return Outcome.UNKNOWN if is_doubtful else outcomes[-1]
