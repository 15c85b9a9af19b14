"""The commands `ticket`, `lead`, `fields` and `sub-types`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lsq_service_async.emulator import Emulator, Status


def test_a_ticket_is_created_shown_and_changed(served: Emulator, cli: Any, tmp_path: Path) -> None:
    """Fields are options, other fields have schema names, and results are JSON with Python names."""

    def printed(*argv: str) -> Any:
        code, out, _ = cli("ticket", *argv)
        assert code == 0
        return json.loads(out)

    (tmp_path / "note.txt").write_text("hello")
    lead = ["--lead-email", "a@example.com", "--field", "CustomData.X=1=2", "--attach", str(tmp_path / "note.txt")]
    due = ["--due-date", "2026-01-31T09:00:00+05:30"]
    number = printed("create", "--title", "Router", "--tags", "x", *lead, *due)["number"]
    assert [file.name for file in served.tickets[number].files] == ["note.txt"]
    printed("update", number, "--status", "On Hold", "--clear", "tags")
    shown = printed("get", number)
    assert (shown["title"], shown["status"], shown["tags"]) == ("Router", "On Hold", None)
    assert shown["fields"]["CustomData.X"] == "1=2"
    assert shown["due_date"] == "2026-01-31T03:30:00+00:00"


@pytest.mark.parametrize("options", [["--time-zone", "Asia/Kolkata"], []], ids=["option", "environment"])
def test_a_date_without_a_zone_is_in_the_given_one(
    served: Emulator, cli: Any, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """The zone is that of --time-zone, or of LSQ_TIME_ZONE, for a new ticket and for a change."""
    monkeypatch.setenv("LSQ_TIME_ZONE", "UTC" if options else "Asia/Kolkata")
    assert cli("ticket", "create", "--lead-id", "45b5", "--due-date", "2026-01-31T09:00:00", *options)[0] == 0
    assert served.tickets["1"].fields["DueDate"] == "2026-01-31T03:30:00"
    assert cli("ticket", "update", "1", "--due-date", "2026-02-01", *options)[0] == 0
    assert served.tickets["1"].fields["DueDate"] == "2026-01-31T18:30:00"


def test_notes_and_messages_are_added_and_tickets_are_trashed(served: Emulator, cli: Any) -> None:
    """Each command makes one call and prints its result; the exit code of `trash` is 1 if a ticket was not trashed."""
    assert cli("ticket", "create", "--lead-id", "45b5")[0] == 0
    for command in (["note", "1", "called back"], ["portal", "1", "still broken", "--direction", "INBOUND"]):
        code, out, _ = cli("ticket", *command)
        assert (code, json.loads(out)["possible_duplicate"]) == (0, False)
    code, out, _ = cli("ticket", "conversations", "1", "--type", "PortalInbound")
    assert (code, ["still broken" in json.dumps(one) for one in json.loads(out)]) == (0, [True])
    assert json.loads(cli("ticket", "conversations", "1")[1]) == json.loads(out)
    code, out, _ = cli("ticket", "trash", "1", "77")
    assert (code, json.loads(out)["successful"], json.loads(out)["failed"]) == (1, ["1"], ["77"])


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        pytest.param(["create", "--field", "X"], "--field expects NAME=VALUE", id="no value"),
        pytest.param(["create", "--title", "a", "--field", "Title=b"], "field Title: same field as title", id="twice"),
        pytest.param(["create", "--due-date", "soon"], "field due_date: 'soon' is not a date", id="date"),
        pytest.param(["create", "--due-date", "2026-01-31"], "has no time zone; write it like", id="no zone"),
        pytest.param(["create", "--time-zone", "Mars"], "Invalid value for '--time-zone'", id="zone"),
        pytest.param(["create", "--title", "x"], "lead_id, lead_email or lead_phone", id="no lead"),
        pytest.param(["get", "../x"], "../x", id="path as number"),
        pytest.param(["get", "#x"], "#x", id="not a key"),
        pytest.param(["update", "1", "--status", "Open", "--clear", "status"], "is both set and cleared", id="cleared"),
        pytest.param(["update", "1", "--clear", "attachments"], "field attachments: no such field", id="no field"),
    ],
)
def test_wrong_arguments_exit_with_2(served: Emulator, cli: Any, argv: list[str], words: str) -> None:
    """Nothing is sent, and the reason is on stderr."""
    code, out, err = cli("ticket", *argv)
    assert (code, out, len(served.calls)) == (2, "", 0)
    assert words in err


@pytest.mark.parametrize(("status", "code"), [(401, 4), (403, 4), (400, 1)])
def test_an_error_of_the_service_is_one_line(served: Emulator, cli: Any, status: int, code: int) -> None:
    """The exit code is 4 for rejected keys and 1 for other errors."""
    served.faults.add(Status(status))
    found, out, err = cli("ticket", "get", "1")
    assert (found, out, len(err.splitlines())) == (code, "", 1)
    assert err.startswith(f"Error: the service answered {status}")


def test_missing_settings_are_named(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names every missing variable."""
    for name in ("LSQ_ACCESS_KEY", "LSQ_SECRET_KEY", "LSQ_ORG_ID"):
        monkeypatch.delenv(name, raising=False)
    code, _, err = cli("ticket", "get", "1")
    assert (code, "LSQ_ACCESS_KEY, LSQ_SECRET_KEY, LSQ_ORG_ID" in err) == (2, True)


@pytest.mark.parametrize("given", ["wim@example.com", "+91-5550100001"])
def test_a_lead_is_found_by_email_or_phone(served: Emulator, cli: Any, given: str) -> None:
    """Text with an @ is an e-mail address, other text is a phone number."""
    code, out, _ = cli("lead", "find", given)
    assert (code, json.loads(out)["email"]) == (0, "wim@example.com")


def test_a_lead_that_does_not_exist_is_an_error(served: Emulator, cli: Any) -> None:
    """The exit code is 1, and the message names the address."""
    assert cli("lead", "find", "nobody@example.com") == (
        1,
        "",
        "Error: no lead has the e-mail address or phone number 'nobody@example.com'\n",
    )
    assert cli("lead", "find", "not a phone")[0] == 2


def test_fields_and_sub_types_are_lists(served: Emulator, cli: Any) -> None:
    """A search returns the fields that match it."""
    names = [field["schema_name"] for field in json.loads(cli("fields")[1])]
    assert len(names) > 1
    found = [field["schema_name"] for field in json.loads(cli("fields", "--search", "Status")[1])]
    assert (0 < len(found) < len(names), "Status" in found) == (True, True)
    assert json.loads(cli("sub-types")[1])[0]
