"""One exchange of a process with a state that it shares with others."""

from __future__ import annotations

from ...config import Lane, RateLimit
from ...errors import ConfigurationError
from .appointment import LONGEST_NAP, SHORTEST_NAP, comes_back_at
from .ask import Ask, Verdict
from .state import Flight, State

LEASE = 10.0  # s; a call whose process says nothing for longer is taken for answered
PRESENCE = 60.0  # s; a process that says nothing for longer does not use the limit any more
_CLOCK_JUMP = 1.0  # s; a server's clock may be set by less without any harm


def exchange(state: State | None, now: float, ask: Ask) -> tuple[State, Verdict]:
    """Take in what a process reports, then grant it one call, and tell it when to come back.

    The state given is changed and returned, unless there was none or the clock was set.
    ConfigurationError if others use the limit at another rate.
    """
    if state is None:
        state = _unknown(now, ask)
    elif not state.seen - _CLOCK_JUMP <= now <= ask.expected + _CLOCK_JUMP:
        state = restarted(state, now)
    now = state.seen = max(now, state.seen)
    state.tidy(now)
    is_known = ask.owner in state.users
    _admit(state, now, ask)
    _take_in(state, now, ask, is_known)
    return state, _leave(state, ask) if ask.leaving else _grant(state, now, ask)


def restarted(state: State, now: float) -> State:
    """The times noted mean nothing any more: what has used a slot may have done so just now."""
    fresh = State.of(state.share.configured)
    fresh.seen = now
    fresh.answered = [now] * min(len(state.answered) + len(state.flights), fresh.rate.calls)
    return fresh


def _unknown(now: float, ask: Ask) -> State:
    state = State.of(ask.rate)
    if ask.returning:
        # It was there and is lost: others, too, may have used all of it.
        state.answered = [now] * ask.rate.calls
    state.seen = now
    return state


def _admit(state: State, now: float, ask: Ask) -> None:
    state.users = {user: until for user, until in state.users.items() if until > now}
    if ask.rate != state.share.configured and set(state.users) - {ask.owner}:
        raise rate_conflict(state.share.configured, ask.rate)
    state.keep(ask.rate)
    state.users[ask.owner] = now + PRESENCE


def rate_conflict(used: RateLimit, wanted: RateLimit) -> ConfigurationError:
    """What is raised when two processes configure one limit differently."""
    return ConfigurationError(
        f"this limit is in use at {used.calls} calls in {used.per:g} s by another process, "
        f"so it cannot be used at {wanted.calls} in {wanted.per:g} s"
    )


def _take_in(state: State, now: float, ask: Ask, is_known: bool) -> None:
    for slot, age, heavy, again in ask.ended:
        if age is None:
            state.forget(slot)
        elif slot in state.flights or not (again and is_known):  # else it was heard, or counted when its lease ended
            state.answer(slot, now - age, heavy=heavy)
    for slot, age, heavy in ask.held:
        state.enter(slot, Flight(ask.owner, now - age, now + LEASE, heavy))
    state.pause(now + ask.pause)
    for named in ask.refusals:
        state.refused(now, named)


def _leave(state: State, ask: Ask) -> Verdict:
    del state.users[ask.owner]
    state.line.line_up(ask.owner, (), (0, 0), state.seen)
    return Verdict(None, LONGEST_NAP)


def _grant(state: State, now: float, ask: Ask) -> Verdict:
    granted, _ = state.take(now, ask.owner, ask.slot, ask.wants, now + LEASE)
    wants, waiting = list(ask.wants), list(ask.waiting)
    if granted is not None:
        wants.remove(granted)
        waiting[granted.lane is Lane.BULK] -= 1
    at = comes_back_at(state, now, ask.owner, wants)
    if granted is None:
        at = max(at, now + SHORTEST_NAP * state.token)
    state.line.line_up(ask.owner, wants, waiting, at)
    return Verdict(granted, at - now)
