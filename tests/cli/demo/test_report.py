"""Whether the demo notices: each way in which a run can be wrong is brought about, and named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import attrs
import pytest

from lsq_service_async import NewTicket, NotSentError
from lsq_service_async.cli.demo.report import planned, table
from lsq_service_async.cli.demo.tickets import MARKER
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
from lsq_service_async.emulator.responses import RefusedError, text_response


class RefusesTheThird:
    """A window that does not like the third call."""

    calls, per = 100, 0.1

    def __init__(self) -> None:
        self.seen = 0

    def allows(self, now: float) -> bool:
        self.seen += 1
        return self.seen != 3


class LosesTheFifth(TicketStore):
    """Gives a receipt for the fifth row, and keeps nothing."""

    def create(self, draft: Any, files: Any = ()) -> StoredTicket:
        lost = draft.fields[MARKER] == "demo-05"
        return StoredTicket("99", "guid", "lead") if lost else super().create(draft, files)


class RefusesTheFifth(TicketStore):
    """Has something against the fifth row."""

    def create(self, draft: Any, files: Any = ()) -> StoredTicket:
        if draft.fields[MARKER] == "demo-05":
            raise RefusedError(text_response(400))
        return super().create(draft, files)


class MixesUp(TicketStore):
    """Gives the fifth ticket the receipt of the first."""

    def create(self, draft: Any, files: Any = ()) -> StoredTicket:
        ticket = super().create(draft, files)
        return self.tickets["1"] if ticket.number == "5" else ticket


class Garbles(TicketStore):
    """Keeps files whose bytes are not those that came."""

    def create(self, draft: Any, files: Any = ()) -> StoredTicket:
        return super().create(draft, tuple(replace(file, sha256="0" * 64) for file in files))


class Stubborn(TicketStore):
    """Says that it changed a ticket, and does not."""

    def update(self, ticket: StoredTicket, draft: Any, files: Any = ()) -> StoredTicket:
        return ticket


def wrong(evidence: Any) -> dict[str, str]:
    return {line.name: line.wrong for line in table(evidence) if line.wrong}


def found(evidence: Any) -> dict[str, str]:
    return {line.name: line.found for line in table(evidence)}


async def test_a_good_run_is_right_in_every_line(quick: Any, evidence: Any) -> None:
    """The table has a number for everything that was promised."""
    known = await evidence(quick(Status(500), RateLimited(retry_after=0), Latency(0.01)))
    assert wrong(known) == {}
    assert {name: value for name, value in found(known).items() if name not in ("seconds", "resumed")} == {
        "tickets": "8 of 8",
        "attachments": "2 of 2",
        "read back": "1 of 1",
        "updated": "1 of 1",
        "calls": "12",
        "refused by us": "0",
        "refused by it": "0",
        "on purpose": "3 of 3",
        "doubled": "0",
        "lost": "0",
    }


async def test_a_run_that_did_not_go_on_where_it_stopped_is_wrong(quick: Any, evidence: Any) -> None:
    """What was done was not known any more."""
    known = await evidence(quick())
    first, second = known.run.interrupted, known.run.resumed
    assert found(known)["resumed"] == f"{second.created} of {8 - first.total}"
    forgot = attrs.evolve(known.run, resumed=attrs.evolve(second, skipped=0))
    assert wrong(attrs.evolve(known, run=forgot)) == {"resumed": f"0 of {first.created} were known"}


async def test_the_notes_say_what_was_counted(quick: Any, evidence: Any) -> None:
    """Repeats, faults, and the least time at the rate that was kept to."""
    known = await evidence(quick(Status(500), RateLimited(retry_after=0)))
    notes = {line.name: line.note for line in table(known)}
    assert notes["calls"] == "2 of them were repeats"
    assert {"a 500", "a 429 (Retry-After 0)"} == set(notes["on purpose"].split(", "))
    assert notes["seconds"].startswith("12 calls / (40 in 0.02 s) = 0.0; the rest: 0.02 s before")


async def test_a_create_that_was_applied_twice_is_doubled(quick: Any, evidence: Any) -> None:
    """A 500 that had been applied leads to a second ticket of the same row, and only that is wrong."""
    known = await evidence(quick(Status(500, applied=True)))
    assert {"doubled"} == set(wrong(known))
    assert wrong(known)["doubled"].startswith("there again: demo-")


async def test_a_create_without_an_answer_has_no_receipt_and_is_not_lost(quick: Any, evidence: Any) -> None:
    """The ticket is there, once; that nobody was told of it is what is wrong."""
    known = await evidence(quick(AnswerLost(method="POST")))
    assert tuple(found(known)[name] for name in ("tickets", "doubled", "lost")) == ("7 of 8", "0", "0")
    assert "no receipt for demo-" in wrong(known)["tickets"]


async def test_a_create_that_never_succeeds_is_lost(quick: Any, evidence: Any) -> None:
    """It has neither a receipt nor a ticket."""
    known = await evidence(quick(store=RefusesTheFifth()))
    assert {"tickets", "lost"} == set(wrong(known))


@pytest.mark.parametrize("store", [LosesTheFifth, MixesUp])
async def test_a_receipt_without_its_ticket_is_a_lost_row(quick: Any, evidence: Any, store: Any) -> None:
    """Also where the receipt names the ticket of another row."""
    known = await evidence(quick(store=store()))
    assert found(known)["lost"] == "1"
    assert wrong(known)["lost"].startswith("not there: demo-")


async def test_a_file_with_other_bytes_is_named_by_its_row(quick: Any, evidence: Any) -> None:
    """Its SHA-256 is not that of the bytes here."""
    known = await evidence(quick(store=Garbles()))
    assert wrong(known) == {"attachments": "other bytes in demo-07, demo-23"}
    assert found(known)["attachments"] == "0 of 2"


async def test_files_of_a_ticket_that_is_not_there_did_not_arrive(quick: Any, evidence: Any, rows: Any) -> None:
    """Nothing is compared with nothing."""
    known = await evidence(quick())
    stranger = attrs.evolve(rows[6], key="nobody")
    assert wrong(attrs.evolve(known, rows=[rows[0], stranger]))["attachments"] == "other bytes in nobody"


async def test_a_call_refused_for_speed_is_wrong_although_it_was_repeated(quick: Any, evidence: Any) -> None:
    """All the rest is right, nothing of it was on purpose; the limit was not kept."""
    known = await evidence(quick(window=RefusesTheThird()))
    assert (found(known)["refused by it"], found(known)["on purpose"]) == ("1", "0 of 0")
    assert wrong(known) == {"refused by it": "the limit of 40 calls in 0.02 s was not kept"}


async def test_a_call_that_was_never_sent_was_refused_by_us(quick: Any, evidence: Any, rows: Any) -> None:
    """Whether it could not be right or could not be delivered."""
    nobody = attrs.evolve(rows[4], ticket=NewTicket(title="no lead"))
    known = await evidence(quick(), (*rows[:4], nobody))
    assert wrong(known)["refused by us"] == "never sent: demo-05"
    run = attrs.evolve(known.run, errors={"read": NotSentError("closed")})
    assert wrong(attrs.evolve(known, run=run))["refused by us"] == "never sent: read"


@pytest.mark.parametrize(
    ("read", "names"), [({"title": "?"}, "title"), ({"status": None, "channel": "Fax"}, "status, channel")]
)
async def test_a_ticket_that_reads_otherwise_is_wrong(quick: Any, evidence: Any, read: Any, names: str) -> None:
    """The fields that differ are named."""
    known = await evidence(quick())
    other = attrs.evolve(known, run=attrs.evolve(known.run, read=attrs.evolve(known.run.read, **read)))
    assert {"read back": f"not as sent: {names}"} == wrong(other)


async def test_a_ticket_that_was_not_read_is_wrong_in_many_fields(quick: Any, evidence: Any) -> None:
    """More than three are counted, not listed."""
    known = await evidence(quick(Status(400, method="GET")))
    assert wrong(known)["read back"] == "not as sent: title, description, type and 3 more"
    assert {"read back", "updated"} == set(wrong(known))


async def test_an_update_that_changed_nothing_is_wrong(quick: Any, evidence: Any) -> None:
    """What the emulator holds counts, not what it said."""
    known = await evidence(quick(store=Stubborn()))
    assert wrong(known) == {"updated": "the status is Open"}


async def test_an_update_that_nobody_confirmed_is_wrong(quick: Any, evidence: Any) -> None:
    """Its ticket has the status, and yet there is no receipt."""
    known = await evidence(quick(AnswerLost(method="PUT", times=5)))
    assert found(known)["updated"] == "0 of 1"


async def test_a_fault_that_did_not_happen_is_wrong(quick: Any, evidence: Any) -> None:
    """A demo of faults without faults shows nothing."""
    known = await evidence(quick(Status(500), Latency(2.0, times=2, path="/nowhere")))
    assert wrong(known) == {"on purpose": "did not happen: an answer 2 s late, an answer 2 s late"}
    assert found(known)["on purpose"] == "1 of 3"


async def test_a_run_that_takes_too_long_is_wrong(quick: Any, evidence: Any) -> None:
    """Half a minute is what a newcomer is asked for."""
    known = await evidence(quick())
    slow = attrs.evolve(known, run=attrs.evolve(known.run, seconds=30.1))
    assert wrong(slow) == {"seconds": "more than 30"}


def test_what_is_planned_is_said_in_words(quick: Any) -> None:
    """Calls that are let pass are no faults; faults without words of their own go by their name."""
    faults = (Serve(times=3), Status(503), RateLimited(), Latency(0.5), DropConnection(times=2))
    expected = ["a 503", "a 429", "an answer 0.5 s late", "DropConnection", "DropConnection"]
    assert expected == planned(quick(*faults))
