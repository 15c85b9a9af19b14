"""One exchange between a process and the shared state, and the state as JSON."""

from __future__ import annotations

import math
from random import Random

import pytest

from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.limits._engine.messages import LANES, ActiveCall, CompletedCall, Request, SyncMessage
from lsq_service_async.limits._engine.state import Flight, LimitState
from lsq_service_async.limits._engine.sync import state_from_json, state_to_json, sync

RATE, SLIDING = RateLimit(25, per=5.0), RateLimit(25, per=5.0, window="sliding")
INTERACTIVE, BULK = Request(Lane.INTERACTIVE, False), Request(Lane.BULK, False)
STEPS = [0.0, 0.001, 0.05, 0.2, 1.0, 3.0, 12.0, -0.2]  # s between two messages; a clock may be set back


def message(process_id: int, slot: int, *requests: Request, **more: object) -> SyncMessage:
    lanes = [request.lane for request in requests]
    waiting = lanes.count(Lane.INTERACTIVE), lanes.count(Lane.BULK)
    about = {"rate": RATE, **more}
    return SyncMessage(process_id=process_id, slot=slot, requests=requests, waiting=waiting, **about)


def random_message(random: Random, slots: list[int], now: float) -> SyncMessage:
    """A message that no process would send, of one of four processes."""
    requests = [Request(random.choice(LANES), random.random() < 0.2) for _ in range(random.randint(0, 4))]
    completed = [slots.pop(random.randrange(len(slots))) for _ in range(min(len(slots), random.randint(0, 4)))]
    active = random.sample(slots, min(len(slots), random.randint(0, 2)))
    named = random.choice([None, None, (3, 5), (10, 1), (1, 3600)])
    refusals = [(named, random.uniform(0, 5))] if random.random() < 0.2 else []
    return message(
        random.randint(1, 4), 2**52 + len(slots), *requests, refusals=refusals,
        completed=[CompletedCall(slot, random.choice([None, 0.0, 0.5]), random.random() < 0.2) for slot in completed],
        active=[ActiveCall(slot, random.uniform(0, 12), random.random() < 0.2) for slot in active],
        pause=random.choice([-math.inf, -1000.0, 2.0]), seen=random.choice([-math.inf, now - 2.0]),
        is_leaving=random.random() < 0.05, expected=random.choice([math.inf, now, now - 2.0]),
        rate=random.choice([RATE, SLIDING]),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_a_state_is_the_same_after_it_was_written_and_read(seed):
    """A state is unchanged after it was written to JSON and read, whatever messages it has processed."""
    random, state, now, slots = Random(seed), None, 1000.0, []
    for number in range(40):
        now += random.choice(STEPS)
        state = sync(state, now, random_message(random, slots, now)).state
        slots.append(number)
        assert state_from_json(state_to_json(state)) == state


def test_a_limit_that_version_0_1_0_named_grows_back_at_once():
    """A named limit without a start time, as version 0.1.0 stored it, grows back at once."""
    old = "[[[25,5.0],[10,5],[10,5],-Infinity,100.0],[0,0,[]],[100.0,-Infinity,-Infinity,0.1,[99.0],[]],[],[]]"
    state = state_from_json(old)
    state.tidy(105.1)
    assert (state.rate, state.answered) == (RateLimit(11, per=5.0), [99.0])


def test_a_state_without_a_pace_and_a_standstill_can_be_read():
    """A state that an earlier version stored has bursts, and the service answers."""
    old = (
        "[[[25,5.0],[25,5.0],[12,5.0],90.0,95.0,null,-Infinity,0.0],[0,0,[]],[100.0,-Infinity,-Infinity,0.1,[99.0],[]],"
    )
    state = state_from_json(old + "[[7,1,98.0,108.0,false]],[[1,150.0]]]")
    assert (state.rate.calls, state.is_paced, state.stands_still, len(state.flights)) == (12, False, False, 1)
    assert (state.rate.window, state.processes[1].rate) == ("any", RATE)


@pytest.mark.parametrize("windows", [("sliding", "any"), ("any", "sliding"), ("sliding", "sliding")])
def test_the_window_is_sliding_only_if_all_processes_say_so(windows):
    """A process that stored no window, as earlier versions did, has the window "any"."""
    state = sync(None, 100.0, message(1, 1, rate=RateLimit(25, per=5.0, window=windows[0]))).state
    if windows[0] == "any":
        text = state_to_json(state)
        state = state_from_json(text.replace(', "any"', ""))
        assert (state_to_json(state), text.count(', "any"')) == (text, 2)
    state.refused(100.0, (10, 5.0), 99.0)
    state = state_from_json(state_to_json(state))
    state = sync(state, 100.0, message(2, 2, rate=RateLimit(25, per=5.0, window=windows[1]))).state
    assert state.rate.window == ("sliding" if windows == ("sliding", "sliding") else "any")
    assert state.rate.calls == (25 if windows == ("sliding", "any") else 10)  # another window is another rate


def test_a_standstill_and_its_probe_are_stored():
    """All processes see the standstill, and one of them gets the probe. A repeated report changes nothing."""
    report = CompletedCall(7, 0.0, False, is_repeated=True, silence=1.5)
    state, grants = sync(None, 100.0, message(1, 7, INTERACTIVE)).state, []
    for number in range(3):
        state = state_from_json(state_to_json(state))
        state = sync(state, 102.0 + number, message(1, 8, completed=[report])).state
        assert (state.stands_still, state.used(102.0)) == (True, 1 + bool(number))
        grants.append(sync(state, 102.5 + number, message(2, 9 + number, INTERACTIVE)).grant.request)
    assert grants == [INTERACTIVE, None, None]
    state = sync(state, 105.0, message(2, 20, completed=[CompletedCall(19, 5.5, False)])).state
    assert state.stands_still  # this answer arrived before
    state = sync(state, 106.0, message(2, 20, completed=[CompletedCall(9, 0.5, False)])).state
    assert (state.stands_still, state.answered[1:], state.flights) == (False, [105.5, 105.5], {})


def test_a_message_that_is_repeated_takes_one_slot():
    """A repeated message gets the same slot, so a process without a reply can send it again or return the slot."""
    state, _, grant = sync(None, 100.0, message(1, 7, INTERACTIVE))
    assert grant.request == INTERACTIVE
    state, _, grant = sync(state, 100.1, message(1, 7, INTERACTIVE))
    assert (grant.request, len(state.flights)) == (INTERACTIVE, 1)
    state = sync(state, 100.2, message(1, 8, completed=[CompletedCall(7, None, False)])).state
    assert state.used(100.2) == 0


def test_a_call_in_flight_that_the_state_does_not_know_is_added():
    """A call whose lease ended too early, or whose state was lost, is added from the next message."""
    state = sync(None, 100.0, message(1, 8, active=[ActiveCall(7, 30.0, True)])).state
    assert state.flights == {7: Flight(1, 70.0, 110.0, True)}


def test_a_clock_that_was_set_back_a_little_stands_still():
    """The time of the state does not decrease if the clock was set back a little."""
    state = sync(None, 100.0, message(1, 1, INTERACTIVE)).state
    state = sync(state, 99.5, message(1, 2, INTERACTIVE)).state
    assert [flight.since for flight in state.flights.values()] == [100.0, 100.0]


def test_if_a_clock_was_set_back_far_known_calls_count_as_answered_just_now():
    """All known calls count as answered just now, because their age is unknown."""
    state = LimitState.of(RATE)
    for slot in (1, 2):
        state.enter(slot, Flight(1, 1e6, math.inf, is_large=False))
    state.seen, state.answered = 1e6, [1e6 - 1, 1e6 - 4]
    state, _, grant = sync(state, 500.0, message(1, 9))
    assert (state.answered, state.flights, grant.request) == ([500.0] * 4, {}, None)


def test_if_a_clock_was_set_forward_far_known_calls_count_as_answered_just_now():
    """Known calls count as answered just now instead of as old."""
    state = sync(None, 100.0, message(1, 1, INTERACTIVE)).state
    state = sync(state, 102.0, message(1, 2, completed=[CompletedCall(1, 0.5, False)], expected=101.1)).state
    assert state.answered == [101.5]
    state = sync(state, 120.0, message(1, 3, expected=103.0)).state
    assert state.answered == [120.0]


@pytest.mark.parametrize(("seen", "answered"), [(-math.inf, 0), (100.0, 0), (100.1, 25), (110.0, 25)])
def test_if_the_state_is_older_than_the_last_reply_all_slots_count_as_used(seen, answered):
    """After a failover, calls may be missing, even if another process was the first to use the older state."""
    state = sync(None, 100.0, message(1, 1, INTERACTIVE)).state
    sync(state, 102.0, message(2, 2))
    sync(state, 103.0, message(1, 3, seen=seen))
    assert (len(state.answered), len(state.flights)) == (answered, 1)


@pytest.mark.parametrize(("seen", "answered"), [(100.0, 0), (100.1, 25), (101.0, 25)])
def test_the_state_may_be_older_than_a_process(seen, answered):
    """A snapshot of Redis may have been made before a process used the limit for the first time."""
    state = sync(None, 100.0, message(1, 1, INTERACTIVE)).state
    sync(state, 102.0, message(2, 2, seen=seen))
    assert (len(state.answered), len(state.flights)) == (answered, 1)


def test_calls_that_wait_in_other_processes_are_sent_before_some_of_ours():
    """In the same lane the processes take turns, and the other lane gets its share."""
    state = sync(None, 100.0, message(1, 1, pause=9.0)).state
    sync(state, 100.0, message(2, 2, *[INTERACTIVE] * 2))
    sync(state, 100.0, message(3, 3, *[BULK] * 3))
    assert state.order.before(1, Lane.INTERACTIVE, 1, 0) == (3, 3)
    assert state.order.before(1, Lane.INTERACTIVE, 9, 0) == (11, 13)
    assert state.order.before(1, Lane.BULK, 0, 0) == (1, 3)


def test_a_process_that_leaves_is_forgotten():
    """A process that leaves is not in the state any more, and neither are its waiting calls."""
    state = sync(None, 100.0, message(1, 1, *[BULK] * 2)).state
    state = sync(state, 100.0, message(1, 2, is_leaving=True)).state
    assert (state.processes, state.order.heads) == ({}, {})
