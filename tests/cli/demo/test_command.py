"""The output of the demo and its exit code."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from lsq_service_async.cli.demo import command, demo
from lsq_service_async.cli.demo.command import run_demo
from lsq_service_async.emulator import Fault, Latency, RateLimited, Status

from .conftest import RATE

QUICK_FAULTS = (Status(500), RateLimited(retry_after=0), Latency(0.01))


@pytest.fixture
def quick_demo(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Makes the command `demo` take a fraction of a second."""
    monkeypatch.setattr(command, "RATE", RATE)
    monkeypatch.setattr(demo, "FAULTS", QUICK_FAULTS)
    return monkeypatch


@dataclass(frozen=True)
class CtrlC(Fault):
    """Ctrl-C during a call."""

    async def play(self, exchange: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        await super().play(exchange)


def test_the_exit_code_is_0_if_all_checks_pass(quick_demo: Any, cli: Any) -> None:
    """The last lines confirm it, and stderr is empty."""
    code, out, err = cli("demo")
    assert (code, "\nAll checks passed.\n" in out, err) == (0, True, "")


def test_the_page_is_opened_on_request(quick_demo: Any, cli: Any) -> None:
    """With --open the web browser gets the printed address, at which the page is served at that time."""
    served = []
    quick_demo.setattr("webbrowser.open", lambda url: served.append((url, httpx.get(url, trust_env=False).text)))
    assert cli("demo")[0] == 0
    assert served == []
    _, out, _ = cli("demo", "--open")
    ((url, page),) = served
    assert f"Watch the emulator while the demo runs: {url}\n" in out
    assert page.startswith("<!doctype html>")


def test_the_exit_code_is_1_if_a_check_fails(quick_demo: Any, cli: Any) -> None:
    """The output names the check: here a create was applied although its answer was 500."""
    quick_demo.setattr(demo, "FAULTS", [Status(500, applied=True)])
    code, out, _ = cli("demo")
    assert (code, "\nFailed: duplicates.\n" in out, "All checks passed" in out) == (1, True, False)
    assert re.search(r"^duplicates +1  FAILED: two tickets: demo-\d\d\s*$", out, re.M)


def test_ctrl_c_exits_with_130(quick_demo: Any, cli: Any) -> None:
    """One line is printed on stderr, and no table."""
    quick_demo.setattr(demo, "FAULTS", [CtrlC()])
    code, out, err = cli("demo")
    assert (code, err, "duplicates" in out) == (130, "\nStopped by Ctrl-C.\n", False)


def test_ctrl_c_before_the_first_call_exits_with_130(quick_demo: Any, cli: Any) -> None:
    """Ctrl-C works the same way while libraries are imported."""
    quick_demo.setattr(demo, "demo_emulator", lambda rate: signal.raise_signal(signal.SIGINT))
    assert cli("demo") == (130, "", "\nStopped by Ctrl-C.\n")


def test_a_proxy_of_the_environment_is_not_used(quick_demo: Any, cli: Any) -> None:
    """No call leaves this machine: with this proxy, every call would fail."""
    quick_demo.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    quick_demo.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert cli("demo")[0] == 0


@pytest.mark.parametrize("faults", [QUICK_FAULTS, ()], ids=["faults", "no fault"])
async def test_the_output_describes_the_demo(quick: Any, paper: Any, faults: tuple[Fault, ...]) -> None:
    """A file gets each paragraph on one line: the start, a possible duplicate if there is one, and the next steps."""
    assert await run_demo(paper, quick(*faults), RATE)
    text = paper.file.getvalue()
    first, second, third, *_ = text.splitlines()
    assert first.startswith("Creating 60 tickets in a local emulator of LeadSquared Service CRM.")
    assert "nothing leaves this machine" in first
    assert "more than 10 calls in 0.01 s. On purpose, it answers one call with 500" in second
    assert re.fullmatch(r"Watch the emulator while the demo runs: http://127\.0\.0\.1:\d+/", third)
    marked = re.findall(r"^Marked as a possible duplicate: demo-\d\d\. A create.*duplicates", text, re.M)
    assert len(marked) == len(faults[:1])
    program, _, emulator, account, doctor = text.partition("Next steps:\n")[2].splitlines()
    assert "README" in program
    assert emulator.endswith(" -m lsq_service_async emulator")
    assert all(name in account for name in ("LSQ_ACCESS_KEY", "LSQ_SECRET_KEY", "LSQ_ORG_ID"))
    assert doctor.endswith(" -m lsq_service_async doctor")


async def test_the_printed_command_names_this_python(quick: Any, paper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The printed command has the shortest path, quoted if necessary, or `python` if that is the same interpreter."""
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/python")
    monkeypatch.setattr(sys, "executable", str(Path.cwd() / "my venv" / "bin" / "python"))
    await run_demo(paper, quick(), RATE)
    monkeypatch.setattr(shutil, "which", lambda name: sys.executable)
    await run_demo(paper, quick(), RATE)
    commands = re.findall(r"  (.*) -m lsq_service_async emulator", paper.file.getvalue())
    assert commands == ["'my venv/bin/python'", "python"]


async def test_a_terminal_of_60_columns_is_wide_enough(quick: Any, monkeypatch: pytest.MonkeyPatch, paper: Any) -> None:
    """No line is wider, and the table keeps its columns."""
    monkeypatch.setenv("TERM", "xterm-256color")
    console = Console(file=paper.file, force_terminal=True, width=60, highlight=False)
    assert await run_demo(console, quick(*QUICK_FAULTS), RATE)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", paper.file.getvalue())
    lines = [line for line in re.split(r"[\r\n]+", plain) if "lsq_service_async" not in line]
    assert max(map(len, lines)) <= 60
    assert re.search("^tickets +60 of 60  created", plain, re.M)


@pytest.mark.slow
def test_the_demo_passes_in_under_30_seconds(tmp_path: Path) -> None:
    """The demo runs at the real rate limit, from any folder, with its output in a pipe."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "lsq_service_async", "demo"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - started
    assert (done.returncode, done.stderr) == (0, "")
    assert 10 < seconds < 30
    table = dict(re.findall(r"^(\w[\w ]+?)  +([\d.]+(?: of \d+)?)  \S", done.stdout, re.M))
    assert 12.8 + 5 <= float(table.pop("seconds")) < 30
    assert re.fullmatch(r"([1-9]\d*) of \1", table.pop("resumed"))
    assert table == {
        "tickets": "60 of 60",
        "attachments": "2 of 2",
        "read back": "1 of 1",
        "updated": "1 of 1",
        "calls": "64",
        "over the limit": "0",
        "faults": "3 of 3",
        "duplicates": "0",
        "lost": "0",
    }
