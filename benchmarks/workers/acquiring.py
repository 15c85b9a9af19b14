"""Limiters alone: CPU time of a slot, and many waiting tasks."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from . import Lag, peak

NO_LIMIT = 1_000_000, 1.0
LIMIT = 25, 5.0
DEADLINE = 1e6  # s; no call is too late, until the limiter pauses for this long
LIMITERS: list[Any] = []  # the limiters of this package that were made
BATCH = 100  # tasks that are started before other tasks of the loop run
Release = Callable[[], object]
Acquire = Callable[[], Coroutine[Any, Any, Release]]


def nothing() -> None:
    """Do nothing: the limiters of other packages need not know when a call was answered."""


async def this(calls: int, per: float) -> Acquire:
    from lsq_service_async.config import Lane, RateLimit
    from lsq_service_async.limits import LocalLimiter

    limiter, now = LocalLimiter(), asyncio.get_running_loop().time()
    await limiter.open(RateLimit(calls, per=per), "benchmark")
    LIMITERS.append(limiter)

    async def acquire() -> Release:
        return (await limiter.acquire(Lane.INTERACTIVE, deadline=now + DEADLINE)).release

    return acquire


async def aiolimiter(calls: int, per: float) -> Acquire:
    from aiolimiter import AsyncLimiter

    limiter = AsyncLimiter(calls, per)

    async def acquire() -> Release:
        await limiter.acquire()
        return nothing

    return acquire


async def pyrate_limiter(calls: int, per: float) -> Acquire:
    from pyrate_limiter import Limiter, Rate

    limiter: Any = Limiter(Rate(calls, int(per * 1000)))

    async def acquire() -> Release:
        await limiter.try_acquire_async("benchmark")
        return nothing

    return acquire


async def limits(calls: int, per: float) -> Acquire:
    from limits import RateLimitItemPerSecond
    from limits.aio.storage import MemoryStorage
    from limits.aio.strategies import MovingWindowRateLimiter

    limiter, rate = MovingWindowRateLimiter(MemoryStorage()), RateLimitItemPerSecond(calls, int(per))

    async def acquire() -> Release:
        while not await limiter.hit(rate, "benchmark"):  # noqa: ASYNC110 -- hit() never waits; polls of many tasks take CPU
            await asyncio.sleep(0.1)
        return nothing

    return acquire


async def throttled_py(calls: int, per: float) -> Acquire:
    from throttled.asyncio import RateLimiterType, Throttled, rate_limiter

    quota = rate_limiter.per_duration(timedelta(seconds=per), calls, burst=calls)
    throttle: Any = Throttled(using=RateLimiterType.SLIDING_WINDOW.value, quota=quota, timeout=1e6)

    async def acquire() -> Release:
        await throttle.limit("benchmark")
        return nothing

    return acquire


async def plain_futures(calls: int, per: float) -> Acquire:
    """Use no limiter, to measure only the tasks of asyncio."""
    free = calls

    async def acquire() -> Release:
        nonlocal free
        if not free:
            await asyncio.get_running_loop().create_future()
        free -= 1
        return nothing

    return acquire


PEERS = {
    "this": this,
    "aiolimiter": aiolimiter,
    "pyrate-limiter": pyrate_limiter,
    "limits": limits,
    "throttled-py": throttled_py,
    "no limiter": plain_futures,
}


async def cpu(peer: str, calls: int) -> dict[str, float]:
    """Return the CPU time of acquiring and releasing one slot without waiting."""
    acquire = await PEERS[peer](*NO_LIMIT)
    started = time.process_time()
    for _ in range(calls):
        (await acquire())()
    return {"microseconds": (time.process_time() - started) / calls * 1e6}


async def waiters(peer: str, calls: int, turn_away: str = "") -> dict[str, float]:
    """Start ``calls`` tasks that wait for a limiter without a free slot, and then cancel all of them.

    With ``turn_away="deadlines"``, the tasks are not cancelled. Instead, a pause as after a 429 makes the limiter of
    this package reject all of them, because they would be sent after their deadlines.
    """
    acquire = await PEERS[peer](*LIMIT)
    for _ in range(LIMIT[0]):
        await acquire()
    lag, before, tasks = Lag(), peak(), list[asyncio.Task[Release]]()
    ticker, started = asyncio.create_task(lag.measure()), time.process_time()
    for number in range(calls):
        tasks.append(asyncio.create_task(acquire()))
        if number % BATCH == 0:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    enqueued, memory = time.process_time() - started, peak() - before
    joining, lag.longest, started = lag.longest, 0.0, time.process_time()
    if turn_away == "deadlines":
        LIMITERS[-1].pause(DEADLINE)
    else:
        for task in tasks:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    cancelled = time.process_time() - started
    await asyncio.sleep(0.01)  # so that a lag at the end is counted
    ticker.cancel()
    return {
        "enqueue_cpu_s": enqueued,
        "bytes": memory / calls,
        "lag_ms": joining * 1000,
        "cancel_cpu_s": cancelled,
        "cancel_lag_ms": lag.longest * 1000,
    }
