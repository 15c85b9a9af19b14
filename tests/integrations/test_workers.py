"""A backend on uvicorn with several workers that share one rate limit."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from integrations.backend import TICKET
from limits.conftest import free_port

TESTS = Path(__file__).parents[1]
REQUESTS, RATE = 200, (25, 1.0)


@contextlib.contextmanager
def strict_emulator(counts: list[int]) -> Iterator[dict[str, str]]:
    """Run an emulator and yield its settings. At the end, ``counts`` gets its numbers of calls and of refused calls."""
    command = [sys.executable, TESTS / "limits" / "strict_emulator.py", "sliding", *map(str, RATE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield json.loads(process.stdout.readline())
        counts += json.loads(process.communicate()[0])


@contextlib.contextmanager
def uvicorn(workers: int, environment: dict[str, str], log: Path) -> Iterator[str]:
    """Run a backend, wait until all of its workers have started, and yield its origin."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "integrations.backend:from_env", "--app-dir", TESTS]
    command += ["--port", str(port), "--workers", str(workers), "--no-access-log"]
    with (
        log.open("w") as stderr,
        subprocess.Popen(command, env={**os.environ, **environment}, stderr=stderr) as process,
    ):
        try:
            wait_for_start(workers, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
    assert process.returncode in (0, -15)


def wait_for_start(workers: int, log: Path) -> None:
    until = time.monotonic() + 60
    while log.read_text().count("Application startup complete") < workers:
        assert time.monotonic() < until, f"the backend did not start: {log.read_text()}"
        time.sleep(0.1)


@pytest.mark.slow
async def test_four_workers_of_one_host_are_never_refused(tmp_path):
    """Four workers with a HostLimiter share a rate limit, and a strict service refuses none of their calls."""
    counts: list[int] = []
    with strict_emulator(counts) as settings:
        environment = {f"LSQ_{name.upper()}": value for name, value in settings.items()}
        environment["LSQ_RATE_LIMIT"] = "{}/{}".format(*RATE)
        with uvicorn(4, {**environment, "BACKEND_LIMIT": str(tmp_path / "limit.sqlite")}, tmp_path / "log") as backend:
            started = time.monotonic()
            answers = await flood(backend)
            seconds = time.monotonic() - started
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.headers["x-worker"] for answer in answers}) > 1
    assert counts == [REQUESTS, 0]
    assert seconds < 3 * REQUESTS / RATE[0] * RATE[1]


async def flood(origin: str) -> list[httpx.Response]:
    # Each request has its own connection, so that the system distributes them over the workers.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=origin, limits=limits, timeout=120, trust_env=False) as browser:
        return await asyncio.gather(*(browser.post("/tickets", json=TICKET) for _ in range(REQUESTS)))
