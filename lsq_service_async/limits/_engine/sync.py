"""Applies the message of a process to the shared state, and converts the state to JSON and back."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeVar

from ...config import Lane, RateLimit
from .adaptive_rate import FIRST_HOLD, LONGEST_HOLD, AdaptiveRate
from .fairness import GRACE, Head, ProcessOrder
from .messages import LANES, Grant, Request, SyncMessage
from .state import Flight, LimitState, Presence
from .window import opens_at

N = TypeVar("N", int, float)
LEASE = 10.0  # s; a call not reported for this long counts as answered
PRESENCE = 60.0  # s; a process without a message for longer counts as ended
LONGEST_PAUSE = 60.0  # s, or one second more than a window if that is longer
_CLOCK_JUMP = 1.0  # s; smaller steps of a clock are ignored
_LONGEST_WAIT = 10.0  # s until the next request, because estimates become outdated
_BLIND_WAIT = 1.0  # s until the next request if its time cannot be estimated
_SHORTEST_WAIT = 0.25  # in units of `LimitState.token`
_LONGEST_ROUND_TRIP = 600.0  # s
_LONGEST_WINDOW = 366 * 86_400.0  # s
_MOST_IN_A_ROW = 1000
_MARGIN = 0.02  # in units of `LimitState.token`; a delay, so that requests are rarely too early
_UNWRITTEN: list[Any] = [None, -math.inf, 0.0, False, -math.inf, 0.0]  # for values that earlier versions did not write
_UNREPORTED = 2.0  # s; the longest time from an answer to its report


class SyncReply(NamedTuple):
    """The state after a message, the time on its clock, and the grant."""

    state: LimitState
    now: float
    grant: Grant


def sync(state: LimitState | None, now: float, message: SyncMessage) -> SyncReply:
    """Apply the reports of a process and grant it at most one slot. The given state may be changed."""
    if state is None:
        is_lost, state = message.seen > -math.inf, LimitState.of(message.rate)
    else:  # after a failover, this state may be an older copy
        own = state.processes.get(message.process_id)
        is_lost = state.seen < message.seen <= now + _CLOCK_JUMP
        is_lost = is_lost or (own is not None and own.until < message.seen + PRESENCE)
        if not state.seen - _CLOCK_JUMP <= now <= message.expected + _CLOCK_JUMP:
            state = restarted(state, now)
    if is_lost:  # calls may be missing, so all slots count as used
        state.answered = [now] * message.rate.calls
    now = state.seen = max(now, state.seen)
    _bound(state, now)
    state.tidy(now)
    is_known = message.process_id in state.processes
    state.processes = {process: other for process, other in state.processes.items() if other.until > now}
    state.processes[message.process_id] = Presence(now + PRESENCE, message.rate)
    state.configure(_joint_rate({process.rate for process in state.processes.values()}))
    _apply_reports(state, now, message, is_known)
    if message.is_leaving:
        del state.processes[message.process_id]
        state.order.line_up(message.process_id, (), (0, 0), now)
        return SyncReply(state, now, Grant(None, _LONGEST_WAIT))
    return SyncReply(state, now, _grant(state, now, message))


def _bound(state: LimitState, now: float) -> None:
    """Correct values that would stop all calls or allow too many calls. NaN becomes the upper bound."""
    adaptive, order, oldest = state.adaptive, state.order, now - LONGEST_HOLD
    latest = now + max(LONGEST_PAUSE, state.rate.per + 1.0)
    if adaptive.is_possible():
        adaptive.halved_at = _within(oldest, adaptive.halved_at, now)
        adaptive.quiet_since = _within(oldest, adaptive.quiet_since, latest)
        adaptive.hold = _within(0.0, adaptive.hold, LONGEST_HOLD)
        adaptive.named_until = _within(oldest, adaptive.named_until, now + adaptive.hold)
        adaptive.known_at = _within(oldest, adaptive.known_at, now)
        adaptive.trial = _within(0.0, adaptive.trial, max(FIRST_HOLD, adaptive.plan.per))
    else:
        state.adopt(AdaptiveRate.of(adaptive.configured))
    state.last_answer = _within(oldest, state.last_answer, now)
    state.paused_until = _within(oldest, state.paused_until, latest)
    state.paced_until = _within(oldest, state.paced_until, now + 2 * state.token)
    state.round_trip = _within(0.0, state.round_trip, _LONGEST_ROUND_TRIP)
    state.answered = sorted(min(now, at) for at in state.answered)
    state.uploads = sorted(min(now, at) for at in state.uploads)
    for slot, flight in state.flights.items():
        since, until = _within(oldest, flight.since, now), _within(oldest, flight.until, now + LEASE)
        state.flights[slot] = flight._replace(since=since, until=until)
    for process_id, process in state.processes.items():
        state.processes[process_id] = process._replace(until=min(now + PRESENCE, process.until))
    for key, head in order.heads.items():
        order.heads[key] = head._replace(until=min(now + _LONGEST_WAIT + GRACE, head.until))
    order.row = _within(0, order.row, _MOST_IN_A_ROW)


def _within(least: N, value: N, most: N) -> N:
    """Return ``value``, or the nearer bound; ``most`` for NaN."""
    return min(most, max(value, least))


def _joint_rate(rates: set[RateLimit]) -> RateLimit:
    """Return the highest rate that exceeds none of ``rates``, with the window "any" if the rates differ.

    For example, 7/0.9 and 30/4 give 7/0.93. With "sliding", five bursts of 7 calls fit into 4 s, which exceeds 30/4.
    """
    if len(rates) == 1:
        return next(iter(rates))
    calls = min(rate.calls for rate in rates)
    return RateLimit(calls, per=max(calls / rate.calls * rate.per for rate in rates))


def restarted(state: LimitState, now: float) -> LimitState:
    """Make a new state after the clock was set. The old calls count as answered now."""
    fresh = LimitState.of(state.adaptive.configured)
    fresh.seen = now
    fresh.answered = [now] * min(len(state.answered) + len(state.flights), fresh.rate.calls)
    return fresh


def _apply_reports(state: LimitState, now: float, message: SyncMessage, is_known: bool) -> None:
    for slot, age, is_large, is_repeated, silence in message.completed:
        if age is None:
            state.forget(slot)
        elif slot in state.flights or not (is_repeated and is_known):  # otherwise, the call was counted before
            state.end(slot, now - age, silence, is_large=is_large)
    for slot, age, is_large in message.active:
        state.enter(slot, Flight(message.process_id, now - age, now + LEASE, is_large))
    if state.stands_still:
        state.renew(message.process_id, now + LEASE)
    state.pause(now + message.pause)
    for named, age in message.refusals:
        state.refused(now, named, now - age)


def _grant(state: LimitState, now: float, message: SyncMessage) -> Grant:
    granted, _ = state.take(now, message.process_id, message.slot, message.requests, now + LEASE)
    requests, waiting = list(message.requests), list(message.waiting)
    if granted is not None:
        requests.remove(granted)
        waiting[granted.lane is Lane.BULK] -= 1
    at = _ask_again_at(state, now, message.process_id, requests)
    if granted is None:
        at = max(at, now + min(_SHORTEST_WAIT * state.token, _LONGEST_WAIT))
    state.order.line_up(message.process_id, requests, waiting, at)
    return Grant(granted, at - now)


def _ask_again_at(state: LimitState, now: float, process_id: int, requests: Sequence[Request]) -> float:
    """Estimate when one of the requests can be granted, after the processes that are served first."""
    if state.stands_still or not requests:
        return now + _BLIND_WAIT
    expected = [flight.since + state.round_trip for flight in state.flights.values()]
    soon = [answer for answer in expected if answer > now - _UNREPORTED]
    answered, in_flight = sorted([*state.answered, *soon]), len(expected) - len(soon)
    first_at = math.inf
    for request in requests:
        uploads_at = state.uploads_at(now)
        interactive, bulk = state.order.ahead(process_id, request.lane, uploads_may_go=uploads_at <= now)
        at = max(state.paused_until, uploads_at) if request.is_large else state.paused_until
        if request.lane is Lane.INTERACTIVE:
            ahead = interactive + state.order.passed_by(Lane.INTERACTIVE, interactive, bulk)
            at = max(at, opens_at(answered, in_flight + ahead, state.rate))
            if state.is_paced:
                at = max(at, max(now, state.paced_until) + ahead * state.token)
        else:
            paced_at = state.paced_until
            for place in range(bulk + 1):
                ahead = place + state.order.passed_by(Lane.BULK, place, interactive)
                paced_at = max(paced_at, opens_at(answered, in_flight + ahead, state.rate)) + state.token
            at = max(at, paced_at - state.token)
        first_at = min(first_at, at)
    if first_at == math.inf:
        return now + _BLIND_WAIT
    return now if first_at <= now else min(first_at + _MARGIN * state.token, now + _LONGEST_WAIT)


@lru_cache(64)  # because validation is slow
def _rate(calls: int, per: float, window: Literal["any", "sliding"] = "any") -> RateLimit:
    return RateLimit(calls, per=min(per, _LONGEST_WINDOW), window=window)


def state_to_json(state: LimitState) -> str:
    adaptive, order = state.adaptive, state.order
    rates = [(rate.calls, rate.per) for rate in (adaptive.configured, adaptive.plan, adaptive.rate)]
    return json.dumps([
        [*rates, adaptive.halved_at, adaptive.quiet_since, adaptive.named, adaptive.named_until, adaptive.hold,
         adaptive.is_paced, adaptive.known_at, adaptive.trial],
        [order.row, order.turns, [[head[0], LANES.index(head.lane), *head[2:]] for head in order.heads.values()]],
        [state.seen, state.paused_until, state.paced_until, state.round_trip, state.answered, state.uploads,
         state.last_answer, state.probe, adaptive.configured.window],
        [[slot, *flight] for slot, flight in state.flights.items()],
        [[process, until, rate.calls, rate.per, rate.window] for process, (until, rate) in state.processes.items()],
    ])  # fmt: skip


def state_from_json(text: str) -> LimitState:
    """Read a state that `state_to_json` of this version or of 0.1.0 wrote. Raises ValueError for other text."""
    try:
        adaptive, (row, turns, heads), moments, flights, processes = json.loads(text)
        rates, (halved_at, quiet_since), rest = adaptive[:3], adaptive[3:5], adaptive[5:]
        named, named_until, hold, is_paced, known_at, trial = rest + _UNWRITTEN[len(rest) :]
        named = named and (named[0], named[1])
        seen, paused_until, paced_until, round_trip, answered, uploads, *newer = moments
        last_answer, probe, window, *_ = newer + [-math.inf, -1, "any"][len(newer) :]
        configured, plan, rate = (_rate(calls, per, window) for calls, per in rates)
        order = {
            (process, LANES[lane]): Head(process, LANES[lane], int(turn), until, is_large, int(waiting))
            for process, lane, turn, until, is_large, waiting in heads
        }
        return LimitState(
            AdaptiveRate(
                configured, plan, rate, halved_at, quiet_since, named, named_until, hold, is_paced, known_at, trial
            ),
            ProcessOrder(order, int(row), int(turns)),
            seen=seen,
            paused_until=paused_until,
            paced_until=paced_until,
            round_trip=round_trip,
            answered=answered,
            uploads=uploads,
            flights={slot: Flight(*flight) for slot, *flight in flights},
            last_answer=last_answer,
            probe=probe,
            processes={process: Presence(until, _rate(*(own or rates[0]))) for process, until, *own in processes},
        )
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"not the state of a rate limit: {error}") from error
