"""Bulk runs from the command line: every row accounted for on stdout, all else on stderr."""

from __future__ import annotations

import io
import os
import re
import shlex
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lsq_service_async.__main__ import main
from lsq_service_async.emulator import AnswerLost, DropConnection, Emulator, Status

from .conftest import ROWS, states

README = Path(__file__).parents[3] / "README.md"


def test_every_row_becomes_a_ticket_and_a_line(served: Emulator, bulk: Any) -> None:
    """The journal stands beside the file, for its owner alone; a second run skips all."""
    code, results, err = bulk("run", "rows.csv")
    assert code == 0
    assert states(results) == {"a": "created", "b": "created", "c": "created"}
    assert {result["number"] for result in results} == set(served.tickets)
    assert {tuple(result) for result in results} == {("key", "line", "state", "number", "error")}
    assert {result["key"]: result["line"] for result in results} == {"a": 2, "b": 3, "c": 4}
    assert err.startswith("rows: 3 of 3, 3 done, 0 failed, 0 unknown, ")
    assert stat.S_IMODE(os.stat("rows.csv.journal").st_mode) == 0o600
    code, results, err = bulk("run", "rows.csv")
    assert (code, set(states(results).values()), len(served.tickets)) == (0, {"skipped"}, 3)
    assert "3 done" in err


def test_rows_may_come_through_a_pipe(served: Emulator, bulk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their journal has to be named; here they are JSON, without keys, and two are alike."""
    row = '{"title": "x", "lead_email": "a@example.com"}\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{row}\n{row}".encode())))
    code, results, _ = bulk("run", "-", "--format", "jsonl", "--journal", "j")
    assert (code, len(results), len(served.tickets)) == (0, 2, 2)
    code, results, err = bulk("run", "-")
    assert (code, results) == (2, [])
    assert "--journal" in err


def test_a_fifo_is_read_like_a_pipe(served: Emulator, bulk: Any, file: Path) -> None:
    """It is kept, so that its rows can be counted first."""
    os.mkfifo("fifo")
    if os.fork() == 0:
        Path("fifo").write_text(ROWS)
        os._exit(0)
    assert bulk("run", "fifo")[0] == 0
    os.wait()
    assert len(served.tickets) == 3


def test_a_command_may_share_the_limit_of_others(served: Emulator, bulk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is that of every HostLimiter, so its calls count for all."""
    monkeypatch.setenv("LSQ_LIMIT_FILE", "limit.sqlite")
    assert bulk("run", "rows.csv")[0] == 0
    with closing(sqlite3.connect("limit.sqlite")) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        told = [row for (name,) in tables for row in database.execute(f'SELECT * FROM "{name}"')]
    assert "127.0.0.1" in str(told) or "localhost" in str(told)


def test_updates_name_their_targets(served: Emulator, bulk: Any, file: Path) -> None:
    """A row without one is told by its line."""
    bulk("run", "rows.csv")
    Path("changes.jsonl").write_text('{"target": 1, "status": "On Hold"}\n{"key": "x", "status": "Open"}\n')
    code, results, _ = bulk("run", "changes.jsonl", "--operation", "update")
    assert code == 1
    assert sorted(result["state"] for result in results) == ["failed", "updated"]
    assert "line 2, column target: it is empty; give the number" in results[0]["error"]
    assert served.tickets["1"].fields["Status"] == "On Hold"


def test_the_lines_of_the_readme_do_what_it_says(served: Emulator, bulk: Any, file: Path) -> None:
    """In their order: one row is refused and mended, two may have been applied, and in the end none is left."""
    file.write_text("key,title,lead_id\n17,one,45b5\n18,two,45b5\n19,no lead,\n")
    served.faults.add(AnswerLost(times=2, path="/tickets"))
    [block] = re.findall("```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    results = []
    for line in block.splitlines():
        program, group, *words = shlex.split(line, comments=True)
        assert (program, group) == ("lsq-service", "bulk")
        results.append(bulk(*words)[:2])
        if "--errors" in words:
            Path("bad.csv").write_text(Path("bad.csv").read_text().replace("no lead,", "no lead,45b5"))
    assert [code for code, _ in results] == [1, 1, 0, 0, 0, 0]
    told = [states(lines) for _, lines in results[1:]]
    assert told[0] == {"17": "unknown", "18": "unknown", "19": "failed"}
    assert told[1:4] == [{"19": "created"}, {"17": "unknown", "18": "unknown"}, {}]
    assert told[4] == {"17": "skipped", "18": "created", "19": "skipped"}
    assert len(served.tickets) == 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "the first line is empty", id="empty"),
        pytest.param(b'"a\n', "line 1 cannot be read as CSV", id="header"),
        pytest.param(b"key,titel\n", "line 1, column titel: no such field; did you mean title?", id="column"),
        pytest.param(b"title\nfine\nM\xfcller\n", "line 3 is not UTF-8; save the file as UTF-8", id="latin-1"),
        pytest.param(b'title\nfine\n"open\nx\n', "line 3 cannot be read as CSV", id="open quote"),
    ],
)
def test_a_file_that_is_no_table_sends_nothing(
    served: Emulator, bulk: Any, file: Path, content: bytes, words: str
) -> None:
    """It ends with 2, and names the line."""
    file.write_bytes(content)
    code, results, err = bulk("run", "rows.csv")
    assert (code, results, len(served.calls)) == (2, [], 0)
    assert words in err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        pytest.param(["run", "nowhere.csv"], "'nowhere.csv' cannot be read", id="no file"),
        pytest.param(["run", "rows.csv", "--delimiter", "ab"], "one character", id="delimiter"),
        pytest.param(["run", "rows.csv", "--errors", "rows.csv"], "would overwrite", id="report over input"),
        pytest.param(["run", "rows.csv", "--errors", "bad.jsonl"], "give it the same suffix", id="report's format"),
        pytest.param(["status", "rows.csv"], "there is no journal", id="no status"),
        pytest.param(["unknown", "rows.csv"], "there is no journal", id="no unknown rows"),
    ],
)
def test_what_cannot_be_meant_ends_with_2(bulk: Any, argv: list[str], words: str) -> None:
    """With what to do."""
    code, results, err = bulk(*argv)
    assert (code, results) == (2, [])
    assert words in err


