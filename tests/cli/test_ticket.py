"""One ticket at a time from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lsq_service_async.__main__ import main
from lsq_service_async.emulator import Emulator, Status


def answered(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    assert main(["ticket", *argv]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_ticket_is_created_shown_and_changed(
    served: Emulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Fields by option, other fields by schema name, files by path; answers are JSON with Python names."""
    (tmp_path / "note.txt").write_text("hello")
    lead = ["--lead-email", "a@example.com", "--field", "CustomData.X=1=2", "--attach", str(tmp_path / "note.txt")]
    due = ["--due-date", "2026-01-31T09:00:00+05:30"]
    number = answered(capsys, "create", "--title", "Router", "--tags", "x", *lead, *due)["number"]
    assert [file.name for file in served.tickets[number].files] == ["note.txt"]
    answered(capsys, "update", number, "--status", "On Hold", "--clear", "tags")
    shown = answered(capsys, "get", number)
    assert (shown["title"], shown["status"], shown["tags"]) == ("Router", "On Hold", None)
    assert shown["fields"]["CustomData.X"] == "1=2"
    assert shown["due_date"] == "2026-01-31T03:30:00+00:00"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        pytest.param(["create", "--field", "X"], "--field takes NAME=VALUE", id="no value"),
        pytest.param(["create", "--title", "a", "--field", "Title=b"], "field Title: the same field as title", id="2"),
        pytest.param(["create", "--due-date", "soon"], "field due_date: 'soon' is no date", id="date"),
        pytest.param(["create", "--title", "x"], "a ticket needs its lead", id="no lead"),
        pytest.param(["get", "../x"], "number, such as '143', or GUID", id="no number"),
        pytest.param(["get", "#034"], "leave out the #", id="a key"),
        pytest.param(
            ["update", "1", "--status", "Open", "--clear", "status"], "both set and cleared", id="set and cleared"
        ),
        pytest.param(["update", "1", "--clear", "attachments"], "field attachments: no such field", id="no field"),
    ],
)
def test_what_cannot_be_right_ends_with_2(
    served: Emulator, capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    """And costs no call."""
    assert main(["ticket", *argv]) == 2
    out, err = capsys.readouterr()
    assert (out, len(served.calls)) == ("", 0)
    assert words in err


@pytest.mark.parametrize(("status", "code"), [(401, 4), (403, 4), (400, 1)])
def test_a_refusal_is_one_line_and_an_exit_code(
    served: Emulator, capsys: pytest.CaptureFixture[str], status: int, code: int
) -> None:
    """4 where the keys will not do, else 1."""
    served.faults.add(Status(status))
    assert main(["ticket", "get", "1"]) == code
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith(f"Error: the service answered {status}")


def test_without_settings_it_names_them(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """No key is ever an argument."""
    for name in ("LSQ_ACCESS_KEY", "LSQ_SECRET_KEY", "LSQ_ORG_ID"):
        monkeypatch.delenv(name, raising=False)
    assert main(["ticket", "get", "1"]) == 2
    assert "LSQ_ACCESS_KEY, LSQ_SECRET_KEY, LSQ_ORG_ID" in capsys.readouterr().err
