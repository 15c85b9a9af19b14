"""Refusals of the service: a pause for all calls, a lower rate, and one warning."""

from __future__ import annotations

import asyncio
import logging

import pytest
from virtual_clock import virtual

from limits.limiters import TOKEN, opened, spend, time
from lsq_service_async.config import Lane
from lsq_service_async.errors import QueueTimeoutError
from lsq_service_async.events import LimitLowered, LimitPaused


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@virtual
async def test_no_call_is_sent_for_as_long_as_the_service_asked():
    """Seven seconds here; the events for the hooks name the pause and the lower rate."""
    async with opened() as limiter:
        began = time()
        assert limiter.refused("r", 7.0, None) == [
            LimitPaused(reference="r", seconds=7.0),
            LimitLowered(reference="r", cause="other traffic", calls=12, per=5.0),
        ]
        await limiter.acquire(Lane.INTERACTIVE)
        assert time() - began == pytest.approx(7.0, abs=0.01)


@virtual
async def test_without_a_retry_after_the_pause_is_a_window_and_up_to_a_second():
    """It is random, so that clients do not return at the same moment."""
    async with opened() as limiter:
        pauses = [limiter.refused("r", None, None)[0].seconds for _ in range(20)]
        assert min(pauses) >= 5.0
        assert max(pauses) <= 6.0
        assert len(set(pauses)) == 20


@virtual
async def test_calls_that_are_refused_together_lower_the_rate_once(caplog):
    """With one warning and one event. A later refusal is reported again."""
    async with opened() as limiter:
        events = [event for _ in range(5) for event in limiter.refused("r", 1.0, None)]
        assert [type(event) for event in events].count(LimitLowered) == 1
        [warning] = warnings(caplog)
        assert "another program uses the same account" in warning
        assert warning.endswith("set LSQ_RATE_LIMIT=12/5")
        await asyncio.sleep(5 * 14)
        limiter.refused("r", 1.0, None)
        assert len(warnings(caplog)) == 2


@virtual
async def test_the_lower_rate_is_used_and_grows():
    """Twelve calls in the first window after the pause, and about one more in each later one."""
    async with opened() as limiter:
        limiter.refused("r", 5.0, None)
        began = time()
        await spend(limiter, 12)
        assert time() - began < 6
        for _ in range(200):
            await spend(limiter, 1)
        assert 45 < time() - began < 75
        await asyncio.sleep(100)
        assert limiter.stats().calls == 25


@virtual
async def test_a_lower_limit_that_the_service_names_is_kept_for_ten_minutes(caplog):
    """Ten calls in five seconds; the warning prints the setting that ends it."""
    async with opened() as limiter:
        lowered = limiter.refused("r", 1.0, (10, 5))[1]
        assert lowered == LimitLowered(reference="r", cause="lower plan", calls=10, per=5.0)
        assert limiter.refused("r", 1.0, (10, 5)) == [LimitPaused(reference="r", seconds=1.0)]
        [warning] = warnings(caplog)
        assert "named a limit of 10 calls in 5 s" in warning
        assert warning.endswith("set LSQ_RATE_LIMIT=10/5")
        await asyncio.sleep(100)
        began = time()
        for _ in range(20):
            await spend(limiter, 1)
        assert time() - began > 5 + 9 * 2 * TOKEN
        await asyncio.sleep(500)
        assert limiter.stats().calls < 15


@virtual
async def test_a_named_limit_after_a_halved_rate_is_reported_too(caplog):
    """It is news, although the rate was low already."""
    async with opened() as limiter:
        limiter.refused("r", 1.0, None)
        limiter.refused("r", 1.0, (1, 60))
        assert [warning.rpartition("=")[2] for warning in warnings(caplog)] == ["12/5", "5/5"]


@pytest.mark.parametrize("named", [(0, 0), (10, 0)])
@virtual
async def test_a_limit_that_makes_no_sense_is_ignored(named):
    """The refusal counts as one that names no limit."""
    async with opened() as limiter:
        assert limiter.refused("r", 1.0, named)[1].cause == "other traffic"
        assert limiter.stats().calls == 12


@pytest.mark.parametrize("named", [(1, 86_400), (10_000, 86_400), (300_000, 2_592_000)])
@virtual
async def test_a_daily_quota_does_not_change_the_rate(named, caplog):
    """Calls pause only if the service asks for it."""
    async with opened() as limiter:
        assert limiter.refused("r", None, named) == []
        assert limiter.refused("r", 3.0, named) == [LimitPaused(reference="r", seconds=3.0)]
        assert limiter.stats().calls == 25
        assert warnings(caplog) == []


@virtual
async def test_a_named_limit_with_a_longer_window_is_kept_in_parts():
    """100 calls in 30 s are 25 in 7.5 s, so that no call waits in the bucket, which knows no deadlines."""
    async with opened() as limiter:
        lowered = limiter.refused("r", 1.0, (100, 30))[1]
        assert (lowered.cause, lowered.calls, lowered.per) == ("lower plan", 25, 7.5)
        await asyncio.sleep(500)
        late = time() + 1
        calls = [asyncio.create_task(limiter.acquire(Lane.INTERACTIVE, deadline=late)) for _ in range(60)]
        await asyncio.wait(calls, timeout=1.5)
        assert all(call.done() for call in calls)
        granted = [call for call in calls if not isinstance(call.exception(), QueueTimeoutError)]
        assert len(granted) == 25
        for call in granted:
            call.result().release()
