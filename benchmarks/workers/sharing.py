"""Processes that share a limit of 25 calls in 5 s.

Each process has more creates to send than the limit allows. The server allows every call, and counts the calls that a
sliding window or HAProxy's estimate would have refused.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any

from lsq_service_async import NewTicket, ServiceClient
from lsq_service_async.emulator import Emulator, SlidingWindow, TwoBucketEstimate
from lsq_service_async.limits import HostLimiter
from lsq_service_async.limits.host import HostBackend
from lsq_service_async.limits.redis import RedisLimiter

from . import command, config, daemon, free_port

CALLS, PER, JITTER = 25, 5.0, 0.03
FIRST = 2  # windows until the first burst no longer influences the number of calls
AT_ONCE = 40  # creates that wait in each process


class Count(SlidingWindow):
    """Allows every call, and counts the calls that strict servers would refuse."""

    def __init__(self) -> None:
        super().__init__(CALLS, PER)
        self._estimate = TwoBucketEstimate(CALLS, PER)
        self.arrivals: list[float] = []
        self.refused = self.refused_by_estimate = 0

    def allows(self, now: float) -> bool:
        self.arrivals.append(now)
        self.refused += not super().allows(now)
        self.refused_by_estimate += not self._estimate.allows(now)
        return True


async def client(limit: str, origin: str) -> None:
    """Send creates from the first line of the standard input until its end. Then print the number of transactions."""
    transactions, sync = 0, HostBackend.sync

    async def counted(backend: HostBackend, message: Any) -> Any:
        nonlocal transactions
        transactions += 1
        return await sync(backend, message)

    setattr(HostBackend, "sync", counted)  # noqa: B010 -- SQLite has no counter of transactions
    limiter = RedisLimiter(limit, name="benchmark") if limit.startswith("redis:") else HostLimiter(limit)
    async with ServiceClient(config(origin), limiter=limiter) as service:

        async def work() -> None:
            while True:
                await service.tickets.create(NewTicket(lead_id="45b5", title="Router down", status="Open"))

        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        tasks = [asyncio.create_task(work()) for _ in range(AT_ONCE)]
        await asyncio.to_thread(sys.stdin.read)
        failed = [task.exception() for task in tasks if task.done()]
        print(json.dumps({"transactions": transactions, "failed": len(failed)}), flush=True)
        os._exit(0)


@asynccontextmanager
async def delayed(port: int, round_trip: float) -> AsyncIterator[int]:
    """Run a proxy that delays each direction by half of ``round_trip``. Yields the port of the proxy."""
    later = asyncio.get_running_loop().call_later

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                later(round_trip / 2, writer.write, data)
        later(round_trip / 2, writer.close)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def send(count: int, limit: str, origin: str, seconds: float) -> list[Any]:
    """Run ``count`` processes that send creates for ``seconds``, and return the result of each process."""
    program = command("sharing.client", limit, origin)
    processes: Any = [await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE) for _ in range(count)]
    for process in processes:
        await process.stdout.readline()
    for process in processes:
        process.stdin.write(b"go\n")
    await asyncio.sleep(seconds)
    for process in processes:
        process.stdin.close()
    return [json.loads((await process.communicate())[0]) for process in processes]


async def share(backend: str, processes: int, windows: int, delay_ms: int = 0) -> dict[str, float]:
    """Share a limit through the backend "file" or "redis". A proxy adds ``delay_ms`` to each round trip to Redis."""
    seconds = PER * (FIRST + windows)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        window = Count()
        emulator = await stack.enter_async_context(Emulator(window=window, jitter=JITTER))
        limit, redis_client = str(Path(folder, "limit.sqlite")), None
        if backend == "redis":
            import redis.asyncio

            port = free_port()
            settings = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
            await stack.enter_async_context(daemon(port, "redis-server", *settings))
            redis_client = await stack.enter_async_context(redis.asyncio.from_url(f"redis://127.0.0.1:{port}"))
            if delay_ms:
                port = await stack.enter_async_context(delayed(port, delay_ms / 1000))
            limit = f"redis://127.0.0.1:{port}"
        results = await send(processes, limit, emulator.settings["base_url"], seconds + 0.5)
        trips = sum(result["transactions"] for result in results)
        if redis_client is not None:
            trips = (await redis_client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    since = window.arrivals[0] + FIRST * PER
    steady = sum(since <= arrival < since + windows * PER for arrival in window.arrivals)
    return {
        "calls": len(window.arrivals),
        "refused_window": window.refused,
        "refused_estimate": window.refused_by_estimate,
        "failed": sum(result["failed"] for result in results),
        "used": steady / (windows * CALLS),
        "round_trips": trips / len(window.arrivals),
    }
