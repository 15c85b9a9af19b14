"""When those who wait will go, if answers keep taking what they lately took: the rule, played forward. Pure."""

from __future__ import annotations

from ...config import Lane, RateLimit
from .rule import SLACK, opens_at, slack_of
from .state import State

_FARTHEST = 300  # calls; to play more would take longer than the forecast is worth
_IN_A_WINDOW = 30  # so many are played; where more may go, several as one


class Forecast:
    """The calls to come after ``start``, given when the past ones were or will be answered (``expected``, sorted).

    Exact for the first calls, and as good as ``round_trip`` is (seconds from grant to answer). Played only as far as
    somebody asks.
    """

    def __init__(self, expected: list[float], start: float, rate: RateLimit, round_trip: float) -> None:
        self._expected = expected
        self._rate = rate
        self._round_trip = round_trip
        self._start = start
        self._goes_at: list[float] = []
        # From the third window on, each repeats the one before.
        self._known = min(3 * rate.calls, _FARTHEST)
        self._round = min(rate.calls, _FARTHEST)
        self._round_takes = (rate.per + round_trip + slack_of(rate)) * self._round / rate.calls

    def goes_at(self, ahead: int) -> float:
        """When a call goes that has ``ahead`` others before it."""
        rounds = max(0, (ahead - self._known) // self._round + 1)
        place = ahead - rounds * self._round
        while len(self._goes_at) <= place:
            self._play_one()
        return self._goes_at[place] + rounds * self._round_takes

    def _play_one(self) -> None:
        start = self._goes_at[-1] if self._goes_at else self._start
        moment = max(start, opens_at(self._expected, 0, self._rate))
        self._goes_at.append(moment)
        self._expected.append(moment + self._round_trip)
        while self._expected[0] < moment - 2 * self._rate.per:
            del self._expected[0]


class Outlook:
    """What a process expects of a state. Whoever changes the state makes it ``is_stale``."""

    def __init__(self) -> None:
        self.is_stale: bool = True
        self._forecast: Forecast
        self._from = 0.0

    def goes_at(self, state: State, now: float, lane: Lane, ahead: tuple[int, int]) -> float:
        """When a call goes that has so many before it, of its own lane and in all. Blind to the uploads' half."""
        start = max(now, state.paused_until)
        goes_at = max(start, self._of(state, start).goes_at(ahead[1] // _bunch(state.rate)))
        if lane is Lane.INTERACTIVE:
            return goes_at
        return max(goes_at, max(start, state.paced_until) + ahead[0] * state.token)

    def _of(self, state: State, start: float) -> Forecast:
        if self.is_stale or start > self._from + SLACK:
            self.is_stale = False
            in_flight = [max(start, flight.since + state.round_trip) for flight in state.flights.values()]
            expected, bunch = sorted([*state.answered, *in_flight]), _bunch(state.rate)
            rate = RateLimit(state.rate.calls // bunch, per=state.rate.per)
            self._forecast, self._from = Forecast(expected[bunch - 1 :: bunch], start, rate, state.round_trip), start
        return self._forecast


def _bunch(rate: RateLimit) -> int:
    """So many calls are played as one: what a forecast takes grows with the square of what goes in a window."""
    return max(1, rate.calls // _IN_A_WINDOW)
