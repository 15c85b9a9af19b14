"""Limiters in front of the same strict servers: refused calls, time, and CPU per acquire; Redis: round trips per call.

150 calls at once, at 25 in 5 seconds, through a network that takes up to 60 ms each way. Two servers count each call
when it arrives: one with a sliding window, the other with HAProxy's two-bucket estimate. Both count refused calls too.
Peers are measured if they are installed (``pip install pyrate-limiter limits throttled-py``), and used as their
documentation shows.

If redis-server is installed, several Redis limiters that share one limit are measured, on loopback and through a proxy
that adds delay.
"""

import asyncio
import random
import secrets
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib.util import find_spec
from typing import Any

from benchmarks.table import show
from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.emulator.window import SlidingWindow, TwoBucketEstimate
from lsq_service_async.limits import LocalLimiter

CALLS, PER, JITTER, FLOOD = 25, 5.0, 0.06, 150
ACQUIRES, ROUNDS = 5_000, 7
NO_LIMIT = 1_000_000  # calls in a second, so that no call waits while CPU is measured
Answered = Callable[[], object]
Acquire = Callable[[], Awaitable[Answered]]


def nothing() -> None:
    """Do nothing: only this package needs to know when a call was answered."""


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
        while not await limiter.hit(rate, "benchmark"):  # noqa: ASYNC110 -- hit() never waits, so its users poll
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
    """Return the refused calls of each server, the seconds from first to last grant, and their ratio to the minimum."""
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
    """Return the microseconds of CPU for one call that does not wait, including its answer."""
    return await cpu_each(lambda: answer_all(acquire))


async def answer_all(acquire: Acquire) -> None:
    for _ in range(ACQUIRES):
        (await acquire())()


async def cpu_each(spend: Callable[[], Awaitable[None]]) -> float:
    started = time.process_time()
    await spend()
    return (time.process_time() - started) / ACQUIRES * 1e6


async def measure_acquires() -> list[tuple[object, ...]]:
    """Return the median CPU time of acquiring a slot with this package and with aiolimiter, measured alternately."""
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


SHARED = {  # seconds of a round trip to Redis, for each limiter
    "4 limiters, loopback": [0.0] * 4,
    "32 limiters, loopback": [0.0] * 32,
    "4 limiters, 5 ms away": [0.005] * 4,
    "4 limiters, one 40 ms away": [0.0, 0.0, 0.0, 0.04],
}


@asynccontextmanager
async def redis_server(program: str) -> AsyncIterator[int]:
    """A server that stores nothing on disk; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = await asyncio.create_subprocess_exec(program, *options, stdout=subprocess.DEVNULL)
    try:
        while True:
            with suppress(OSError):
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                break
            await asyncio.sleep(0.05)
        yield port
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def delayed(port: int, round_trip: float) -> AsyncIterator[int]:
    """A proxy that delays each direction by half of the round trip; yields its port."""
    clock = asyncio.get_running_loop().time

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                at, data = await pieces.get()
                await asyncio.sleep(at - clock())
                if not data:
                    return writer.close()
                writer.write(data)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(deliver())
            data = b"-"
            while data:
                data = await reader.read(65536)
                pieces.put_nowait((clock() + round_trip / 2, data))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", port)
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def share(port: int, round_trips: list[float]) -> tuple[float, float, float]:
    """Send 160 calls at 25 per second; return round trips per call, seconds, and their ratio to the least time."""
    import redis.asyncio

    from lsq_service_async.limits.redis import RedisLimiter

    rate, calls, name = RateLimit(CALLS, per=1.0), 160, secrets.token_hex(8)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(redis.asyncio.from_url(f"redis://127.0.0.1:{port}"))
        limiters = []
        for each in round_trips:
            through = await stack.enter_async_context(delayed(port, each)) if each else port
            limiters.append(RedisLimiter(f"redis://127.0.0.1:{through}", name=name))
            await limiters[-1].open(rate, "benchmark")
            stack.push_async_callback(limiters[-1].aclose)
        await client.config_resetstat()

        async def call(number: int) -> None:
            slot = await limiters[number % len(limiters)].acquire(Lane.INTERACTIVE)
            await asyncio.sleep(0.05)
            slot.release()

        started = time.monotonic()
        await asyncio.gather(*map(call, range(calls)))
        seconds = time.monotonic() - started
        trips = (await client.info("commandstats"))["cmdstat_evalsha"]["calls"] / calls
    return trips, seconds, seconds / (calls / CALLS - 1)


async def measure_shared(program: str) -> list[tuple[object, ...]]:
    async with redis_server(program) as port:
        return [(name, *await share(port, round_trips)) for name, round_trips in SHARED.items()]


def run() -> None:
    names = [name for name, (module, _) in PEERS.items() if find_spec(module) is not None]
    head = ["limiter", "refused, window", "refused, estimate", "s", "s / least s", "CPU us"]
    show(
        f"{FLOOD} calls at once, {CALLS} in {PER:g} s, jitter {JITTER * 2000:.0f} ms", head, asyncio.run(measure(names))
    )
    show("CPU of an acquire that does not wait", ["way", "us", "this / way"], asyncio.run(measure_acquires()))
    program = shutil.which("redis-server")
    if program is not None and find_spec("redis") is not None:
        head = ["Redis, 160 calls at 25 in 1 s", "round trips per call", "s", "s / least s"]
        show("Limiters that share a limit by compare-and-set", head, asyncio.run(measure_shared(program)))
    else:
        print("  Redis is left out: install redis-server and redis-py")
    for name in sorted(set(PEERS) - set(names)):
        print(f"  {name} is left out: it is not installed")
