"""How a run is shown: a bar on a terminal, lines elsewhere, and no colour where none is wanted."""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import Any

import pytest
from rich.console import Console

from lsq_service_async.cli.screen import Output, Screen, say


def terminal(**options: Any) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=60, highlight=False, **options)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_in_a_file_every_tenth_step_and_the_last_is_a_line(paper: Console) -> None:
    """Remarks stand between them, in the order in which they came."""
    with Screen(paper, "rows", 25) as screen:
        for step in range(25):
            if step == 12:
                screen.say("a remark [not markup]")
            screen.step()
    expected = ["rows: 10 of 25", "a remark [not markup]", "rows: 20 of 25", "rows: 25 of 25"]
    assert expected == written(paper).splitlines()


def test_on_a_terminal_there_is_a_bar_and_no_line_per_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends full, with the remarks above it."""
    monkeypatch.setenv("TERM", "xterm-256color")
    console = terminal()
    with Screen(console, "rows", 10) as screen:
        for _ in range(10):
            screen.step()
        screen.say("a remark")
    assert "rows: 10 of 10" not in written(console)
    assert "a remark" in written(console)
    assert "10/10" in written(console).rpartition("a remark")[2]


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot move its cursor."""
    monkeypatch.setenv("TERM", "dumb")
    console = terminal()
    with Screen(console, "rows", 1) as screen:
        screen.step()
    assert written(console) == "rows: 1 of 1\n"


def test_a_paragraph_is_wrapped_on_a_terminal_only(paper: Console) -> None:
    """In a file it stays in one piece."""
    text = " ".join(["word"] * 50)
    console = terminal()
    say(console, text)
    say(paper, text)
    assert len(written(console).splitlines()) == 5
    assert f"{text}\n" == written(paper)


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], coloured: bool) -> None:
    """Set to anything, NO_COLOR takes the colour away."""
    for name, value in {"TERM": "xterm-256color", **environment}.items():
        monkeypatch.setenv(name, value)
    console = terminal()
    say(console, "text", "red")
    assert coloured == ("\x1b[31m" in written(console))


def test_a_reader_who_leaves_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the print that meets the broken pipe raises, nor a later one, nor the end of the process."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        output = Output()
        say(output, "unread")
        say(output, "unread")
        pipe.write("unread")
    assert output.quiet


def test_warnings_of_the_library_are_remarks(paper: Console, caplog: pytest.LogCaptureFixture) -> None:
    """While the run is shown, and not longer."""
    log = logging.getLogger("lsq_service_async")
    with Screen(paper, "rows", 1):
        log.warning("the service is %s", "slow")
        log.info("unimportant")
    log.warning("afterwards")
    assert written(paper) == "the service is slow\n"
