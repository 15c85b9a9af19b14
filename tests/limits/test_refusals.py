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
    """A Retry-After of 7 pauses all calls for seven seconds, and events have the pause and the lower rate."""
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
    """The pause has a random part, so that clients do not continue at the same moment."""
    async with opened() as limiter:
        pauses = [limiter.refused("r", None, None)[0].seconds for _ in range(20)]
        assert min(pauses) >= 5.0
        assert max(pauses) <= 6.0
        assert len(set(pauses)) == 20


@virtual
async def test_calls_that_are_refused_together_lower_the_rate_once(caplog):
    """Calls that are refused together cause one warning and one event, and a later refusal causes another."""
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
    """Twelve calls are sent in the first window after the pause, and about one more in each later one."""
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
    """A named limit of ten calls in five seconds is used, and the warning has the matching LSQ_RATE_LIMIT."""
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
    """A named limit is logged and reported to hooks, although the rate was halved before."""
    async with opened() as limiter:
        limiter.refused("r", 1.0, None)
        limiter.refused("r", 1.0, (1, 60))
        assert [warning.rpartition("=")[2] for warning in warnings(caplog)] == ["12/5", "5/5"]


@pytest.mark.parametrize("named", [(0, 0), (10, 0)])
@virtual
async def test_a_limit_that_makes_no_sense_is_ignored(named):
    """A named limit that makes no sense is ignored, and the rate is halved."""
    async with opened() as limiter:
        assert limiter.refused("r", 1.0, named)[1].cause == "other traffic"
        assert limiter.stats().calls == 12


@pytest.mark.parametrize("named", [(1, 86_400), (10_000, 86_400), (300_000, 2_592_000)])
@virtual
async def test_a_daily_quota_does_not_change_the_rate(named, caplog):
    """After a daily quota the rate stays, and calls pause only for a Retry-After."""
    async with opened() as limiter:
        assert limiter.refused("r", None, named) == []
        assert limiter.refused("r", 3.0, named) == [LimitPaused(reference="r", seconds=3.0)]
        assert limiter.stats().calls == 25
        assert warnings(caplog) == []


@virtual
async def test_a_named_limit_with_a_longer_window_is_kept_in_parts():
    """100 calls in 30 s are used as 25 in 7.5 s, so that no call waits in the bucket, which has no deadlines."""
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
