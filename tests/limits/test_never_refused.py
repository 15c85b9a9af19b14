"""No server refuses a call, however it counts, and the rate is used in full."""

from __future__ import annotations

from random import Random

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from virtual_clock import run_virtual

from limits.limiters import opened, time
from limits.strict_servers import CALLS, PER, SlowClock
from limits.traffic import NETWORKS, SHAPES, Limiter, Network, Run, Shape, at_once, flood, moments, send_all
from limits.weaker_limiters import LogOfSends, Slots, SlotsPaceAndBurst, TokenBucket
from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.emulator import SlidingWindow, TwoBucketEstimate
from lsq_service_async.limits import LocalLimiter

RATE, SLIDING = RateLimit(CALLS, per=PER), RateLimit(CALLS, per=PER, window="sliding")
BOTH = list(Lane)
CALLS_EACH = 500

shapes_of_traffic = st.lists(st.sampled_from(SHAPES), min_size=1, max_size=6)
networks = st.sampled_from(NETWORKS)
lanes = st.sampled_from([[Lane.INTERACTIVE], [Lane.BULK], BOTH])
seeds = st.integers(0, 2**32)
rates = pytest.mark.parametrize("rate", [RATE, SLIDING], ids=lambda rate: rate.window)


async def through_a_limiter(
    shapes: list[Shape], calls: int, lanes: list[Lane], network: Network, seed: int, rate: RateLimit = RATE
) -> Run:
    limiter, random = LocalLimiter(), Random(seed)
    await limiter.open(rate, "host/22824")
    run = await send_all(limiter, moments(shapes, calls, random), lanes, network, random)
    assert limiter.stats().waiting == {Lane.INTERACTIVE: 0, Lane.BULK: 0}
    await limiter.aclose()
    return run


def many(examples: int) -> settings:
    """Return Hypothesis settings for this many calls, in runs of `CALLS_EACH`."""
    return settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check_that_none_is_refused(
    shapes: list[Shape], lanes: list[Lane], network: Network, seed: int, rate: RateLimit
) -> None:
    run = run_virtual(through_a_limiter(shapes, CALLS_EACH, lanes, network, seed, rate))

    assert len(run.granted) == CALLS_EACH
    assert run.refused_by(rate) == []


@rates
@many(10)
@given(shapes_of_traffic, lanes, networks, seeds)
def test_no_server_refuses_any_of_5_000_calls(rate, shapes, lanes, network, seed):
    """No kind of window refuses a call, at any phase, for any traffic, with up to 400 ms of jitter."""
    check_that_none_is_refused(shapes, lanes, network, seed, rate)


@pytest.mark.slow
@rates
@many(200)
@given(shapes_of_traffic, lanes, networks, seeds)
def test_no_server_refuses_any_of_100_000_calls(rate, shapes, lanes, network, seed):
    """No kind of window refuses any of 100,000 calls, with the same traffic and jitter."""
    check_that_none_is_refused(shapes, lanes, network, seed, rate)


@rates
@pytest.mark.parametrize("per", [1.0, 60.0, 3600.0])
def test_a_slow_clock_of_the_service_refuses_no_call_of_a_flood(per, rate):
    """The longer a window is, the more a clock loses in it, and the longer the slack."""
    rate = attrs.evolve(rate, calls=10, per=per)
    servers = [SlidingWindow(rate.calls, rate.per)]
    servers += [TwoBucketEstimate(rate.calls, rate.per)] if rate.window == "any" else []

    async def flood() -> list[bool]:
        async with opened(rate) as limiter:
            allowed = []
            for _ in range(60):
                slot = await limiter.acquire(Lane.INTERACTIVE)
                allowed += [SlowClock(server).allows(time()) for server in servers]
                slot.release()
            return allowed

    assert all(run_virtual(flood()))


@pytest.mark.parametrize("calls", [25, 50, 150])
def test_sliding_windows_end_a_burst_a_window_earlier(calls):
    """Each further burst of 25 calls takes 5 seconds. A gateway that estimates would refuse some of them."""
    run = run_virtual(through_a_limiter([all_at_once], calls, [Lane.INTERACTIVE], at_once, seed=1, rate=SLIDING))

    assert run.seconds == pytest.approx((calls - 1) // CALLS * PER, rel=0.005, abs=0.001)
    assert run.refused_by(SLIDING) == []
    assert (run.refused["estimate at its worst"] > 0) == (calls > CALLS)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_a_flood_uses_the_rate_in_full(network):
    """150 calls take at most a tenth longer than the rate permits, although slots wait for late answers."""
    run = run_virtual(through_a_limiter([all_at_once], 150, [Lane.INTERACTIVE], network, seed=1))

    assert run.seconds <= 1.1 * 150 / CALLS * PER


@pytest.mark.parametrize("lane", BOTH)
def test_sustained_use_reaches_98_percent_of_the_rate(lane):
    """1,000 calls in either lane, without jitter, are sent at 98 percent of the rate or more."""
    run = run_virtual(through_a_limiter([flood], 1000, [lane], at_once, seed=1))

    assert run.seconds <= 1000 / CALLS * PER / 0.98


def all_at_once(random: Random):
    """Make all calls at the same time."""
    while True:
        yield 0.0


async def controlled(make: type[Limiter], network: Network, seed: int) -> Run:
    random = Random(seed)
    return await send_all(make(), moments(SHAPES, 500, random), BOTH, network, random)


@pytest.mark.parametrize("limiter", [TokenBucket, LogOfSends, Slots, SlotsPaceAndBurst])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_a_weaker_limiter_is_refused_by_the_same_servers(limiter, network):
    """A token bucket, a log of sent calls, slots, and slots with pace and burst all exceed the limit."""
    run = run_virtual(controlled(limiter, network, seed=1))

    assert run.refused.total() > 0


@pytest.mark.parametrize("limiter", [TokenBucket, LogOfSends])
def test_a_limiter_that_does_not_wait_for_answers_is_refused_by_a_true_window(limiter):
    """If requests are delayed, even a sliding window counts too many."""
    run = run_virtual(controlled(limiter, NETWORKS[1], seed=1))

    assert run.refused["sliding"] > 0
