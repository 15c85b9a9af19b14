"""Creates that one client sends at once to a server that allows 25 calls in 5 seconds.

Each client is set up as its documentation shows.
"""

import asyncio
import json
import logging
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from . import calls, command
from .acquiring import PEERS
from .calls import BODY, PATH
from .strict_server import CALLS, PER

Call = Callable[[], Awaitable[object]]
Acquire = Callable[[], Awaitable[object]]


def this(origin: str, window: str = "any") -> Any:
    return calls.this(origin, calls=CALLS, per=PER, window=window)


def this_sliding(origin: str) -> Any:
    return this(origin, "sliding")


@asynccontextmanager
async def httpx_with(origin: str, acquire: Acquire | None = None) -> AsyncIterator[Call]:
    """Use httpx and tenacity, with exponential backoff and jitter. Each attempt first waits for ``acquire``."""
    import httpx
    from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=None), timeout=None) as client:

        @retry(
            retry=retry_if_exception_type(httpx.HTTPStatusError),
            wait=wait_random_exponential(multiplier=1, max=60),
            stop=stop_after_attempt(5),
        )
        async def call() -> None:
            if acquire is not None:
                await acquire()
            (await client.post(origin + PATH, json=BODY)).raise_for_status()

        yield call


def with_limiter(name: str) -> Callable[[str], Any]:
    """Use httpx and tenacity, with one of the limiters of ``acquiring``."""

    @asynccontextmanager
    async def client(origin: str) -> AsyncIterator[Call]:
        async with httpx_with(origin, await PEERS[name](CALLS, PER)) as call:
            yield call

    return client


@asynccontextmanager
async def openai(origin: str) -> AsyncIterator[Call]:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key="a", base_url=origin) as client:
        yield lambda: client.post(PATH, cast_to=object, body=BODY)


@asynccontextmanager
async def stripe(origin: str) -> AsyncIterator[Call]:
    import stripe

    client = stripe.StripeClient("a", base_addresses={"api": origin}, max_network_retries=2)
    yield lambda: client.raw_request_async("post", "/v1/tickets", name="Router down")


@asynccontextmanager
async def slack_sdk(origin: str) -> AsyncIterator[Call]:
    from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
    from slack_sdk.web.async_client import AsyncWebClient

    client = AsyncWebClient(token="a", base_url=f"{origin}/")
    client.retry_handlers.append(AsyncRateLimitErrorRetryHandler(max_retry_count=1))
    yield lambda: client.api_call("tickets", json=BODY)


@asynccontextmanager
async def githubkit(origin: str) -> AsyncIterator[Call]:
    from githubkit import GitHub

    async with GitHub("a", base_url=f"{origin}/") as client:
        yield lambda: client.arequest("POST", "/tickets", json=BODY)


CLIENTS: dict[str, Any] = {
    "this": this,
    "this, sliding": this_sliding,
    "httpx + aiolimiter + tenacity": with_limiter("aiolimiter"),
    "httpx + tenacity": httpx_with,
    "httpx + pyrate-limiter + tenacity": with_limiter("pyrate-limiter"),
    "httpx + limits + tenacity": with_limiter("limits"),
    "httpx + throttled-py + tenacity": with_limiter("throttled-py"),
    "openai-python": openai,
    "stripe": stripe,
    "slack_sdk": slack_sdk,
    "githubkit": githubkit,
}


async def create(client: str, kind: str, count: int, jitter_ms: int, timeout: float) -> dict[str, Any]:
    """Return how many creates succeeded, how long they took, and the arrivals that the server has counted.

    Calls that have not ended after ``timeout`` seconds count as failed.
    """
    logging.disable()
    program = command("strict_server.serve", kind, jitter_ms)
    server = await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE)
    assert server.stdout
    origin = json.loads(await server.stdout.readline())["origin"]
    succeeded = 0
    async with CLIENTS[client](origin) as call:

        async def one() -> None:
            nonlocal succeeded
            await call()
            succeeded += 1

        started = time.monotonic()
        tasks = [asyncio.create_task(one()) for _ in range(count)]
        _, late = await asyncio.wait(tasks, timeout=timeout)
        seconds = time.monotonic() - started
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    printed, _ = await server.communicate(b"")
    return {"succeeded": succeeded, "s": seconds, **json.loads(printed)}
