"""Bulk runs from the command line: every row accounted for on stdout, all else on stderr."""

from __future__ import annotations

import csv
import io
import json
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


def test_failed_rows_are_mended_and_fed_back(served: Emulator, bulk: Any, file: Path) -> None:
    """The report has the input's own columns, nothing that a spreadsheet would calculate, and one reader."""
    file.write_text("key;title;lead_phone;due_date\na;=1+1;+91 1;soon\nb;fine;+91 2;\nc;;;\nd;'=x;+91 4;soon\ne;x\n")
    code, results, _ = bulk("run", "rows.csv", "--delimiter", ";", "--errors", "bad.csv")
    assert code == 1
    assert states(results) == {"a": "failed", "b": "created", "c": "failed", "d": "failed", "e": "failed"}
    assert stat.S_IMODE(os.stat("bad.csv").st_mode) == 0o600
    text = Path("bad.csv").read_text()
    report = {row["key"]: row for row in csv.DictReader(io.StringIO(text), delimiter=";")}
    assert list(report["a"]) == ["key", "title", "lead_phone", "due_date", "error"]
    assert (report["a"]["title"], report["a"]["lead_phone"], report["d"]["title"]) == ("'=1+1", "'+91 1", "''=x")
    assert report["a"]["error"].startswith("line 2, column due_date: 'soon' is no date")
    assert report["e"]["error"].startswith("line 6: 2 cells under 4 columns; cells are missing")
    mended = text.replace("soon", "").replace("c;;;", "c;now;+91 3;").replace("e;x;;", "e;x;+91 5;")
    Path("bad.csv").write_text(mended)
    code, results, _ = bulk("run", "bad.csv", "--delimiter", ";", "--errors", "worse.csv")
    assert (code, set(states(results).values())) == (0, {"created"})
    assert sorted(str(ticket.fields["Title"]) for ticket in served.tickets.values()) == [
        "'=x",
        "=1+1",
        "fine",
        "now",
        "x",
    ]
    assert len(Path("worse.csv").read_text().splitlines()) == 1


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
    ("suffix", "rows", "mended"),
    [
        pytest.param("csv", "key,title,lead_id\na,one,\nb,two,45b5\n", ("one,", "one,45b5"), id="keys"),
        pytest.param("csv", "title,lead_id\none,\none,\ntwo,45b5\n", ("one,", "one,45b5"), id="twins without keys"),
        pytest.param("jsonl", '{"lead_id": ""}\n{"lead_id": "45b5"}\n', ('"",', '"45b6",'), id="JSON"),
    ],
)
def test_a_mended_report_goes_on_in_the_same_journal(
    served: Emulator, bulk: Any, suffix: str, rows: str, mended: tuple[str, str]
) -> None:
    """By the command that the first run ended with. Its rows keep their keys, also those that came without one: then
    the journal has no failed row any more, and the first file may run again."""
    file, bad = Path(f"in.{suffix}"), Path(f"bad.{suffix}")
    file.write_text(rows)
    _, results, err = bulk("run", str(file), "--errors", str(bad))
    failed = [key for key, state in states(results).items() if state == "failed"]
    assert err.endswith(f" bulk retry {bad} --journal {file}.journal\n")
    bad.write_text(bad.read_text().replace(*mended))
    again = (str(bad), "--journal", f"{file}.journal")
    code, results, err = bulk("run", *again)
    assert (code, len(results), "which did not apply it; use another key for it, or" in err) == (2, 0, True)
    code, results, _ = bulk("retry", *again)
    assert (code, states(results)) == (0, dict.fromkeys(failed, "created"))
    code, results, _ = bulk("run", str(file))
    assert (code, set(states(results).values()), len(served.tickets)) == (0, {"skipped"}, len(failed) + 1)
    assert bulk("status", str(file))[1][0]["failed"] == 0


def test_a_failed_row_is_not_taken_for_its_twin_that_is_done(served: Emulator, bulk: Any, file: Path) -> None:
    """Neither has a key of its own; the report says which of them it was."""
    file.write_text("title,lead_id\none,45b5\none,45b5\n")
    served.faults.add(Status(400))
    bulk("run", "rows.csv", "--errors", "bad.csv")
    _, results, _ = bulk("retry", "bad.csv", "--journal", "rows.csv.journal")
    assert (list(states(results).values()), len(served.tickets)) == (["created"], 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param([], " bulk retry bad.csv --journal rows.csv.journal", id="as is"),
        pytest.param(["--journal", "my own"], "--journal 'my own'", id="journal"),
        pytest.param(["--operation", "update"], ".journal --operation update", id="operation"),
        pytest.param(["--delimiter", ";"], ".journal --delimiter ';'", id="delimiter"),
        pytest.param(["--format", "jsonl"], ".journal --format jsonl", id="JSON"),
        pytest.param(["--format", "csv"], ".journal --format csv", id="CSV"),
    ],
)
def test_the_command_for_mended_rows_is_one_to_paste(bulk: Any, file: Path, options: list[str], words: str) -> None:
    """It says all that the first one said."""
    file.write_text('{"title": 5}\n' if "jsonl" in options else "due_date\nsoon\n")
    _, _, err = bulk("run", "rows.csv", "--errors", "bad.csv", *options)
    assert err.startswith("rows: 1 of 1, 0 done, 1 failed")
    assert err.splitlines()[-1].startswith("Mend the rows in bad.csv, then: ")
    assert err.endswith(f"{words}\n")


