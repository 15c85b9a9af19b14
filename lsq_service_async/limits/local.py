"""The limit of one process: the store in memory, and the limiter made with it."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Sequence

from aiolimiter import AsyncLimiter

from ..config import Lane, RateLimit
from .gate import Gate
from .store import Granted, Usage, Wait, Want
from .window import Window

_SOON = 0.001  # s; a pace that is a rounding error short of its token has it by then


class LocalStore:
    """Window, burst and pace of this process.

    Every call passes the burst, ``AsyncLimiter(calls, per)``; a bulk call also the pace, ``AsyncLimiter(1, token)``.
    Nobody waits inside either: they are asked first, and waiting is the gate's. The window keeps the promise. It is
    never wider than the burst, but for calls that never left, whose slots it has back at once: what the burst adds is
    that a dead network is knocked at no faster than ``calls`` in ``per`` seconds.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._window = Window(RateLimit())
        self._uploads = Window(RateLimit())
        self._paused_until = -math.inf
        self._paced_until = -math.inf
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self, rate: RateLimit, name: str) -> None:
        """Past calls still count; those that a loop left in flight when it ended are taken for answered now."""
        loop = asyncio.get_running_loop()
        for window in (self._window, self._uploads):
            window.keep(rate)
            if loop is not self._loop:
                window.settle(loop.time())
        self._loop = loop
        self._time = loop.time
        self._token = rate.per / rate.calls
        self._burst = AsyncLimiter(rate.calls, rate.per)
        self._pace = AsyncLimiter(1, self._token)

    async def aclose(self) -> None:
        """Nothing is held but memory."""

    async def take(self, wants: Sequence[Want]) -> Granted | Wait:
        """Decides and takes without a pause between the two."""
        now = self._time()
        opens_at = self._window.opens_at(now)
        if opens_at > now or self._paused_until > now:
            return Wait(max(opens_at, self._paused_until) - now)
        if not self._burst.has_capacity():
            return Wait(self._token)
        for want in wants:
            if self._ready_at(want, now) <= now:
                return await self._grant(want, now)
        return Wait(min(self._ready_at(want, now) for want in wants) - now)

    def _ready_at(self, want: Want, now: float) -> float:
        ready_at = now
        if want.lane is Lane.BULK and not self._pace.has_capacity():
            ready_at = max(now + _SOON, self._paced_until)
        return max(ready_at, self._upload_at(now)) if want.heavy else ready_at

    def _upload_at(self, now: float) -> float:
        half = max(1, self._uploads.rate.calls // 2)
        return now if self._uploads.used(now) < half else self._uploads.slot_back_at(now)

    async def _grant(self, want: Want, now: float) -> Granted:
        # Neither acquire can wait: both were asked, and nothing else has run since.
        await self._burst.acquire()
        if want.lane is Lane.BULK:
            await self._pace.acquire()
            self._paced_until = now + self._token
        slot = next(self._numbers)
        self._window.enter(slot, now)
        if want.heavy:
            self._uploads.enter(slot, now)
        return Granted(slot, want)

    def give_back(self, grant: Granted, *, used: bool) -> None:
        """The slot returns ``per`` seconds from now if it was used, else at once."""
        for window in (self._window, self._uploads) if grant.want.heavy else (self._window,):
            if used:
                window.answer(grant.slot, self._time(), typical=not grant.want.heavy)
            else:
                window.forget(grant.slot)

    def pause(self, seconds: float) -> None:
        """The longer pause wins."""
        self._paused_until = max(self._paused_until, self._time() + seconds)

    def forecast(self, lane: Lane, ahead: int) -> float:
        """Right within one token while answers take what they took lately; blind to the uploads' half."""
        now = max(self._time(), self._paused_until)
        goes_at = self._window.forecast(ahead, now)
        return goes_at if lane is Lane.INTERACTIVE else max(goes_at, max(now, self._paced_until) + ahead * self._token)

    def usage(self) -> Usage:
        """Counted now."""
        rate = self._window.rate
        return Usage(rate.calls, rate.per, self._window.used(self._time()))


class LocalLimiter(Gate):
    """The limit within one process and one event loop; what a client uses unless it is given another."""

    def __init__(self) -> None:
        super().__init__(LocalStore())
