"""Rows from CSV, JSONL and pipes; input that cannot be read is refused before anything is sent."""

from __future__ import annotations

import io
import os
import sys
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import openpyxl
import pytest

from lsq_service_async.emulator import Emulator, faults

from .conftest import ROWS, states


def test_rows_may_come_from_a_pipe(served: Emulator, bulk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads stdin and needs --journal; rows without a key may be equal."""
    row = '{"title": "x", "lead_email": "a@example.com"}\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{row}\n{row}".encode())))
    code, results, _ = bulk("run", "-", "--errors", "bad.jsonl", "--journal", "j")
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
    assert bulk("run", "fifo", "--journal", "j")[0] == 0
    os.wait()
    assert len(served.tickets) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "the input is empty", id="empty"),
        pytest.param(b'"a;b,c\n', "Error: line 1 cannot be read as CSV", id="header"),
        pytest.param(b"key,titel\n", "line 1, column titel: no such field; did you mean title?", id="column"),
        pytest.param(b"title\nfine\nM\xfcller\n", "line 3 is not UTF-8; save the file as UTF-8", id="latin-1"),
        pytest.param("title\x85\u2028\f\r\nfine\r".encode() + b"\xfc", "line 3 is not UTF-8", id="other breaks"),
        pytest.param(b"\xff\xfek\0e\0y", "line 1 is not UTF-16; save", id="half of UTF-16"),
        pytest.param(b"title,x y\n", "line 1, column x y: no such field; use one of", id="no schema name"),
        pytest.param(b"PK\x03\x04junk", "the workbook cannot be read: ", id="no workbook"),
        pytest.param(b"\x1f\x8b\x08\0", "the input is compressed; unpack it", id="gzip"),
        pytest.param(b"\n<html>", "the input is HTML or XML; open it", id="HTML"),
        pytest.param(b'[\n {"title": "x"}]', "the input is a JSON array; write one object on each line", id="array"),
        pytest.param(b'title\nfine\n"open\nx\n', "line 3 cannot be read as CSV", id="open quote"),
        pytest.param(b"key,lead_id\na,1\n b ,2\n,3\nb,4\n", "lines 3 and 5 have the same key 'b'", id="key twice"),
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
        pytest.param('{"key": ' + "[" * 9 + "]" * 9 + "}", "line 1: not JSON (its values are nested too", id="nested"),
        pytest.param(f'{{"key": 1{"0" * 5000}}}', "line 1: not JSON (1000", id="long number"),
        pytest.param('{"key": 1e400}', "line 1: not JSON (1e400 is too large a number)", id="overflow"),
        pytest.param(
            '{"title": "a", "title": "b"}', "line 1, column title: the object has this name twice", id="twice"
        ),
        pytest.param('{"Title": "a", "title": "b"}', "line 1, column title: same field as Title", id="same field"),
        pytest.param('{"title": "\\ud83d"}', r"line 1, column title: '\ud83d' contains half", id="half"),
        pytest.param('{"key": "\\ud83d"}', r"line 1, column key: '\ud83d' contains half", id="half in the key"),
        pytest.param('{"X.\\ud83d": 1}', r"line 1, column 'X.\ud83d': no such field", id="half in a name"),
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
    Path("rows.jsonl").write_text(line + '\n{"key": "b", "lead_email": "a@b.c", "CustomData.X": 1.5}\n')
    code, results, _ = bulk("run", "rows.jsonl", "--errors", "bad.jsonl")
    assert len(Path("bad.jsonl").read_text().splitlines()) == 1
    assert (code, sorted(result["state"] for result in results), len(served.tickets)) == (1, ["created", "failed"], 1)
    assert next(result["error"] for result in results if result["line"] == 1).startswith(error)


TABLE = "key,title,lead_email\n1,Gerät,a@b.c\n2,zwei,a@b.c\n"
SEMICOLONS = TABLE.replace(",", ";")


@pytest.mark.parametrize(
    ("content", "options", "notice"),
    [
        pytest.param(SEMICOLONS.encode(), [], "Cells are separated by ';'", id="semicolon"),
        pytest.param(TABLE.replace(",", "\t").encode(), [], r"Cells are separated by '\t'", id="tab"),
        pytest.param(f"SEP=;\r\n{SEMICOLONS}".encode(), [], "Cells are separated by ';'", id="sep"),
        pytest.param(f"sep=;\r\n{SEMICOLONS}".encode(), ["--delimiter", ";"], "", id="sep and delimiter"),
        pytest.param(SEMICOLONS.replace("key", '"key"').encode(), [], "Cells are separated by ';'", id="quotes"),
        pytest.param(TABLE.replace("\n", "\r").encode(), [], "", id="CR"),
        pytest.param(TABLE.replace("\n", "\r\r\n").encode(), [], "", id="CR CR LF"),
        pytest.param(b"\xef\xbb\xbf" * 2 + TABLE.encode(), [], "", id="two byte order marks"),
        pytest.param(TABLE.encode("utf-16"), [], "", id="UTF-16"),
        pytest.param(TABLE.encode("utf-32"), [], "", id="UTF-32"),
        pytest.param(TABLE.encode("utf-16-le"), ["--encoding", "utf-16"], "", id="UTF-16 without a mark"),
        pytest.param(TABLE.encode("utf-16-be"), [], "", id="big-endian UTF-16 without a mark"),
        pytest.param(TABLE.encode("utf-8-sig"), ["--encoding", "cp1252"], "", id="the mark names the encoding"),
        pytest.param(TABLE.replace("1,", "\ufeff1,").encode(), [], "", id="a mark before another line"),
        pytest.param(TABLE.replace("email", "email,,").encode(), [], "", id="more columns than cells"),
        pytest.param(
            b'{"key":1,"title":"Ger\xc3\xa4t","lead_email":"a@b.c"}\n{"key":2,"title":"zwei","lead_email":"a@b.c"}',
            [],
            "",
            id="JSONL by another name",
        ),
        pytest.param(TABLE.encode("cp1252"), ["--encoding", "cp1252"], "", id="cp1252"),
        pytest.param(f"\n ,,\n{TABLE}\n , ,\n,,\n\x1a".encode(), [], "", id="blank rows"),
        pytest.param(TABLE.replace("\n", ",,\n").encode(), [], "", id="columns without a name"),
        pytest.param(TABLE.replace("a@b.c\n", "a@b.c, ,\n").encode(), [], "", id="blank cells"),
        pytest.param(TABLE.replace("\n", ",\n").replace("c,\n", "c, \n").encode(), [], "", id="blanks without a name"),
        pytest.param(TABLE.replace("lead_email", "Lead-E Mail").replace("key", "KEY").encode(), [], "", id="names"),
    ],
)
def test_a_table_is_read_as_programs_write_it(
    served: Emulator, bulk: Any, file: Path, content: bytes, options: list[str], notice: str
) -> None:
    """A delimiter that is not a comma is printed once."""
    file.write_bytes(content)
    code, results, err = bulk("run", "rows.csv", *options)
    assert (code, sorted(result["key"] for result in results)) == (0, ["1", "2"])
    assert {str(ticket.fields["Title"]) for ticket in served.tickets.values()} == {"Gerät", "zwei"}
    assert err.startswith(notice or "rows: 2 of 2")
    assert err.count("Cells are separated") == bool(notice)


def test_a_cell_may_be_long_and_text_may_begin_with_a_quote(served: Emulator, bulk: Any, file: Path) -> None:
    """The bound of the csv module does not apply, and only quotes that the report has added are removed."""
    file.write_text(f"title,lead_email,description\n'+' is stuck,a@b.c,{'x' * 131_073}\n")
    assert bulk("run", "rows.csv")[0] == 0
    [ticket] = served.tickets.values()
    assert (ticket.fields["Title"], len(str(ticket.fields["Description"]))) == ("'+' is stuck", 131_073)


def test_a_line_of_column_names_is_not_a_row(served: Emulator, bulk: Any, file: Path) -> None:
    """Joined files repeat the names of their columns. Such a line fails, also if it is read from a report."""
    file.write_text("title,lead_phone\none,+91 1\ntitle,lead_phone\ntwo,+91 2\n")
    code, results, _ = bulk("run", "rows.csv", "--errors", "bad.csv")
    assert (code, len(served.tickets)) == (1, 2)
    [error] = [result["error"] for result in results if result["state"] == "failed"]
    assert error == "line 3 repeats the names of the columns; remove the line"
    assert bulk("run", "bad.csv")[1][0]["error"] == "line 2 repeats the names of the columns; remove the line"


def test_text_in_a_column_without_a_name_fails_its_row(served: Emulator, bulk: Any, file: Path) -> None:
    """Such text would be lost. The report keeps it, and the row fails again until it is corrected."""
    file.write_text("title,,lead_email\nx,lost,a@b.c\n")
    _, results, _ = bulk("run", "rows.csv", "--errors", "bad.csv")
    assert results[0]["error"] == "line 2: text in a column without a name; give the column a name"
    assert bulk("run", "bad.csv")[0] == 1
    assert not served.tickets


def test_rows_from_a_pipe_that_do_not_fit_into_the_temporary_folder_are_an_error(
    bulk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the input, not stdout, and nothing is sent."""
    for copy, words in [(partial(open, "/dev/full", "r+b"), "No space left"), (partial(open, "."), "Is a directory")]:
        monkeypatch.setattr("lsq_service_async.cli.bulk.input.TemporaryFile", copy)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ROWS.encode())))
        code, _, err = bulk("run", "-", "--journal", "j")
        assert (code, f"cannot copy '-' to a temporary file: {words}" in err, "set TMPDIR" in err) == (2, True, True)


