"""150 creates at once on each kind of strict server, over real sockets with jitter: refused calls, and time."""

import asyncio
import time
from typing import Any

import httpx
from aiolimiter import AsyncLimiter

from benchmarks.table import show
from lsq_service_async import Config, NewTicket, ServiceClient
from lsq_service_async.emulator import Emulator

CALLS, JITTER = 150, 0.2  # up to 200 ms each way
LEAST = CALLS / 25 * 5.0
KINDS: list[Any] = ["sliding", "fixed", "bucket", "estimate"]


async def with_client(emulator: Emulator) -> None:
    async with ServiceClient(Config(**emulator.settings)) as client:
        tickets = [NewTicket(lead_id="45b5", title=str(number), status="Open") for number in range(CALLS)]
        await asyncio.gather(*map(client.tickets.create, tickets))


async def with_aiolimiter(emulator: Emulator) -> None:
    """The control: a bucket of 25 in 5 seconds in front of httpx, as it is often done."""
    settings, limiter = emulator.settings, AsyncLimiter(25, 5)
    url = f"{settings['base_url']}/api/tenants/{settings['org_id']}/tickets"
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=None)) as http:

        async def call() -> None:
            async with limiter:
                await http.post(url, json={})

        await asyncio.gather(*(call() for _ in range(CALLS)))


async def one(kind: Any, name: str) -> tuple[str, int, float, float]:
    async with Emulator(window=kind, jitter=JITTER) as emulator:
        started = time.monotonic()
        await {"this": with_client, "aiolimiter": with_aiolimiter}[name](emulator)
        seconds = time.monotonic() - started
        return f"{kind}, {name}", emulator.refused, seconds, seconds / LEAST


async def measure() -> list[tuple[str, int, float, float]]:
    # All runs at once, because they mostly wait.
    return await asyncio.gather(*(one(kind, name) for name in ("this", "aiolimiter") for kind in KINDS))


def run() -> None:
    head = ["server, client", "refused", "s", "s / least s"]
    show(f"{CALLS} creates at once, 25 in 5 s, jitter {JITTER * 2000:.0f} ms", head, asyncio.run(measure()))
