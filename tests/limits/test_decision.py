"""The state that decides, as text, and what refusals teach it."""

from __future__ import annotations

import math
from random import Random

import pytest

from limits.exchanges import random_asks
from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.limits.decision.ask import Ask, Ended, Held, Want
from lsq_service_async.limits.decision.exchange import exchange
from lsq_service_async.limits.decision.share import Share
from lsq_service_async.limits.decision.state import Flight, State
from lsq_service_async.limits.decision.text import state_from_text, state_to_text

RATE = RateLimit(25, per=5.0)
INTERACTIVE, BULK = Want(Lane.INTERACTIVE, False), Want(Lane.BULK, False)


def ask(owner: int, slot: int, *wants: Want, **more: object) -> Ask:
    waiting = [want.lane for want in wants]
    return Ask(owner=owner, slot=slot, rate=RATE, wants=wants,
               waiting=(waiting.count(Lane.INTERACTIVE), waiting.count(Lane.BULK)), **more)  # fmt: skip


def flying(state: State, *slots: int, since: float = 0.0, until: float = math.inf, heavy: bool = False) -> State:
    for slot in slots:
        state.enter(slot, Flight(1, since, until, heavy))
    return state


@pytest.mark.parametrize("seed", range(20))
def test_a_state_survives_as_text(seed):
    """To the last digit, whatever happened to it."""
    state = None
    for now, asked in random_asks(Random(seed), 40):
        state, _ = exchange(state, now, asked)
        assert state_from_text(state_to_text(state)) == state


def test_a_slot_is_used_until_a_window_after_its_answer():
    """It counts while in flight, then for ``per`` seconds, then no more."""
    state = flying(State.of(RATE), 1)
    assert state.used(30.0) == 1
    state.answer(1, 30.0, heavy=False)

    assert (state.used(34.99), state.used(35.01)) == (1, 0)


def test_what_is_older_than_two_windows_is_forgotten():
    """Memory does not grow with the calls made."""
    state = State.of(RATE)
    for slot in range(1000):
        state.enter(slot, Flight(1, slot, math.inf, True))
        state.answer(slot, slot, heavy=True)
        state.tidy(slot)

    assert len(state.answered) <= 11
    assert len(state.uploads) <= 6


def test_calls_nobody_will_report_on_can_be_settled():
    """They are taken for answered, and come back like any other."""
    state = flying(State.of(RATE), *range(25))
    state.settle(7.0)

    assert state.flights == {}
    assert math.inf > state.opens_at() > 12.0


def test_an_expired_lease_counts_as_an_answer_at_its_end():
    """Not before: until then the call may have been counted by the service."""
    state = flying(State.of(RATE), 1, until=10.0)
    state.tidy(9.9)
    assert state.answered == []
    state.tidy(12.0)
    assert (state.answered, state.flights) == ([10.0], {})


def test_how_long_lost_calls_and_uploads_took_says_nothing_about_others():
    """What forecasts expect is the round trip of ordinary calls."""
    state = flying(State.of(RATE), 1, until=10.0)
    state.tidy(12.0)
    flying(state, 2, since=12.0)
    state.answer(2, 50.0, heavy=True)
    assert state.round_trip == 0.1
    flying(state, 3, since=50.0)
    state.answer(3, 51.1, heavy=False)
    assert state.round_trip == pytest.approx(0.3)


def test_an_exchange_that_is_repeated_takes_one_slot():
    """It has the same slot number, so whoever does not know whether it was heard may ask again, or take it back."""
    state, verdict = exchange(None, 100.0, ask(1, 7, INTERACTIVE))
    assert verdict.want == INTERACTIVE
    state, verdict = exchange(state, 100.1, ask(1, 7, INTERACTIVE))
    assert (verdict.want, len(state.flights)) == (INTERACTIVE, 1)
    state, _ = exchange(state, 100.2, ask(1, 8, ended=[Ended(7, None, False)]))
    assert state.used(100.2) == 0


def test_a_call_that_the_state_does_not_know_is_held_again():
    """A lease that ended too early, or a server that has forgotten everything."""
    state, _ = exchange(None, 100.0, ask(1, 8, held=[Held(7, 30.0, True)]))
    assert state.flights == {7: Flight(1, 70.0, 110.0, True)}


def test_a_clock_that_was_set_back_a_little_stands_still():
    """A server's clock may be corrected; times never run backwards."""
    state, _ = exchange(None, 100.0, ask(1, 1, INTERACTIVE))
    state, _ = exchange(state, 99.5, ask(1, 2, INTERACTIVE))
    assert [flight.since for flight in state.flights.values()] == [100.0, 100.0]


def test_a_clock_that_was_set_back_far_begins_anew_with_what_is_known_used_just_now():
    """Nobody can tell how long ago it was."""
    state = flying(State.of(RATE), 1, 2, since=1e6)
    state.seen, state.answered = 1e6, [1e6 - 1, 1e6 - 4]
    state, verdict = exchange(state, 500.0, ask(1, 9))
    assert (state.answered, state.flights, verdict.want) == ([500.0] * 4, {}, None)


def test_a_clock_that_was_set_forward_far_makes_nothing_old():
    """What its askers have used would seem to be long ago."""
    state, _ = exchange(None, 100.0, ask(1, 1, INTERACTIVE))
    state, _ = exchange(state, 102.0, ask(1, 2, ended=[Ended(1, 0.5, False)], expected=101.1))
    assert state.answered == [101.5]
    state, _ = exchange(state, 120.0, ask(1, 3, expected=103.0))
    assert state.answered == [120.0]


