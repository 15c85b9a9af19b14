"""Processes that share a limit of 25 calls in 5 s: ``sharing BACKEND PROCESSES WINDOWS [DELAY_MS]``.

BACKEND is ``file`` or ``redis``. Each process has more creates to send than the limit allows. The server allows every
call, and counts those that a sliding window or HAProxy's estimate would have refused. With DELAY_MS, a proxy in front
of Redis delays each round trip. ``sharing client LIMIT ORIGIN`` is one of the processes.
"""

import asyncio
import json
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

from lsq_service_async import Config, NewTicket, ServiceClient
from lsq_service_async.emulator import Emulator, SlidingWindow, TwoBucketEstimate
from lsq_service_async.limits import HostLimiter
from lsq_service_async.limits.host import HostBackend
from lsq_service_async.limits.redis import RedisLimiter

CALLS, PER, JITTER = 25, 5.0, 0.03
FIRST = 2  # windows until the first burst no longer influences the number of calls
AT_ONCE = 40  # creates that wait in each process


class Count(SlidingWindow):
    """Allows every call, and counts those that strict servers would refuse."""

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
    """Send creates from the first line of the standard input until its end, and print the number of transactions."""
    transactions, sync = 0, HostBackend.sync

    async def counted(backend: HostBackend, message: Any) -> Any:
        nonlocal transactions
        transactions += 1
        return await sync(backend, message)

    setattr(HostBackend, "sync", counted)  # noqa: B010 -- SQLite has no counter of transactions
    limiter = RedisLimiter(limit, name="benchmark") if limit.startswith("redis:") else HostLimiter(limit)
    config = Config(access_key="emulator-access-key", secret_key="emulator-secret-key", org_id="22824", base_url=origin)
    async with ServiceClient(config, limiter=limiter) as service:

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
async def redis_server() -> AsyncIterator[int]:
    """A server that stores nothing on disk; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL)
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
    """Run the processes, and return what each has printed."""
    command = [sys.executable, "-m", __spec__.name, "client", limit, origin]
    processes: Any = [await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE) for _ in range(count)]
    for process in processes:
        await process.stdout.readline()
    for process in processes:
        process.stdin.write(b"go\n")
    await asyncio.sleep(seconds)
    for process in processes:
        process.stdin.close()
    return [json.loads((await process.communicate())[0]) for process in processes]


async def share(backend: str, processes: str, windows: str, delay_ms: str = "0") -> dict[str, float]:
    seconds = PER * (FIRST + int(windows))
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        window = Count()
        emulator = await stack.enter_async_context(Emulator(window=window, jitter=JITTER))
        limit, redis_client = str(Path(folder, "limit.sqlite")), None
        if backend == "redis":
            import redis.asyncio

            port = await stack.enter_async_context(redis_server())
            redis_client = await stack.enter_async_context(redis.asyncio.from_url(f"redis://127.0.0.1:{port}"))
            if float(delay_ms):
                port = await stack.enter_async_context(delayed(port, float(delay_ms) / 1000))
            limit = f"redis://127.0.0.1:{port}"
        results = await send(int(processes), limit, emulator.settings["base_url"], seconds + 0.5)
        trips = sum(result["transactions"] for result in results)
        if redis_client is not None:
            trips = (await redis_client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    since = window.arrivals[0] + FIRST * PER
    steady = sum(since <= arrival < since + int(windows) * PER for arrival in window.arrivals)
    return {
        "calls": len(window.arrivals),
        "refused_window": window.refused,
        "refused_estimate": window.refused_by_estimate,
        "failed": sum(result["failed"] for result in results),
        "used": steady / (int(windows) * CALLS),
        "round_trips": trips / len(window.arrivals),
    }


if __name__ == "__main__":
    if sys.argv[1] == "client":
        asyncio.run(client(*sys.argv[2:]))
    else:
        print(json.dumps(asyncio.run(share(*sys.argv[1:]))))
