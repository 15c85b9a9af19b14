"""Fixtures for commands that run in this process, and an emulator that serves them."""

from __future__ import annotations

import asyncio
import io
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from rich.console import Console

from lsq_service_async.__main__ import main
from lsq_service_async.emulator import Emulator


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random pauses take no time, and no variable changes the output."""
    monkeypatch.setattr("random.uniform", lambda low, high: low)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_INTERACTIVE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Any:
    """A function that runs a command line and returns the exit code, stdout and stderr."""

    def call(*argv: str) -> tuple[int, str, str]:
        return main(argv), *capsys.readouterr()

    return call


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    """Begin with the usual handlers, as a shell may have disabled some, and restore them: a stopped run ignores all.

    A program that another test starts would inherit ignored signals, and could not be terminated.
    """
    usual = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def paper() -> Console:
    """A console that writes to a buffer: `console.file.getvalue()`."""
    return Console(file=io.StringIO(), highlight=False, width=100)


@contextmanager
def serving(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator, rate_limit: str = "40/0.02"
) -> Generator[Emulator, None, None]:
    """Serve an emulator on a socket, in its own thread because commands run their own loop.

    The environment holds its settings, with a rate limit that costs no time.
    """
    opened, stop = threading.Event(), asyncio.Event()
    loops = []

    async def serve() -> None:
        async with emulator:
            loops.append(asyncio.get_running_loop())
            opened.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    assert opened.wait(10)
    for name, value in {**emulator.settings, "rate_limit": rate_limit}.items():
        monkeypatch.setenv(f"LSQ_{name.upper()}", str(value))
    yield emulator
    loops[0].call_soon_threadsafe(stop.set)
    thread.join()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator on a socket. No field is mandatory."""
    with serving(monkeypatch, Emulator(rate_limit=(1000, 1), window=None, enforce_mandatory=False)) as emulator:
        yield emulator
