"""When waiting calls will be sent if answers keep taking as long as they did lately: `opens_at`, played forward."""

from __future__ import annotations

from ...config import Lane, RateLimit
from .state import LimitState
from .window import SLACK, opens_at, slack_of

_LONGEST = 300  # calls; more would take longer than the estimate is worth
_IN_A_WINDOW = 30  # calls that are played; if more are allowed, several count as one


class Estimate:
    """The times of future calls. Computed again when the state has changed, and only as far as needed.

    Exact for the first calls, and as good as the round trip of the state is. It ignores the limit for large uploads.
    """

    def __init__(self) -> None:
        self._made_of: tuple[LimitState | None, int] = (None, 0)
        self._start = 0.0

    def sent_at(self, state: LimitState, now: float, lane: Lane, ahead: tuple[int, int]) -> float:
        """When a call is sent that has so many before it, in its lane and in all."""
        start = max(now, state.paused_until)
        made_of, self._made_of = self._made_of, (state, state.revision)
        if made_of[0] is not state or made_of[1] != state.revision or start > self._start + SLACK:
            self._begin(state, start)
        sent_at = max(start, self._nth(ahead[1] // self._bunch))
        if lane is Lane.INTERACTIVE:
            return sent_at
        return max(sent_at, max(start, state.paced_until) + ahead[0] * state.token)

    def _begin(self, state: LimitState, start: float) -> None:
        rate, self._round_trip, self._start = state.rate, state.round_trip, start
        # One call stands for several if many are allowed, because the effort grows with the square of their number.
        self._bunch = max(1, rate.calls // _IN_A_WINDOW)
        self._rate = rate if self._bunch == 1 else RateLimit(rate.calls // self._bunch, per=rate.per)
        in_flight = [max(start, flight.since + state.round_trip) for flight in state.flights.values()]
        self._answers = sorted([*state.answered, *in_flight])[self._bunch - 1 :: self._bunch]
        self._sent: list[float] = []

    def _nth(self, ahead: int) -> float:
        # From the third window on, each window repeats the one before it.
        known, in_round = min(3 * self._rate.calls, _LONGEST), min(self._rate.calls, _LONGEST)
        rounds = max(0, (ahead - known) // in_round + 1)
        place = ahead - rounds * in_round
        while len(self._sent) <= place:
            earliest = self._sent[-1] if self._sent else self._start
            moment = max(earliest, opens_at(self._answers, 0, self._rate))
            self._sent.append(moment)
            self._answers.append(moment + self._round_trip)
            while self._answers[0] < moment - 2 * self._rate.per:
                del self._answers[0]
        round_takes = (self._rate.per + self._round_trip + slack_of(self._rate)) * in_round / self._rate.calls
        return self._sent[place] + rounds * round_takes