def _workbook(path: str, *rows: list[Any], hidden: bool = False) -> None:
    book = openpyxl.Workbook()
    if hidden:
        book.create_sheet("Lists", 0).sheet_state = "hidden"
        book.create_sheet("More")
    for row in rows:
        book["Sheet"].append(row)
    book.save(path)


def test_rows_come_from_a_workbook(served: Emulator, bulk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first visible sheet is read. Whole numbers are text in text fields; dates are in --time-zone."""
    names = ["Key", "Title", "Lead Phone", "Due Date", "CustomData.PinCode", "CustomData.Ratio", None]
    first = [1, 7, 919876543210, datetime(2026, 11, 25, 9), 560001, 0.5, None]  # noqa: DTZ001 -- cells have no zone
    _workbook("rows.xlsx", [], names, first, [None], ["b", "x", "+91 2", date(2026, 11, 25), None], hidden=True)
    code, results, err = bulk("run", "rows.xlsx", "--time-zone", "Asia/Kolkata")
    assert (code, sorted(result["line"] for result in results)) == (0, [3, 5])
    assert err.startswith("Reading only the first sheet, 'Sheet'\n")
    one, two = sorted(({**ticket.fields} for ticket in served.tickets.values()), key=lambda row: str(row["Title"]))
    assert (one["Title"], one["LeadDetail.Phone"], one["DueDate"]) == ("7", "919876543210", "2026-11-25T03:30:00")
    assert (one["CustomData.PinCode"], one["CustomData.Ratio"]) == (560001, 0.5)
    assert two["DueDate"] == "2026-11-24T18:30:00"
    monkeypatch.setenv("LSQ_TIME_ZONE", "UTC")
    assert bulk("run", "rows.xlsx", "--journal", "j")[0] == 0
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    code, _, err = bulk("plan", "rows.xlsx")
    assert (code, 'pip install "lsq-service-async[excel]"' in err) == (2, True)


def test_a_cell_without_a_value_fails_its_row(served: Emulator, bulk: Any) -> None:
    """An error, or a formula that no spreadsheet program has calculated, is not taken for an empty cell."""
    padding = [None] * 24
    rows = [["key", "lead_id", *padding, "Title"], ["a", "45b5", *padding, "#N/A"], ["=1+1", "45b5"], ["c", "45b5"]]
    _workbook("rows.xlsx", *([None, *row] for row in rows), hidden=True)
    _, results, _ = bulk("run", "rows.xlsx")
    errors = {result["line"]: result["error"] for result in results}
    assert (errors[2][:24], errors[3][:22], errors[4]) == ("line 2, column Title: th", "line 3, column key: th", None)


_ODS_NAMES = (
    "".join(f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text"))
    + ' xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"'
)


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        pytest.param('office:value-type="string"', 0, id="text"),
        pytest.param('table:formula="of:=&quot;a&quot;" office:value-type="string"', 0, id="formula"),
        pytest.param('office:value-type="string" office:string-value="" calcext:value-type="error"', 2, id="error"),
        pytest.param('table:formula="of:=NA()"', 2, id="formula without a value"),
    ],
)
def test_rows_come_from_a_workbook_of_libreoffice(served: Emulator, bulk: Any, attributes: str, code: int) -> None:
    """An error, or a formula without a value, ends the command: the cell would be read as empty.

    Other sheets, which are not read, may have such cells.
    """
    cell = '<table:table-cell office:value-type="string"><text:p>%s</text:p></table:table-cell>'
    rows = [
        cell % "lead_id" + cell % "title",
        f"{cell % '45b5'}<table:table-cell {attributes}><text:p>a</text:p></table:table-cell>",
    ]
    table = "".join(f"<table:table-row>{row}</table:table-row>" for row in rows)
    other = '<table:table table:name="T"><table:table-row><table:table-cell table:formula="of:=NA()"/>'
    sheets = f'<table:table table:name="S">{table}</table:table>{other}</table:table-row></table:table>'
    sheet = f"<office:spreadsheet>{sheets}</office:spreadsheet>"
    with ZipFile("rows.ods", "w") as parts:
        parts.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        parts.writestr("META-INF/manifest.xml", "<manifest/>")
        body = f"<office:body>{sheet}</office:body>"
        parts.writestr("content.xml", f"<office:document-content{_ODS_NAMES}>{body}</office:document-content>")
    found, _, err = bulk("run", "rows.ods")
    assert (found, [ticket.fields["Title"] for ticket in served.tickets.values()]) == (code, [] if code else ["a"])
    assert ("has an error such as #N/A, or a formula without a value; correct the cell" in err) == (code == 2)


def test_a_workbook_that_hides_errors_is_read_with_a_notice(bulk: Any) -> None:
    """In an .xls or .xlsb workbook, and in parts that are written in another way, errors cannot be found."""
    _workbook("plain.xlsx", ["lead_id"], ["45b5"])
    with ZipFile("plain.xlsx") as plain, ZipFile("rows.xlsx", "w") as other:
        for name in plain.namelist():
            other.writestr(name, plain.read(name).replace(b"<sheet ", b"<sheet\n"))
    assert "errors" not in bulk("plan", "plain.xlsx")[2]
    code, _, err = bulk("plan", "rows.xlsx")
    assert (code, err.splitlines()[0]) == (
        0,
        "Cells with an error such as #N/A are read as empty in this kind of workbook. Save the workbook "
        "as .xlsx, so that rows with such cells are rejected.",
    )


def test_the_report_of_a_workbook_is_csv(served: Emulator, bulk: Any) -> None:
    """A date without a zone is an error. The corrected report has the dates and numbers of the workbook."""
    due = datetime(2026, 11, 25, 9)  # noqa: DTZ001 -- cells have no zone
    _workbook("rows.xlsx", ["Lead Phone", "Due Date"], [919876543210, due])
    assert bulk("run", "rows.xlsx", "--errors", "bad.xlsx")[0] == 2
    code, results, _ = bulk("run", "rows.xlsx", "--errors", "bad.csv")
    assert (code, "has no time zone; write it like" in results[0]["error"]) == (1, True)
    assert Path("bad.csv").read_text().startswith("Lead Phone,Due Date,key,error\n919876543210,2026-11-25 09:00:00,,")
    assert bulk("run", "bad.csv", "--time-zone", "UTC")[0] == 0
    assert served.tickets["1"].fields["DueDate"] == "2026-11-25T09:00:00"
    Path("none.xlsx").write_bytes(b"")
    _workbook("none.xlsx")
    assert "the input is empty" in bulk("plan", "none.xlsx")[2]


def test_the_report_of_a_workbook_sends_the_same_values(served: Emulator, bulk: Any) -> None:
    """A report that is sent again unchanged has the numbers and dates of the workbook."""
    names = ["key", "title", "lead_id", "due_date", *(f"CustomData.{name}" for name in "ABCDEFG")]
    moment = datetime(2026, 1, 31, 9)  # noqa: DTZ001 -- cells have no zone
    values = [moment, date(2026, 1, 31), 5, -2.5, 1e22, "5", "-5"]
    _workbook("rows.xlsx", names, ["a", 7, "45b5", moment, *values])
    zone = ["--time-zone", "Asia/Kolkata"]
    assert bulk("run", "rows.xlsx", *zone, "--journal", "other", "--results", "done.csv")[0] == 0
    served.faults.add(faults.Status(400))
    assert bulk("run", "rows.xlsx", *zone, "--errors", "bad.csv")[0] == 1
    served.faults.add(faults.Status(400))
    assert bulk("retry", "bad.csv", "--journal", "rows.xlsx.journal", *zone, "--errors", "again.csv")[0] == 1
    assert bulk("retry", "again.csv", "--journal", "rows.xlsx.journal", *zone)[0] == 0
    first, second = served.tickets.values()
    assert (first.fields, first.fields["CustomData.A"]) == (second.fields, "2026-01-31T03:30:00")
    same = [Path(name).read_text().splitlines()[1].split(",")[:11] for name in ("bad.csv", "again.csv", "done.csv")]
    assert same[0] == same[1] == same[2]


def test_a_row_that_a_workbook_made_invalid_is_invalid_in_its_report(served: Emulator, bulk: Any) -> None:
    """A cell with an error, or of the wrong type, is not sent as text or as empty, until it is replaced."""
    moment = datetime(2026, 1, 31, 9)  # noqa: DTZ001 -- cells have no zone
    invalid = [
        ["a", "x", None, "#N/A"],
        ["b", True, None, None],
        ["c", moment, None, None],
        ["d", "x", 1e15, None],
        ["e", "x", None, moment],
        ["f", "x", None, moment.time()],
        ["g", "#N/A", None, "#N/A"],
        ["=1+1", "x", None, None],
        ["h", "x", None, None, "extra"],
    ]
    _workbook("rows.xlsx", ["key", "title", "lead_phone", "CustomData.A"], *invalid)
    for path, report in [("rows.xlsx", "1.csv"), ("1.csv", "2.csv"), ("2.csv", "3.csv")]:
        code, results, _ = bulk("run", path, "--errors", report)
        assert (code, {result["state"] for result in results}, len(results)) == (1, {"failed"}, len(invalid))
        assert [result["key"] for result in results] == [*"abcdefg", None, "h"]
    assert not served.tickets


@pytest.mark.parametrize(
    "options", [["--encoding", "base64"], ["--encoding", "x"], ["--time-zone", "Mars"]], ids=" ".join
)
def test_an_option_with_an_unknown_name_is_refused(bulk: Any, options: list[str]) -> None:
    """Encodings and time zones have the names that Python knows."""
    code, _, err = bulk("plan", "rows.csv", *options)
    assert (code, repr(options[1]) in err) == (2, True)


def test_a_device_needs_a_journal(served: Emulator, bulk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No journal is created next to a pipe or a device, also if a shell has opened a regular file there."""
    os.mkfifo("fifo")
    with open("rows.csv") as opened:
        for name in ("fifo", "/dev/null", f"/dev/fd/{opened.fileno()}", f"/proc/self/fd/{opened.fileno()}"):
            code, _, err = bulk("run", name)
            assert (code, f"rows from a pipe or a device ({name}) need --journal" in err) == (2, True)
        assert bulk("run", f"/dev/fd/{opened.fileno()}", "--journal", "j")[0] == 0
    assert "Is a directory" in bulk("run", ".")[2]
    monkeypatch.setattr(sys, "stdin", None)
    assert "stdin is closed" in bulk("run", "-", "--journal", "j")[2]


def test_files_lie_below_the_folder_of_the_input(served: Emulator, bulk: Any, tmp_path: Path) -> None:
    """Paths are relative to this folder. --attachments-from names another one; for a pipe it is the current folder."""
    Path("in").mkdir()
    Path("in/a.txt").write_bytes(b"inner")
    Path("a.txt").write_bytes(b"outer")
    Path("in/link.txt").symlink_to(tmp_path / "a.txt")
    names = ["a.txt", "../a.txt", str(tmp_path / "a.txt"), "link.txt", "/etc/passwd", str(tmp_path / "in/a.txt")]
    lines = [f"{number},x,a@b.c,{name}\n" for number, name in enumerate(names)]
    Path("in/rows.csv").write_text("key,title,lead_email,attachments\n" + "".join(lines))
    code, results, err = bulk("run", "in/rows.csv", "--dry-run")
    failed = [result["key"] for result in results if "not below this folder; move it there" in result["error"]]
    assert (code, failed) == (1, ["1", "2", "3", "4"])
    assert "2 files to attach, 10 bytes\n" in err
    assert states(bulk("run", "in/rows.csv")[1]) == {
        key: "created" if key in "05" else "failed" for key in ("0", "1", "2", "3", "4", "5")
    }
    assert {file.size for ticket in served.tickets.values() for file in ticket.files} == {5}
    err = bulk("plan", "in/rows.csv", "--attachments-from", ".", "--journal", "j")[2]
    assert "3 files to attach, 15 bytes\nRows with files that cannot be sent: 3." in err


def test_a_file_has_at_most_100_mib(served: Emulator, bulk: Any) -> None:
    """--max-file-bytes changes the bound, for the plan, the dry run and the run. The printed command repeats it."""
    with open("big", "wb") as big:
        big.truncate((100 << 20) + 1)
    Path("rows.csv").write_text("title,lead_email,attachments\nx,a@b.c,big\n")
    for command in (["run", "--dry-run"], ["run"]):
        _, results, _ = bulk(*command, "rows.csv")
        assert (
            "the attachment 'big' has more than the 104,857,600 bytes that max_file_bytes allows" in results[0]["error"]
        )
    assert "1 file to attach, 104,857,601 bytes" in bulk("plan", "rows.csv", "--max-file-bytes", "104857601")[2]
    err = bulk("run", "rows.csv", "--max-file-bytes", "5", "--journal", "j")[2]
    assert "bulk retry rows.csv --journal j --max-file-bytes 5\n" in err


def test_a_csv_of_targets_creates_nothing(served: Emulator, bulk: Any, file: Path) -> None:
    """A column `target` without --operation update is refused: it would create tickets instead of changing them."""
    file.write_text("target,lead_email,status\n1,a@b.c,On Hold\n")
    code, results, err = bulk("run", "rows.csv")
    assert (code, results, len(served.calls)) == (2, [], 0)
    assert 'use operation="update" (--operation update)' in err


def test_updates_need_a_target(served: Emulator, bulk: Any) -> None:
    """A row without a target fails; the others change their tickets."""
    bulk("run", "rows.csv")
    Path("changes.jsonl").write_text('{"target": 1, "status": "On Hold"}\n{"key": "x", "status": "Open"}\n')
    code, results, _ = bulk("run", "changes.jsonl", "--operation", "update")
    assert (code, sorted(result["state"] for result in results)) == (1, ["failed", "updated"])
    assert "line 2, column target: it is empty; enter the number" in results[0]["error"]
    assert served.tickets["1"].fields["Status"] == "On Hold"
