"""When a process that must wait does best to come back. Only an estimate: who comes too early is told again."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...config import Lane
from .ask import Want
from .rule import opens_at
from .state import State

LONGEST_NAP = 10.0  # s; whatever is foreseen, another process may have changed it by then
BLIND_NAP = 1.0  # s; nothing is foreseen, but somebody may have reported an answer by then
SHORTEST_NAP = 0.25  # tokens; for who was told to wait
MARGIN = 0.1  # tokens; a slot is used that much later, once in a window, and hardly anybody comes too early
UNREPORTED = 2.0  # s; a call may have been answered so long ago, and its process not have said so yet


def comes_back_at(state: State, now: float, owner: int, wants: Sequence[Want]) -> float:
    """The time at which the first of ``wants`` is expected to go, those of other processes before it having gone.

    Now, if that is already so. Later by much than need be only if calls are not answered as expected.
    """
    answered, in_flight = _expected(state, now)
    at = min((_goes_at(state, now, owner, want, answered, in_flight) for want in wants), default=math.inf)
    if at == math.inf:
        return now + BLIND_NAP
    return now if at <= now else min(at + MARGIN * state.token, now + LONGEST_NAP)


def _expected(state: State, now: float) -> tuple[list[float], int]:
    """The answers of the calls in flight that ought to have come when it matters, among the others; and the rest."""
    expected = [flight.since + state.round_trip for flight in state.flights.values()]
    soon = [answer for answer in expected if answer > now - UNREPORTED]
    return sorted([*state.answered, *soon]), len(expected) - len(soon)


def _goes_at(state: State, now: float, owner: int, want: Want, answered: Sequence[float], in_flight: int) -> float:
    uploads_at = state.uploads_at(now)
    before = state.line.ahead(owner, want.lane, uploads_may_go=uploads_at <= now)
    at = max(state.paused_until, uploads_at) if want.heavy else state.paused_until
    if want.lane is Lane.INTERACTIVE:
        passed = state.line.passed_by(Lane.INTERACTIVE, before.interactive, before.bulk)
        return max(at, opens_at(answered, in_flight + before.interactive + passed, state.rate))
    paced = state.paced_until
    for place in range(before.bulk + 1):
        passed = state.line.passed_by(Lane.BULK, place, before.interactive)
        paced = max(paced, opens_at(answered, in_flight + place + passed, state.rate)) + state.token
    return max(at, paced - state.token)
