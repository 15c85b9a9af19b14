"""What a run shows, and how signals end it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lsq_service_async import Config, NewTicket, RateLimit, ServiceClient
from lsq_service_async.bulk import BulkJob
from lsq_service_async.cli.bulk import run as runs
from lsq_service_async.cli.bulk.reading import opened
from lsq_service_async.cli.bulk.run import Run, in_words
from lsq_service_async.cli.bulk.signals import Signals
from lsq_service_async.cli.columns import Kind
from lsq_service_async.cli.screen import Screen
from lsq_service_async.emulator import Emulator

KIND: Kind = NewTicket


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    """A run that was asked to stop leaves its process deaf, for it is about to end."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("key,lead_id\n" + "".join(f"{number},45b5\n" for number in range(60)))
    return path


async def carried_through(file: Path, paper: Console, rate: RateLimit) -> tuple[int, int]:
    """The exit code, and how many tickets there are then."""
    async with Emulator(window=None) as emulator:
        async with ServiceClient(Config(**emulator.settings, rate_limit=rate)) as client:
            with opened(str(file), kind=KIND, delimiter=",", jsonl=None) as rows, Screen(paper, "rows", 60) as screen:
                job_of = lambda source: client.bulk.create(source, journal=f"{file}.journal")  # noqa: E731 -- one use
                with Signals() as signals:
                    return await Run(rows, job_of, screen, None, signals).to_its_end(), len(emulator.tickets)


def raise_at(result: int, numbers: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise these signals as that result is told: by then, and not by a clock, they are sure to be heard."""
    told = runs.Results.tell
    count = [0]

    def tell(self: Any, *what: Any) -> None:
        told(self, *what)
        count[0] += 1
        for number in numbers if count[0] == result else []:
            signal.raise_signal(number)

    monkeypatch.setattr(runs.Results, "tell", tell)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
async def test_a_signal_ends_the_run_and_the_next_one_goes_on(
    file: Path,
    paper: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    code: int,
) -> None:
    """No new rows, nothing unknown, and the exit code says which it was."""
    raise_at(3, [number], monkeypatch)
    ended, made = await carried_through(file, paper, RateLimit(5, per=0.05))
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (ended, {result["state"] for result in results}) == (code, {"created"})
    assert 0 < made == len(results) < 60
    said = paper.file.getvalue()
    assert "Stopping: no new rows" in said
    assert "Stopped. The same command goes on from here." in said
    ended, rest = await carried_through(file, paper, RateLimit(200, per=0.05))
    assert (ended, made + rest) == (0, 60)


async def test_a_signal_ends_a_resumed_run_while_it_waits(
    file: Path, paper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the calls of the run before it; nothing is sent, and nobody waits to the end of that."""
    raise_at(3, [signal.SIGTERM], monkeypatch)
    _, made = await carried_through(file, paper, RateLimit(5, per=0.05))
    loop, waits, waiting = asyncio.get_running_loop(), BulkJob._let_earlier_calls_pass, []

    async def interrupted(job: BulkJob) -> None:
        if not waiting:
            loop.call_soon(signal.raise_signal, signal.SIGINT)
        waiting.append(job)
        await waits(job)

    monkeypatch.setattr(BulkJob, "_let_earlier_calls_pass", interrupted)
    began = loop.time()
    assert await carried_through(file, paper, RateLimit(5, per=60)) == (130, 0)
    assert loop.time() - began < 30
    assert 0 < made < 60


async def test_the_second_signal_leaves_at_once(file: Path, paper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is on its way is unknown to the next run."""
    left = []
    monkeypatch.setattr(os, "_exit", left.append)
    raise_at(2, [signal.SIGTERM, signal.SIGTERM], monkeypatch)
    await carried_through(file, paper, RateLimit(2, per=0.1))
    assert left == [75]


async def test_progress_is_a_line_every_now_and_then(file: Path, paper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is done, failed and unknown, the rate, and what the limit says is left."""
    monkeypatch.setattr(runs, "_LINES", 0.05)
    monkeypatch.setattr(BulkJob, "rate", lambda job: 4.24)
    await carried_through(file, paper, RateLimit(10, per=0.1))
    lines = paper.file.getvalue().splitlines()
    assert len(lines) > 3
    assert all(" of 60, " in line and " done, 0 failed, 0 unknown, 4.2/s" in line for line in lines)
    assert lines[1].endswith(" s left")
    assert lines[-1].startswith("rows: 60 of 60, 60 done")


async def test_on_a_terminal_there_is_a_bar(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same words beside it."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(runs, "_LIVE", 0.02)
    console = Console(file=io.StringIO(), force_terminal=True, width=100, highlight=False)
    await carried_through(file, console, RateLimit(50, per=0.1))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "60/60" in written
    assert "60 done, 0 failed, 0 unknown" in written
    assert "rows: " not in written


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (89.4, "89 s"), (1980.0, "33 min"), (7500.0, "2 h 5 min")]
)
def test_time_in_words(seconds: float, words: str) -> None:
    """As exact as anybody wants it."""
    assert words == in_words(seconds)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
@pytest.mark.parametrize("again", ["never", "at once", "at the end"])
def test_the_process_ends_on_signals(served: Emulator, file: Path, number: int, code: int, again: str) -> None:
    """As somebody at a terminal or a supervisor sends them; the journal is whole, and the next run ends it."""
    command = [sys.executable, "-m", "lsq_service_async", "bulk", "run", str(file)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "LSQ_RATE_LIMIT": "10/1"}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.send_signal(number)
        if again == "at the end":
            while not running.stderr.readline().startswith("Stopped."):
                pass
        while again != "never" and running.poll() is None:
            running.send_signal(number)
            time.sleep(0.01)
        out, err = running.communicate(timeout=20)
    assert (running.returncode, "Traceback" in err) == (code, False)
    assert len(out.splitlines()) < 59
    done = subprocess.run(command, env={**env, "LSQ_RATE_LIMIT": "200/1"}, capture_output=True, text=True, timeout=60)
    states = [json.loads(line)["state"] for line in done.stdout.splitlines()]
    assert (len(states), done.returncode) == (60, 1 if "unknown" in states else 0)
    assert len({*served.tickets}) == 60 or "unknown" in states
