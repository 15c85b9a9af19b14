"""`run --first N` sends a few rows, compares their tickets, and asks before it sends the others."""

from __future__ import annotations

import io
import signal
from pathlib import Path
from typing import Any

import pytest

from lsq_service_async.emulator import Emulator, Status, TicketStore
from lsq_service_async.limits import LocalLimiter

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
        pytest.param(io.StringIO("yes\n"), 75, 2, "Not sent: 3 rows. To send the rest, run", id="no terminal"),
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


def test_ctrl_c_ends_the_question(served: Emulator, bulk: Any, rows: Path, monkeypatch: Any) -> None:
    """The first Ctrl-C interrupts the read of the answer, although the event loop waits for it."""

    class Impatient(Terminal):
        is_interrupted = True

        def readline(self, size: int = -1, /) -> str:
            signal.raise_signal(signal.SIGINT)
            self.is_interrupted = False
            return "y\n"

    terminal = Impatient()
    monkeypatch.setattr("sys.stdin", terminal)
    assert bulk("run", "rows.csv", "--first", "2")[0] == 130
    assert (terminal.is_interrupted, len(served.tickets)) == (True, 2)


def test_a_signal_while_the_first_client_closes_ends_the_run(
    served: Emulator, bulk: Any, rows: Path, monkeypatch: Any
) -> None:
    """The exit code is that of the signal, and no question is asked."""

    async def interrupted(limiter: LocalLimiter) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    monkeypatch.setattr(LocalLimiter, "aclose", interrupted)
    code, results, err = bulk("run", "rows.csv", "--first", "2")
    assert (code, len(results), len(served.tickets), "[y/N]" in err) == (75, 2, 2, False)


def test_all_calls_share_the_rate_limit(served: Emulator, bulk: Any, rows: Path, monkeypatch: Any) -> None:
    """The reads of the first tickets wait for the slots of their rows, and the other rows for those of the reads."""
    monkeypatch.setenv("LSQ_RATE_LIMIT", "5/0.5")
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    rows.write_text(HEAD + ROWS + "6,t6,+91 6,Open,1,\n")
    assert bulk("run", "rows.csv", "--first", "5")[0] == 0
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
    code, _, err = bulk("run", "rows.csv", "--first", "2")
    assert code == 75
    lines = [line for line in err.splitlines() if line.startswith("row ")]
    assert "cannot be read: the service answered 404" in lines[0]
    assert [line.partition(": ")[2] for line in lines[1:]] == [
        "status was sent as 'Open' and is 'Assigned'",
        "CustomData.X was sent as '1' and is None",
    ]


def test_a_run_that_fails_or_ends_early_asks_nothing(served: Emulator, bulk: Any, rows: Path, monkeypatch: Any) -> None:
    """If the first rows are all rows, or the keys are wrong, the exit code is that of the run, without a question."""
    monkeypatch.setattr("sys.stdin", Terminal(""))
    assert bulk("run", "rows.csv", "--first", "9", "--journal", "a")[0] == 0
    served.faults.add(Status(401, times=4))
    code, _, err = bulk("run", "rows.csv", "--first", "2", "--journal", "b")
    assert (code, "[y/N]" in err) == (4, False)
    served.faults.clear()
    rows.write_text(HEAD + "bad,,,,,soon\n" + ROWS)
    code, results, err = bulk("run", "rows.csv", "--first", "3", "--journal", "c")
    assert (code, set(states(results).values()), "Send the other 3 rows?" in err) == (75, {"failed", "created"}, True)
