"""The pytest plugin: fixtures that work in every kind of test, and waits that take no time."""

from __future__ import annotations

import asyncio
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lsq_service_async import (
    Config,
    ConfigurationError,
    NewTicket,
    NotSentError,
    OutcomeUnknownError,
    QueueTimeoutError,
    ServiceClient,
)
from lsq_service_async.emulator import AnswerLost, Emulator, Latency, RateLimited, Status

TICKET = NewTicket(lead_id="45b5", title="Router down", status="Open")
TIMES: list[float] = []


async def test_a_hundred_tickets_need_no_time(lsq_client: ServiceClient, lsq_emulator: Emulator) -> None:
    """The client and the emulator keep to 25 calls in 5 seconds of the loop's clock, which jumps."""
    loop, began = asyncio.get_running_loop(), time.monotonic()
    before = loop.time()
    await asyncio.gather(*(lsq_client.tickets.create(TICKET) for _ in range(100)))
    assert (len(lsq_emulator.tickets), lsq_emulator.refused) == (100, 0)
    assert loop.time() - before > 14
    assert loop.time() - before > 2 * (time.monotonic() - began)


def test_the_fixtures_work_without_a_plugin_for_async_tests(
    lsq_client: ServiceClient, lsq_config: Config, lsq_emulator: Emulator
) -> None:
    """Clients of an application are in process too, if they are made with the settings of the fixture."""

    async def main() -> None:
        await lsq_client.tickets.create(TICKET)
        async with ServiceClient(lsq_config) as own:
            await own.tickets.create(TICKET)

    asyncio.run(main())
    assert list(lsq_emulator.tickets) == ["1", "2"]


async def test_faults_and_their_waits(lsq_client: ServiceClient, lsq_emulator: Emulator) -> None:
    """The client treats refusals, latency and lost connections as it does with a socket."""
    began = time.monotonic()
    lsq_emulator.faults.add(RateLimited(retry_after=30), Status(500), Latency(20.0))
    receipt = await lsq_client.tickets.create(TICKET)
    assert [attempt.status for attempt in receipt.attempts] == [429, 500, 200]
    lsq_emulator.faults.add(AnswerLost())
    with pytest.raises(OutcomeUnknownError):
        await lsq_client.tickets.create(TICKET)
    lsq_emulator.faults.add(Latency(60.0))
    with pytest.raises(OutcomeUnknownError):
        await lsq_client.with_options(timeout=5.0).tickets.create(TICKET)
    await lsq_client.tickets.get(receipt.number)
    assert time.monotonic() - began < 30  # the faults alone wait for over 100 s


async def test_waits_of_the_test_itself_are_real(lsq_client: ServiceClient) -> None:
    """The clock jumps only while a call is open."""
    await lsq_client.tickets.create(TICKET)
    began = time.monotonic()
    await asyncio.sleep(0.05)
    assert time.monotonic() - began >= 0.049


async def test_a_client_of_another_address_uses_the_network(lsq_config: Config) -> None:
    """Only clients with the settings of the emulator are in process. Wrong arguments are errors as always."""
    other = Config(access_key="a-key", secret_key="b-key", org_id="7", base_url="http://127.0.0.1:9")
    async with ServiceClient(other) as client:
        with pytest.raises((NotSentError, QueueTimeoutError)):
            await client.with_options(deadline=0.2).tickets.create(TICKET)
    with pytest.raises(ConfigurationError, match="hooks must be a list"):
        ServiceClient(lsq_config, hooks=5)  # type: ignore[arg-type]
    async with httpx.AsyncClient() as own:
        assert ServiceClient(lsq_config, http_client=own).http_client is own


async def test_a_client_that_makes_no_call_needs_no_loop(lsq_client: ServiceClient, lsq_config: Config) -> None:
    """The fixture does not close a client in the loop of another client."""
    async with ServiceClient(lsq_config) as other:
        await other.tickets.create(TICKET)


@pytest.fixture(scope="module")
def loop_of_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread, as that of an app with a TestClient for all tests of a module."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        yield loop
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def test_a_client_is_closed_in_a_loop_that_is_running(
    loop_of_a_thread: asyncio.AbstractEventLoop, lsq_client: ServiceClient
) -> None:
    """The loop may outlive the test, in another thread."""
    create = lsq_client.tickets.create(TICKET)
    assert asyncio.run_coroutine_threadsafe(create, loop_of_a_thread).result(10).number == "1"


