"""The demo in a fraction of a second: a generous limit on both sides, no pauses, and faults that cost no time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lsq_service_async import RateLimit
from lsq_service_async.cli.demo.report import Evidence
from lsq_service_async.cli.demo.run import run_demo
from lsq_service_async.cli.demo.tickets import DemoRow, demo_rows
from lsq_service_async.emulator import Emulator, Fault, TicketStore, Window

RATE = RateLimit(40, per=0.02)


class Notes:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps = 0

    def say(self, remark: str) -> None:
        self.said.append(remark)

    def step(self) -> None:
        self.steps += 1


@pytest.fixture
def rows(tmp_path: Path) -> tuple[DemoRow, ...]:
    return demo_rows(tmp_path)


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def quick() -> Callable[..., Emulator]:
    """An emulator with room for two thousand calls a second, the faults given, and a store or a window of its own."""

    def make(*faults: Fault, store: TicketStore | None = None, window: Window | None = None) -> Emulator:
        emulator = Emulator(rate_limit=(RATE.calls, RATE.per), window=window or "sliding", store=store)
        emulator.faults.add(*faults)
        return emulator

    return make


@pytest.fixture
def evidence(rows: tuple[DemoRow, ...], notes: Notes) -> Callable[..., object]:
    """Runs the demo with eight rows, the two with files among them, to its end; what is known then."""
    few = (*rows[:7], rows[22])

    async def gather(emulator: Emulator, rows: tuple[DemoRow, ...] = few) -> Evidence:
        return Evidence(rows, await run_demo(emulator, rows, RATE, notes), emulator, RATE)

    return gather
