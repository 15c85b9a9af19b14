"""A bulk run: every row gets one outcome, and no row is sent twice."""

import asyncio
from functools import partial

import pytest
from bulk.conftest import virtual_emulator
from bulk.samples import keyed, run, tickets, titles

from lsq_service_async import (
    Attachment,
    BulkRow,
    Config,
    ConfigurationError,
    InvalidRequestError,
    LSQServiceError,
    NewTicket,
    RateLimit,
    ServiceClient,
    TicketUpdate,
)
from lsq_service_async.bulk import Plan, Summary
from lsq_service_async.emulator import Emulator
from lsq_service_async.emulator.faults import Latency


def test_every_row_gets_one_outcome(play, journal):
    """All rows are created as fast as the rate limit allows, and none is refused."""

    async def main(client, emulator):
        started = asyncio.get_running_loop().time()
        job = client.bulk.create(keyed(100), journal=journal)
        assert job.plan() == Plan(calls=100, seconds=20.0, done=0)
        outcomes = await run(job)
        assert sorted(outcome.key for outcome in outcomes) == sorted(f"key-{number}" for number in range(100))
        assert {outcome.state for outcome in outcomes} == {"created"}
        assert {outcome.receipt.number for outcome in outcomes} == set(emulator.tickets)
        assert job.summary() == Summary(created=100)
        assert job.summary().total == 100
        assert (emulator.refused, len(emulator.calls)) == (0, 100)
        assert job.eta() == 0.0
        return asyncio.get_running_loop().time() - started

    assert 19 < play(main) < 21


def test_plain_tickets_are_known_by_their_content(play, journal):
    """Equal tickets are numbered, in this run and in the next. A ticket is the same row as a BulkRow without a key."""
    same = NewTicket(lead_id="45b5", title="same")
    rows = [same, same, BulkRow(None, same), same, *tickets(2)]

    async def main(client, emulator):
        outcomes = await run(client.bulk.create(rows, journal=journal))
        assert len({outcome.key for outcome in outcomes}) == 6
        assert [outcome.row for outcome in outcomes].count(BulkRow(None, same)) == 4

        async def source():
            for row in [*rows, rows[0]]:
                yield row

        again = client.bulk.create(source(), journal=journal)
        await run(again)
        assert again.summary() == Summary(created=1, skipped=6)
        assert titles(emulator) == ["row 0", "row 1", *["same"] * 5]

    play(main)


def test_rows_are_pulled_one_by_one_from_any_iterable(play, journal):
    """A generator is not read ahead of the workers. Its length is unknown, so the plan has no number of calls."""
    pulled = []

    async def source():
        for ticket in tickets(1000):
            pulled.append(ticket)
            yield ticket

    async def main(client, emulator):
        job = client.bulk.create(source(), journal=journal)
        assert (job.plan(), job.eta()) == (Plan(None, None, 0), None)
        async for _ in job:
            if job.summary().total == 30:
                job.stop()
        assert len(pulled) < 30 + 25 + 5

    play(main)


@pytest.mark.parametrize(("calls", "workers"), [(25, 25), (5000, 100)])
def test_a_run_has_at_most_100_workers(play, journal, calls, workers):
    """A higher rate makes a row wait for fewer calls, and not the service for more requests at once."""
    pulled = []

    def source():
        for ticket in tickets(1000):
            pulled.append(ticket)
            yield ticket

    async def main(client, emulator):
        emulator.faults.add(Latency(5.0, times=1000))
        outcomes = aiter(client.bulk.create(source(), journal=journal))
        first = asyncio.ensure_future(anext(outcomes))
        await asyncio.sleep(4)
        assert len(pulled) == workers
        await first
        await outcomes.aclose()

    play(main, emulator=partial(virtual_emulator, window=None), rate_limit=RateLimit(calls, per=5.0))


def test_a_run_can_update_tickets(play, journal):
    """Each row names its target, and a row without one fails alone."""

    async def main(client, emulator):
        numbers = [(await client.tickets.create(ticket)).number for ticket in tickets(3)]
        rows = [BulkRow(number, TicketUpdate(status="On Hold"), target=number) for number in numbers]
        bad = [BulkRow("no target", TicketUpdate(status="x")), BulkRow("no update", tickets(1)[0], target="1")]
        job = client.bulk.update([*rows, *bad], journal=journal)
        outcomes = {outcome.key: outcome for outcome in await run(job)}
        assert job.summary() == Summary(updated=3, failed=2)
        assert isinstance(outcomes["no target"].error, InvalidRequestError)
        assert {ticket.fields["Status"] for ticket in emulator.tickets.values()} == {"On Hold"}
        with pytest.raises(ConfigurationError, match="updated"):
            await run(client.bulk.create(tickets(1), journal=journal))
        [outcome] = await run(client.bulk.create([BulkRow("k", TicketUpdate())], journal=journal.with_name("other")))
        assert "NewTicket" in str(outcome.error)

    play(main)


async def test_attachments_of_a_row_are_sent(journal, tmp_path):
    """The attachments of a row are sent over a real socket, because files are read in threads."""
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"photo")
    async with Emulator() as emulator, ServiceClient(Config(**emulator.settings)) as client:
        row = BulkRow("k", tickets(1)[0], [photo, Attachment.from_bytes(b"x", name="x.txt")])
        [outcome] = await run(client.bulk.create([row], journal=journal))
        assert outcome.state == "created"
        assert [file.name for file in emulator.calls[0].files] == ["photo.jpg", "x.txt"]


def test_a_job_is_iterated_once(play, journal):
    """A second loop over the same job is an error."""

    async def main(client, emulator):
        job = client.bulk.create(tickets(1), journal=journal)
        await run(job)
        with pytest.raises(LSQServiceError, match="iterated before"):
            await run(job)

    play(main)


def test_an_interactive_call_waits_for_one_slot_behind_a_run(play, journal):
    """A read during a run waits for about one slot, and not for a whole window."""

    async def main(client, emulator):
        job = client.bulk.create(keyed(150), journal=journal)
        waits = []
        clock = asyncio.get_running_loop().time
        async for _ in job:
            if job.summary().total in (60, 80, 100):
                asked = clock()
                await client.tickets.get("1")
                waits.append(clock() - asked)
        return waits

    assert max(play(main)) < 0.6