def test_failed_rows_wait_for_a_retry(served: Emulator, bulk: Any) -> None:
    """Status counts them meanwhile."""
    served.faults.add(Status(400))
    code, _, err = bulk("run", "rows.csv")
    assert code == 1
    assert re.search(r"To send what failed once more: .+ bulk retry rows.csv --journal rows.csv.journal; --errors", err)
    code, [counts], _ = bulk("status", "rows.csv")
    assert (code, counts["done"], counts["failed"]) == (0, 2, 1)
    assert bulk("run", "rows.csv")[0] == 1
    code, results, _ = bulk("retry", "rows.csv")
    assert (code, sorted(states(results).values())) == (0, ["created", "skipped", "skipped"])
    assert "once more" not in bulk("run", "rows.csv")[2]


@pytest.mark.parametrize(("status", "code"), [(401, 4), (403, 4)])
def test_wrong_keys_end_it_with_4(served: Emulator, bulk: Any, status: int, code: int) -> None:
    """And one line says why."""
    served.faults.add(Status(status, times=100))
    ended, _, err = bulk("run", "rows.csv")
    assert ended == code
    assert f"Stopped: the service answered {status}" in err
    assert ("Correct LSQ_ACCESS_KEY" in err) == (status == 401)


def test_rows_that_met_wrong_keys_go_again(served: Emulator, bulk: Any) -> None:
    """They are fine: nobody is asked to mend them, and the same command sends them."""
    served.faults.add(Status(401, times=4))
    ended, results, err = bulk("run", "rows.csv", "--errors", "bad.csv")
    assert (ended, set(states(results).values())) == (4, {"failed"})
    assert "Mend the rows" not in err
    assert set(states(bulk("run", "rows.csv")[1]).values()) == {"created"}


@pytest.mark.parametrize(("name", "ended"), [("rows.csv", 2), ("rows.jsonl", 1)])
def test_targets_without_update_create_nothing(served: Emulator, bulk: Any, name: str, ended: int) -> None:
    """A ticket that nobody wanted cannot be taken back."""
    text = "target,lead_email,status\n1,a@b.c,On Hold\n"
    Path(name).write_text(text if name == "rows.csv" else '{"target": "1", "lead_email": "a@b.c"}\n')
    code, results, err = bulk("run", name)
    assert (code, len(served.calls)) == (ended, 0)
    assert "add --operation update" in err + str(results)


def test_a_key_that_comes_twice_ends_it_with_2(bulk: Any, file: Path) -> None:
    """So does one that is too long, for its own row."""
    file.write_text("key,lead_id\na,1\n b ,2\n,3\nb,4\n")
    for argv in (["run", "rows.csv"], ["run", "rows.csv", "--dry-run"], ["plan", "rows.csv"]):
        code, results, err = bulk(*argv)
        assert (code, results) == (2, [])
        assert "lines 3 and 5 have the same key 'b'; each row needs its own" in err
    Path("long.csv").write_text(f"key,lead_id\n{'k' * 201},1\n")
    code, [result], _ = bulk("run", "long.csv")
    assert (code, result["error"]) == (1, "line 2, column key: 201 characters; a key has at most 200")


def test_a_reader_who_leaves_does_not_end_the_run(served: Emulator, bulk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done is in the journal."""
    told = []

    class Gone(io.StringIO):
        def flush(self) -> None:
            told.append(self.getvalue())
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    monkeypatch.setattr("lsq_service_async.cli.bulk.writing.os.dup2", lambda descriptor, stdout: None)
    assert main(["bulk", "run", "rows.csv"]) == 0
    assert (len(told), len(served.tickets)) == (1, 3)


def test_a_connection_that_breaks_is_no_end(served: Emulator, bulk: Any) -> None:
    """The row is sent again or unknown, never lost."""
    served.faults.add(DropConnection())
    _, results, _ = bulk("run", "rows.csv")
    assert set(states(results)) == {"a", "b", "c"}
