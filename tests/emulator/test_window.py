"""The kinds of window, on times given by hand."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from lsq_service_async.emulator.window import (
    FixedWindow,
    SlidingWindow,
    TokenBucket,
    TwoBucketEstimate,
    Window,
    WindowKind,
    create_window,
)


def allowed(window: Window, *times: float) -> list[bool]:
    return [window.allows(time) for time in times]


def test_a_sliding_window_lets_the_26th_call_in_when_the_first_is_5_seconds_old() -> None:
    """The 26th call of a bunch is refused, and so is one just before the bunch has aged; after that all is free."""
    window = SlidingWindow(25, 5.0, refused_count=False)
    assert all(allowed(window, *[100.0] * 25))
    assert allowed(window, 100.0, 104.999, 105.0) == [False, False, True]


def test_no_stretch_of_a_sliding_window_ever_holds_more_than_its_calls() -> None:
    """Whatever the arrivals, every window of 5 seconds has at most 25 calls that were let in."""
    times = sorted(random.Random(7).uniform(0, 60) for _ in range(2000))
    window = SlidingWindow(25, 5.0, refused_count=False)
    passed = [time for time in times if window.allows(time)]
    assert max(sum(start <= time < start + 5 for time in passed) for start in passed) == 25


def test_refused_calls_keep_a_knocking_client_out_of_a_sliding_window() -> None:
    """With refused_count the refused call is in the log, and its place comes back 5 seconds after it."""
    window = SlidingWindow(1, 5.0)
    assert allowed(window, 0.0, 4.0, 8.0, 12.0, 17.0) == [True, False, False, False, True]


@pytest.mark.parametrize("phase", [0.0, 1.3, 4.99])
def test_a_fixed_window_starts_again_at_its_phase(phase: float) -> None:
    """Two bunches on both sides of the boundary pass, a 26th call of either does not."""
    window = FixedWindow(25, 5.0, phase=phase)
    before, after = 99.99 + phase, 100.0 + phase
    assert allowed(window, *[before] * 26) == [True] * 25 + [False]
    assert allowed(window, *[after] * 26) == [True] * 25 + [False]


def test_a_token_bucket_gives_a_full_bunch_and_then_a_token_each_fifth_of_a_second() -> None:
    """25 at once; then 0.2 s buys one call, and a second one at that time is refused and costs nothing."""
    window = TokenBucket(25, 5.0)
    assert allowed(window, *[10.0] * 26) == [True] * 25 + [False]
    assert allowed(window, 10.2, 10.2, 10.4) == [True, False, True]


def test_a_token_bucket_never_holds_more_than_a_full_bunch() -> None:
    """An hour of silence is worth 25 calls, no more."""
    window = TokenBucket(25, 5.0)
    window.allows(0.0)
    assert sum(allowed(window, *[3600.0] * 40)) == 25


def test_the_estimate_fades_the_older_bucket_linearly_in_whole_numbers() -> None:
    """25 calls of the older bucket weigh 25 * left // 5000: half of it leaves room for 13, as 12.5 becomes 12."""
    window = TwoBucketEstimate(25, 5.0, phase=0.0, refused_count=False)
    assert all(allowed(window, *[4.0] * 25))
    assert sum(allowed(window, *[7.5] * 25)) == 13


def test_the_estimate_refuses_a_second_bunch_that_no_true_window_would() -> None:
    """Two bunches 5.1 seconds apart: the older bucket still weighs 24 when the second one comes."""
    times = [0.0] * 25 + [5.1] * 25
    assert all(allowed(SlidingWindow(25, 5.0), *times))
    assert allowed(TwoBucketEstimate(25, 5.0, phase=0.0), *times) == [True] * 26 + [False] * 24


def test_the_estimate_begins_with_the_first_call_as_haproxy_does() -> None:
    """Without a phase the bucket of a call at 3.0 ends at 8.0: 25 calls at 7.9 are in it together with the first."""
    window = TwoBucketEstimate(25, 5.0)
    assert allowed(window, 3.0, *[7.9] * 25) == [True] * 25 + [False]


