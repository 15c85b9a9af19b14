"""The demo as it is called: what it prints, and what it ends with."""

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

import pytest
from rich.console import Console

from lsq_service_async.__main__ import main
from lsq_service_async.cli.demo import command, show
from lsq_service_async.cli.demo.show import perform, stand_in
from lsq_service_async.emulator import Fault, Latency, RateLimited, Status

from .conftest import RATE

QUICK_FAULTS = (Status(500), RateLimited(retry_after=0), Latency(0.01))


@pytest.fixture
def quick_demo(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """``main(["demo"])`` takes a fraction of a second."""
    monkeypatch.setattr(command, "RATE", RATE)
    monkeypatch.setattr(show, "FAULTS", QUICK_FAULTS)
    return monkeypatch


@dataclass(frozen=True)
class CtrlC(Fault):
    """Somebody presses Ctrl-C while the call is under way."""

    async def play(self, exchange: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        await super().play(exchange)


def test_the_command_ends_with_0_when_all_is_right(quick_demo: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so, and nothing goes to stderr."""
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    assert "\nAll of it is right.\n" in out
    assert err == ""


def test_the_command_ends_with_1_and_names_what_is_wrong(quick_demo: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Here a create was applied although it was answered with 500."""
    quick_demo.setattr(show, "FAULTS", [Status(500, applied=True)])
    assert main(["demo"]) == 1
    out, _ = capsys.readouterr()
    assert re.search(r"^doubled +1  WRONG: there again: demo-\d\d\s*$", out, re.M)
    assert "\nWrong: doubled.\n" in out
    assert "All of it is right" not in out


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_ctrl_c_ends_it_with_130(quick_demo: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """With one line on stderr, and no table."""
    quick_demo.setattr(show, "FAULTS", [CtrlC()])
    assert main(["demo"]) == 130
    out, err = capsys.readouterr()
    assert err == "\nstopped by Ctrl-C\n"
    assert "doubled" not in out


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_ctrl_c_ends_it_before_it_has_begun(quick_demo: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """In the same way, while the libraries are loaded or the files are made."""
    quick_demo.setattr(show, "demo_rows", lambda folder: signal.raise_signal(signal.SIGINT))
    assert main(["demo"]) == 130
    assert capsys.readouterr() == ("", "\nstopped by Ctrl-C\n")


def test_a_proxy_of_the_environment_is_not_used(quick_demo: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing leaves this machine: here every call would go to a port where nobody listens."""
    quick_demo.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    quick_demo.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert main(["demo"]) == 0


def test_the_first_lines_say_what_happens_and_that_it_stays_here(quick: Any, paper: Any) -> None:
    """In one piece, so that a log can be searched for them."""
    assert perform(paper, quick(*QUICK_FAULTS), RATE)
    first, second, *_ = paper.file.getvalue().splitlines()
    assert (
        first == "Creating 60 tickets in a local stand-in for LeadSquared Service CRM: "
        "no account is used, and nothing leaves this machine."
    )
    assert (
        second == "It refuses calls beyond 40 in 0.02 s. "
        "Going wrong on purpose, which the client does not know: a 500, a 429 (Retry-After 0), an answer 0.01 s late."
    )


def test_a_stand_in_without_faults_says_so(quick: Any, paper: Any) -> None:
    """Nothing goes wrong on purpose."""
    assert perform(paper, quick(), RATE)
    assert "Going wrong on purpose, which the client does not know: nothing.\n" in paper.file.getvalue()


def test_the_last_lines_say_what_to_do_next(quick: Any, paper: Any) -> None:
    """A program, the stand-in on its own, an account."""
    perform(paper, quick(), RATE)
    text = paper.file.getvalue()
    program, _, emulator, account = text.partition("What next:\n")[2].splitlines()
    assert "README" in program
    assert emulator.endswith(" -m lsq_service_async emulator")
    assert all(name in account for name in ("LSQ_ACCESS_KEY", "LSQ_SECRET_KEY", "LSQ_ORG_ID", "from_env()"))


def test_python_is_named_as_it_can_be_called(quick: Any, paper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its path, as short as it goes, in quotes where it needs them; by name where that finds the same one."""
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/python")
    monkeypatch.setattr(sys, "executable", str(Path.cwd() / "my venv" / "bin" / "python"))
    perform(paper, quick(), RATE)
    monkeypatch.setattr(shutil, "which", lambda name: sys.executable)
    perform(paper, quick(), RATE)
    calls = re.findall(r"  (.*) -m lsq_service_async emulator", paper.file.getvalue())
    assert calls == ["'my venv/bin/python'", "python"]


def test_on_a_narrow_terminal_no_line_is_wider(quick: Any, monkeypatch: pytest.MonkeyPatch, paper: Any) -> None:
    """Sixty columns are enough, and the table keeps its columns."""
    monkeypatch.setenv("TERM", "xterm-256color")
    console = Console(file=paper.file, force_terminal=True, width=60, highlight=False)
    assert perform(console, quick(*QUICK_FAULTS), RATE)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", paper.file.getvalue())
    lines = [line for line in re.split(r"[\r\n]+", plain) if "lsq_service_async" not in line]
    assert max(map(len, lines)) <= 60
    assert "tickets        60 of 60  created" in plain


def test_the_stand_in_is_as_strict_as_the_service() -> None:
    """Its limit is the documented one, and it goes wrong three times."""
    emulator = stand_in(command.RATE)
    assert (emulator.app.window.calls, emulator.app.window.per) == (25, 5.0)
    assert show.planned(emulator) == ["a 500", "an answer 2 s late", "a 429 (Retry-After 1)"]


def test_the_refusal_for_speed_comes_late() -> None:
    """It halves what is sent from then on, and half a minute is soon over."""
    [at] = [number for number, fault in enumerate(show.FAULTS) if isinstance(fault, RateLimited)]
    assert 50 <= sum(fault.times for fault in show.FAULTS[:at]) < 60


@pytest.mark.slow
def test_the_real_demo_is_right_in_under_30_seconds(tmp_path: Path) -> None:
    """As a newcomer calls it: under the real limit, piped to a file, from any folder."""
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
        "refused by us": "0",
        "refused by it": "0",
        "on purpose": "3 of 3",
        "doubled": "0",
        "lost": "0",
    }
