"""What is known of the calls of the last two windows."""

from __future__ import annotations

import math
from collections import deque

from ..config import RateLimit
from .forecast import Forecast
from .rule import SLACK, opens_at, room_beside_one

_FIRST_GUESS = 0.1  # s; a round trip, until one was seen


class Window:
    """The calls of the last two windows: which are in flight, and when the others were answered.

    Times are readings of one monotonic clock in seconds; they may not run backwards.
    """

    def __init__(self, rate: RateLimit) -> None:
        self.round_trip = _FIRST_GUESS
        self._in_flight: dict[int, float] = {}
        self._answered: deque[float] = deque()
        self._opens_at: float | None = None
        self._forecast: Forecast | None = None
        self._forecast_from = -math.inf
        self.keep(rate)

    def keep(self, rate: RateLimit) -> None:
        """Allow ``rate`` from now on; past calls still count."""
        self.rate = rate
        self._never_full = int(room_beside_one(rate))
        self._opens_at = self._forecast = None

    def enter(self, slot: int, now: float) -> None:
        """A call holds ``slot`` from now on."""
        self._in_flight[slot] = now
        self._opens_at = self._forecast = None

    def answer(self, slot: int, now: float, *, typical: bool = True) -> None:
        """The call of ``slot`` was answered, or cannot be any more: the slot comes back ``per`` seconds from now.

        Only the round trips of ``typical`` calls, no uploads, are what forecasts expect of the next.
        """
        entered = self._in_flight.pop(slot, None)
        if entered is None:
            return
        self._answered.append(now)
        self._opens_at = self._forecast = None
        if typical:
            self.round_trip += 0.2 * (now - entered - self.round_trip)

    def forget(self, slot: int) -> None:
        """The call of ``slot`` certainly never left: the slot comes back at once."""
        self._in_flight.pop(slot, None)
        self._opens_at = self._forecast = None

    def settle(self, now: float) -> None:
        """Nobody is left who could report an answer: take every call in flight for answered now."""
        for slot in list(self._in_flight):
            self.answer(slot, now, typical=False)

    def opens_at(self, now: float) -> float:
        """The time from which one more call may go; not after ``now`` if it may go at once."""
        if len(self._in_flight) + len(self._answered) <= self._never_full:
            return -math.inf
        if self._opens_at is None:
            self._drop_answers_before(now - 2 * self.rate.per)
            self._opens_at = opens_at(self._answered, len(self._in_flight), self.rate)
        return self._opens_at

    def used(self, now: float) -> int:
        """How many slots are taken: by calls in flight, and by those answered less than ``per`` seconds ago."""
        self._drop_answers_before(now - 2 * self.rate.per)
        return len(self._in_flight) + sum(1 for answer in self._answered if answer + self.rate.per > now)

    def slot_back_at(self, now: float) -> float:
        """When the next slot comes back that waits for nothing but time; ``inf`` if there is none."""
        returns = (answer + self.rate.per for answer in self._answered)
        return min((moment for moment in returns if moment > now), default=math.inf)

    def forecast(self, ahead: int, start: float) -> float:
        """When a call will go that has ``ahead`` others before it, none going before ``start``."""
        if self._forecast is None or start > self._forecast_from + SLACK:
            in_flight = [max(start, entered + self.round_trip) for entered in self._in_flight.values()]
            expected = sorted([*self._answered, *in_flight])
            self._forecast = Forecast(expected, start, self.rate, self.round_trip)
            self._forecast_from = start
        return max(start, self._forecast.goes_at(ahead))

    def _drop_answers_before(self, moment: float) -> None:
        while self._answered and self._answered[0] < moment:
            self._answered.popleft()
