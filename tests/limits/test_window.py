"""When one more call fits into the window: against a search of all boundaries, and in simple cases."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsq_service_async.config import RateLimit
from lsq_service_async.limits._engine.window import opens_at, slack_of

RATE = RateLimit(5, per=1.0)
SLACK = slack_of(RATE)
ALMOST_A_CALL = 1 - 5 * SLACK  # the room of an estimate above 5 calls


def estimate(answered: list[float], in_flight: int, boundary: float, now: float) -> float:
    """The largest count after one more call at ``now``, if the window of the server began at ``boundary``."""
    since = sum(answer >= boundary for answer in answered)
    before = sum(boundary - 1 <= answer < boundary for answer in answered)
    return 1 + in_flight + since + before * (1 - (now - boundary))


@given(st.lists(st.integers(0, 200), max_size=15), st.integers(0, 4))
def test_a_call_fits_as_soon_as_no_boundary_has_too_many(hundredths, in_flight):
    """A call fits two milliseconds after the computed time at every boundary, and not two milliseconds before."""
    answered = sorted(hundredth / 100 for hundredth in hundredths)
    opens = opens_at(answered, in_flight, RATE)

    def worst(now: float) -> float:
        return max(estimate(answered, in_flight, now - age / 2000, now) for age in range(2000))

    if opens > 2.0:
        assert worst(opens - 0.002) > 5 + ALMOST_A_CALL - 0.03
    assert worst(max(opens, 2.0) + 0.002) <= 5 + ALMOST_A_CALL


@pytest.mark.parametrize(
    ("answered", "in_flight", "expected"),
    [
        ([], 0, -math.inf),
        ([], 4, -math.inf),
        ([], 5, math.inf),
        ([], 6, math.inf),
        ([0.0] * 4, 0, -math.inf),
        ([0.0] * 5, 0, 1.0 + SLACK),
        ([0.0] * 5, 1, 1.2 + SLACK),
        ([0.0] * 5, 4, 1.8 + SLACK),
        ([0.0, 0.2, 0.4, 0.6, 0.8], 0, 1.0 + SLACK),
        ([0.0] * 2 + [1.0] * 3, 0, 1.0 + SLACK / 2 * 5),
        ([0.0] * 2 + [1.0] * 3, 1, 1.5 + SLACK / 2 * 5),
        ([0.9] * 4, 1, 1.9 + SLACK * 5 / 4),
    ],
    ids=[
        "nothing known", "room beside four", "all in flight", "more in flight than allowed", "room for one",
        "a bunch comes back", "the second after a bunch", "the fifth after a bunch", "an even pace goes on",
        "what fades makes room for one", "and half a window later for the next", "the slot of an answer",
    ],
)  # fmt: skip
def test_one_more_call_fits(answered, in_flight, expected):
    """One more call fits at the expected time, at five calls in a second."""
    assert expected == pytest.approx(opens_at(answered, in_flight, RATE))


@given(st.lists(st.integers(0, 200), max_size=15), st.integers(0, 6))
def test_a_call_fits_as_soon_as_no_true_window_has_too_many(hundredths, in_flight):
    """If the windows are sliding, a call fits once the slack has passed since enough answers left the window."""
    answered = sorted(hundredth / 100 for hundredth in hundredths)
    opens = opens_at(answered, in_flight, RateLimit(5, per=1.0, window="sliding"))

    def counted(now: float) -> int:
        return 1 + in_flight + sum(answer > now - 1.0 for answer in answered)

    assert (opens == math.inf) == (in_flight >= 5)
    if math.inf > opens > 2.0:
        assert counted(opens - SLACK - 0.001) > 5
    if opens < math.inf:
        assert counted(max(opens, 2.0) - SLACK + 0.001) <= 5


@pytest.mark.parametrize(("per", "expected"), [(1.0, 0.0035), (5.0, 0.0055), (3600.0, 1.803), (0.1, 0.002)])
def test_the_slack_is_a_small_part_of_the_window(per, expected):
    """The slack is three milliseconds and a 2,000th of the window, or a fiftieth of a short window."""
    assert expected == pytest.approx(slack_of(RateLimit(25, per=per)))


def test_the_smallest_rate_is_one_call_per_window():
    """At one call per window, the next call fits a window later."""
    assert pytest.approx(opens_at([0.0], 0, RateLimit(1, per=5.0))) == 5.0055
