"""The progress of a run, and signals: the first stops it, a later one exits at once."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lsq_service_async.bulk import BulkJob
from lsq_service_async.cli.bulk.input import BulkFile
from lsq_service_async.cli.bulk.output import Results
from lsq_service_async.cli.bulk.run import StopSignals, send_rows
from lsq_service_async.emulator import Emulator
from lsq_service_async.emulator.faults import Status
from lsq_service_async.limits import LocalLimiter

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with 60 rows."""
    path = tmp_path / "rows.csv"
    path.write_text("key,lead_id\n" + "".join(f"{number},45b5\n" for number in range(60)))
    return path


@pytest.fixture
def send(served: Emulator, file: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A coroutine that sends the rows at a rate and returns the exit code."""

    async def call(rate: str, console: Console, results: Results | None = None, **options: Any) -> int:
        monkeypatch.setenv("LSQ_RATE_LIMIT", rate)
        journal = Path(f"{file}.journal")
        given = BulkFile(path=str(file), journal=journal, operation="create", delimiter=",", format=None)
        with given.open() as rows:
            return await send_rows(given, rows, results or Results(None), console=console, **options)

    return call


class Signalling(Results):
    """Raises signals when a certain result is written: by then, the handlers are certainly installed."""

    def __init__(self, at: int, *numbers: int) -> None:
        super().__init__(None)
        self.at = at
        self.numbers = numbers

    def write(self, *args: Any, **kwargs: Any) -> None:
        super().write(*args, **kwargs)
        self.at -= 1
        for number in self.numbers if self.at == 0 else ():
            signal.raise_signal(number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGHUP, 75)])
async def test_a_signal_stops_the_run_and_the_next_run_continues(
    send: Any, served: Emulator, paper: Any, capsys: pytest.CaptureFixture[str], number: int, code: int
) -> None:
    """No new row is sent, no row is unknown, and the exit code is that of the signal."""
    assert await send("5/0.05", paper, Signalling(3, number)) == code
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {result["state"] for result in results} == {"created"}
    assert 0 < len(results) == len(served.tickets) < 60
    assert "Stopping: waiting for the requests in flight." in paper.file.getvalue()
    assert "Stopped. Run the same command to continue." in paper.file.getvalue()
    assert await send("200/0.05", paper) == 0
    assert len(served.tickets) == 60


async def test_a_quota_that_is_used_up_stops_the_run(send: Any, served: Emulator, paper: Any) -> None:
    """The exit code is 75, and the same command continues the run later."""
    served.faults.add(Status(429, "API calls exceeded the limit of 10000 in 86400 second(s)", times=1000))
    assert await send("5/0.05", paper) == 75
    assert "Stopped: the service answered 429: " in paper.file.getvalue()
    served.faults.clear()
    assert await send("200/0.05", paper) == 0
    assert len(served.tickets) == 60


async def test_a_signal_stops_a_resumed_run_while_it_waits(send: Any, served: Emulator, paper: Any) -> None:
    """A resumed run waits for the calls of the run before it. A signal ends the wait, and nothing is sent."""

    class FirstLine(io.StringIO):
        def write(self, text: str) -> int:
            if not self.getvalue():
                signal.raise_signal(signal.SIGINT)
            return super().write(text)

    await send("5/0.05", paper, Signalling(3, signal.SIGTERM))
    sent = len(served.calls)
    async with asyncio.timeout(30):
        assert await send("5/60", Console(file=FirstLine()), interval=0.01) == 130
    assert 0 < len(served.calls) == sent < 60


@pytest.mark.parametrize(("number", "code"), [(INT, 130), (TERM, 75), (HUP, 75)])
async def test_a_signal_stops_a_run_whose_client_still_opens(
    send: Any, served: Emulator, paper: Any, number: int, code: int
) -> None:
    """No row is sent, although the signal arrived before the run could begin."""

    class Slow(LocalLimiter):
        async def open(self, *args: Any) -> None:
            signal.raise_signal(number)
            await asyncio.sleep(0)
            await super().open(*args)

    assert await send("5/0.05", paper, limiter=Slow()) == code
    assert served.calls == ()
    assert "Stopped. Run the same command to continue." in paper.file.getvalue()


async def test_progress_is_shown_in_lines(send: Any, paper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line has the rows that are done, failed and unknown, the rate and the time left."""
    monkeypatch.setattr(BulkJob, "rate", lambda job: 4.24)
    await send("10/0.1", paper, interval=0.05)
    lines = paper.file.getvalue().splitlines()
    assert len(lines) > 3
    assert all(" of 60, " in line and " done, 0 failed, 0 unknown, 4.2/s" in line for line in lines)
    assert lines[1].endswith(" s left")
    assert lines[-1].startswith("rows: 60 of 60, 60 done")


async def test_progress_is_a_bar_on_a_terminal(send: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar has the same text as a line."""
    monkeypatch.setenv("TERM", "xterm-256color")
    console = Console(file=io.StringIO(), force_terminal=True, width=100, highlight=False)
    await send("50/0.1", console, interval=0.02)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "60/60" in written
    assert "60 done, 0 failed, 0 unknown" in written
    assert "rows: " not in written


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The calls of a run that gets signals, and the code with which it exits at once."""
    calls: list[Any] = []
    monkeypatch.setattr(os, "_exit", calls.append)
    return calls


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        ([(0.0, INT)], ["stop"]),
        ([(0.0, TERM), (0.1, TERM), (0.99, HUP)], ["stop"]),
        ([(0.0, TERM), (1.0, TERM)], ["close", 75, "stop"]),
        ([(0.0, INT), (0.5, INT), (1.2, TERM)], ["close", 130, "stop"]),
        ([(0.0, HUP), (5.0, INT)], ["close", 75, "stop"]),
    ],
)
async def test_a_signal_stops_and_one_that_arrives_a_second_later_exits(
    seen: list[Any], monkeypatch: pytest.MonkeyPatch, signals: list[tuple[float, int]], expected: list[Any]
) -> None:
    """Signals within one second count as one. The exit code is that of the first, and a blocked loop can be left."""
    with StopSignals() as stop:
        stop.stop, stop.close = (lambda: seen.append("stop")), (lambda: seen.append("close"))
        for seconds, number in signals:
            monkeypatch.setattr(time, "monotonic", lambda seconds=seconds: 1000 + seconds)
            signal.raise_signal(number)
        monkeypatch.undo()
        await asyncio.sleep(0)
    assert (seen, stop.exit_code) == (expected, 130 if signals[0][1] is INT else 75)
    assert {signal.getsignal(number) for number in (INT, TERM, HUP)} == {signal.SIG_IGN}