def test_where_nothing_failed_there_is_nothing_to_mend(bulk: Any) -> None:
    """Nor where nobody asked for a report."""
    assert "Mend" not in bulk("run", "rows.csv", "--errors", "bad.csv")[2]
    Path("bad.csv").write_text("title\nno lead\n")
    assert "Mend" not in bulk("run", "bad.csv")[2]


def test_a_report_of_json_is_json(bulk: Any) -> None:
    """Also of lines that are none."""
    Path("rows.jsonl").write_text('[1]\n{"key": NaN}\n{"title": 5, "key": "k"}\n{"key": ["x"], "title": "x"}\n')
    code, results, _ = bulk("run", "rows.jsonl", "--errors", "bad.jsonl")
    bad = [json.loads(line) for line in Path("bad.jsonl").read_text().splitlines()]
    assert code == 1
    assert [result["error"] for result in results] == [row["error"] for row in bad]
    assert [row["error"].partition(";")[0] for row in bad] == [
        "line 1: it is no object",
        "line 2: it is not JSON (NaN is no number of JSON)",
        "line 3, column title: text is needed, not int",
        "line 4, column key: text is needed, not list",
    ]
    assert bad[0]["unreadable"] == "[1]"


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


@pytest.mark.parametrize("name", ["new.csv", "./new.csv", "linked.csv"])
def test_a_report_is_no_journal(served: Emulator, bulk: Any, name: str) -> None:
    """Also where neither is there yet: the one would overwrite the other."""
    Path("linked.csv").symlink_to("new.csv")
    code, _, err = bulk("run", "rows.csv", "--errors", name, "--journal", "new.csv")
    assert (code, len(served.calls)) == (2, 0)
    assert "would overwrite the input or its journal" in err


def test_a_row_with_too_many_cells_stays_unreadable_in_its_report(served: Emulator, bulk: Any, file: Path) -> None:
    """Cut to the columns it would pass for another ticket."""
    file.write_text("key,title,lead_id\nc,Hello, world,lead-1\nd,short\n")
    assert bulk("run", "rows.csv", "--errors", "bad.csv")[0] == 1
    assert "c,Hello, world,lead-1,," in Path("bad.csv").read_text()
    code, results, _ = bulk("retry", "bad.csv", "--journal", "rows.csv.journal")
    assert (code, set(states(results).values()), len(served.tickets)) == (1, {"failed"}, 0)


def test_a_report_that_cannot_be_written_ends_it_first(served: Emulator, bulk: Any) -> None:
    """Nothing is sent."""
    code, _, err = bulk("run", "rows.csv", "--errors", "no/such/folder.csv")
    assert (code, len(served.calls)) == (1, 0)
    assert "cannot be written" in err


def test_a_dry_run_sends_nothing_and_names_every_problem(served: Emulator, bulk: Any, file: Path) -> None:
    """By the account's metadata, for the price of reading them."""
    file.write_text("key,title,lead_email,status,attachments\na,x,a@b.c,Open,\nb,x,,,no.txt\nc,x\n")
    code, results, err = bulk("run", "rows.csv", "--dry-run", "--errors", "bad.csv")
    assert code == 1
    assert states(results) == {"b": "failed", "c": "failed"}
    assert "line 3: the lead is missing" in results[0]["error"]
    assert "Status is mandatory" in results[0]["error"]
    assert "column attachments: cannot attach 'no.txt'" in results[0]["error"]
    assert "2 calls, at least" in err
    assert "2 of 3 rows would fail" in err
    assert len(Path("bad.csv").read_text().splitlines()) == 3
    assert (len(served.tickets), Path("rows.csv.journal").exists()) == (0, False)


def test_a_dry_run_plans_what_the_run_would_send(served: Emulator, bulk: Any) -> None:
    """Unknown rows among them where they are to be sent again."""
    served.faults.add(AnswerLost())
    bulk("run", "rows.csv")
    assert bulk("run", "rows.csv", "--dry-run")[2].startswith("0 calls, ")
    assert bulk("run", "rows.csv", "--dry-run", "--on-unknown", "resend")[2].startswith("1 calls, ")
    assert bulk("plan", "rows.csv")[2].startswith("0 calls, ")


