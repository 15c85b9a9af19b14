"""The expected wait, at any rate that a plan may have."""

from __future__ import annotations

import asyncio

import pytest
from virtual_clock import virtual

from limits.limiters import opened, spend, ticks
from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.limits import LocalLimiter
from lsq_service_async.limits._engine import estimate
from lsq_service_async.limits._engine.estimate import Estimate
from lsq_service_async.limits._engine.state import LimitState

RATES = [RateLimit(1, per=60.0), RateLimit(25, per=5.0), RateLimit(100, per=10.0), RateLimit(150, per=1.0)]
RATES += [RateLimit(calls, per=5.0, window="sliding") for calls in (1, 25, 100)]


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("windows", [0.5, 1.7, 4.1])
@virtual
async def test_a_wait_is_as_long_as_expected_within_one_token_or_a_thirtieth_of_a_window(
    rate: RateLimit, windows: float
):
    """The expected wait is right for a call behind several windows of calls, if all are answered at once."""
    loop = asyncio.get_running_loop()

    async def call(limiter: LocalLimiter) -> float:
        (await limiter.acquire(Lane.INTERACTIVE)).release()
        return loop.time()

    async with opened(rate) as limiter:
        await spend(limiter, max(1, int(0.98 * rate.calls)))
        before = [asyncio.create_task(call(limiter)) for _ in range(int(windows * rate.calls))]
        await ticks()
        expected = loop.time() + limiter.stats().estimated_wait[Lane.INTERACTIVE]
        went = await call(limiter)
        await asyncio.gather(*before)
    assert went == pytest.approx(expected, abs=max(rate.per / rate.calls, rate.per / 30) + 0.02)


@pytest.mark.parametrize("calls", [25, 59, 60, 100, 1000, 10_000])
def test_the_effort_does_not_grow_with_the_rate(calls: int, monkeypatch: pytest.MonkeyPatch):
    """The window is computed at most 200 times, for at most 200 answers."""
    rate, asked = RateLimit(calls, per=10.0), []
    honest = estimate.opens_at

    def counted(answered: list[float], in_flight: int, rate: RateLimit) -> float:
        asked.append(len(answered))
        return honest(answered, in_flight, rate)

    monkeypatch.setattr(estimate, "opens_at", counted)
    state = LimitState.of(rate)
    for number in range(2 * calls):
        state.answer(number, number * rate.per / calls, is_large=False)
    Estimate().sent_at(state, 20.0, Lane.INTERACTIVE, (50 * calls, 50 * calls))
    assert len(asked) <= 200
    assert max(asked) <= 200