def test_the_estimate_begins_anew_after_two_idle_periods() -> None:
    """After silence the bucket begins with the next call, not on the old grid; a given phase keeps its grid."""
    follows, keeps = TwoBucketEstimate(25, 5.0), TwoBucketEstimate(25, 5.0, phase=0.0)
    for window in (follows, keeps):
        assert all(allowed(window, 0.0, *[14.0] * 20))
    # 14.0 + 4.5 s: still the same bucket of the one that follows the calls; on the grid 20 calls have faded by 70 %.
    assert sum(allowed(follows, *[18.5] * 25)) == 5
    assert sum(allowed(keeps, *[18.5] * 25)) == 25 - 20 * 1500 // 5000


def test_the_estimate_forgets_what_is_two_buckets_old() -> None:
    """On a fixed grid too: with an empty bucket in between, a full bunch passes."""
    window = TwoBucketEstimate(25, 5.0, phase=0.0)
    assert all(allowed(window, *[4.0] * 25, *[10.0] * 25))


def test_refused_calls_count_in_the_estimate() -> None:
    """A client that knocks on makes its own estimate grow, as in HAProxy; refused_count=False is milder."""
    strict, mild = TwoBucketEstimate(25, 5.0, phase=0.0), TwoBucketEstimate(25, 5.0, phase=0.0, refused_count=False)
    for window in (strict, mild):
        allowed(window, *[4.0] * 100)
    assert (strict.allows(7.5), mild.allows(7.5)) == (False, True)


@pytest.mark.parametrize("phase", [None, 0.0, 0.7])
@pytest.mark.parametrize("refused_count", [True, False])
def test_the_estimate_equals_the_plain_sum(phase: float | None, refused_count: bool) -> None:
    """Counted again from the list of all calls, every verdict is the same."""
    times = sorted(random.Random(11).uniform(0, 40) for _ in range(600))
    window = TwoBucketEstimate(25, 5.0, phase=phase, refused_count=refused_count)
    grid = int((times[0] if phase is None else phase) * 1000)
    counted: list[int] = []
    for time in times:
        tick = int(time * 1000)
        start = grid + (tick - grid) // 5000 * 5000
        current = sum(tick >= start for tick in counted)
        older = sum(start - 5000 <= tick < start for tick in counted)
        expected = current + 1 + older * (start + 5000 - tick) // 5000 <= 25
        assert expected == window.allows(time)
        if expected or refused_count:
            counted.append(tick)


@pytest.mark.parametrize(
    ("kind", "made"),
    [("sliding", SlidingWindow), ("fixed", FixedWindow), ("bucket", TokenBucket), ("estimate", TwoBucketEstimate)],
)
def test_a_window_is_made_by_its_kind(kind: WindowKind, made: Callable[..., Window]) -> None:
    """Each kind is the class of that name, with the calls and seconds that were asked for."""
    window = create_window(kind, (3, 2.0))
    assert (type(window), window.calls, window.per) == (made, 3, 2.0)
    assert repr(window) == f"<{type(window).__name__} 3 in 2 s>"


@pytest.mark.parametrize(("kind", "passed"), [("sliding", (1, 2)), ("estimate", (1, 2))])
def test_a_kind_can_be_told_that_refused_calls_do_not_count(kind: WindowKind, passed: tuple[int, int]) -> None:
    """Of two calls in the first second and one 6 s later: the refused one stands in the way only where it counts."""
    times = (0.0, 4.0, 7.5)
    strict, mild = create_window(kind, (1, 5.0)), create_window(kind, (1, 5.0), refused_count=False)
    assert (sum(allowed(strict, *times)), sum(allowed(mild, *times))) == passed


@pytest.mark.parametrize(("calls", "per"), [(0, 5.0), (25, 0.0), (25, -1.0), (25, float("inf")), (25, float("nan"))])
def test_a_limit_that_is_none_is_an_error(calls: int, per: float) -> None:
    """No calls, or no time, is said to be wrong at once."""
    with pytest.raises(ValueError, match="at least 1 call"):
        SlidingWindow(calls, per)


def test_an_unknown_kind_names_the_kinds() -> None:
    """The error lists what can be asked for."""
    with pytest.raises(ValueError, match="sliding, fixed, bucket, estimate"):
        create_window("rolling", (25, 5.0))  # type: ignore[arg-type]
