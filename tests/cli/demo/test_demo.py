"""The rows of the demo, and the calls that it makes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from lsq_service_async import Attachment, BulkRow, InvalidRequestError, NewTicket, OutcomeUnknownError, TicketReceipt
from lsq_service_async.cli.demo.demo import FAULTS, FILES, MARKER, demo_emulator, remarks
from lsq_service_async.emulator import AnswerLost, RateLimited, Serve, Status
from lsq_service_async.records import Attempt, Outcome

from .conftest import RATE

KINDS = ("demo-", "Interrupted", "Read", "Updated")
FAILED = "failed with {}; sent again"
RATE_LIMITED = "rate limited (429); all calls paused, then this call was sent again"


def lines(paper: Any) -> list[str]:
    return [line for line in paper.file.getvalue().splitlines() if not line.startswith("tickets: ")]


def test_there_are_sixty_different_and_complete_rows(rows: list[BulkRow]) -> None:
    """Every row has its own key and title, no empty field, a reserved address, and its key in the ticket."""
    tickets: list[Any] = [row.ticket for row in rows]
    assert 60 == len({row.key for row in rows}) == len({ticket.title for ticket in tickets})
    assert [row.key for row in rows] == [ticket.fields[MARKER] for ticket in tickets]
    names = ("title", "description", "type", "status", "priority", "channel", "lead_email")
    assert all(getattr(ticket, name) for ticket in tickets for name in names)
    assert all(re.fullmatch(r"[a-z0-9.]+@example\.com", ticket.lead_email) for ticket in tickets)


def test_the_texts_are_not_only_ascii(rows: list[BulkRow]) -> None:
    """The descriptions contain several scripts, so that a wrong encoding would be noticed."""
    assert {"₹", "ü", "“", "श"} <= set("".join(str(row.ticket.description) for row in rows))


def test_one_attachment_is_on_disk_and_one_in_memory(rows: list[BulkRow], tmp_path: Path) -> None:
    """The file on disk has several hundred kilobytes."""
    attached = {row.key: row.attachments for row in rows if row.attachments}
    [[path], [memory]] = attached.values()
    assert list(attached) == list(FILES)
    assert isinstance(path, Path)
    assert isinstance(memory, Attachment)
    assert path.parent == tmp_path
    assert 300_000 < path.stat().st_size < 500_000


def test_the_emulator_is_as_strict_as_the_service() -> None:
    """The emulator has the documented limit and injects three faults; the 429 is late, because it lowers the rate."""
    emulator = demo_emulator(RATE)
    assert (emulator.window.calls, emulator.window.per) == (RATE.calls, RATE.per)
    [at] = [number for number, fault in enumerate(FAULTS) if isinstance(fault, RateLimited)]
    assert 50 <= sum(fault.times for fault in FAULTS[:at]) < 60


async def test_every_row_becomes_a_ticket(quick: Any, rows: Any, played: Any) -> None:
    """Every row has a receipt, the run is interrupted and continued, and the first ticket is read and updated."""
    emulator = quick()
    result = await played(emulator, rows)
    assert ({row.key for row in rows}, {}) == (set(result.receipts), result.errors)
    assert rows[0].ticket.title == result.read.title
    assert emulator.tickets[result.updated.number].fields["Status"] == "On Hold"
    assert len(emulator.calls) == 62
    assert 20 <= result.interrupted.total < 60
    assert (result.resumed.skipped, result.resumed.created) == (result.interrupted.total, 60 - result.interrupted.total)


async def test_unusual_calls_are_reported(quick: Any, rows: Any, played: Any, paper: Any) -> None:
    """A message is printed for each failed attempt, the interruption, the read and the update."""
    await played(quick(Status(500), Serve(), RateLimited(retry_after=0)), rows)
    reported = [line for line in lines(paper) if line.startswith(KINDS)]
    first, second, interrupted, read, updated = sorted(reported, key=_order)
    assert {first.partition(": ")[2], second.partition(": ")[2]} == {FAILED.format(500), RATE_LIMITED}
    assert re.fullmatch(r"Interrupted after \d+ rows. A new run continues with the same journal.", interrupted)
    assert re.fullmatch(r'Read ticket #\d{3}: "Router restarts every evening", Open.', read)
    assert updated.endswith(": On Hold.")


def _order(line: str) -> int:
    """A fault may happen before or after the interruption."""
    return [line.startswith(kind) for kind in KINDS].index(True)


async def test_the_error_of_one_row_stops_no_other_row(quick: Any, rows: Any, played: Any, paper: Any) -> None:
    """An error is recorded under the key of its row and printed, and all other rows are sent."""
    emulator = quick(AnswerLost())
    result = await played(emulator, rows)
    ((key, error),) = result.errors.items()
    assert isinstance(error, OutcomeUnknownError)
    assert {row.key for row in rows} - {key} == set(result.receipts)
    assert lines(paper)[0].startswith(f"{key}: ")
    assert "tickets: 60 of 60" in paper.file.getvalue()
    assert len(emulator.tickets) == 60


async def test_without_the_first_ticket_nothing_is_read(quick: Any, rows: Any, played: Any) -> None:
    """The demo still ends, without a read and an update."""
    without_lead = attrs.evolve(rows[0], ticket=NewTicket(title="no lead"))
    result = await played(quick(), [without_lead, *rows[1:]])
    assert isinstance(result.errors["demo-01"], InvalidRequestError)
    assert (result.read, result.updated) == (None, None)


@pytest.mark.parametrize(("method", "name"), [("GET", "read"), ("PUT", "update")])
async def test_a_failed_read_or_update_is_recorded(quick: Any, played: Any, method: str, name: str) -> None:
    """The error is recorded under its own name, and a ticket that could not be read is not updated."""
    result = await played(quick(Status(400, method=method)))
    assert {name} == set(result.errors)
    assert result.updated is None


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        pytest.param([(200, 0.2)], [], id="normal"),
        pytest.param([(200, 2.04)], ["answered after 2.0 s; other calls continued meanwhile"], id="slow"),
        pytest.param([(None, 0.1), (200, 0.1)], [FAILED.format("no connection")], id="not connected"),
        pytest.param([(503, 3.0), (429, 3.0), (200, 0.1)], [FAILED.format(503), RATE_LIMITED], id="twice"),
    ],
)
def test_each_unusual_attempt_has_a_remark(attempts: list[tuple[int | None, float]], expected: list[str]) -> None:
    """A fast and successful attempt has none."""
    made = tuple(
        Attempt(number=number, outcome=Outcome.APPLIED, status=status, seconds=seconds)
        for number, (status, seconds) in enumerate(attempts, 1)
    )
    assert expected == remarks(TicketReceipt(number="1", attempts=made))
