"""What a run would cost, and which rows would fail: nothing is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lsq_service_async.emulator import AnswerLost, Emulator, Status

from .conftest import states

README = Path(__file__).parents[3] / "README.md"


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


def test_a_dry_run_with_wrong_keys_ends_with_4(served: Emulator, bulk: Any) -> None:
    """However right the rows are."""
    served.faults.add(Status(401, times=9))
    code, results, err = bulk("run", "rows.csv", "--dry-run")
    assert (code, results) == (4, [])
    assert "Error: the service answered 401" in err


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
