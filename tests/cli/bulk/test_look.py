"""`bulk run --on-unknown look` and `bulk look`: unknown rows are found, or sent again if they were not applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli.bulk.conftest import states

from lsq_service_async.bulk import resolve
from lsq_service_async.emulator import AnswerLost, DropConnection, Emulator, Serve

LEAD = "8c1f0f4e-3d0b-4f53-9c1b-6a0d5b7e2a01"


@pytest.fixture
def many(file: Path) -> Path:
    """A file of twenty rows."""
    file.write_text("key,title,lead_id\n" + "".join(f"k{n},Device {n},{LEAD}\n" for n in range(20)))
    return file


def add_faults(emulator: Emulator) -> None:
    plain = Serve(method="POST")
    emulator.faults.add(
        *[plain] * 4, AnswerLost(method="POST"), *[plain] * 4, DropConnection("after_body", method="POST")
    )


def test_a_run_looks_up_its_unknown_rows(served: Emulator, many: Path, bulk: Any) -> None:
    """All rows are created once, each with its reference in the marker field."""
    add_faults(served)
    code, lines, _ = bulk(
        "run", "rows.csv", "--on-unknown", "look", "--quiet", "0.3", "--fence", "--marker", "CustomData.Ref"
    )
    assert (code, set(states(lines).values())) == (0, {"created"})
    assert sorted(t.fields["Title"] for t in served.tickets.values()) == sorted(f"Device {n}" for n in range(20))
    assert len({ticket.fields["CustomData.Ref"] for ticket in served.tickets.values()}) == 20


@pytest.mark.parametrize("option", [["--fence"], ["--quiet", "60"], ["--max-reads", "200"]])
def test_options_of_look_ups_need_look(served: Emulator, many: Path, bulk: Any, option: list[str]) -> None:
    """They would have no effect."""
    code, _, errors = bulk("run", "rows.csv", *option)
    assert (code, f"{option[0]} needs --on-unknown look" in errors, len(served.calls)) == (2, True, 0)


def test_unknown_rows_are_looked_up_later(served: Emulator, many: Path, bulk: Any) -> None:
    """The list has the numbers in question and the page of the lead. `look` decides, and `run` sends absent rows."""
    add_faults(served)
    assert bulk("run", "rows.csv")[0] == 1
    code, listed, _ = bulk("unknown", "rows.csv")
    assert [line["state"] for line in listed] == ["unknown"] * 2
    for line in listed:
        assert line["above"] is None or line["above"] < 21
        assert (line["below"], line["sent_at"][:2], line["sent_at"][-6:]) == (None, "20", "+00:00")
        assert line["lead_tickets"] == f"https://app.service-in.leadsquared.com/services/ticket-list?LeadId={LEAD}"
    code, lines, _ = bulk("look", "rows.csv")
    assert (code, set(states(lines).values())) == (1, {"unknown"})
    assert "it may still be applied; look it up no earlier than 60 s after it ended" in lines[0]["error"]
    many.write_text(many.read_text() + f"k20,Device 20,{LEAD}\n")
    assert bulk("run", "rows.csv")[0] == 1
    code, lines, _ = bulk("look", "rows.csv", "--quiet", "0")
    assert (code, sorted(states(lines).values())) == (1, ["created", "failed"])
    assert next(line["error"] for line in lines if line["state"] == "failed").endswith("The next run sends it.")
    assert bulk("run", "rows.csv")[0] == 0
    assert len(served.tickets) == 21


def test_the_list_has_the_page_of_the_own_region_and_no_page_without_a_lead(
    served: Emulator, file: Path, bulk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host of the web application follows the host of the API. A row of a resolved journal has no range."""
    served.faults.add(AnswerLost(method="POST", times=3))
    bulk("run", "rows.csv")
    resolve(file.with_name("rows.csv.journal"), applied={"a": "7"})
    monkeypatch.setattr("lsq_service_async.cli.bulk.output.account_in", lambda path: "https://apigw.x.test, org 1")
    file.write_text("key,title,lead_phone,lead_id\nb,two,+91 2,\nc,three,+91 3,a b\n")
    pages = [line["lead_tickets"] for line in bulk("unknown", "rows.csv")[1]]
    assert pages == [None, "https://app.x.test/services/ticket-list?LeadId=a%20b"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["look", "rows.csv", "--operation", "update"], "look finds only created tickets"),
        (["look", "rows.csv"], "no journal at"),
        (["run", "rows.csv", "--dry-run", "--first", "2"], "leave out --first"),
        (["run", "rows.csv", "--on-unknown", "look", "--marker", "a b"], "marker_field must be the schema name"),
    ],
)
def test_a_look_up_that_is_not_possible_is_a_usage_error(served: Emulator, bulk: Any, options: Any, words: str) -> None:
    """Nothing is sent, and the exit code is 2."""
    code, _, errors = bulk(*options)
    assert (code, words in errors, len(served.calls)) == (2, True, 0)


def test_the_plan_of_a_dry_run_has_the_reads(served: Emulator, many: Path, bulk: Any) -> None:
    """A dry run takes the same options as the run, and sends nothing."""
    add_faults(served)
    bulk("run", "rows.csv")
    _, _, errors = bulk("run", "rows.csv", "--dry-run", "--on-unknown", "look", "--max-reads", "50")
    assert "52 calls" in errors
