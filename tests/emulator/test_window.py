"""Every kind of window, with times given by hand."""

import random

import pytest

from lsq_service_async.emulator.window import (
    FixedWindow,
    SlidingWindow,
    TokenBucket,
    TwoBucketEstimate,
    Unlimited,
    create_window,
)


def allowed(window, *times):
    return [window.allows(time) for time in times]


def test_a_sliding_window_allows_the_26th_call_when_the_first_is_5_seconds_old():
    """The 26th call of a burst is refused, and so is one shortly before 5 seconds have passed."""
    window = SlidingWindow(25, 5.0, refused_count=False)
    assert all(allowed(window, *[100.0] * 25))
    assert allowed(window, 100.0, 104.999, 105.0) == [False, False, True]


def test_no_5_seconds_of_a_sliding_window_have_more_than_25_calls():
    """For random arrivals, every window of 5 seconds has at most 25 allowed calls."""
    times = sorted(random.Random(7).uniform(0, 60) for _ in range(2000))
    window = SlidingWindow(25, 5.0, refused_count=False)
    passed = [time for time in times if window.allows(time)]
    assert max(sum(start <= time < start + 5 for time in passed) for start in passed) == 25


@pytest.mark.parametrize("phase", [0.0, 1.3, 4.99])
def test_a_fixed_window_restarts_at_its_phase(phase):
    """A burst of 25 passes on each side of the boundary, and a 26th call of either does not."""
    window = FixedWindow(25, 5.0, phase=phase)
    for time in (99.99 + phase, 100.0 + phase):
        assert allowed(window, *[time] * 26) == [True] * 25 + [False]


def test_a_token_bucket_allows_a_burst_and_then_one_call_each_fifth_of_a_second():
    """After 25 calls at once, 0.2 s give one more; a refused call costs nothing; an hour gives no more than 25."""
    window = TokenBucket(25, 5.0)
    assert allowed(window, *[10.0] * 26) == [True] * 25 + [False]
    assert allowed(window, 10.2, 10.2, 10.4) == [True, False, True]
    assert sum(allowed(window, *[3600.0] * 40)) == 25


@pytest.mark.parametrize(
    ("phase", "earlier", "now", "passed"),
    [
        pytest.param(0.0, [4.0] * 25, 7.5, 13, id="half a bucket later 12.5 of 25 calls remain, which are 12"),
        pytest.param(0.0, [0.0] * 25, 5.1, 1, id="a second burst is refused that a true window allows"),
        pytest.param(0.0, [4.0] * 25, 10.0, 25, id="calls that are two buckets old do not count"),
        pytest.param(None, [3.0], 7.9, 24, id="without a phase the bucket of a call at 3.0 ends at 8.0"),
        pytest.param(None, [0.0] + [14.0] * 20, 18.5, 5, id="after a rest the bucket begins with the next call"),
        pytest.param(0.0, [0.0] + [14.0] * 20, 18.5, 19, id="with a phase it stays on the grid"),
    ],
)
def test_the_estimate_adds_the_fading_calls_of_the_previous_bucket(phase, earlier, now, passed):
    """After the earlier calls, of 25 calls at once as many pass as HAProxy's formula gives."""
    window = TwoBucketEstimate(25, 5.0, phase=phase, refused_count=False)
    assert all(allowed(window, *earlier))
    assert sum(allowed(window, *[now] * 25)) == passed


@pytest.mark.parametrize("phase", [None, 0.0, 0.7])
@pytest.mark.parametrize("refused_count", [True, False])
def test_the_estimate_equals_a_count_of_all_calls(phase, refused_count):
    """For random arrivals, every decision equals the formula on the list of all counted calls."""
    times = sorted(random.Random(11).uniform(0, 40) for _ in range(600))
    window = TwoBucketEstimate(25, 5.0, phase=phase, refused_count=refused_count)
    grid = int((times[0] if phase is None else phase) * 1000)
    counted = []
    for time in times:
        tick = int(time * 1000)
        start = grid + (tick - grid) // 5000 * 5000
        current = sum(tick >= start for tick in counted)
        previous = sum(start - 5000 <= tick < start for tick in counted)
        expected = current + 1 + previous * (start + 5000 - tick) // 5000 <= 25
        assert window.allows(time) == expected
        if expected or refused_count:
            counted.append(tick)


@pytest.mark.parametrize(
    ("kind", "created"),
    [
        *(("sliding", SlidingWindow), ("fixed", FixedWindow), ("bucket", TokenBucket)),
        *(("estimate", TwoBucketEstimate), (None, Unlimited)),
    ],
)
def test_a_window_is_created_by_its_kind(kind, created):
    """Each kind has its class, with the calls and seconds of the rate limit."""
    window = create_window(kind, (3, 2.0))
    assert (type(window), window.calls, window.per) == (created, 3, 2.0)
    assert repr(window) == f"<{type(window).__name__} 3 in 2 s>"


@pytest.mark.parametrize("kind", ["sliding", "estimate"])
def test_refused_calls_count_unless_switched_off(kind):
    """A refused call at 4 s refuses the next one at 7.5 s, as in HAProxy; refused_count=False allows it."""
    strict, mild = create_window(kind, (1, 5.0)), create_window(kind, (1, 5.0), refused_count=False)
    assert allowed(strict, 0.0, 4.0, 7.5) == [True, False, False]
    assert allowed(mild, 0.0, 4.0, 7.5) == [True, False, True]
    assert allowed(SlidingWindow(1, 5.0), 0.0, 4.0, 8.0, 12.0, 17.0) == [True, False, False, False, True]


@pytest.mark.parametrize(("calls", "per"), [(0, 5.0), (25, 0.0), (25, -1.0), (25, float("inf")), (25, float("nan"))])
@pytest.mark.parametrize("kind", [SlidingWindow, TwoBucketEstimate])
def test_a_limit_without_calls_or_time_is_an_error(kind, calls, per):
    """A window needs at least one call and a finite time above 0."""
    with pytest.raises(ValueError, match="at least 1 call"):
        kind(calls, per)


@pytest.mark.parametrize("kind", ["rolling", 5, ["fixed"], SlidingWindow], ids=repr)
def test_an_unknown_kind_names_the_kinds(kind):
    """The error lists the kinds that exist."""
    with pytest.raises(ValueError, match="sliding, fixed, bucket, estimate"):
        create_window(kind, (25, 5.0))