def test_those_who_wait_elsewhere_are_counted_before_one():
    """Of its own lane as many as it has before it itself, for processes take turns; of the other as the floor says."""
    state, _ = exchange(None, 100.0, ask(1, 1, pause=9.0))
    exchange(state, 100.0, ask(2, 2, *[INTERACTIVE] * 2))
    exchange(state, 100.0, ask(3, 3, *[BULK] * 3))
    assert state.line.before(1, Lane.INTERACTIVE, 1, 0) == (3, 3)
    assert state.line.before(1, Lane.INTERACTIVE, 9, 0) == (11, 13)
    assert state.line.before(1, Lane.BULK, 0, 0) == (1, 3)


def test_who_leaves_is_forgotten():
    """Neither a user nor in line."""
    state, _ = exchange(None, 100.0, ask(1, 1, *[BULK] * 2))
    state, _ = exchange(state, 100.0, ask(1, 2, leaving=True))
    assert (state.users, state.line.heads) == ({}, {})


def test_a_refusal_halves_the_share_at_most_once_a_window():
    """Several calls in flight may be refused for one reason."""
    share = Share(RATE)
    assert [share.refused(now, None) for now in (0.0, 1.0, 4.9, 5.1)] == [True, False, False, True]
    assert share.rate == RateLimit(6, per=5.0)


def test_the_share_is_never_under_a_fifth():
    """Else it might be too long before anything goes at all."""
    share = Share(RATE)
    assert [share.refused(10.0 * turn, None) for turn in range(4)] == [True, True, True, False]
    assert share.rate.calls == 5


def test_the_share_grows_by_a_slot_for_each_quiet_window():
    """Up to what was configured, and from the last refusal on."""
    share = Share(RATE)
    share.refused(0.0, None)
    share.refused(3.0, None)
    grown = [(share.tidy(now), share.rate.calls) for now in (7.9, 8.1, 18.1, 1000.0, 2000.0)]
    assert grown == [(False, 12), (True, 13), (True, 15), (True, 25), (False, 25)]


def test_a_lower_limit_that_is_named_replaces_the_rate():
    """It explains the refusal, so the rate is not halved, however many calls were refused together."""
    share = Share(RATE)
    assert [share.refused(now, (10, 5)) for now in (0.0, 0.1, 4.9)] == [True, False, False]
    assert share.rate == RateLimit(10, per=5)
    assert share.refused(6.0, (10, 5))
    assert share.rate.calls == 5
    share.tidy(500.0)
    assert share.rate.calls == 10


def test_after_ten_minutes_the_rate_grows_back_by_one_call_per_window():
    """It does not jump, and a refusal delays it."""
    share = Share(RATE)
    share.refused(0.0, (10, 5))
    grown = []
    for now in (599.9, 600.0, 604.9, 605.1, 610.1):
        share.tidy(now)
        grown.append(share.rate.calls)
    assert grown == [10, 10, 10, 11, 12]
    share.refused(611.0, None)
    assert share.rate == RateLimit(6, per=5.0)
    share.tidy(5000.0)
    assert share.rate == RATE


def test_the_same_limit_named_again_holds_twice_as_long_up_to_a_day():
    """Ten minutes, then twenty, forty and so on; another limit holds for ten minutes."""
    share, holds, now = Share(RATE), [], 0.0
    for _ in range(10):
        share.refused(now, (10, 5))
        share.refused(now + 0.1, (10, 5))  # one of several calls that were under way
        holds.append(share.named_until - now)
        share.tidy(share.named_until + 30)
        now = share.named_until + 31
    assert holds == [600.0 * 2**turn for turn in range(8)] + [86_400.0] * 2
    share.refused(now, (5, 5))
    assert share.named_until == now + 600


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
    """A sentence may be quoted: it does not stop a client. No window holds more calls than are configured."""
    share = Share(RATE)
    assert share.refused(0.0, named)
    assert (share.rate.calls, share.rate.per) == kept


@pytest.mark.parametrize("named", [(3, 0), (-1, 5), (25, 5), (500, 60), (30, 5)])
def test_a_named_limit_that_is_not_lower_explains_nothing(named):
    """The rate is halved, as after a refusal that names no limit."""
    share = Share(RATE)
    assert share.refused(0.0, named)
    assert (share.rate, share.plan) == (RateLimit(12, per=5.0), RATE)


@pytest.mark.parametrize(("named", "grown"), [((100, 30), 16), ((6, 2), 6)])
def test_a_named_limit_with_another_window_grows_back_in_the_configured_one(named, grown):
    """A longer window in proportion, a shorter one with the same number of calls: no window holds more than before."""
    share = Share(RATE)
    share.refused(0.0, named)
    share.tidy(600.0)
    assert share.rate == RateLimit(grown, per=5.0)


def test_a_limit_that_an_earlier_version_keeps_grows_back_at_once():
    """Its text does not say since when."""
    old = "[[[25,5.0],[10,5],[10,5],-Infinity,100.0],[0,0,[]],[100.0,-Infinity,-Infinity,0.1,[99.0],[]],[],[]]"
    state = state_from_text(old)
    state.tidy(105.1)
    assert (state.rate, state.answered) == (RateLimit(11, per=5.0), [99.0])


def test_another_rate_begins_with_a_whole_share():
    """Somebody has corrected the settings."""
    state = State.of(RATE)
    state.refused(0.0, (10, 5))
    state.keep(RATE)
    assert state.rate.calls == 10
    state.keep(RateLimit(10, per=5.0))
    state.keep(RATE)
    assert state.rate.calls == 25
