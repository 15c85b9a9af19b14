"""Progress is a bar on a terminal and lines elsewhere."""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import Any

import pytest
from rich.console import Console

from lsq_service_async.cli.progress import Output, ProgressDisplay, format_duration, print_paragraph


def terminal(**options: Any) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=60, highlight=False, **options)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_file_gets_a_line_for_every_tenth_item(paper: Console) -> None:
    """The last item has a line too, and messages are printed between the lines."""
    with ProgressDisplay(paper, "rows", 25) as display:
        for step in range(25):
            if step == 12:
                display.say("a message [not markup]")
            display.step()
    expected = ["rows: 10 of 25", "a message [not markup]", "rows: 20 of 25", "rows: 25 of 25"]
    assert expected == written(paper).splitlines()


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar ends full, below the messages."""
    monkeypatch.setenv("TERM", "xterm-256color")
    console = terminal()
    with ProgressDisplay(console, "rows", 10) as display:
        for _ in range(10):
            display.step()
        display.say("a message")
    assert "rows: 10 of 10" not in written(console)
    assert "10/10" in written(console).rpartition("a message")[2]


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that cannot move its cursor gets lines instead of a bar."""
    monkeypatch.setenv("TERM", "dumb")
    console = terminal()
    with ProgressDisplay(console, "rows", 1) as display:
        display.step()
    assert written(console) == "rows: 1 of 1\n"


def test_a_paragraph_is_wrapped_on_a_terminal_only(paper: Console) -> None:
    """A file gets the text on one line."""
    text = " ".join(["word"] * 50)
    console = terminal()
    print_paragraph(console, text)
    print_paragraph(paper, text)
    assert len(written(console).splitlines()) == 5
    assert f"{text}\n" == written(paper)


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["colour", "none"])
def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], coloured: bool) -> None:
    """No colours are printed if NO_COLOR is set."""
    for name, value in {"TERM": "xterm-256color", **environment}.items():
        monkeypatch.setenv(name, value)
    console = terminal()
    print_paragraph(console, "text", "red")
    assert coloured == ("\x1b[31m" in written(console))


def test_a_closed_pipe_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """No print to a broken pipe raises, and the process exits without an error."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        output = Output()
        print_paragraph(output, "unread")
        print_paragraph(output, "unread")
        pipe.write("unread")
    assert output.quiet


def test_warnings_of_the_package_are_shown_during_the_run(paper: Console, caplog: pytest.LogCaptureFixture) -> None:
    """Other levels and later warnings are not printed."""
    log = logging.getLogger("lsq_service_async")
    with ProgressDisplay(paper, "rows", 1):
        log.warning("the service is %s", "slow")
        log.info("unimportant")
    log.warning("afterwards")
    assert written(paper) == "Warning: the service is slow\n"


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.4, "0 s"), (89.4, "89 s"), (1980.0, "33 min"), (7500.0, "2 h 5 min")]
)
def test_durations_are_rounded(seconds: float, expected: str) -> None:
    """A duration has at most two units."""
    assert format_duration(seconds) == expected
