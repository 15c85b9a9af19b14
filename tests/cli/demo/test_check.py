"""Every way in which the demo can go wrong is found and named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import attrs
import pytest

from lsq_service_async import NewTicket
from lsq_service_async.bulk import Summary
from lsq_service_async.cli.demo.check import check_result, describe_faults
from lsq_service_async.cli.demo.demo import MARKER
from lsq_service_async.emulator import (
    AnswerLost,
    DropConnection,
    Latency,
    RateLimited,
    Serve,
    Status,
    StoredTicket,
    TicketStore,
)


class RejectsTheThird:
    """A window that rejects the third call."""

    calls, per = 100, 0.1

    def __init__(self) -> None:
        self.seen = 0

    def allows(self, now: float) -> bool:
        self.seen += 1
        return self.seen != 3


class LosesTheFifth(TicketStore):
    """Returns a receipt for the fifth row and stores nothing."""

    def create(self, draft: Any, files: Any = ()) -> StoredTicket:
        lost = draft.fields[MARKER] == "demo-05"
        return StoredTicket("99", "guid", "lead") if lost else super().create(draft, files)


class MixesUp(TicketStore):
    """Returns the receipt of the first ticket for the fifth one."""

    def create(self, draft: Any, files: Any = ()) -> StoredTicket:
        ticket = super().create(draft, files)
        return self.tickets["1"] if ticket.number == "5" else ticket


class Garbles(TicketStore):
    """Stores files with other bytes."""

    def create(self, draft: Any, files: Any = ()) -> StoredTicket:
        return super().create(draft, tuple(replace(file, sha256="0" * 64) for file in files))


class IgnoresUpdates(TicketStore):
    """Confirms an update without changing the ticket."""

    def update(self, ticket: StoredTicket, draft: Any, files: Any = ()) -> StoredTicket:
        return ticket


def problems(result: Any) -> dict[str, str]:
    return {check.name: check.problem for check in check_result(result) if check.problem}


def found(result: Any) -> dict[str, str]:
    return {check.name: check.found for check in check_result(result)}


async def test_all_checks_pass_after_a_good_run(quick: Any, played: Any) -> None:
    """The table has a number for every promise, and notes for repeats, faults and the least time."""
    result = await played(quick(Status(500), RateLimited(retry_after=0), Latency(0.01)))
    assert problems(result) == {}
    assert {name: value for name, value in found(result).items() if name not in ("seconds", "resumed")} == {
        "tickets": "8 of 8",
        "attachments": "2 of 2",
        "read back": "1 of 1",
        "updated": "1 of 1",
        "calls": "12",
        "over the limit": "0",
        "faults": "3 of 3",
        "doubled": "0",
        "lost": "0",
    }
    meanings = {check.name: check.meaning for check in check_result(result)}
    assert meanings["calls"] == "2 of them were repeats"
    assert set(meanings["faults"].split(", ")) == {"a 500", "a 429 (Retry-After 0)", "an answer 0.01 s late"}
    assert meanings["seconds"].startswith("12 calls at 40 in 0.02 s take 0.0 s")


async def test_a_run_that_does_not_continue_is_found(quick: Any, played: Any) -> None:
    """The second run must skip every row that the first one has created."""
    result = await played(quick())
    assert found(result)["resumed"] == f"{result.resumed.created} of {8 - result.interrupted.total}"
    forgotten = attrs.evolve(result, resumed=Summary(created=result.resumed.created))
    assert problems(forgotten) == {"resumed": f"0 of {result.interrupted.created} rows were known"}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param({"faults": [Status(500, applied=True)]}, {"doubled": "two tickets: demo-"}, id="doubled"),
        pytest.param({"store": LosesTheFifth}, {"lost": "no ticket: demo-05"}, id="lost"),
        pytest.param({"store": MixesUp}, {"lost": "no ticket: demo-"}, id="mixed up"),
        pytest.param({"store": Garbles}, {"attachments": "different in demo-07, demo-23"}, id="other bytes"),
        pytest.param({"store": IgnoresUpdates}, {"updated": "status is Open"}, id="not updated"),
        pytest.param(
            {"window": RejectsTheThird},
            {"over the limit": "exceeded"},
            id="over the limit",
        ),
        pytest.param(
            {"faults": [Latency(2.0, times=2, path="/nowhere")]},
            {"faults": "did not happen: an answer 2 s late, an answer 2 s late"},
            id="fault that did not happen",
        ),
        pytest.param(
            {"faults": [Status(400, method="GET")]},
            {"read back": "different: title, description, type and 3 more", "updated": "status is Open"},
            id="not read",
        ),
        pytest.param(
            {"faults": [AnswerLost(method="PUT", times=5)]}, {"updated": "status is On Hold"}, id="no receipt"
        ),
    ],
)
async def test_a_problem_fails_its_check_only(quick: Any, played: Any, make: dict[str, Any], expected: Any) -> None:
    """A problem fails its own check and no other one, although most calls succeed."""
    made = {name: make[name]() for name in make if name != "faults"}
    result = await played(quick(*make.get("faults", []), **made))
    assert {name: problem[: len(expected[name])] for name, problem in problems(result).items()} == expected


async def test_a_create_without_an_answer_is_neither_lost_nor_doubled(quick: Any, played: Any) -> None:
    """The ticket exists once; only its receipt is missing."""
    result = await played(quick(AnswerLost(method="POST")))
    assert tuple(found(result)[name] for name in ("tickets", "doubled", "lost")) == ("7 of 8", "0", "0")
    assert "no receipt: demo-" in problems(result)["tickets"]


async def test_a_create_that_the_service_refuses_is_lost(quick: Any, played: Any, rows: Any) -> None:
    """The row has neither a receipt nor a ticket."""
    result = await played(quick(Serve(times=4), Status(400, method="POST")), rows[:6])
    assert {"tickets", "lost"} == set(problems(result))


async def test_a_row_that_the_client_rejects_is_lost(quick: Any, played: Any, rows: Any) -> None:
    """The row has neither a receipt nor a ticket, and the table has its error."""
    without_lead = attrs.evolve(rows[4], ticket=NewTicket(title="no lead"))
    result = await played(quick(), [*rows[:4], without_lead])
    assert {"tickets", "lost"} == set(problems(result))
    assert problems(result)["tickets"].startswith("no receipt: demo-05 (")


async def test_missing_files_and_changed_fields_are_found(quick: Any, played: Any, rows: Any) -> None:
    """The rows and fields that differ are named."""
    result = await played(quick())
    missing = attrs.evolve(result, rows=[rows[0], attrs.evolve(rows[6], key="nobody")])
    assert problems(missing)["attachments"] == "different in nobody"
    other = attrs.evolve(result, read=attrs.evolve(result.read, status=None, channel="Fax"))
    assert problems(other) == {"read back": "different: status, channel"}


async def test_a_run_over_30_seconds_is_found(quick: Any, played: Any) -> None:
    """The demo promises to end in half a minute."""
    assert problems(attrs.evolve(await played(quick()), seconds=30.1)) == {"seconds": "more than 30"}


def test_faults_are_described_in_words() -> None:
    """A call without a fault is left out, and a fault without a description has the name of its class."""
    faults = (Serve(times=3), Status(503), RateLimited(), Latency(0.5), DropConnection(times=2))
    expected = ["a 503", "a 429", "an answer 0.5 s late", "DropConnection", "DropConnection"]
    assert describe_faults(faults) == expected
