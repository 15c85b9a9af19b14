"""A limiter to test with, and short ways to use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.limits import LocalLimiter, Slot

RATE = RateLimit(25, per=5.0)
NAME = "host/22824"
TOKEN = 0.2


@asynccontextmanager
async def opened(rate: RateLimit = RATE) -> AsyncIterator[LocalLimiter]:
    """A local limiter, open; at its end it is closed, and no task of it may be left."""
    limiter = LocalLimiter()
    await limiter.open(rate, NAME)
    yield limiter
    await limiter.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def take(limiter: LocalLimiter, calls: int, lane: Lane = Lane.INTERACTIVE) -> list[Slot]:
    """So many slots, one after the other."""
    return [await limiter.acquire(lane) for _ in range(calls)]


async def spend(limiter: LocalLimiter, calls: int = 25) -> None:
    """Make so many calls that are answered at once."""
    for slot in await take(limiter, calls):
        slot.answered()


async def ticks(count: int = 10) -> None:
    """Let the loop go round so often."""
    for _ in range(count):
        await asyncio.sleep(0)


def time() -> float:
    """The loop's."""
    return asyncio.get_running_loop().time()


async def call(
    limiter: LocalLimiter, lane: Lane, name: str, order: list[str], *, heavy: bool = False, again: bool = False
) -> None:
    """A call that is answered at once, noted by its name when it goes."""
    slot = await limiter.acquire(lane, heavy=heavy, again=again)
    order.append(name)
    slot.answered()
