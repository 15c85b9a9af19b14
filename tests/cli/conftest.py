"""The demo in a fraction of a second: a generous limit on both sides, no pauses, and faults that cost no time."""

from __future__ import annotations

import asyncio
import io
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from lsq_service_async import RateLimit
from lsq_service_async.cli.demo_report import Evidence
from lsq_service_async.cli.demo_run import run_demo
from lsq_service_async.cli.demo_tickets import DemoRow, demo_rows
from lsq_service_async.emulator import Emulator, Fault, TicketStore, Window

RATE = RateLimit(20, per=0.1)


class Notes:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps = 0

    def say(self, remark: str) -> None:
        self.said.append(remark)

    def step(self) -> None:
        self.steps += 1


@pytest.fixture(autouse=True)
def _this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that are drawn at random take no time; what the demo sets in the environment is taken back."""
    monkeypatch.setattr("random.uniform", lambda low, high: low)
    monkeypatch.setenv("no_proxy", "")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_INTERACTIVE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def _ctrl_c_is_heard() -> Iterator[None]:
    """Where the tests run in the background of a shell, the shell has made them deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def paper() -> Console:
    """A console whose output is a file: ``console.file.getvalue()``."""
    return Console(file=io.StringIO(), highlight=False, width=100)


@pytest.fixture
def rows(tmp_path: Path) -> tuple[DemoRow, ...]:
    return demo_rows(tmp_path)


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def quick() -> Callable[..., Emulator]:
    """An emulator with room for two hundred calls a second, the faults given, and a store or a window of its own."""

    def make(*faults: Fault, store: TicketStore | None = None, window: Window | None = None) -> Emulator:
        emulator = Emulator(rate_limit=(RATE.calls, RATE.per), window=window or "sliding", store=store)
        emulator.faults.add(*faults)
        return emulator

    return make


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator on a socket, in a thread of its own because commands bring their own loop; the environment leads
    there, with a limit that costs no time."""
    emulator = Emulator(rate_limit=(1000, 1), window=None)
    opened, over = threading.Event(), asyncio.Event()
    loops = []

    async def serve() -> None:
        async with emulator:
            loops.append(asyncio.get_running_loop())
            opened.set()
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    assert opened.wait(10)
    for name, value in {**emulator.settings, "rate_limit": "200/0.1"}.items():
        monkeypatch.setenv(f"LSQ_{name.upper()}", str(value))
    yield emulator
    loops[0].call_soon_threadsafe(over.set)
    thread.join()


@pytest.fixture
def evidence(rows: tuple[DemoRow, ...], notes: Notes) -> Callable[..., object]:
    """Runs the demo with eight rows, the two with files among them, to its end; what is known then."""
    few = (*rows[:7], rows[22])

    async def gather(emulator: Emulator, rows: tuple[DemoRow, ...] = few) -> Evidence:
        return Evidence(rows, await run_demo(emulator, rows, RATE, notes), emulator, RATE)

    return gather
