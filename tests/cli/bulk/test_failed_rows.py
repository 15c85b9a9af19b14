"""The report of failed rows: mended, fed back, and never lost."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from lsq_service_async.emulator import Emulator, Status

from .conftest import states

README = Path(__file__).parents[3] / "README.md"


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
