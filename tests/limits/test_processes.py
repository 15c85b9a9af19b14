"""Real processes and real servers: four processes share one limit, and one of them is killed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from limits.test_haproxy import HAPROXY, haproxy
from lsq_service_async.config import Lane

HERE = Path(__file__).parent
CALLS, PER, RATE = 25, 1.0, "25/1"  # five times the service's pace, so that 1,200 calls take less than a minute
PROCESSES, EACH = 4, 300
MISSING = 404  # of an unknown path, which the emulator checks after the limit
Where = dict[str, Any]

pytestmark = pytest.mark.slow


@attrs.frozen
class Sent:
    """One call of one process, with times of the host's monotonic clock."""

    asked: float
    granted: float
    status: int


@asynccontextmanager
async def started(*about: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a Python program with pipes for standard input and output."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *map(str, about), stdin=pipe, stdout=pipe)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def emulator(window: str, counts: list[list[int]]) -> AsyncIterator[Where]:
    """Yields its URL and headers. At the end the numbers of received and refused calls are appended to ``counts``."""
    async with started(HERE / "strict_emulator.py", window, CALLS, PER) as process:
        settings = json.loads(await process.stdout.readline())
        keys = {"x-lsq-access-key": settings["access_key"], "x-lsq-secret-key": settings["secret_key"]}
        yield {"url": f"{settings['base_url']}/api/tenants/{settings['org_id']}/tickets/none", "headers": keys}
        process.stdin.close()
        counts.append(json.loads(await process.stdout.readline()))


async def sent_by(process: asyncio.subprocess.Process) -> list[Sent]:
    """Return the calls that a process completed, even if it was killed."""
    return [Sent(*json.loads(line)) for line in (await process.stdout.read()).splitlines() if line.endswith(b"]")]


async def flood(process: asyncio.subprocess.Process, seconds: float | None) -> list[Sent]:
    """Start the calls of a process, and kill it after ``seconds``, if any."""
    process.stdin.write(b"go\n")
    sending = asyncio.create_task(sent_by(process))
    if seconds is not None:
        await asyncio.sleep(seconds)
        process.kill()
    return await sending


async def flood_together(where: Where, limiter: str, at: str, *, kill_after: float, rate: str = RATE) -> list[Sent]:
    """The calls that four processes with 300 calls each complete if one of them is killed."""
    settings = {**where, "calls": EACH, "rate": rate, "limiter": limiter, "at": at, "lane": "interactive"}
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(run(settings, kill_after if number == 0 else None)) for number in range(PROCESSES)]
    return [sent for task in running for sent in task.result()]


async def run(settings: dict[str, Any], seconds: float | None) -> list[Sent]:
    async with started(HERE / "flood.py", json.dumps(settings)) as process:
        await asyncio.sleep(3)  # all processes start before the first call
        return await flood(process, seconds)


def check(sent: list[Sent], status: int) -> None:
    """Check that no call was refused, and that 60 % of the rate was used: a busy machine uses less than a benchmark."""
    granted = sorted(one.granted for one in sent)
    assert {one.status for one in sent} == {status}
    assert (PROCESSES - 1) * EACH < len(sent) < PROCESSES * EACH
    assert len(sent) / CALLS * PER >= 0.6 * (granted[-1] - granted[0])


async def on_emulator(window: str, limiter: str, at: str, rate: str = RATE) -> None:
    counts: list[list[int]] = []
    async with emulator(window, counts) as where:
        sent = await flood_together(where, limiter, at, kill_after=20, rate=rate)
    check(sent, MISSING)
    [(calls, refused)] = counts
    assert refused == 0
    assert len(sent) <= calls <= len(sent) + CALLS


async def test_four_processes_of_a_host_are_never_refused(tmp_path):
    """Neither a sliding window nor a two-bucket estimate refuses a call, although one process is killed."""
    await asyncio.gather(*(on_emulator(kind, "host", str(tmp_path / kind)) for kind in ("sliding", "estimate")))


async def test_four_processes_with_sliding_windows_are_never_refused_by_true_ones(tmp_path):
    """Neither a sliding nor a fixed window refuses a call of a rate with sliding windows, although one is killed."""
    runs = (on_emulator(kind, "host", str(tmp_path / kind), "25/1 sliding") for kind in ("sliding", "fixed"))
    await asyncio.gather(*runs)


@pytest.mark.redis
async def test_four_processes_that_share_a_redis_are_never_refused(redis_server):
    """The same servers refuse no call of processes that use Redis, although one process is killed."""
    await asyncio.gather(*(on_emulator(kind, "redis", redis_server.url) for kind in ("sliding", "estimate")))


@pytest.mark.haproxy
@pytest.mark.redis
@pytest.mark.skipif(HAPROXY is None, reason="no haproxy here; on Debian: apt-get install haproxy")
async def test_four_processes_behind_a_real_haproxy_are_never_refused(tmp_path, redis_server):
    """HAProxy refuses no call of processes that share a file or Redis, although one process is killed."""
    async with haproxy(tmp_path, per=PER) as one, haproxy(tmp_path, per=PER) as other:
        runs = await asyncio.gather(
            flood_together({"url": one}, "host", str(tmp_path / "limit"), kill_after=20),
            flood_together({"url": other}, "redis", redis_server.url, kill_after=20),
        )
    for sent in runs:
        check(sent, 200)


async def test_an_interactive_call_waits_about_one_token_behind_the_flood_of_another_process(tmp_path):
    """An interactive call every 1.37 s waits about one token while two other processes send bulk calls."""
    counts: list[list[int]] = []
    shared = {"limiter": "host", "at": str(tmp_path / "limit"), "rate": "25/5"}
    async with emulator("sliding", counts) as where:
        bulk = {**shared, **where, "calls": 70, "lane": Lane.BULK.value}
        asking = {**shared, **where, "calls": 12, "lane": Lane.INTERACTIVE.value, "gap": 1.37}
        *_, sent = await asyncio.gather(run(bulk, None), run(bulk, None), run_later(asking, 6.0))

    waits = sorted(one.granted - one.asked for one in sent)
    token = 5.0 / CALLS
    assert sum(waits) / len(waits) < 1.25 * token
    assert waits[-1] < 2.5 * token


async def run_later(settings: dict[str, Any], seconds: float) -> list[Sent]:
    await asyncio.sleep(seconds)
    return await run(settings, None)