async def test_without_a_signal_the_handlers_are_restored() -> None:
    """The process can be interrupted before and after a run as before."""
    before = [signal.getsignal(number) for number in (INT, TERM, HUP)]
    with StopSignals() as stop:
        assert signal.getsignal(HUP) != signal.SIG_DFL
    assert stop.exit_code is None
    assert [signal.getsignal(number) for number in (INT, TERM, HUP)] == before


async def test_an_ignored_hangup_stays_ignored() -> None:
    """A command under nohup continues when its terminal is closed."""
    signal.signal(HUP, signal.SIG_IGN)
    with StopSignals() as stop:
        signal.raise_signal(HUP)
        assert signal.getsignal(HUP) == signal.SIG_IGN
    assert (stop.exit_code, signal.getsignal(TERM)) == (None, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ([signal.SIGINT], 130),
        ([signal.SIGTERM], 75),
        ([signal.SIGHUP], 75),
        ([signal.SIGTERM, signal.SIGINT], 75),
        ([signal.SIGINT, signal.SIGHUP, signal.SIGTERM], 130),
    ],
    ids=["INT", "TERM", "HUP", "TERM, INT", "INT, HUP, TERM"],
)
@pytest.mark.parametrize("again", ["never", "at once", "at the end"])
def test_signals_end_the_process(served: Emulator, file: Path, numbers: list[int], code: int, again: str) -> None:
    """The exit code is that of the first signal, however many follow, and the next run completes the file."""
    command = [sys.executable, "-m", "lsq_service_async", "bulk", "run", str(file)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "LSQ_RATE_LIMIT": "10/1"}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.send_signal(numbers[0])
        if again != "never":
            while not running.stderr.readline().startswith("Stopping" if again == "at once" else "Stopped"):
                pass
        for number in itertools.cycle(numbers[1:] or numbers) if again != "never" else ():
            if running.poll() is not None:
                break
            running.send_signal(number)
            time.sleep(0.01)
        out, err = running.communicate(timeout=20)
    assert (running.returncode, "Traceback" in err) == (code, False)
    assert len(out.splitlines()) < 59
    done = subprocess.run(command, env={**env, "LSQ_RATE_LIMIT": "200/1"}, capture_output=True, text=True, timeout=60)
    states = [json.loads(line)["state"] for line in done.stdout.splitlines()]
    assert (len(states), done.returncode) == (60, 1 if "unknown" in states else 0)
    assert len(served.tickets) == 60 or "unknown" in states
