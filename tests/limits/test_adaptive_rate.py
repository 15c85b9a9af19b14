"""The rate after refusals."""

from __future__ import annotations

import pytest

from lsq_service_async.config import RateLimit
from lsq_service_async.limits._engine.adaptive_rate import AdaptiveRate

RATE = RateLimit(25, per=5.0)


def after(*refusals: float, rate: RateLimit = RATE) -> AdaptiveRate:
    """The rate after refusals, at these times, of calls that were sent just before."""
    adaptive = AdaptiveRate.of(rate)
    for now in refusals:
        adaptive.tidy(now)
        adaptive.refused(now, None, now)
    return adaptive


def test_a_first_refusal_costs_one_call_and_a_later_one_halves_the_rate_at_most_once_a_window():
    """A refusal of a call that was sent before the last refusal was known belongs to that refusal."""
    adaptive = AdaptiveRate.of(RATE)
    assert [adaptive.refused(now, None, sent) for now, sent in ((1.0, 0.0), (1.1, 0.9), (1.2, 1.1))] == [
        True, False, True
    ]  # fmt: skip
    assert (adaptive.rate, adaptive.is_paced) == (RateLimit(12, per=5.0), True)
    assert [adaptive.refused(now, None, now) for now in (2.0, 6.3, 6.4)] == [False, True, False]
    assert adaptive.rate == RateLimit(6, per=5.0)


@pytest.mark.parametrize(("calls", "rates"), [(25, [24, 12, 6, 5, 5]), (2, [1, 1, 1]), (1, [1, 1])])
def test_the_rate_is_never_below_a_fifth(calls, rates):
    """However often calls are refused, the rate stays at a fifth or one call, so that no call waits too long."""
    adaptive = AdaptiveRate.of(RateLimit(calls, per=100.0))
    for turn, expected in enumerate(rates):
        adaptive.refused(100.0 * turn, None, 100.0 * turn)
        assert (adaptive.rate.calls, adaptive.in_use.calls) == (expected, expected)


@pytest.mark.parametrize("seconds", [2.2, 7.5])
def test_a_refusal_never_raises_the_rate(seconds):
    """After a named limit ended, the rate may be lower than a fifth of the configured one."""
    adaptive = AdaptiveRate.of(RATE)
    adaptive.refused(1000.0, (5, 5.0), 1000.0)
    for now in (adaptive.named_until - 8.0, adaptive.named_until - 2.9):
        adaptive.tidy(now)
        adaptive.refused(now, None, now)
    now = adaptive.named_until - 2.9 + seconds
    adaptive.tidy(now)
    before = adaptive.rate.calls
    assert (before < 5, adaptive.refused(now, None, now), adaptive.rate.calls <= before) == (True, False, True)


def test_the_rate_grows_by_one_call_for_each_window_without_a_refusal_and_then_the_burst_returns():
    """The rate grows from the last refusal on. While calls are paced, at most one call less than configured is used."""
    adaptive = after(0.0, 3.0)
    grown = []
    for now in (7.9, 8.1, 18.1, 68.1, 72.9, 73.1, 2000.0):
        grown.append((adaptive.tidy(now), adaptive.rate.calls, adaptive.in_use.calls, adaptive.is_paced))
    assert grown == [
        (False, 12, 12, True), (True, 13, 13, True), (True, 15, 15, True), (True, 25, 24, True),
        (False, 25, 24, True), (True, 25, 25, False), (False, 25, 25, False),
    ]  # fmt: skip


def test_calls_suit_every_window_while_they_are_paced():
    """A refusal may mean that the windows are not sliding. When the burst returns, they are sliding again."""
    sliding = RateLimit(25, per=5.0, window="sliding")
    adaptive = after(0.0, rate=sliding)
    assert adaptive.in_use == RateLimit(24, per=5.0)
    adaptive.tidy(20.0)
    assert adaptive.in_use == sliding
    adaptive.refused(20.0, (10, 5.0), 20.0)
    assert adaptive.in_use == RateLimit(10, per=5.0, window="sliding")  # the service named its limit


