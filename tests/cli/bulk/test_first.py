"""`run --first N` sends a few rows, compares their tickets, and asks before it sends the others."""

from __future__ import annotations

import io
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
    ("typed", "code", "sent"),
    [("n\n", 75, 2), ("", 75, 2), ("Yes\n", 0, 5)],
    ids=["no", "end of input", "yes"],
)
def test_the_others_are_sent_if_the_user_wants_it(
    served: Emulator, bulk: Any, rows: Path, monkeypatch: Any, typed: str, code: int, sent: int
) -> None:
    """Each row has one result, and the same command without --first sends the other rows."""
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    found, results, err = bulk("run", "rows.csv", "--first", "2")
    assert (found, len(results), len(served.tickets)) == (code, sent, sent)
    assert "Send the other 3 rows?" in err
    assert err.count("all fields are as sent") == 2
    assert bulk("run", "rows.csv")[0] == 0
    assert sorted(ticket.fields["Title"] for ticket in served.tickets.values()) == ["t1", "t2", "t3", "t4", "t5"]


@pytest.mark.parametrize("stdin", [io.StringIO("yes\n"), None], ids=["pipe", "closed"])
def test_without_a_terminal_the_answer_is_an_option(
    served: Emulator, bulk: Any, rows: Path, monkeypatch: Any, stdin: Any
) -> None:
    """Without --yes, the command is wrong, and nothing is sent or written: no later run could ask either."""
    monkeypatch.setattr("sys.stdin", stdin)
    code, results, err = bulk("run", "rows.csv", "--first", "2", "--errors", "bad.csv")
    assert (code, results, len(served.calls)) == (2, [], 0)
    assert "--first asks before it sends the other rows, and stdin is not a terminal. Add --yes" in err
    assert sorted(path.name for path in rows.parent.iterdir()) == ["rows.csv"]
    code, results, err = bulk("run", "rows.csv", "--first", "2", "--yes")
    assert (code, len(results), err.count("all fields are as sent"), "[y/N]" in err) == (0, 5, 2, False)
    assert "--yes needs --first N" in bulk("run", "rows.csv", "--yes")[2]


def test_all_calls_share_the_rate_limit(served: Emulator, bulk: Any, rows: Path, monkeypatch: Any) -> None:
    """The reads of the first tickets wait for the slots of their rows, and the other rows for those of the reads."""
    monkeypatch.setenv("LSQ_RATE_LIMIT", "5/0.5")
    rows.write_text(HEAD + ROWS + "6,t6,+91 6,Open,1,\n")
    assert bulk("run", "rows.csv", "--first", "5", "--yes")[0] == 0
    times = [call.time for call in served.calls]
    assert len(times) == 11
    assert all(after - before > 0.5 for before, after in zip(times, times[5:], strict=False))


def test_fields_that_the_service_changed_are_printed(served: Emulator, bulk: Any, rows: Path, monkeypatch: Any) -> None:
    """The line names the row, the ticket, the field, and both values; a ticket that cannot be read is named too."""
    create = TicketStore.create

    def rewrite(store: TicketStore, lead: Any, fields: Any, *rest: Any, **more: Any) -> Any:
        return create(store, lead, {**fields, "Status": "Assigned", "CustomData.X": None}, *rest, **more)

    monkeypatch.setattr(TicketStore, "create", rewrite)
    served.faults.add(Status(404, method="GET"))
    code, _, err = bulk("run", "rows.csv", "--first", "2", "--yes")
    assert code == 0
    lines = [line for line in err.splitlines() if line.startswith("row ")]
    assert "cannot be read: the service answered 404" in lines[0]
    assert [line.partition(": ")[2] for line in lines[1:]] == [
        "status was sent as 'Open' and is 'Assigned'",
        "CustomData.X was sent as '1' and is None",
    ]


def test_a_run_that_fails_or_ends_early_asks_nothing(served: Emulator, bulk: Any, rows: Path, monkeypatch: Any) -> None:
    """If the first rows are all rows, or the keys are wrong, the exit code is that of the run, without a question."""
    monkeypatch.setattr("sys.stdin", Terminal())
    assert bulk("run", "rows.csv", "--first", "9", "--journal", "a")[0] == 0
    served.faults.add(Status(401, times=4))
    code, _, err = bulk("run", "rows.csv", "--first", "2", "--journal", "b")
    assert (code, "[y/N]" in err) == (4, False)
    served.faults.clear()
    rows.write_text(HEAD + "bad,,,,,soon\n" + ROWS)
    code, results, err = bulk("run", "rows.csv", "--first", "3", "--journal", "c")
    assert (code, set(states(results).values()), "Send the other 3 rows?" in err) == (75, {"failed", "created"}, True)
