"""Results on stdout, and the report of failed rows: corrected, sent again, never overwritten."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from lsq_service_async.emulator import Emulator, Status

from .conftest import states


def test_a_corrected_report_is_a_valid_input(served: Emulator, bulk: Any, file: Path) -> None:
    """The report has the columns of the input, no cell that a spreadsheet would evaluate, and mode 0600."""
    file.write_text("key;title;lead_phone;Due Date\na;=1+1;+91 1;soon\nb;fine;+91 2;\nc;;;\nd;'=x;+91 4;soon\ne;x\n")
    code, results, _ = bulk("run", "rows.csv", "--delimiter", ";", "--errors", "bad.csv")
    assert code == 1
    assert states(results) == {"a": "failed", "b": "created", "c": "failed", "d": "failed", "e": "failed"}
    assert stat.S_IMODE(os.stat("bad.csv").st_mode) == 0o600
    text = Path("bad.csv").read_text()
    report = {row["key"]: row for row in csv.DictReader(io.StringIO(text), delimiter=";")}
    assert list(report["a"]) == ["key", "title", "lead_phone", "Due Date", "error"]
    assert (report["a"]["title"], report["a"]["lead_phone"], report["d"]["title"]) == ("'\t=1+1", "'\t+91 1", "'=x")
    assert report["a"]["error"].startswith("line 2, column Due Date: 'soon' is not a date")
    assert report["e"]["error"].startswith("line 6: 2 cells for 4 columns; cells are missing")
    corrected = text.replace("soon", "").replace("c;;;", "c;now;+91 3;")
    Path("bad.csv").write_text(corrected)
    _, results, _ = bulk("run", "bad.csv", "--delimiter", ";", "--dry-run")
    assert [result["key"] for result in results if "lead_phone: the cell is missing" in str(result["error"])] == ["e"]
    corrected = corrected.replace("e;x;'\t#NaN;'\t#NaN;", "e;x;+91 5;;")
    Path("bad.csv").write_text(corrected)
    code, results, _ = bulk("run", "bad.csv", "--delimiter", ";", "--errors", "worse.csv")
    assert (code, set(states(results).values())) == (0, {"created"})
    titles = sorted(str(ticket.fields["Title"]) for ticket in served.tickets.values())
    assert titles == ["'=x", "=1+1", "fine", "now", "x"]
    assert len(Path("worse.csv").read_text().splitlines()) == 1


@pytest.mark.parametrize("kept", [["Lead-Phone", "title"], ["title", "error", "Lead-Phone"]], ids=",".join)
def test_a_value_is_the_same_after_a_correction(served: Emulator, bulk: Any, file: Path, kept: list[str]) -> None:
    """No cell and no name in the report begins a formula, and each is read back, whatever columns were removed."""
    titles = ["=1+1", "+1", "-1", "@x", "\n=x", " =x", "\uff1dx", "|x", "'+' key", "\ttab"]
    with open("rows.csv", "w", newline="") as rows:
        csv.writer(rows).writerows(
            [["-title", "Lead-Phone", "due_date"], *([title, "+91 1", "soon"] for title in titles)]
        )
    bulk("run", "rows.csv", "--errors", "bad.csv")
    with open("bad.csv", newline="") as report:
        records = list(csv.DictReader(report))
    assert not [
        cell
        for record in records
        for cell in (*record, *record.values())
        if cell.strip()[:1] in {*"=+-@|\uff1d"} - {""}
    ]
    with open("corrected.csv", "w", newline="") as corrected:
        writer = csv.DictWriter(
            corrected, [{"title": "'\t-title"}.get(name, name) for name in kept], extrasaction="ignore"
        )
        writer.writeheader()
        writer.writerows(records)
    assert bulk("retry", "corrected.csv", "--journal", "rows.csv.journal")[0] == 0
    tickets = served.tickets.values()
    assert sorted(str(ticket.fields["Title"]) for ticket in tickets) == sorted(titles)
    assert {ticket.fields["LeadDetail.Phone"] for ticket in tickets} == {"+91 1"}


@pytest.mark.parametrize(
    ("suffix", "rows", "correction"),
    [
        pytest.param("csv", "key,title,lead_id\na,one,\nb,two,45b5\n", ("one,", "one,45b5"), id="keys"),
        pytest.param("csv", "title,lead_id\none,\none,\ntwo,45b5\n", ("one,", "one,45b5"), id="twins without keys"),
        pytest.param("jsonl", '{"lead_id": ""}\n{"lead_id": "45b5"}\n', ('"",', '"45b6",'), id="JSON"),
    ],
)
def test_retry_sends_a_corrected_report_with_the_same_journal(
    served: Emulator, bulk: Any, suffix: str, rows: str, correction: tuple[str, str]
) -> None:
    """The first run prints the command. Corrected rows keep their keys, also rows without one, and afterwards the
    journal has no failed row and the original file may run again."""
    file, bad = Path(f"in.{suffix}"), Path(f"bad.{suffix}")
    file.write_text(rows)
    _, results, err = bulk("run", str(file), "--errors", str(bad))
    failed = [key for key, state in states(results).items() if state == "failed"]
    assert err.endswith(f" bulk retry {bad} --journal {file}.journal\n")
    bad.write_text(bad.read_text().replace(*correction))
    again = (str(bad), "--journal", f"{file}.journal")
    code, results, _ = bulk("run", *again)
    assert (code, states(results)) == (1, dict.fromkeys(failed, "failed"))
    assert all("use retry_failed or `bulk retry`" in result["error"] for result in results)
    code, results, _ = bulk("retry", *again)
    assert (code, states(results)) == (0, dict.fromkeys(failed, "created"))
    code, results, _ = bulk("run", str(file))
    assert (code, set(states(results).values()), len(served.tickets)) == (0, {"skipped"}, len(failed) + 1)
    assert bulk("status", str(file))[1][0]["failed"] == 0


def test_the_report_tells_equal_rows_apart(served: Emulator, bulk: Any, file: Path) -> None:
    """If one of two equal rows without a key failed, `retry` sends only that one."""
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
        pytest.param(["--operation", "update"], " bulk retry bad.csv --journal rows.csv.journal", id="operation"),
        pytest.param(["--delimiter", ";"], ".journal --delimiter ';'", id="delimiter"),
        pytest.param(["--format", "jsonl"], ".journal --format jsonl", id="JSON"),
        pytest.param(["--format", "csv"], ".journal --format csv", id="CSV"),
        pytest.param(["--encoding", "cp1252"], "rows.csv.journal", id="the report is UTF-8"),
        pytest.param(["--attachments-from", "."], ".journal --attachments-from .", id="attachments"),
        pytest.param(["--errors", "sub/bad.csv"], ".journal --attachments-from .", id="report in another folder"),
    ],
)
def test_the_printed_command_can_be_pasted(bulk: Any, file: Path, options: list[str], words: str) -> None:
    """The command repeats all options of the first command."""
    Path("sub").mkdir()
    file.write_text('{"title": 5}\n' if "jsonl" in options else "due_date\nsoon\n")
    _, _, err = bulk("run", "rows.csv", "--errors", "bad.csv", *options)
    report = options[1] if options[:1] == ["--errors"] else "bad.csv"
    assert err.startswith("rows: 1 of 1, 0 done, 1 failed")
    assert err.splitlines()[-1].startswith(f"Correct the rows in {report}, then run: ")
    assert err.endswith(f"{words}\n")


@pytest.mark.parametrize(("encoding", "half"), [("utf-7", b"+2AA-"), ("unicode_escape", rb"\ud800")])
def test_half_a_surrogate_pair_stays_in_the_report(
    served: Emulator, bulk: Any, file: Path, encoding: str, half: bytes
) -> None:
    """The other rows are sent. The report is rejected until the row is corrected, so that no other text is sent."""
    file.write_bytes(b"key,title,lead_id\na," + half + b",45b5\nb,x,45b5\n")
    code, results, _ = bulk("run", "rows.csv", "--encoding", encoding, "--errors", "bad.csv")
    assert (code, states(results), len(served.tickets)) == (1, {"a": "failed", "b": "created"}, 1)
    code, _, err = bulk("retry", "bad.csv", "--journal", "rows.csv.journal")
    assert (code, "line 2 is not UTF-8" in err, len(served.tickets)) == (2, True, 1)
    report = Path("bad.csv").read_bytes()
    Path("bad.csv").write_bytes(report.replace("\ud800".encode("utf-8", "surrogatepass"), b"y"))
    assert bulk("retry", "bad.csv", "--journal", "rows.csv.journal")[0] == 0


def test_no_advice_is_printed_without_failed_rows(bulk: Any) -> None:
    """A run without failed rows, or without a report, prints no advice to correct rows."""
    assert "Correct" not in bulk("run", "rows.csv", "--errors", "bad.csv")[2]
    Path("bad.csv").write_text("title\nno lead\n")
    assert "Correct the rows" not in bulk("run", "bad.csv")[2]


def test_the_report_of_a_jsonl_file_is_jsonl(bulk: Any) -> None:
    """A line that is not JSON is kept as text."""
    Path("rows.jsonl").write_text('[1]\n{"title": 5, "key": "k"}\n')
    code, results, _ = bulk("run", "rows.jsonl", "--errors", "bad.jsonl")
    bad = [json.loads(line) for line in Path("bad.jsonl").read_text().splitlines()]
    assert code == 1
    assert [result["error"] for result in results] == [row["error"] for row in bad]
    assert (bad[0]["unreadable"], bad[1]["title"], bad[1]["key"]) == ("[1]", 5, "k")


@pytest.mark.parametrize("name", ["new.csv", "./new.csv", "linked.csv"])
def test_the_report_cannot_be_the_journal(served: Emulator, bulk: Any, name: str) -> None:
    """The command is refused, also if neither file exists yet or one is a link to the other."""
    Path("linked.csv").symlink_to("new.csv")
    code, _, err = bulk("run", "rows.csv", "--errors", name, "--journal", "new.csv")
    assert (code, len(served.calls)) == (2, 0)
    assert "--errors would overwrite the journal" in err


def test_a_row_with_too_many_cells_is_reported_in_full(served: Emulator, bulk: Any, file: Path) -> None:
    """The report contains all cells, so an uncorrected row is rejected again and not cut to a wrong ticket."""
    file.write_text("key,title,lead_id\nc,Hello, world,lead-1\nd,short\n")
    assert bulk("run", "rows.csv", "--errors", "bad.csv")[0] == 1
    assert "c,Hello, world,lead-1,," in Path("bad.csv").read_text()
    code, results, _ = bulk("retry", "bad.csv", "--journal", "rows.csv.journal")
    assert (code, set(states(results).values()), len(served.tickets)) == (1, {"failed"}, 0)


def test_a_report_that_cannot_be_written_stops_the_run(served: Emulator, bulk: Any) -> None:
    """The exit code is 1, and nothing is sent."""
    code, _, err = bulk("run", "rows.csv", "--errors", "no/such/folder.csv")
    assert (code, len(served.calls)) == (1, 0)
    assert "cannot write the report" in err


def test_an_earlier_report_is_renamed(served: Emulator, bulk: Any, file: Path) -> None:
    """Every earlier report gets its own name; an empty report and a device are overwritten."""
    file.write_text("key,title,lead_email,due_date\na,x,a@b.c,someday\n")
    for number in (1, 2):
        bulk("run", "rows.csv", "--errors", "bad.csv")
        Path("bad.csv").write_text(f"corrected, number {number}\nby hand\n")
    err = bulk("run", "rows.csv", "--errors", "bad.csv")[2]
    assert "renamed to bad.csv.2" in err
    assert [Path(f"bad.csv.{number}").read_text().split()[2] for number in (1, 2)] == ["1", "2"]
    Path("bad.csv").write_text("key,title,error\n")
    bulk("run", "rows.csv", "--errors", "bad.csv")
    assert stat.S_IMODE(os.stat("bad.csv").st_mode) == 0o600
    assert bulk("run", "rows.csv", "--errors", "/dev/null")[0] == 1
    assert not Path("bad.csv.3").exists()


@pytest.mark.parametrize(
    ("mode", "is_link", "owner", "expected"),
    [
        (0o600, True, None, "is a symbolic link"),
        (0o664, False, None, "Other users can write to"),
        (0o600, False, 4711, "belongs to the user with the id"),
    ],
)
def test_a_report_replaces_no_file_of_others(
    bulk: Any, file: Path, monkeypatch: pytest.MonkeyPatch, mode: int, is_link: bool, owner: int | None, expected: str
) -> None:
    """A report is not written through a link, nor in place of a file that another user owns or can write to."""
    target = Path("authorized_keys")
    target.write_text("ssh-ed25519 AAAA me\n" * 3)
    target.chmod(mode)
    os.symlink(target, "bad.csv") if is_link else target.rename("bad.csv")
    if owner is not None:
        monkeypatch.setattr(os, "geteuid", lambda: owner)
    code, _, err = bulk("run", "rows.csv", "--errors", "bad.csv")
    assert (code, err.count(expected)) == (2, 1)
    assert Path("bad.csv").read_text() == "ssh-ed25519 AAAA me\n" * 3
    assert not list(Path().glob("bad.csv.*"))


def test_a_row_that_was_not_sent_is_not_in_the_report(
    served: Emulator, bulk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command sends the row; a copy of it in the report would become a second ticket."""

    async def refuse(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    Path("one.csv").write_text("key,lead_id\na,45b5\n")
    with monkeypatch.context() as offline:
        offline.setattr(httpx.AsyncHTTPTransport, "handle_async_request", refuse)
        code, results, _ = bulk("run", "one.csv", "--errors", "bad.csv")
    assert (code, states(results)) == (1, {"a": "failed"})
    assert len(Path("bad.csv").read_text().splitlines()) == 1
    assert states(bulk("run", "one.csv")[1]) == {"a": "created"}


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_results_have_the_columns_of_the_input(served: Emulator, bulk: Any, file: Path, suffix: str) -> None:
    """--results has every row that is done, with its key and ticket number, also those of an earlier run."""
    text = "title,lead_phone\none,+91 1\ntwo,\nthree,+91 3\n"
    if suffix == "jsonl":
        text = '{"title": "one", "lead_phone": "+91 1"}\n{"title": "two"}\n{"title": "three", "lead_phone": "+91 3"}\n'
    Path(f"in.{suffix}").write_text(text)
    for _ in range(2):
        code, results, _ = bulk("run", f"in.{suffix}", "--results", f"done.{suffix}")
        numbers = {result["key"]: result["number"] for result in results if result["number"]}
        written = Path(f"done.{suffix}").read_text()
        done = (
            list(csv.DictReader(io.StringIO(written)))
            if suffix == "csv"
            else [json.loads(line) for line in written.splitlines()]
        )
        assert (code, {row["key"]: row["number"] for row in done}) == (1, numbers)
        assert sorted(row["title"] for row in done) == ["one", "three"]
        assert list(done[0]) == ["title", "lead_phone", "key", "number"]


@pytest.mark.parametrize("option", ["--errors", "--results"])
def test_no_file_of_a_command_replaces_another(served: Emulator, bulk: Any, file: Path, option: str) -> None:
    """The message names the option and the file."""
    for name, words in (("rows.csv", "the input"), ("rows.csv.journal", "the journal")):
        assert f"{option} would overwrite {words}" in bulk("run", "rows.csv", option, name)[2]
    both = bulk("run", "rows.csv", "--errors", "same.csv", "--results", "same.csv")
    assert (both[0], "--results would overwrite the file of --errors" in both[2]) == (2, True)
