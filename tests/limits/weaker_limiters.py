"""Limiters that exceed the limit. Strict servers refuse their calls, so the tests can fail."""

from __future__ import annotations

import asyncio
import math
from collections import deque

from aiolimiter import AsyncLimiter

from limits.strict_servers import CALLS, PER
from lsq_service_async.config import Lane

TOKEN = PER / CALLS


class _Nothing:
    def release(self) -> None:
        """Do nothing."""


class TokenBucket:
    """``AsyncLimiter(25, 5)`` alone."""

    def __init__(self) -> None:
        self._bucket = AsyncLimiter(CALLS, PER)

    async def acquire(self, lane: Lane) -> _Nothing:
        await self._bucket.acquire()
        return _Nothing()


class LogOfSends:
    """An exact log of the calls of the last window, counted when they are sent."""

    def __init__(self) -> None:
        self._sent: deque[float] = deque(maxlen=CALLS)

    async def acquire(self, lane: Lane) -> _Nothing:
        now = asyncio.get_running_loop().time()
        at = max(now, self._sent[0] + PER) if len(self._sent) == CALLS else now
        self._sent.append(at)
        await asyncio.sleep(at - now)
        return _Nothing()


class Slots:
    """Slots that return ``PER`` seconds after the answer, without a pace."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(CALLS)

    async def acquire(self, lane: Lane) -> Slots:
        await self._slots.acquire()
        return self

    def release(self) -> None:
        asyncio.get_running_loop().call_later(PER, self._slots.release)


class SlotsPaceAndBurst(Slots):
    """Slots, a pace of one call per token, and a burst of 25 after two windows without calls."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = asyncio.Lock()
        self._pace = AsyncLimiter(1, TOKEN)
        self._burst_left, self._last = CALLS, -math.inf

    async def acquire(self, lane: Lane) -> Slots:
        async with self._turn:
            await super().acquire(lane)
            now = asyncio.get_running_loop().time()
            self._burst_left = CALLS if now - self._last >= 2 * PER else self._burst_left
            if self._burst_left and not self._pace.has_capacity():
                self._burst_left -= 1
            else:
                await self._pace.acquire()
            self._last = now
        return self
