"""The limit of one process, in memory."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Sequence

from ._engine.messages import Grant, Request
from ._engine.state import ALONE
from .limiter import Limiter


class LocalLimiter(Limiter):
    """The limit of one process and one event loop, in memory. A client uses it if no other limiter is given."""

    _process_id = ALONE

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count()
        self._last_loop: asyncio.AbstractEventLoop | None = None
        self._tidy_at = -math.inf

    async def _open_state(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._last_loop:
            self._state.expire(loop.time())  # the calls in flight ended with their event loop
        self._last_loop, self._tidy_at = loop, -math.inf

    async def _take(self, requests: Sequence[Request], waiting: tuple[int, int]) -> tuple[int, Grant]:
        return self._take_at_once(requests)

    def _take_at_once(self, requests: Sequence[Request]) -> tuple[int, Grant]:
        now, slot = self._time(), next(self._numbers)
        if now >= self._tidy_at:
            # Local calls have no leases that can expire, so `tidy` need not run for each call.
            self._state.tidy(now)
            self._tidy_at = now + self._state.rate.per / 4
        request, at = self._state.take(now, ALONE, slot, requests, math.inf)
        return slot, Grant(request, at - now)

    def _end(self, slot: int, *, is_sent: bool, silence: float | None = None) -> None:
        flight = self._state.flights.get(slot)
        if is_sent and flight is not None:
            self._state.end(slot, self._time(), silence, is_large=flight.is_large)
        else:
            self._state.forget(slot)
        self._must_ask = True
        self._changed.set()
