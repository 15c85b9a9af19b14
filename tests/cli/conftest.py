"""Commands in a process that others use too, and a service for them."""

from __future__ import annotations

import asyncio
import io
import signal
import threading
from collections.abc import Iterator

import pytest
from rich.console import Console

from lsq_service_async.emulator import Emulator


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
    for name, value in {**emulator.settings, "rate_limit": "40/0.02"}.items():
        monkeypatch.setenv(f"LSQ_{name.upper()}", str(value))
    yield emulator
    loops[0].call_soon_threadsafe(over.set)
    thread.join()
