"""`plan` and `--dry-run`: the cost of a run and the rows that would fail, without sending anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lsq_service_async.emulator import AnswerLost, BadJson, Emulator, Status

from .conftest import states


def test_a_dry_run_names_every_problem(served: Emulator, bulk: Any, file: Path) -> None:
    """Rows are checked against the account's metadata and written to the report; no ticket and no journal is made."""
    file.write_text("key,title,lead_email,status,attachments\na,x,a@b.c,Open,\nb,x,,,no.txt\nc,x\n")
    code, results, err = bulk("run", "rows.csv", "--dry-run", "--errors", "bad.csv")
    assert (code, states(results)) == (1, {"b": "failed", "c": "failed"})
    assert "line 3: the lead is missing" in results[0]["error"]
    assert "Status is mandatory" in results[0]["error"]
    assert "column attachments: " in results[0]["error"]
    assert "2 calls, at least" in err
    assert "2 of 3 rows would fail" in err
    assert "Correct the rows" not in err
    assert len(Path("bad.csv").read_text().splitlines()) == 3
    assert (len(served.tickets), Path("rows.csv.journal").exists()) == (0, False)


def test_a_dry_run_reports_rows_that_changed_since_they_were_sent(served: Emulator, bulk: Any, file: Path) -> None:
    """A dry run reports an edited row and a row without its earlier key, as the run does with their ticket numbers."""
    rows = "key,title,lead_phone,status\na,one,+91 1,Open\nb,two,+91 2,Open\nc,three,+91 3,Open\n"
    file.write_text(rows)
    bulk("run", "rows.csv")
    numbers = {ticket.fields["Title"]: number for number, ticket in served.tickets.items()}
    file.write_text(rows.replace(",one,", ",other,").replace("b,", ","))
    code, dry, err = bulk("run", "rows.csv", "--dry-run")
    assert (code, "2 of 3 rows would fail" in err, [row["line"] for row in dry]) == (1, True, [2, 3])
    assert "bulk retry" not in bulk("run", "rows.csv")[2]  # it would not send them
    code, results, _ = bulk("run", "rows.csv", "--errors", "bad.csv")
    assert (code, states(results)) == (1, {"a": "failed", "b": "failed", "c": "skipped"})
    for told, result, title in zip(dry, results, ["one", "two"], strict=False):
        assert result["number"] == numbers[title]
        assert f"was created as ticket {numbers[title]}" in result["error"]
        assert result["error"] in told["error"]
    code, results, _ = bulk("retry", "bad.csv", "--journal", "rows.csv.journal")
    assert (states(results), len(served.tickets)) == ({"a": "failed", "b": "skipped"}, 3)


def test_a_dry_run_does_not_validate_rows_that_are_done(served: Emulator, bulk: Any) -> None:
    """A run skips them, so a rule that the account has added since does not matter."""
    assert bulk("run", "rows.csv")[0] == 0
    rule = {"SchemaName": "CustomData.New", "ValidationProperties": {"IsMandatory": True}}
    served.faults.add(BadJson(json.dumps({"TicketsFields": [rule], "Total": 1}), path="/fields/filter"))
    code, results, err = bulk("run", "rows.csv", "--dry-run")
    assert (code, results) == (0, [])
    assert "0 of 3 rows would fail" in err


def test_a_dry_run_counts_the_calls_of_the_real_run(served: Emulator, bulk: Any) -> None:
    """Unknown rows are counted only if they are to be sent again."""
    served.faults.add(AnswerLost())
    bulk("run", "rows.csv")
    assert "0 calls, " in bulk("run", "rows.csv", "--dry-run")[2]
    assert "1 call, " in bulk("run", "rows.csv", "--dry-run", "--on-unknown", "resend")[2]
    assert bulk("plan", "rows.csv")[2].startswith("0 calls, ")


@pytest.mark.parametrize(
    ("operation", "content", "failed"),
    [
        ("create", "title,lead_id,LeadDetail.Phone\nx,45b5,\nx,,1\ny,,\n", 1),
        ("update", "target,title,lead_id,LeadDetail.Phone\n1,x,45b5,\n1,x,,1\n", 0),
    ],
)
def test_a_dry_run_without_metadata_checks_the_lead(
    served: Emulator, bulk: Any, file: Path, operation: str, content: str, failed: int
) -> None:
    """If the keys may not read metadata, a message on stderr explains that only the lead is checked."""
    served.faults.add(Status(403))
    file.write_text(content)
    code, results, err = bulk("run", "rows.csv", "--dry-run", "--operation", operation)
    assert "without the account's field metadata" in err
    assert (code, len(results)) == (failed, failed)


def test_a_dry_run_with_rejected_keys_exits_with_4(served: Emulator, bulk: Any) -> None:
    """Every row would fail, so no row is checked."""
    served.faults.add(Status(401, times=9))
    code, results, err = bulk("run", "rows.csv", "--dry-run")
    assert (code, results) == (4, [])
    assert "Error: the service answered 401" in err


def test_a_plan_counts_calls_time_and_done_rows(served: Emulator, bulk: Any) -> None:
    """`plan` prints the calls, the time and the finished rows, and sends nothing."""
    code, results, err = bulk("plan", "rows.csv")
    assert (code, results, err) == (0, [], "3 calls, at least 0 s at the rate limit; 0 rows are done\n")
    bulk("run", "rows.csv")
    assert "0 calls, at least 0 s at the rate limit; 3 rows are done" in bulk("plan", "rows.csv")[2]
    assert len(served.calls) == 3


@pytest.mark.parametrize("command", [["plan"], ["run", "--dry-run"]], ids=" ".join)
def test_only_the_rows_of_the_input_are_counted(served: Emulator, bulk: Any, file: Path, command: list[str]) -> None:
    """The journal may have rows that this input does not have."""
    file.write_text("".join(["key,title,lead_id\n", *(f"{key},x,45b5\n" for key in "abcd")]))
    bulk("run", "rows.csv")
    file.write_text("key,title,lead_id\na,x,45b5\ne,x,45b5\nf,x,45b5\n")
    name, *options = command
    assert "2 calls, at least 0 s at the rate limit; 1 row is done" in bulk(name, "rows.csv", *options)[2]


def test_invalid_rows_cost_no_call(served: Emulator, bulk: Any, file: Path) -> None:
    """Neither `plan` nor `--dry-run` counts invalid rows as calls."""
    file.write_text("key,title,lead_email\na,x,a@b.c\nb,x,a@b.c,one too many\nc,x,a@b.c\n")
    err = bulk("plan", "rows.csv")[2]
    assert err.startswith("2 calls, at least")
    assert "not counted: 1" in err
    assert "2 calls, at least" in bulk("run", "rows.csv", "--dry-run")[2]


def test_a_dry_run_counts_equal_problems(served: Emulator, bulk: Any, file: Path) -> None:
    """Each problem is printed once, with the number of its rows and the first line; rare ones are only counted."""
    rows = "".join(f"t{number},+91 {number},\n" for number in range(30))
    file.write_text(f"title,lead_phone,due_date\n{rows}x,+91 1,soon\n" + "".join(f"x,+91 2,{n}\n" for n in range(30)))
    code, results, err = bulk("run", "rows.csv", "--dry-run")
    assert (code, len(results)) == (1, 61)
    lines = err.splitlines()
    assert lines[0].startswith("30 rows: ")
    assert "Status" in lines[0]
    assert lines[0].endswith("(first: line 2)")
    assert lines[1].startswith("1 row: ")
    assert lines[20] == "12 more problems; stdout has all problems of each row"
