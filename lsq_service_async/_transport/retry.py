"""What is repeated, how long to pause before, and what a call that was sent several times has come to."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tenacity import AsyncRetrying, RetryCallState, retry_if_result

from .._wire import Attempt, AttemptResult, Call, Idempotency, Outcome, Retry
from ..config import RetryPolicy
from ..errors import LSQServiceError, OutcomeUnknownError, RateLimitError


def may_repeat(call: Call[Any], policy: RetryPolicy, verdict: AttemptResult[Any]) -> bool:
    """Whether another send is allowed after this one, were there attempts and time enough."""
    if verdict.retry is Retry.ON_SERVER_ERROR:
        return call.repeatable or policy.repeat_creates
    return verdict.retry is Retry.ALWAYS or (verdict.retry is Retry.ON_NO_RESPONSE and call.repeatable)


def pause_after(policy: RetryPolicy, number: int, verdict: AttemptResult[Any]) -> float:
    """Seconds until the send after the ``number``-th, by full jitter; none after a refusal for speed, which has
    closed the gate for everybody already."""
    if isinstance(verdict.error, RateLimitError):
        return 0.0
    longest = min(policy.backoff_cap, policy.backoff * 2.0 ** min(number - 1, 60))
    return max(random.uniform(0, longest), verdict.retry_after or 0.0)


def settle(call: Call[Any], attempts: Sequence[Attempt], verdict: AttemptResult[Any]) -> LSQServiceError | None:
    """The error that all attempts together come to: once one of them may have been applied, no later refusal or
    time-out can say that nothing was."""
    unknown = any(attempt.outcome is Outcome.UNKNOWN for attempt in attempts)
    if (
        verdict.error is None
        or call.idempotency is Idempotency.SAFE
        or not unknown
        or isinstance(verdict.error, OutcomeUnknownError)
    ):
        return verdict.error
    if call.idempotency is Idempotency.IDEMPOTENT and verdict.outcome is Outcome.UNKNOWN:
        return verdict.error
    safe = call.idempotency is Idempotency.IDEMPOTENT
    message = (
        f"{call.operation} may have been applied by one of {len(attempts)} sends; the last ended so: {verdict.error}"
    )
    error = OutcomeUnknownError(message, safe_to_repeat=safe, body=getattr(verdict.error, "body", None))
    error.__cause__ = verdict.error
    return error


async def repeating(
    send: Callable[[], Awaitable[AttemptResult[Any]]],
    call: Call[Any],
    policy: RetryPolicy,
    seconds_left: Callable[[], float],
) -> AttemptResult[Any]:
    """Send until a verdict stands. The loop is made for this call; only verdicts are repeated, so that a
    cancellation and every other exception pass through untouched."""

    def stop(state: RetryCallState) -> bool:
        return state.attempt_number >= policy.attempts or state.upcoming_sleep >= seconds_left()

    def wait(state: RetryCallState) -> float:
        return pause_after(policy, state.attempt_number, _verdict(state))

    async def attempt() -> AttemptResult[Any]:
        # tenacity awaits only what it can see to be a coroutine function.
        return await send()

    return await AsyncRetrying(
        stop=stop,
        wait=wait,
        retry=retry_if_result(lambda verdict: may_repeat(call, policy, verdict)),
        retry_error_callback=_verdict,
        reraise=True,
    )(attempt)


def _verdict(state: RetryCallState) -> AttemptResult[Any]:
    assert state.outcome is not None  # noqa: S101 -- tenacity calls these after an attempt only; its type is wider
    verdict: AttemptResult[Any] = state.outcome.result()
    return verdict