def test_a_loop_whose_waits_cannot_be_changed_has_real_time(lsq_client: ServiceClient) -> None:
    """So it is with uvloop, which has no selector."""

    class Selector(selectors.DefaultSelector):
        def __setattr__(self, name: str, value: object) -> None:
            if name == "select":
                raise AttributeError(name)
            super().__setattr__(name, value)

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(Selector())) as runner:
        assert runner.run(lsq_client.tickets.create(TICKET)).number == "1"


@pytest.fixture(scope="module")
def long_loop() -> Any:
    """An event loop that several tests use."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.mark.parametrize("again", [False, True])
def test_the_clock_of_a_loop_never_goes_back(long_loop: asyncio.Runner, lsq_client: ServiceClient, again: bool) -> None:
    """A loop that several tests use keeps the time to which it jumped."""
    loop = long_loop.get_loop()
    assert loop.time() >= max(TIMES, default=0.0)

    async def main() -> None:
        await asyncio.gather(*(lsq_client.tickets.create(TICKET) for _ in range(60)))

    long_loop.run(main())
    TIMES.append(loop.time())


APPLICATION = """
from lsq_service_async import NewTicket, ServiceClient


async def report(client: ServiceClient, title: str) -> str:
    ticket = NewTicket(lead_email="wim@example.com", title=title, status="Open")
    return (await client.tickets.create(ticket)).number
"""
TESTS = """
import asyncio
import pytest
from support import report
from lsq_service_async.emulator import faults

pytestmark = pytest.mark.MODE

@pytest.fixture
def anyio_backend():
    return "asyncio"

async def test_a_ticket(lsq_client, lsq_emulator):
    lsq_emulator.faults.add(faults.RateLimited(retry_after=60))
    number = await report(lsq_client, "Router down")
    assert lsq_emulator.tickets[number].fields["Title"] == "Router down"

async def test_many_tickets(lsq_client, lsq_emulator):
    await asyncio.gather(*(report(lsq_client, str(number)) for number in range(100)))
    assert len(lsq_emulator.tickets) == 100
"""
SCRIPT_TESTS = """
import asyncio
from support import report

def test_a_script(lsq_client, lsq_emulator):
    asyncio.run(report(lsq_client, "Router down"))
    assert len(lsq_emulator.calls) == 1

def test_a_client_that_is_not_used(lsq_client):
    pass
"""


def run_pytest(folder: Path, *options: str) -> str:
    """Run the tests of a folder with warnings as errors, and return the last line of the output."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        *options,
    ]
    env = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("mode", ["strict", pytest.param("auto", marks=pytest.mark.slow)])
def test_a_project_with_the_fixtures(tmp_path: Path, mode: str) -> None:
    """Its tests pass with pytest-asyncio in both modes, with anyio and with `asyncio.run`, and leave no warning."""
    (tmp_path / "support.py").write_text(APPLICATION)
    (tmp_path / "test_asyncio.py").write_text(TESTS.replace("MODE", "asyncio"))
    (tmp_path / "test_script.py").write_text(SCRIPT_TESTS)
    if mode == "strict":
        (tmp_path / "test_anyio.py").write_text(TESTS.replace("MODE", "anyio"))
    scope = "asyncio_default_fixture_loop_scope=function"  # without it, pytest-asyncio warns
    last = run_pytest(tmp_path, "-o", f"asyncio_mode={mode}", "-o", scope)
    assert last.startswith("6 passed" if mode == "strict" else "4 passed")


def test_a_run_without_the_fixtures_imports_no_dependency(tmp_path: Path) -> None:
    """pytest loads the plugin, and the plugin loads neither httpx nor the client."""
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n\ndef test():\n"
        "    assert 'lsq_service_async.integrations.pytest_plugin' in sys.modules\n"
        "    assert not {'lsq_service_async.client', 'attrs', 'cattrs', 'tenacity'} & set(sys.modules)\n"
    )
    assert run_pytest(tmp_path, *["-p", "no:asyncio", "-p", "no:anyio", "-p", "no:hypothesispytest"]).startswith(
        "1 passed"
    )