def test_the_burst_returns_later_if_first_refusals_follow_one_another():
    """A service that refuses every burst sees one after 5 s, 20 s and so on, and after ten minutes at most."""
    adaptive, now, waits = AdaptiveRate.of(RATE), 0.0, []
    for _ in range(6):
        adaptive.refused(now, None, now)
        began = now = now + 5.0
        while adaptive.is_paced:
            now += 1.0
            adaptive.tidy(now)
        waits.append(now - began)
    assert waits == [5, 20, 80, 320, 600, 600]
    adaptive.refused(now + 601, None, now + 601)
    assert adaptive.trial == 5.0


def test_a_lower_limit_that_is_named_replaces_the_rate():
    """A named limit explains the refusal, so the rate is not halved, however many calls were refused together."""
    adaptive = AdaptiveRate.of(RATE)
    assert [adaptive.refused(now, (10, 5), now) for now in (0.0, 0.1, 4.9)] == [True, False, False]
    assert adaptive.rate == RateLimit(10, per=5)
    assert adaptive.refused(6.0, (10, 5), 6.0)
    assert adaptive.rate.calls == 5
    adaptive.tidy(500.0)
    assert adaptive.rate.calls == 10


def test_after_ten_minutes_the_rate_grows_back_by_one_call_per_window():
    """The rate grows in single steps, and a refusal delays the next step."""
    adaptive = AdaptiveRate.of(RATE)
    adaptive.refused(0.0, (10, 5), 0.0)
    grown = []
    for now in (599.9, 600.0, 604.9, 605.1, 610.1):
        adaptive.tidy(now)
        grown.append(adaptive.rate.calls)
    assert grown == [10, 10, 10, 11, 12]
    adaptive.refused(611.0, None, 611.0)
    assert adaptive.rate == RateLimit(6, per=5.0)
    adaptive.tidy(5000.0)
    assert adaptive.rate == RATE


def test_the_same_limit_named_again_holds_twice_as_long_up_to_a_day():
    """The limit holds for ten minutes, then twenty, forty and so on; another limit holds for ten minutes."""
    adaptive, holds, now = AdaptiveRate.of(RATE), [], 0.0
    for _ in range(10):
        adaptive.refused(now, (10, 5), now)
        adaptive.refused(now + 0.1, (10, 5), now)  # one of several calls in flight
        holds.append(adaptive.named_until - now)
        adaptive.tidy(adaptive.named_until + 30)
        now = adaptive.named_until + 31
    assert holds == [600.0 * 2**turn for turn in range(8)] + [86_400.0] * 2
    adaptive.refused(now, (5, 5), now)
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
    assert adaptive.refused(0.0, named, 0.0)
    assert (adaptive.rate.calls, adaptive.rate.per) == kept


@pytest.mark.parametrize("named", [(3, 0), (-1, 5), (25, 5), (500, 60), (30, 5)])
def test_a_named_limit_that_is_not_lower_explains_nothing(named):
    """A named limit that is not lower costs the burst and one call, as does a refusal without a limit."""
    adaptive = AdaptiveRate.of(RATE)
    assert adaptive.refused(0.0, named, 0.0)
    assert (adaptive.rate, adaptive.plan) == (RateLimit(24, per=5.0), RATE)


@pytest.mark.parametrize(("named", "grown"), [((100, 30), 16), ((6, 2), 6)])
def test_a_named_limit_with_another_window_grows_back_in_the_configured_one(named, grown):
    """A longer window is scaled down, and a shorter one keeps its number of calls: no window holds more than before."""
    adaptive = AdaptiveRate.of(RATE)
    adaptive.refused(0.0, named, 0.0)
    adaptive.tidy(600.0)
    assert adaptive.rate == RateLimit(grown, per=5.0)
