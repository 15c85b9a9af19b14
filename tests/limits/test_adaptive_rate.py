"""The rate after refusals."""

from __future__ import annotations

import pytest

from lsq_service_async.config import RateLimit
from lsq_service_async.limits._engine.adaptive_rate import AdaptiveRate

RATE = RateLimit(25, per=5.0)


def test_a_refusal_halves_the_rate_at_most_once_a_window():
    """Calls that are refused together halve the rate once; a refusal a window later halves it again."""
    adaptive = AdaptiveRate.of(RATE)
    assert [adaptive.refused(now, None) for now in (0.0, 1.0, 4.9, 5.1)] == [True, False, False, True]
    assert adaptive.rate == RateLimit(6, per=5.0)


def test_the_rate_is_never_below_a_fifth():
    """However often calls are refused, the rate stays at a fifth, so that no call waits too long."""
    adaptive = AdaptiveRate.of(RATE)
    assert [adaptive.refused(10.0 * turn, None) for turn in range(4)] == [True, True, True, False]
    assert adaptive.rate.calls == 5


def test_the_rate_grows_by_one_call_for_each_window_without_a_refusal():
    """The rate grows from the last refusal on, up to the configured rate."""
    adaptive = AdaptiveRate.of(RATE)
    adaptive.refused(0.0, None)
    adaptive.refused(3.0, None)
    grown = [(adaptive.tidy(now), adaptive.rate.calls) for now in (7.9, 8.1, 18.1, 1000.0, 2000.0)]
    assert grown == [(False, 12), (True, 13), (True, 15), (True, 25), (False, 25)]


def test_a_lower_limit_that_is_named_replaces_the_rate():
    """A named limit explains the refusal, so the rate is not halved, however many calls were refused together."""
    adaptive = AdaptiveRate.of(RATE)
    assert [adaptive.refused(now, (10, 5)) for now in (0.0, 0.1, 4.9)] == [True, False, False]
    assert adaptive.rate == RateLimit(10, per=5)
    assert adaptive.refused(6.0, (10, 5))
    assert adaptive.rate.calls == 5
    adaptive.tidy(500.0)
    assert adaptive.rate.calls == 10


def test_after_ten_minutes_the_rate_grows_back_by_one_call_per_window():
    """The rate grows in single steps, and a refusal delays the next step."""
    adaptive = AdaptiveRate.of(RATE)
    adaptive.refused(0.0, (10, 5))
    grown = []
    for now in (599.9, 600.0, 604.9, 605.1, 610.1):
        adaptive.tidy(now)
        grown.append(adaptive.rate.calls)
    assert grown == [10, 10, 10, 11, 12]
    adaptive.refused(611.0, None)
    assert adaptive.rate == RateLimit(6, per=5.0)
    adaptive.tidy(5000.0)
    assert adaptive.rate == RATE


def test_the_same_limit_named_again_holds_twice_as_long_up_to_a_day():
    """The limit holds for ten minutes, then twenty, forty and so on; another limit holds for ten minutes."""
    adaptive, holds, now = AdaptiveRate.of(RATE), [], 0.0
    for _ in range(10):
        adaptive.refused(now, (10, 5))
        adaptive.refused(now + 0.1, (10, 5))  # one of several calls in flight
        holds.append(adaptive.named_until - now)
        adaptive.tidy(adaptive.named_until + 30)
        now = adaptive.named_until + 31
    assert holds == [600.0 * 2**turn for turn in range(8)] + [86_400.0] * 2
    adaptive.refused(now, (5, 5))
    assert adaptive.named_until == now + 600


@pytest.mark.parametrize(
    ("named", "kept"),
    [
        ((10, 5), (10, 5.0)),
        ((5, 5), (5, 5.0)),
        ((4, 5), (5, 5.0)),
        ((1, 3600), (5, 5.0)),
        ((0, 5), (5, 5.0)),
        ((2, 1), (2, 1.0)),
        ((100, 30), (25, 7.5)),
    ],
)
def test_a_named_limit_is_at_least_a_fifth_of_the_configured_rate(named, kept):
    """A text that a customer wrote cannot stop a client, and no window holds more calls than are configured."""
    adaptive = AdaptiveRate.of(RATE)
    assert adaptive.refused(0.0, named)
    assert (adaptive.rate.calls, adaptive.rate.per) == kept


@pytest.mark.parametrize("named", [(3, 0), (-1, 5), (25, 5), (500, 60), (30, 5)])
def test_a_named_limit_that_is_not_lower_explains_nothing(named):
    """A named limit that is not lower halves the rate, as does a refusal without a limit."""
    adaptive = AdaptiveRate.of(RATE)
    assert adaptive.refused(0.0, named)
    assert (adaptive.rate, adaptive.plan) == (RateLimit(12, per=5.0), RATE)


@pytest.mark.parametrize(("named", "grown"), [((100, 30), 16), ((6, 2), 6)])
def test_a_named_limit_with_another_window_grows_back_in_the_configured_one(named, grown):
    """A longer window is scaled down, and a shorter one keeps its number of calls: no window holds more than before."""
    adaptive = AdaptiveRate.of(RATE)
    adaptive.refused(0.0, named)
    adaptive.tidy(600.0)
    assert adaptive.rate == RateLimit(grown, per=5.0)
