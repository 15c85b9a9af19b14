"""A run that was stopped or left is continued by the next run."""

import asyncio

import pytest
from bulk.samples import keyed, lost, run, tickets, titles

from lsq_service_async import BulkRow, Status
from lsq_service_async.bulk import Plan, Summary


def test_a_second_run_skips_rows_that_are_done(play, journal):
    """Skipped rows have the receipts of the first run, and no call is made for them."""

    async def main(client, emulator):
        first = {
            outcome.key: outcome.receipt.number for outcome in await run(client.bulk.create(keyed(10), journal=journal))
        }
        again = client.bulk.create(keyed(12), journal=journal)
        assert again.plan() == Plan(calls=2, seconds=0.4, done=10)
        outcomes = {outcome.key: outcome for outcome in await run(again)}
        assert {key: outcomes[key].receipt.number for key in first} == first
        assert again.summary() == Summary(created=2, skipped=10)
        assert len(emulator.tickets) == 12

    play(main)


def test_a_key_may_be_of_a_subclass_of_text(play, journal):
    """The next run knows it, although its repr is another one."""
    [row] = tickets(1)

    async def main(client, emulator):
        for state in ("created", "skipped"):
            [outcome] = await run(client.bulk.create([BulkRow(Status.OPEN, row)], journal=journal))
            assert (outcome.key, outcome.state) == ("Open", state)

    play(main)


@pytest.mark.parametrize("after", [1, 25])
def test_a_run_that_is_stopped_is_continued_by_the_next_one(play, journal, after):
    """After stop() no new row begins, rows in flight end, and no row is unknown."""

    async def main(client, emulator):
        job = client.bulk.create(keyed(60), journal=journal)
        async for _ in job:
            if job.summary().total == after:
                job.stop()
        assert job.summary().unknown == 0
        assert after <= job.summary().total < 60
        assert len(emulator.tickets) == job.summary().created
        rest = client.bulk.create(keyed(60), journal=journal)
        await run(rest)
        assert rest.summary().created + job.summary().created == 60
        assert titles(emulator) == sorted(ticket.title for ticket in tickets(60))

    play(main)


def test_a_job_that_is_stopped_before_it_begins_does_nothing(play, journal):
    """The loop over the job ends at once, without a call."""

    async def main(client, emulator):
        job = client.bulk.create(tickets(3), journal=journal)
        job.stop()
        assert await run(job) == []
        assert emulator.calls == ()

    play(main)


def test_a_resumed_run_that_is_stopped_while_it_waits_ends_at_once(play, journal):
    """Nothing is sent, and the run does not wait for the end of the window."""

    async def main(client, emulator):
        await run(client.bulk.create(keyed(1), journal=journal))
        loop = asyncio.get_running_loop()
        job, began = client.bulk.create(keyed(2), journal=journal), loop.time()
        loop.call_later(1, job.stop)
        assert [outcome.state for outcome in await run(job)] == ["skipped"]
        assert loop.time() - began == pytest.approx(1, abs=0.01)
        assert len(emulator.calls) == 1

    play(main)


def test_a_resumed_run_waits_for_the_window_of_earlier_calls(play, journal):
    """A resumed run waits once, before its first call."""

    async def main(client, emulator):
        await run(client.bulk.create(keyed(1), journal=journal))
        loop = asyncio.get_running_loop()
        began = loop.time()
        skipped_at, created_at = [loop.time() async for _ in client.bulk.create(keyed(2), journal=journal)]
        assert (skipped_at - began, created_at - began) == pytest.approx((0, 5), abs=0.1)

    play(main)


def test_a_look_up_function_waits_for_the_window_of_earlier_calls(play, journal):
    """A look-up function, which calls the same service, also waits for the window."""

    async def main(client, emulator):
        emulator.faults.add(lost())
        looked_at, clock = [], asyncio.get_running_loop().time

        async def look(row):
            looked_at.append(clock())

        [outcome] = await run(client.bulk.create(keyed(1), journal=journal))
        assert outcome.state == "unknown"
        began = clock()
        await run(client.bulk.create(keyed(1), journal=journal, on_unknown=look))
        assert looked_at == [pytest.approx(began + 5, abs=0.1)]

    play(main)
