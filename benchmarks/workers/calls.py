"""Creates of a ticket by this package, and the same POST by bare HTTP clients.

Every client sends the same JSON, checks the status and decodes the answer. httpcore tries to import sniffio on each
call. This package depends on sniffio, but httpx does not, so sniffio is hidden from the clients in WITHOUT_SNIFFIO.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

from . import ORG_ID, config

BODY = {"TypeId": "1", "Id": None, "LeadId": "45b5", "RelatedTicketTypeId": 1, "Fields": [
    {"SchemaName": "Title", "Value": "Router down"}, {"SchemaName": "Status", "Value": "Open"},
    {"SchemaName": "Priority", "Value": "Low"}, {"SchemaName": "Channel", "Value": "Chat"}]}  # fmt: skip
PATH = f"/api/tenants/{ORG_ID}/tickets"
WARM_UP = 20  # calls that open connections and import modules

Call = Callable[[], Awaitable[object]]


@asynccontextmanager
async def this(
    origin: str, hooks: tuple[Any, ...] = (), calls: int = 1_000_000, per: float = 1.0, window: Any = "any"
) -> AsyncIterator[Call]:
    """Use this package. By default, the limit is so high that no call waits, but every call passes the limiter."""
    from lsq_service_async import NewTicket, RateLimit, ServiceClient

    limit = RateLimit(calls, per=per, window=window)
    ticket = NewTicket(lead_id="45b5", title="Router down", status="Open", priority="Low", channel="Chat")
    async with ServiceClient(config(origin, rate_limit=limit), hooks=hooks) as client:
        yield lambda: client.tickets.create(ticket)


def this_with_hook(origin: str) -> Any:
    return this(origin, (lambda event: None,))


def this_with_opentelemetry(origin: str) -> Any:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

    from lsq_service_async.integrations.opentelemetry import OpenTelemetryHook

    return this(origin, (OpenTelemetryHook(TracerProvider(), MeterProvider()),))


@asynccontextmanager
async def httpx(origin: str, name: str = "httpx") -> AsyncIterator[Call]:
    library = __import__(name)
    async with library.AsyncClient(limits=library.Limits(max_connections=None)) as client:

        async def call() -> object:
            answer = await client.post(origin + PATH, json=BODY)
            return answer.raise_for_status().json()

        yield call


def httpx2(origin: str) -> Any:
    return httpx(origin, "httpx2")


@asynccontextmanager
async def aiohttp(origin: str) -> AsyncIterator[Call]:
    import aiohttp

    async with aiohttp.ClientSession(raise_for_status=True) as session:

        async def call() -> object:
            async with session.post(origin + PATH, json=BODY) as answer:
                return await answer.json()

        yield call


CLIENTS = {
    "httpx": httpx,
    "httpx + sniffio": httpx,
    "httpx2": httpx2,
    "aiohttp": aiohttp,
    "this": this,
    "this, a hook": this_with_hook,
    "this, OpenTelemetry": this_with_opentelemetry,
}
WITHOUT_SNIFFIO = ("httpx", "httpx2", "aiohttp")


class WithoutSniffio(PathFinder):
    """Hides sniffio. Instead, a module that is not installed is searched for, which takes as long and finds nothing."""

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return super().find_spec("not_installed" if fullname == "sniffio" else fullname, path, target)


async def create(client: str, origin: str, at_once: int, count: int) -> dict[str, float]:
    """Return the CPU time of one call. The calls run one after the other, or in ``at_once`` tasks."""
    if client in WITHOUT_SNIFFIO:
        sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutSniffio
    async with CLIENTS[client](origin) as call:

        async def several(number: int) -> None:
            for _ in range(number):
                await call()

        await several(WARM_UP)
        await asyncio.gather(*(several(1) for _ in range(at_once)))
        started = time.process_time()
        await asyncio.gather(*(several(count // at_once) for _ in range(at_once)))
        return {"cpu_us": (time.process_time() - started) / (count // at_once * at_once) * 1e6}
