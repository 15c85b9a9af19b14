"""A real HAProxy, which estimates the rate from two buckets and counts refused calls, refuses no call."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from limits.conftest import free_port
from limits.limiters import opened
from limits.traffic import Limiter
from limits.weaker_limiters import Slots, TokenBucket
from lsq_service_async.config import Lane

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
SETTINGS = """
defaults
    mode http
    timeout client 10s
    timeout connect 10s
    timeout server 10s
frontend strict
    bind 127.0.0.1:{port}
    stick-table type ip size 1k expire 10m store http_req_rate({per:g}s)
    http-request track-sc0 src
    http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 25 }}
    http-request return status 200
"""

pytestmark = [
    pytest.mark.haproxy,
    pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed; on Debian: apt-get install haproxy"),
]


async def listens(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError("haproxy did not start in ten seconds")


@asynccontextmanager
async def haproxy(folder: Path, per: float = 5.0) -> AsyncIterator[str]:
    """Start a proxy on a free port; yields the URL of the tickets behind it."""
    port = free_port()
    settings = folder / f"haproxy-{port}.cfg"
    settings.write_text(SETTINGS.format(port=port, per=per))
    assert HAPROXY is not None
    process = await asyncio.create_subprocess_exec(HAPROXY, "-db", "-f", str(settings))
    try:
        await listens(port)
        yield f"http://127.0.0.1:{port}/tickets"
    finally:
        process.terminate()
        await process.wait()


async def create_150(limiter: Limiter, url: str) -> tuple[Counter[int], float]:
    """Send 150 creates at once; returns the number of each status, and the seconds."""
    statuses: Counter[int] = Counter()
    # A connection for each call: a pool would delay some of them.
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=150), timeout=60) as client:

        async def create() -> None:
            ticket = await limiter.acquire(Lane.INTERACTIVE)
            statuses[(await client.post(url, json={})).status_code] += 1
            ticket.release()

        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(create() for _ in range(150)))
        return statuses, asyncio.get_running_loop().time() - began


async def test_haproxy_refuses_none_of_150_creates(tmp_path):
    """150 creates at 25 in 5 seconds are not refused and take at most 5 % more than 30 seconds."""
    async with haproxy(tmp_path) as url, opened() as limiter:
        statuses, seconds = await create_150(limiter, url)

    assert statuses == {200: 150}
    assert seconds <= 1.05 * 30


@pytest.mark.parametrize("limiter", [TokenBucket, Slots])
async def test_haproxy_refuses_a_weaker_limiter(limiter, tmp_path):
    """The same proxy refuses calls of a token bucket, and of slots without a pace."""
    async with haproxy(tmp_path) as url:
        statuses, _ = await create_150(limiter(), url)

    assert statuses[429] > 0