@pytest.mark.parametrize("operation", ["create", "update"])
def test_a_dry_run_without_metadata_checks_what_every_account_demands(
    served: Emulator, bulk: Any, file: Path, operation: str
) -> None:
    """They are for admins only; it says so."""
    served.faults.add(Status(403))
    if operation == "create":
        file.write_text("title,lead_id,LeadDetail.Phone\nx,45b5,\nx,,1\ny,,\n")
    else:
        file.write_text("target,title,lead_id,LeadDetail.Phone\n1,x,45b5,\n1,x,,1\n")
    code, results, err = bulk("run", "rows.csv", "--dry-run", "--operation", operation)
    assert "Checked without the account's metadata" in err
    assert (code, len(results)) == ((1, 1) if operation == "create" else (0, 0))


def test_a_plan_says_calls_and_time(served: Emulator, bulk: Any) -> None:
    """And what is done already; it sends nothing."""
    code, results, err = bulk("plan", "rows.csv")
    assert (code, results, err) == (0, [], "3 calls, at least 0 s at the limit; 0 rows are done\n")
    bulk("run", "rows.csv")
    assert "0 calls, at least 0 s at the limit; 3 rows are done" in bulk("plan", "rows.csv")[2]
    assert len(served.calls) == 3


def test_what_cannot_be_read_makes_no_call(served: Emulator, bulk: Any, file: Path) -> None:
    """Neither in a plan nor in the one after a dry run."""
    file.write_text("key,title,lead_email\na,x,a@b.c\nb,x,a@b.c,one too many\nc,x,a@b.c\n")
    err = bulk("plan", "rows.csv")[2]
    assert err.startswith("2 calls, at least")
    assert "1 rows cannot be read" in err
    assert "2 calls, at least" in bulk("run", "rows.csv", "--dry-run")[2]


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


def test_what_was_not_sent_is_not_in_the_report(served: Emulator, bulk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command sends it again; a mended copy of it would be a second ticket."""
    monkeypatch.setenv("LSQ_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("lsq_service_async.bulk.breaker._FIRST_PAUSE", 0.01)
    Path("one.csv").write_text("key,lead_id\na,45b5\n")
    code, results, _ = bulk("run", "one.csv", "--errors", "bad.csv")
    assert (code, states(results)) == (1, {"a": "failed"})
    assert len(Path("bad.csv").read_text().splitlines()) == 1
    monkeypatch.setenv("LSQ_BASE_URL", served.settings["base_url"])
    assert states(bulk("run", "one.csv")[1]) == {"a": "created"}


@pytest.mark.parametrize(("status", "code"), [(401, 4), (403, 4)])
def test_wrong_keys_end_it_with_4(served: Emulator, bulk: Any, status: int, code: int) -> None:
    """And one line says why."""
    served.faults.add(Status(status, times=100))
    ended, _, err = bulk("run", "rows.csv")
    assert ended == code
    assert f"Stopped: the service answered {status}" in err
    assert ("Correct LSQ_ACCESS_KEY" in err) == (status == 401)


def test_a_dry_run_with_wrong_keys_ends_with_4(served: Emulator, bulk: Any) -> None:
    """However right the rows are."""
    served.faults.add(Status(401, times=9))
    code, results, err = bulk("run", "rows.csv", "--dry-run")
    assert (code, results) == (4, [])
    assert "Error: the service answered 401" in err


def test_rows_that_met_wrong_keys_go_again(served: Emulator, bulk: Any) -> None:
    """They are fine: nobody is asked to mend them, and the same command sends them."""
    served.faults.add(Status(401, times=4))
    ended, results, err = bulk("run", "rows.csv", "--errors", "bad.csv")
    assert (ended, set(states(results).values())) == (4, {"failed"})
    assert "Mend the rows" not in err
    assert set(states(bulk("run", "rows.csv")[1]).values()) == {"created"}


def test_a_report_that_may_have_been_mended_is_put_aside(served: Emulator, bulk: Any, file: Path) -> None:
    """Each time under a name of its own; one without rows, and what is no plain file, is written over."""
    file.write_text("key,title,lead_email,due_date\na,x,a@b.c,someday\n")
    for number in (1, 2):
        bulk("run", "rows.csv", "--errors", "bad.csv")
        Path("bad.csv").write_text(f"mended, number {number}\nby hand\n")
    err = bulk("run", "rows.csv", "--errors", "bad.csv")[2]
    assert "bad.csv was there already, perhaps mended: it is bad.csv.2 now" in err
    assert [Path(f"bad.csv.{number}").read_text().split()[2] for number in (1, 2)] == ["1", "2"]
    Path("bad.csv").write_text("key,title,error\n")
    bulk("run", "rows.csv", "--errors", "bad.csv")
    bulk("run", "rows.csv", "--errors", "/dev/null")
    assert not Path("bad.csv.3").exists()


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_targets_without_update_create_nothing(served: Emulator, bulk: Any, name: str) -> None:
    """A ticket that nobody wanted cannot be taken back."""
    text = "target,lead_email,status\n1,a@b.c,On Hold\n"
    Path(name).write_text(text if name == "rows.csv" else '{"target": "1", "lead_email": "a@b.c"}\n')
    code, results, err = bulk("run", name)
    assert code in (1, 2)
    assert len(served.calls) == 0
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
