"""Refusals of the service: a pause for all calls, a lower rate, and one warning."""

from __future__ import annotations

import asyncio
import logging

import pytest
from virtual_clock import virtual

from limits.limiters import TOKEN, opened, spend, take, time
from lsq_service_async.config import Lane, RateLimit
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
            LimitLowered(reference="r", cause="other traffic", calls=24, per=5.0),
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
        assert warning.endswith("set LSQ_RATE_LIMIT=24/5")
        await asyncio.sleep(5 * 14)
        limiter.refused("r", 1.0, None)
        assert len(warnings(caplog)) == 2


@virtual
async def test_a_warning_about_sliding_windows_says_how_to_stop_using_them(caplog):
    """If the rate has sliding windows, a refusal may mean that the gateway estimates its window."""
    async with opened(RateLimit(25, per=5.0, window="sliding")) as limiter:
        limiter.refused("r", 1.0, None)
    [warning] = warnings(caplog)
    assert "stayed within 25 calls in 5 s (sliding): another program" in warning
    assert 'the gateway does not count sliding windows (remove "sliding" from the rate limit)' in warning


@virtual
async def test_after_a_first_refusal_calls_are_evenly_spaced_until_the_burst_returns():
    """24 calls take a window, the 25th returns after a window without a refusal, and the burst after another one."""
    async with opened() as limiter:
        began = time()
        limiter.refused("r", 0.0, None)
        await spend(limiter, 5)
        assert time() - began == pytest.approx(4 * 5 / 24, abs=0.01)
        assert limiter.stats().estimated_wait[Lane.INTERACTIVE] == pytest.approx(5 / 24, abs=0.01)
        calls = []
        for second in (4.9, 5.1, 9.9):
            await asyncio.sleep(began + second - time())
            calls.append(limiter.stats().calls)
        assert calls == [24, 25, 25]
        await asyncio.sleep(began + 20 - time())
        began = time()
        await spend(limiter, 25)
        assert time() - began < 0.001


@virtual
async def test_refusals_of_calls_that_were_sent_before_the_first_one_was_known_belong_to_it():
    """Of 25 calls that are sent together, all may be refused; a call that was sent later halves the rate."""
    async with opened() as limiter:
        await take(limiter, 25)
        sent = time()
        await asyncio.sleep(0.1)
        for _ in range(25):
            limiter.refused("r", 1.0, None, sent=sent)
            await asyncio.sleep(0.5)
        assert limiter.stats().calls == 24
        lowered = limiter.refused("r", 1.0, None, sent=time() - 1)[1]
        assert (lowered.calls, lowered.per) == (12, 5.0)


@pytest.mark.parametrize(("calls", "least", "most"), [(24, 5.0, 6.0), (25, 0.5, 1.0)])
@virtual
async def test_a_first_refusal_pauses_only_shortly_if_this_client_alone_fills_the_limit(calls, least, most):
    """The service then counts in another way, and the lower rate is enough. A later refusal pauses for a window."""
    async with opened() as limiter:
        await spend(limiter, calls)
        sent = time()
        assert least <= limiter.refused("r", None, None, sent=sent)[0].seconds <= most
        await asyncio.sleep(2)
        assert 5.0 <= limiter.refused("r", None, None, sent=sent + 1)[0].seconds <= 6.0


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
async def test_a_named_limit_after_a_lowered_rate_is_reported_too(caplog):
    """A named limit is logged and reported to hooks, although the rate was lowered before."""
    async with opened() as limiter:
        limiter.refused("r", 1.0, None)
        limiter.refused("r", 1.0, (1, 60))
        assert [warning.rpartition("=")[2] for warning in warnings(caplog)] == ["24/5", "5/5"]


@pytest.mark.parametrize("named", [(0, 0), (10, 0)])
@virtual
async def test_a_limit_that_makes_no_sense_is_ignored(named):
    """A named limit that makes no sense is ignored, and the refusal counts as one without a limit."""
    async with opened() as limiter:
        assert limiter.refused("r", 1.0, named)[1].cause == "other traffic"
        assert limiter.stats().calls == 24


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
