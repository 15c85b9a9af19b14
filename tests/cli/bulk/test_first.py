"""`run --first N` sends a few rows, compares their tickets, and asks before it sends the others."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from lsq_service_async.emulator import Emulator, Status, TicketStore

from .conftest import states

HEAD = "key,title,lead_phone,status,CustomData.X,due_date\n"
ROWS = "".join(f"{key},t{key},+91 {key},Open,1,2026-01-31T09:00:00+05:30\n" for key in range(1, 6))


@pytest.fixture
def rows(file: Path) -> Path:
    file.write_text(HEAD + ROWS)
    return file


class Terminal(io.StringIO):
    """A stdin on which a user types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stdin", "code", "sent", "words"),
    [
        pytest.param(io.StringIO(), 75, 2, "Not sent: 3 rows. To send the rest, run", id="no terminal"),
        pytest.param(None, 75, 2, "Not sent: 3 rows. To send the rest, run", id="closed"),
        pytest.param(Terminal("n\n"), 75, 2, "Send the other 3 rows?", id="no"),
        pytest.param(Terminal(""), 75, 2, "Send the other 3 rows?", id="end of input"),
        pytest.param(Terminal("Yes\n"), 0, 5, "Send the other 3 rows?", id="yes"),
    ],
)
def test_the_others_are_sent_if_the_user_wants_it(
    served: Emulator, bulk: Any, rows: Path, monkeypatch: Any, stdin: Any, code: int, sent: int, words: str
) -> None:
    """Each row has one result, and the same command without --first sends the other rows."""
    monkeypatch.setattr("sys.stdin", stdin)
    found, results, err = bulk("run", "rows.csv", "--first", "2")
    assert (found, len(results), len(served.tickets)) == (code, sent, sent)
    assert words in err
    assert err.count("all fields are as sent") == 2
    assert bulk("run", "rows.csv")[0] == 0
    assert sorted(ticket.fields["Title"] for ticket in served.tickets.values()) == ["t1", "t2", "t3", "t4", "t5"]


def test_fields_that_the_service_changed_are_printed(served: Emulator, bulk: Any, rows: Path, monkeypatch: Any) -> None:
    """The line names the row, the ticket, the field, and both values; a ticket that cannot be read is named too."""
    create = TicketStore.create

    def rewrite(store: TicketStore, lead: Any, fields: Any, *rest: Any, **more: Any) -> Any:
        return create(store, lead, {**fields, "Status": "Assigned", "CustomData.X": None}, *rest, **more)

    monkeypatch.setattr(TicketStore, "create", rewrite)
    served.faults.add(Status(404, method="GET"))
    code, _, err = bulk("run", "rows.csv", "--first", "2")
    assert code == 75
    lines = [line for line in err.splitlines() if line.startswith("row ")]
    assert "cannot be read: the service answered 404" in lines[0]
    assert [line.partition(": ")[2] for line in lines[1:]] == [
        "status was sent as 'Open' and is 'Assigned'",
        "CustomData.X was sent as '1' and is None",
    ]


def test_a_run_that_fails_or_ends_early_asks_nothing(served: Emulator, bulk: Any, rows: Path) -> None:
    """If the first rows are all rows, or the keys are wrong, the exit code is that of the run."""
    assert bulk("run", "rows.csv", "--first", "9", "--journal", "a")[0] == 0
    served.faults.add(Status(401, times=4))
    code, _, err = bulk("run", "rows.csv", "--first", "2", "--journal", "b")
    assert (code, "Not sent" in err) == (4, False)
    served.faults.clear()
    rows.write_text(HEAD + "bad,,,,,soon\n" + ROWS)
    code, results, err = bulk("run", "rows.csv", "--first", "3", "--journal", "c")
    assert (code, set(states(results).values()), "Not sent: 3 rows" in err) == (75, {"failed", "created"}, True)


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
    for name, words in (("rows.csv", "the input"), ("rows.csv.journal", "its journal")):
        assert f"{option} would overwrite {words}" in bulk("run", "rows.csv", option, name)[2]
    both = bulk("run", "rows.csv", "--errors", "same.csv", "--results", "same.csv")
    assert (both[0], "--results would overwrite the file of --errors" in both[2]) == (2, True)


@pytest.mark.parametrize(("operation", "delimiter"), [("update", ";"), ("update", "^"), ("create", "~")])
def test_operation_and_delimiter_need_not_be_repeated(
    served: Emulator, bulk: Any, file: Path, operation: str, delimiter: str
) -> None:
    """plan, status, unknown and retry know them from the journal and from the first line."""
    bulk("run", "rows.csv", "--journal", "other")
    column, values = ("target", "123") if operation == "update" else ("lead_id", "456")
    rows = "".join(f"{value},t{value},On Hold\n" for value in values)
    file.write_text(f"{column},title,status\n{rows}".replace(",", delimiter))
    served.faults.add(Status(400))
    assert bulk("run", "rows.csv", "--operation", operation, "--delimiter", delimiter)[0] == 1
    assert "0 calls" in bulk("plan", "rows.csv")[2]
    assert bulk("status", "rows.csv")[1][0] == {"pending": 0, "in_flight": 0, "done": 2, "failed": 1, "unknown": 0}
    assert bulk("unknown", "rows.csv")[2].endswith("no unknown rows and no possible duplicates\n")
    code, results, _ = bulk("retry", "rows.csv")
    assert (code, sorted(states(results).values())) == (0, sorted([f"{operation}d", "skipped", "skipped"]))
