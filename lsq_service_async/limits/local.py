"""The limit of one process: the store in memory, and the limiter made with it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

from ..config import Lane, RateLimit
from .decision.ask import Verdict, Want
from .decision.forecast import Outlook
from .decision.state import ALONE, State
from .gate import Gate
from .store import Usage

_FOR_EVER = float("inf")


class LocalStore:
    """The state of this process, in memory."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._state = State.of(RateLimit())
        self._outlook = Outlook()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tidy_at = 0.0

    async def open(self, rate: RateLimit, name: str) -> None:
        """Past calls still count; those that a loop left in flight when it ended are taken for answered now."""
        loop = asyncio.get_running_loop()
        self._state.keep(rate)
        if loop is not self._loop:
            self._state.settle(loop.time())
        self._loop, self._time = loop, loop.time
        self._tidy_at = 0.0
        self._outlook.is_stale = True

    async def aclose(self) -> None:
        """Nothing is held but memory."""

    def take_at_once(self, want: Want) -> int | None:
        """All that it takes is here."""
        now = self._time()
        if now >= self._tidy_at:
            self._tidy(now)
        slot = next(self._numbers)
        self._outlook.is_stale = True
        return slot if self._state.take_one(now, slot, want) else None

    async def take(self, wants: Sequence[Want], waiting: tuple[int, int]) -> tuple[int, Verdict]:
        """Decides and takes without a pause between the two."""
        now, slot = self._time(), next(self._numbers)
        if now >= self._tidy_at:
            self._tidy(now)
        self._outlook.is_stale = True
        want, at = self._state.take(now, ALONE, slot, wants, _FOR_EVER)
        return slot, Verdict(want, at - now)

    def _tidy(self, now: float) -> None:
        # What is too old weighs nothing anyway, and no lease ends here: only memory and the share are a little late.
        self._state.tidy(now)
        self._tidy_at = now + self._state.rate.per / 4

    def holds(self, slot: int) -> bool:
        """Nobody else could take it."""
        return True

    def give_back(self, slot: int, *, used: bool) -> bool:
        """An answer makes the rule open earlier than foreseen, and an unused slot at once."""
        flight = self._state.flights.get(slot)
        if used and flight is not None:
            self._state.answer(slot, self._time(), heavy=flight.heavy)
        else:
            self._state.forget(slot)
        self._outlook.is_stale = True
        return True

    def pause(self, seconds: float) -> None:
        """The longer pause wins."""
        self._state.pause(self._time() + seconds)

    def refused(self, named: tuple[int, float] | None) -> RateLimit | None:
        """Known at once."""
        self._outlook.is_stale = True
        return self._state.rate if self._state.refused(self._time(), named) else None

    def forecast(self, lane: Lane, place: int, other: int) -> float:
        """Right within one token while answers take what they took lately."""
        before = self._state.line.before(ALONE, lane, place, other)
        return self._outlook.goes_at(self._state, self._time(), lane, before)

    def uploads_room(self) -> int:
        """Counted now."""
        return self._state.uploads_room(self._time())

    def usage(self) -> Usage:
        """Counted now."""
        now = self._time()
        self._tidy(now)
        return Usage(self._state.rate, self._state.used(now))


class LocalLimiter(Gate):
    """The limit within one process and one event loop; what a client uses unless it is given another."""

    def __init__(self) -> None:
        super().__init__(LocalStore())
