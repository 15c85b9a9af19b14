"""Limiters in front of the same strict servers: what is refused, how long it takes, and CPU per acquire.

150 calls at once at the service's 25 in 5 seconds, on a network that takes up to 60 ms each way, counted where the
service counts: on arrival. A true window and HAProxy's two-bucket estimate look at the same calls; refused calls count.
Peers are measured where they are installed (``pip install pyrate-limiter limits throttled-py``), each as its own
documentation uses it.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Any

from benchmarks.table import show
from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.emulator.window import SlidingWindow, TwoBucketEstimate
from lsq_service_async.limits import LocalLimiter

CALLS, PER, JITTER, FLOOD = 25, 5.0, 0.06, 150
ACQUIRES, ROUNDS = 5_000, 7
NO_LIMIT = 1_000_000  # calls in a second, so that nobody waits while CPU is measured
Answered = Callable[[], object]
Acquire = Callable[[], Awaitable[Answered]]


def nothing() -> None:
    """To the peers the answer of a call is all one."""


async def this(calls: int, per: float) -> Acquire:
    limiter = LocalLimiter()
    await limiter.open(RateLimit(calls, per=per), "benchmark")

    async def acquire() -> Answered:
        return (await limiter.acquire(Lane.INTERACTIVE)).release

    return acquire


async def aiolimiter(calls: int, per: float) -> Acquire:
    from aiolimiter import AsyncLimiter

    limiter = AsyncLimiter(calls, per)

    async def acquire() -> Answered:
        await limiter.acquire()
        return nothing

    return acquire


async def pyrate_limiter(calls: int, per: float) -> Acquire:
    from pyrate_limiter import Limiter, Rate

    limiter: Any = Limiter(Rate(calls, int(per * 1000)))

    async def acquire() -> Answered:
        await limiter.try_acquire_async("benchmark")
        return nothing

    return acquire


async def limits(calls: int, per: float) -> Acquire:
    from limits import RateLimitItemPerSecond
    from limits.aio.storage import MemoryStorage
    from limits.aio.strategies import MovingWindowRateLimiter

    limiter = MovingWindowRateLimiter(MemoryStorage())
    rate = RateLimitItemPerSecond(calls, int(per))

    async def acquire() -> Answered:
        while not await limiter.hit(rate, "benchmark"):  # noqa: ASYNC110 -- it only says no; to wait is left to its user
            await asyncio.sleep(0.005)
        return nothing

    return acquire


async def throttled_py(calls: int, per: float) -> Acquire:
    from datetime import timedelta

    from throttled.asyncio import RateLimiterType, Throttled, rate_limiter

    quota = rate_limiter.per_duration(timedelta(seconds=per), calls, burst=calls)
    throttle: Any = Throttled(using=RateLimiterType.SLIDING_WINDOW.value, quota=quota, timeout=60)

    async def acquire() -> Answered:
        await throttle.limit("benchmark")
        return nothing

    return acquire


PEERS: dict[str, tuple[str, Callable[[int, float], Awaitable[Acquire]]]] = {
    "this": ("lsq_service_async", this),
    "aiolimiter": ("aiolimiter", aiolimiter),
    "pyrate-limiter": ("pyrate_limiter", pyrate_limiter),
    "limits, moving window": ("limits", limits),
    "throttled-py, sliding window": ("throttled", throttled_py),
}


async def flood(acquire: Acquire) -> tuple[int, int, float, float]:
    """Refused by the true window and by the estimate; seconds from first grant to last, and those to calls / rate."""
    chance, servers, refused = random.Random(1), [SlidingWindow(CALLS, PER), TwoBucketEstimate(CALLS, PER)], [0, 0]
    granted: list[float] = []

    async def call() -> None:
        answered = await acquire()
        granted.append(time.monotonic())
        await asyncio.sleep(chance.uniform(0, JITTER))
        for place, server in enumerate(servers):
            refused[place] += not server.allows(time.monotonic())
        await asyncio.sleep(chance.uniform(0, JITTER))
        answered()

    await asyncio.gather(*(call() for _ in range(FLOOD)))
    seconds = granted[-1] - granted[0]
    return refused[0], refused[1], seconds, seconds / (FLOOD / CALLS * PER)


async def cpu_of(acquire: Acquire) -> float:
    """Microseconds of CPU for one call that need not wait, its answer included."""
    return await cpu_each(lambda: answer_all(acquire))


async def answer_all(acquire: Acquire) -> None:
    for _ in range(ACQUIRES):
        (await acquire())()


async def cpu_each(spend: Callable[[], Awaitable[None]]) -> float:
    started = time.process_time()
    await spend()
    return (time.process_time() - started) / ACQUIRES * 1e6


async def measure_acquires() -> list[tuple[object, ...]]:
    """A loop around the bare acquire, ours and aiolimiter's, which is inside ours; medians, in turns."""
    from aiolimiter import AsyncLimiter

    async def ours() -> None:
        limiter = LocalLimiter()
        await limiter.open(RateLimit(NO_LIMIT, per=1.0), "benchmark")
        for _ in range(ACQUIRES):
            await limiter.acquire(Lane.INTERACTIVE)

    async def entered() -> None:
        limiter = AsyncLimiter(NO_LIMIT, 1.0)
        for _ in range(ACQUIRES):
            async with limiter:
                pass

    async def acquired() -> None:
        limiter = AsyncLimiter(NO_LIMIT, 1.0)
        for _ in range(ACQUIRES):
            await limiter.acquire()

    ways = {"this, acquire": ours, "async with AsyncLimiter": entered, "AsyncLimiter.acquire": acquired}
    rounds = [[await cpu_each(spend) for spend in ways.values()] for _ in range(3 * ROUNDS)]
    taken = [statistics.median(way) for way in zip(*rounds, strict=True)]
    return [(name, each, taken[0] / each) for name, each in zip(ways, taken, strict=True)]


async def measure(names: list[str]) -> list[tuple[object, ...]]:
    floods = await asyncio.gather(*[flood(await PEERS[name][1](CALLS, PER)) for name in names])
    taken: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            taken[name].append(await cpu_of(await PEERS[name][1](NO_LIMIT, 1.0)))
    return [(name, *flooded, statistics.median(taken[name])) for name, flooded in zip(names, floods, strict=True)]


def run() -> None:
    names = [name for name, (module, _) in PEERS.items() if find_spec(module) is not None]
    head = ["limiter", "refused, window", "refused, estimate", "s", "to calls / rate", "CPU us"]
    show(
        f"{FLOOD} calls at once, {CALLS} in {PER:g} s, jitter {JITTER * 2000:.0f} ms", head, asyncio.run(measure(names))
    )
    show("CPU of an acquire that need not wait", ["way", "us", "this to it"], asyncio.run(measure_acquires()))
    for name in sorted(set(PEERS) - set(names)):
        print(f"  {name} is not installed, and left out")
