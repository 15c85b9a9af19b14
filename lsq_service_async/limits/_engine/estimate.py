"""Estimates when waiting calls will be sent. The next windows are simulated with the recent response time."""

from __future__ import annotations

import math

import attrs

from ...config import Lane
from .state import LimitState
from .window import opens_at, slack_of

_FRESH = 0.01  # s after which the simulated times are computed again
_IN_A_WINDOW = 30  # simulated calls per window, approximately


class Estimate:
    """The simulated times of future calls. The limit for large uploads is ignored."""

    def __init__(self) -> None:
        self._made_of: tuple[LimitState | None, int] = (None, 0)
        self._start = 0.0

    def sent_at(self, state: LimitState, now: float, lane: Lane, ahead: tuple[int, int]) -> float:
        """Estimate when a call will be sent. ``ahead``: the number of calls before it, in its lane and in total."""
        start = max(now, state.paused_until)
        if state.stands_still and not ahead[1] and state.opens_at() == -math.inf:
            return max(start, state.paced_until)  # the call is the next probe
        made_of, self._made_of = self._made_of, (state, state.revision)
        if made_of[0] is not state or made_of[1] != state.revision or start > self._start + _FRESH:
            self._begin(state, start)
        sent_at = max(start, self._nth(ahead[1] // self._bunch))
        is_paced = state.is_paced
        if lane is Lane.INTERACTIVE and not is_paced:
            return sent_at
        return max(sent_at, max(start, state.paced_until) + ahead[is_paced] * state.token)

    def _begin(self, state: LimitState, start: float) -> None:
        rate, self._round_trip, self._start = state.rate, state.round_trip, start
        # A simulated call stands for a bunch of calls, because the CPU time grows with the square of their number.
        self._bunch = max(1, rate.calls // _IN_A_WINDOW)
        self._rate = rate if self._bunch == 1 else attrs.evolve(rate, calls=rate.calls // self._bunch)
        in_flight = [max(start, flight.since + state.round_trip) for flight in state.flights.values()]
        self._answers = sorted([*state.answered, *in_flight])[self._bunch - 1 :: self._bunch]
        self._sent: list[float] = []

    def _nth(self, ahead: int) -> float:
        # From the fourth window on, each window repeats the one before it.
        rounds = max(0, ahead // self._rate.calls - 2)
        place = ahead - rounds * self._rate.calls
        while len(self._sent) <= place:
            earliest = self._sent[-1] if self._sent else self._start
            moment = max(earliest, opens_at(self._answers, 0, self._rate))
            self._sent.append(moment)
            self._answers.append(moment + self._round_trip)
            while self._answers[0] < moment - 2 * self._rate.per:
                del self._answers[0]
        round_takes = self._rate.per + self._round_trip + slack_of(self._rate)
        return self._sent[place] + rounds * round_takes
