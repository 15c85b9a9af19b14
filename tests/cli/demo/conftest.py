"""The demo in a fraction of a second: a high rate limit on both sides, no pauses, and faults that cost no time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lsq_service_async import BulkRow, RateLimit
from lsq_service_async.cli.demo.demo import DemoResult, demo_rows, play
from lsq_service_async.cli.progress import ProgressDisplay
from lsq_service_async.emulator import Emulator, Fault

RATE = RateLimit(10, per=0.01)


@pytest.fixture
def rows(tmp_path: Path) -> list[BulkRow]:
    return demo_rows(tmp_path)


@pytest.fixture
def quick() -> Callable[..., Emulator]:
    """Makes an emulator for 1,000 calls a second, with faults."""

    def make(*faults: Fault) -> Emulator:
        emulator = Emulator(rate_limit=(RATE.calls, RATE.per), window="sliding")
        emulator.faults.add(*faults)
        return emulator

    return make


@pytest.fixture
def played(rows: list[BulkRow], paper: Console) -> Any:
    """Plays the demo, by default with eight rows, and returns the result. Messages are written to `paper`."""

    async def call(emulator: Emulator, given: list[BulkRow] | None = None) -> DemoResult:
        chosen = [*rows[:7], rows[22]] if given is None else given
        with ProgressDisplay(paper, "tickets", len(chosen)) as display:
            async with emulator:
                return await play(emulator, chosen, RATE, display)

    return call
