"""What a run says before and while it goes: plan, time left and rate."""

import asyncio
import sqlite3

import pytest
from bulk.samples import keyed, lost, run

from lsq_service_async import (
    BulkRow,
    TicketUpdate,
)
from lsq_service_async.bulk import Plan, Summary
from lsq_service_async.emulator.faults import Status


def test_a_plan_counts_what_will_be_sent(play, journal):
    """Failed rows only for a retry, unknown ones only by the user's word."""

    async def main(client, emulator):
        emulator.faults.add(Status(400), lost(2))
        await run(client.bulk.create(keyed(10), journal=journal))

        def calls(**options):
            plan = client.bulk.create(keyed(13), journal=journal, **options).plan()
            assert (plan.done, plan.seconds) == (7, plan.calls * 0.2)
            return plan.calls

        async def look(row):
            return None

        assert (calls(), calls(on_unknown="stop"), calls(retry_failed=True)) == (3, 3, 4)
        assert (calls(on_unknown="resend"), calls(on_unknown=look)) == (5, 5)
        assert calls(retry_failed=True, on_unknown="resend") == 6

    play(main)


def test_a_plan_takes_what_a_dead_run_had_in_flight_for_unknown(play, journal):
    """As the run will."""

    async def main(client, emulator):
        await run(client.bulk.create(keyed(2), journal=journal))
        database = sqlite3.connect(journal, isolation_level=None)
        database.execute("UPDATE rows SET state = 'in_flight' WHERE key = 'key-0'")
        database.close()
        assert client.bulk.create(keyed(3), journal=journal).plan() == Plan(calls=1, seconds=0.2, done=1)

    play(main)


def test_a_resumed_run_does_not_reckon_with_time_for_what_it_skips(play, journal):
    """But with the wait before its first call, from its first outcome on, which is of one of them."""

    async def main(client, emulator):
        await run(client.bulk.create(keyed(60), journal=journal))
        again = client.bulk.create(keyed(70), journal=journal)
        outcomes = aiter(again)
        assert (await anext(outcomes)).state == "skipped"
        first = again.eta()
        left = [outcome.state async for outcome in outcomes]
        assert (left.count("skipped"), left.count("created"), again.eta()) == (59, 10, 0.0)
        return first

    assert play(main) == pytest.approx(5 + 9 * 0.2, abs=0.1)


def test_the_rate_is_that_of_rows_that_are_sent(play, journal):
    """From the first of them on: the wait of a resumed run and what it skips say nothing of it."""

    async def main(client, emulator):
        emulator.faults.add(Status(400))
        first = client.bulk.create(keyed(50), journal=journal)
        assert first.rate() == 0.0
        await run(first)
        no_tickets = [BulkRow(f"no ticket {number}", TicketUpdate()) for number in range(50)]
        second = client.bulk.create([*keyed(150), *no_tickets], journal=journal)
        rates = [second.rate() async for _ in second]
        assert second.summary() == Summary(created=100, skipped=49, failed=51)
        assert (rates[0], second.rate()) == (0.0, pytest.approx(5, rel=0.05))

    play(main)


@pytest.mark.parametrize("retry_failed", [False, True])
def test_what_is_left_is_reckoned_as_in_the_plan(play, journal, retry_failed):
    """Rows that wait for a retry or for the user's word cost no call."""

    async def main(client, emulator):
        emulator.faults.add(Status(400, times=10), lost(3))
        await run(client.bulk.create(keyed(20), journal=journal))
        job = client.bulk.create(keyed(20), journal=journal, retry_failed=retry_failed)
        assert job.plan() == Plan(calls=10 * retry_failed, seconds=pytest.approx(2.0 * retry_failed), done=7)
        left = [job.eta() async for outcome in job if outcome.state in ("skipped", "unknown", "failed")]
        assert bool(left[0]) == retry_failed
        assert job.eta() == 0.0

    play(main)


def test_the_rate_of_a_run_that_is_over_stays(play, journal):
    """Also where there is no loop any more."""

    async def main(client, emulator):
        job = client.bulk.create(keyed(50), journal=journal)
        await run(job)
        rate = job.rate()
        await asyncio.sleep(60)
        return job, rate

    job, rate = play(main)
    assert job.rate() == rate > 4
