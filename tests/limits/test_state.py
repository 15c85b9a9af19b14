"""The state: past calls, and calls in flight."""

from __future__ import annotations

import math

import pytest

from lsq_service_async.config import RateLimit
from lsq_service_async.limits._engine.state import Flight, LimitState

RATE = RateLimit(25, per=5.0)


def in_flight(state: LimitState, *slots: int, since: float = 0.0, until: float = math.inf) -> LimitState:
    for slot in slots:
        state.enter(slot, Flight(1, since, until, is_large=False))
    return state


def test_a_slot_is_used_until_a_window_after_its_answer():
    """A slot is used while its call is in flight, and for ``per`` seconds after the answer."""
    state = in_flight(LimitState.of(RATE), 1)
    assert state.used(30.0) == 1
    state.answer(1, 30.0, is_large=False)
    assert (state.used(34.99), state.used(35.01)) == (1, 0)


def test_answers_older_than_two_windows_are_deleted():
    """Old answers are deleted, so that memory does not grow with the number of calls."""
    state = LimitState.of(RATE)
    for slot in range(1000):
        state.enter(slot, Flight(1, slot, math.inf, is_large=True))
        state.answer(slot, slot, is_large=True)
        state.tidy(slot)
    assert len(state.answered) <= 11
    assert len(state.uploads) <= 6


def test_calls_whose_answers_cannot_be_reported_count_as_answered():
    """A call whose lease ends counts as answered at that moment, and its slot returns a window later."""
    state = in_flight(LimitState.of(RATE), *range(25))
    state.expire(7.0)
    assert state.flights == {}
    assert math.inf > state.opens_at() > 12.0


def test_the_end_of_a_lease_counts_as_an_answer():
    """A call without an answer counts as answered when its lease ends, and not earlier."""
    state = in_flight(LimitState.of(RATE), 1, until=10.0)
    state.tidy(9.9)
    assert state.answered == []
    state.tidy(12.0)
    assert (state.answered, state.flights) == ([10.0], {})


def test_the_round_trip_is_that_of_ordinary_calls():
    """The round trip is measured without lost calls and large uploads."""
    state = in_flight(LimitState.of(RATE), 1, until=10.0)
    state.tidy(12.0)
    in_flight(state, 2, since=12.0)
    state.answer(2, 50.0, is_large=True)
    assert state.round_trip == 0.1
    in_flight(state, 3, since=50.0)
    state.answer(3, 51.1, is_large=False)
    assert state.round_trip == pytest.approx(0.3)


def test_another_rate_forgets_past_refusals():
    """Opening with another rate restores the full rate; opening with the same rate does not."""
    state = LimitState.of(RATE)
    state.refused(0.0, (10, 5), 0.0)
    state.configure(RATE)
    assert state.rate.calls == 10
    state.configure(RateLimit(10, per=5.0))
    state.configure(RATE)
    assert state.rate.calls == 25
