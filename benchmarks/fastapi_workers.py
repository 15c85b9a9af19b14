"""Latency of reads in a FastAPI backend on four uvicorn workers: alone, and during a bulk run with the same limit."""

import asyncio
import contextlib
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
from fastapi import FastAPI

from benchmarks.table import show
from lsq_service_async import Config, NewTicket, ServiceClient, Ticket
from lsq_service_async.emulator import Emulator
from lsq_service_async.integrations.fastapi import Client, install_error_handlers, lifespan
from lsq_service_async.limits import HostLimiter

WORKERS, READS, PER_SECOND, BULK_ROWS = 4, 100, 2.0, 1000
LIMIT = "BENCHMARK_LIMIT"
Row = tuple[str, int, int, int, float, float]


def backend() -> FastAPI:
    """Return the application that each worker serves."""
    app = FastAPI(lifespan=lifespan(Config.from_env, limiter=HostLimiter(os.environ[LIMIT])))
    install_error_handlers(app)

    @app.get("/tickets/{number}")
    async def read(number: str, client: Client) -> Ticket:
        return await client.tickets.get(number)

    return app


def emulate(pipe: Connection) -> None:
    """Run a strict server. True on the pipe is answered with the number of refused calls; False ends the server."""

    async def main() -> None:
        async with Emulator(jitter=0.03) as emulator:
            pipe.send(dict(emulator.settings))
            while await asyncio.to_thread(pipe.recv):
                pipe.send(emulator.refused)

    asyncio.run(main())


@contextlib.contextmanager
def workers() -> Iterator[str]:
    """Run the backend during the block; yields its origin."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", f"{__name__}:backend", "--port", str(port)]
    command += ["--workers", str(WORKERS), "--log-level", "warning", "--no-access-log"]
    with subprocess.Popen(command) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


async def wait_until_ready(browser: httpx.AsyncClient) -> None:
    while True:
        with contextlib.suppress(httpx.TransportError):
            await browser.get("/openapi.json")
            return
        await asyncio.sleep(0.1)


async def timed_read(browser: httpx.AsyncClient, number: str) -> float:
    started = time.perf_counter()
    (await browser.get(f"/tickets/{number}")).raise_for_status()
    return time.perf_counter() - started


async def reads(browser: httpx.AsyncClient, number: str) -> list[float]:
    """Start ``PER_SECOND`` reads a second, whether or not earlier ones have finished; returns the seconds of each."""
    tasks = []
    for _ in range(READS):
        tasks.append(asyncio.create_task(timed_read(browser, number)))
        await asyncio.sleep(1 / PER_SECOND)
    return await asyncio.gather(*tasks)


async def bulk_run(client: ServiceClient, created: list[str]) -> None:
    tickets = (NewTicket(lead_id="45b5", title=str(number), status="Open") for number in range(BULK_ROWS))
    async for outcome in client.bulk.create(tickets, journal=Path(os.environ[LIMIT]).with_name("run.sqlite")):
        created.append(outcome.key)


async def measure(origin: str, pipe: Connection) -> list[Row]:
    # Each request has its own connection, so that the system distributes them over the workers.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with (
        httpx.AsyncClient(base_url=origin, limits=limits, timeout=60, trust_env=False) as browser,
        ServiceClient.from_env(limiter=HostLimiter(os.environ[LIMIT])) as client,
    ):
        await wait_until_ready(browser)
        number = (await client.tickets.create(NewTicket(lead_id="45b5", title="Router down", status="Open"))).number
        created: list[str] = []
        alone = row("alone", await reads(browser, number), len(created), pipe)
        run = asyncio.create_task(bulk_run(client, created))
        during = row("during a bulk run", await reads(browser, number), len(created), pipe)
        run.cancel()
        await asyncio.wait([run])
        return [alone, during]


def row(name: str, seconds: list[float], created: int, pipe: Connection) -> Row:
    pipe.send(True)
    percentiles = statistics.quantiles(seconds, n=100, method="inclusive")
    return name, len(seconds), created, pipe.recv(), percentiles[49] * 1000, percentiles[98] * 1000


def run() -> None:
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=emulate, args=(theirs,), daemon=True)
    server.start()
    os.environ.update({f"LSQ_{name.upper()}": value for name, value in ours.recv().items()})
    with tempfile.TemporaryDirectory() as folder:
        os.environ[LIMIT] = str(Path(folder, "limit.sqlite"))
        with workers() as origin:
            rows = asyncio.run(measure(origin, ours))
    ours.send(False)
    server.join()
    head = ["reads of a ticket", "requests", "bulk creates", "refused", "p50 ms", "p99 ms"]
    show(f"FastAPI on {WORKERS} workers, 25 in 5 s, {PER_SECOND:g} reads a second", head, rows)
