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

    async def open(self, rate: RateLimit, name: str) -> None:
        """Past calls still count; those that a loop left in flight when it ended are taken for answered now."""
        loop = asyncio.get_running_loop()
        self._state.keep(rate)
        if loop is not self._loop:
            self._state.settle(loop.time())
        self._loop, self._time = loop, loop.time
        self._outlook.look_again()

    async def aclose(self) -> None:
        """Nothing is held but memory."""

    def take_at_once(self, want: Want) -> int | None:
        """All that it takes is here."""
        slot = next(self._numbers)
        return None if self._decide(slot, (want,)).want is None else slot

    async def take(self, wants: Sequence[Want], waiting: tuple[int, int]) -> tuple[int, Verdict]:
        """Decides and takes without a pause between the two."""
        slot = next(self._numbers)
        return slot, self._decide(slot, wants)

    def _decide(self, slot: int, wants: Sequence[Want]) -> Verdict:
        now = self._time()
        self._state.tidy(now)
        want, at = self._state.take(now, ALONE, slot, wants, _FOR_EVER)
        self._outlook.look_again()
        return Verdict(want, at - now)

    def holds(self, slot: int) -> bool:
        """Nobody else could take it."""
        return True

    def give_back(self, slot: int, *, heavy: bool, used: bool) -> bool:
        """An answer makes the rule open earlier than foreseen, and an unused slot at once."""
        if used and slot in self._state.flights:
            self._state.answer(slot, self._time(), heavy=heavy)
        else:
            self._state.forget(slot)
        self._outlook.look_again()
        return True

    def pause(self, seconds: float) -> None:
        """The longer pause wins."""
        self._state.pause(self._time() + seconds)

    def refused(self, named: tuple[int, float] | None) -> RateLimit | None:
        """Known at once."""
        self._outlook.look_again()
        return self._state.rate if self._state.refused(self._time(), named) else None

    def forecast(self, lane: Lane, place: int, other: int) -> float:
        """Right within one token while answers take what they took lately."""
        before = self._state.line.before(ALONE, lane, place, other)
        return self._outlook.goes_at(self._state, self._time(), lane, before)

    def usage(self) -> Usage:
        """Counted now."""
        return Usage(self._state.rate, self._state.used(self._time()))


class LocalLimiter(Gate):
    """The limit within one process and one event loop; what a client uses unless it is given another."""

    def __init__(self) -> None:
        super().__init__(LocalStore())
