"""The run of the demo, on a real socket and a generous limit."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest

from lsq_service_async import InvalidRequestError, NewTicket, OutcomeUnknownError, TicketReceipt
from lsq_service_async.cli.demo.run import remarks, run_demo
from lsq_service_async.emulator import AnswerLost, RateLimited, Serve, Status
from lsq_service_async.records import Attempt, Outcome

from .conftest import RATE


async def test_every_row_becomes_a_ticket_and_one_is_updated(quick: Any, rows: Any, notes: Any) -> None:
    """All have a receipt, the first is read back and put on hold, and every row was a step."""
    emulator = quick()
    run = await run_demo(emulator, rows, RATE, notes)
    assert ({row.key for row in rows}, {}) == (set(run.receipts), run.errors)
    assert rows[0].ticket.title == run.read.title
    assert emulator.tickets[run.updated.number].fields["Status"] == "On Hold"
    assert (notes.steps, len(emulator.calls)) == (60, 62)


async def test_it_says_what_did_not_go_as_usual(quick: Any, rows: Any, notes: Any) -> None:
    """A remark for each call that was answered badly, then for the read and the update."""
    emulator = quick(Status(500), Serve(), RateLimited(retry_after=0))
    await run_demo(emulator, rows, RATE, notes)
    first, second, interrupted, read, updated = sorted(notes.said, key=_place)
    assert {"failed with 500, and was sent again", "refused with 429; all calls paused, then it was sent again"} == {
        first.partition(": ")[2],
        second.partition(": ")[2],
    }
    assert re.fullmatch(r"interrupted after \d+ rows; a new run goes on with the same journal", interrupted)
    assert re.fullmatch(r'read ticket #\d{3} back: "Router restarts every evening", Open', read)
    assert updated.endswith(": On Hold")


def _place(remark: str) -> int:
    """Faults may be remarked before or after the interruption."""
    return [remark.startswith(word) for word in ("demo", "interrupted", "read", "updated")].index(True)


async def test_an_error_of_one_row_stops_no_other(quick: Any, rows: Any, notes: Any) -> None:
    """It is kept under the row's key, said, and counts as a step."""
    run = await run_demo(quick(AnswerLost()), rows, RATE, notes)
    ((key, error),) = run.errors.items()
    assert isinstance(error, OutcomeUnknownError)
    assert {row.key for row in rows} - {key} == set(run.receipts)
    assert notes.said[0].startswith(f"{key}: ")
    assert notes.steps == 60


async def test_without_the_first_ticket_nothing_is_read_or_updated(quick: Any, rows: Any, notes: Any) -> None:
    """The run ends all the same."""
    nobody = attrs.evolve(rows[0], ticket=NewTicket(title="no lead"))
    run = await run_demo(quick(), (nobody, *rows[1:]), RATE, notes)
    assert isinstance(run.errors["demo-01"], InvalidRequestError)
    assert (run.read, run.updated) == (None, None)


@pytest.mark.parametrize(("method", "keys"), [("GET", {"read"}), ("PUT", {"update"})])
async def test_a_read_or_an_update_that_fails_is_told(
    quick: Any, rows: Any, notes: Any, method: str, keys: set[str]
) -> None:
    """It is an error under its own name; a ticket that could not be read is not updated."""
    run = await run_demo(quick(Status(400, method=method)), rows, RATE, notes)
    assert keys == set(run.errors)
    assert run.updated is None


FAILED = "failed with {}, and was sent again"
REFUSED = "refused with 429; all calls paused, then it was sent again"


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        pytest.param([(200, 0.2)], [], id="as usual"),
        pytest.param([(200, 2.04)], ["answered after 2.0 s; the others went on meanwhile"], id="slow"),
        pytest.param([(None, 0.1), (200, 0.1)], [FAILED.format("no connection")], id="not connected"),
        pytest.param([(503, 3.0), (429, 3.0), (200, 0.1)], [FAILED.format(503), REFUSED], id="twice"),
    ],
)
def test_a_remark_per_unusual_send(attempts: list[tuple[int | None, float]], expected: list[str]) -> None:
    """A good answer in good time is worth none."""
    sends = tuple(
        Attempt(number=number, outcome=Outcome.APPLIED, status=status, seconds=seconds)
        for number, (status, seconds) in enumerate(attempts, 1)
    )
    assert expected == list(remarks(TicketReceipt(number="1", attempts=sends)))
