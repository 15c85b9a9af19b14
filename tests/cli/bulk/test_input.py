"""Rows from CSV, JSONL and pipes; input that cannot be read is refused before anything is sent."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from lsq_service_async.emulator import Emulator

from .conftest import ROWS


def test_rows_may_come_from_a_pipe(served: Emulator, bulk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads stdin and needs --journal; rows without a key may be equal."""
    row = '{"title": "x", "lead_email": "a@example.com"}\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{row}\n{row}".encode())))
    code, results, _ = bulk("run", "-", "--format", "jsonl", "--journal", "j")
    assert (code, len(results), len(served.tickets)) == (0, 2, 2)
    code, results, err = bulk("run", "-")
    assert (code, results) == (2, [])
    assert "--journal" in err


def test_a_fifo_is_read_like_a_pipe(served: Emulator, bulk: Any, file: Path) -> None:
    """A file that can be read only once is copied, so that its rows can be counted first."""
    os.mkfifo("fifo")
    if os.fork() == 0:
        Path("fifo").write_text(ROWS)
        os._exit(0)
    assert bulk("run", "fifo")[0] == 0
    os.wait()
    assert len(served.tickets) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "the first line is empty", id="empty"),
        pytest.param(b'"a\n', "line 1 cannot be read as CSV", id="header"),
        pytest.param(b"key,titel\n", "line 1, column titel: no such field; did you mean title?", id="column"),
        pytest.param(b"title\nfine\nM\xfcller\n", "line 3 is not UTF-8; save the file as UTF-8", id="latin-1"),
        pytest.param(b'title\nfine\n"open\nx\n', "line 3 cannot be read as CSV", id="open quote"),
        pytest.param(b"key,lead_id\na,1\n b ,2\n,3\nb,4\n", "lines 3 and 5 have the same key 'b'", id="doubled key"),
    ],
)
@pytest.mark.parametrize("command", [["run"], ["run", "--dry-run"], ["plan"]], ids=" ".join)
def test_input_that_is_not_a_table_sends_nothing(
    served: Emulator, bulk: Any, file: Path, command: list[str], content: bytes, words: str
) -> None:
    """The exit code is 2, and the message names the line."""
    file.write_bytes(content)
    code, results, err = bulk(*command, "rows.csv")
    assert (code, results, len(served.calls)) == (2, [], 0)
    assert words in err


def test_a_missing_file_exits_with_2(bulk: Any) -> None:
    """The message names the file."""
    code, _, err = bulk("run", "nowhere.csv")
    assert (code, "cannot read 'nowhere.csv'" in err) == (2, True)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        pytest.param("[1]", "line 1: not an object", id="list"),
        pytest.param('{"key": NaN}', "line 1: not JSON (NaN is not a JSON number)", id="NaN"),
        pytest.param("[" * 5000, "line 1: not JSON", id="deep"),
        pytest.param('{"title": 5}', "line 1, column title: expected text, not int", id="type"),
        pytest.param('{"key": ["x"]}', "line 1, column key: expected text, not list", id="key"),
        pytest.param(
            f'{{"key": "{"k" * 201}"}}', "line 1, column key: 201 characters; a key has at most 200", id="long"
        ),
        pytest.param('{"target": "1", "lead_email": "a@b.c"}', "line 1, column target: only an update", id="target"),
    ],
)
def test_a_line_that_is_not_a_row_fails_alone(served: Emulator, bulk: Any, line: str, error: str) -> None:
    """The error names its line, and the next line becomes a ticket."""
    Path("rows.jsonl").write_text(line + '\n{"key": "b", "lead_email": "a@b.c"}\n')
    code, results, _ = bulk("run", "rows.jsonl")
    assert (code, sorted(result["state"] for result in results), len(served.tickets)) == (1, ["created", "failed"], 1)
    assert next(result["error"] for result in results if result["line"] == 1).startswith(error)


def test_a_csv_of_targets_creates_nothing(served: Emulator, bulk: Any, file: Path) -> None:
    """A column `target` without --operation update is refused: it would create tickets instead of changing them."""
    file.write_text("target,lead_email,status\n1,a@b.c,On Hold\n")
    code, results, err = bulk("run", "rows.csv")
    assert (code, results, len(served.calls)) == (2, [], 0)
    assert "add --operation update" in err


def test_updates_need_a_target(served: Emulator, bulk: Any) -> None:
    """A row without a target fails; the others change their tickets."""
    bulk("run", "rows.csv")
    Path("changes.jsonl").write_text('{"target": 1, "status": "On Hold"}\n{"key": "x", "status": "Open"}\n')
    code, results, _ = bulk("run", "changes.jsonl", "--operation", "update")
    assert (code, sorted(result["state"] for result in results)) == (1, ["failed", "updated"])
    assert "line 2, column target: it is empty; enter the number" in results[0]["error"]
    assert served.tickets["1"].fields["Status"] == "On Hold"
