"""Runs that are left, cancelled or lose their client: every row that was sent has its result in the journal."""

import asyncio
from contextlib import aclosing

import httpx
import pytest
from bulk.samples import keyed, run, tickets

from lsq_service_async import Config, ConfigurationError, LSQServiceError, ServiceClient
from lsq_service_async.bulk import State, states_in
from lsq_service_async.emulator import Emulator
from lsq_service_async.emulator.faults import Latency
from lsq_service_async.limits import HostLimiter


def left_by_break(job):
    async def leave():
        async for _ in job:
            break

    return leave()


async def raised(kind, awaitable):
    with pytest.raises(kind):
        await awaitable


def left_by_error(job):
    async def leave():
        async for _ in job:
            raise ZeroDivisionError

    return raised(ZeroDivisionError, leave())


async def left_by_cancellation(job, times=1):
    task = asyncio.create_task(run(job))
    await asyncio.sleep(1.2)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0.02)
    with pytest.raises(asyncio.CancelledError):
        await task


def left_by_two_cancellations(job):
    return left_by_cancellation(job, times=2)


@pytest.mark.parametrize(
    "leave",
    [left_by_break, left_by_error, left_by_cancellation, left_by_two_cancellations],
    ids=lambda way: way.__name__,
)
def test_a_loop_that_is_left_before_the_client_closes_loses_no_result(play, journal, leave):
    """No row is left in flight, so none is unknown to the next run."""
    seen = []

    async def main(client, emulator):
        emulator.faults.add(Latency(1.0, times=1000))
        seen.append(emulator)
        await leave(client.bulk.create(keyed(40), journal=journal))

    play(main, commit_seconds=0.01)
    assert [path.name for path in journal.parent.iterdir()] == [journal.name]  # it is closed: no -wal is left
    states = states_in(journal)
    assert len(seen[0].tickets) == states[State.DONE] > 0
    assert set(states) == {State.DONE}


def test_a_loop_that_is_left_with_aclosing_has_released_its_journal(play, journal):
    """The next run can begin at once."""

    async def main(client, emulator):
        emulator.faults.add(Latency(1.0, times=1000))
        async with aclosing(aiter(client.bulk.create(keyed(20), journal=journal))) as outcomes:
            await anext(outcomes)
        await run(client.bulk.create(keyed(20), journal=journal))
        assert states_in(journal) == {State.DONE: 20}
        assert len(emulator.tickets) == 20

    play(main, commit_seconds=0.01)


def test_a_client_that_closes_while_the_loop_stands_still_waits_for_the_results(play, journal):
    """The results are stored before the client is closed, although the loop never continues."""

    async def main(client, emulator):
        emulator.faults.add(Latency(1.0, times=1000))
        outcomes = aiter(client.bulk.create(keyed(40), journal=journal))
        await anext(outcomes)
        await client.aclose()
        states = states_in(journal)
        assert len(emulator.tickets) == states[State.DONE] > 1
        assert set(states) == {State.DONE, State.PENDING}
        await outcomes.aclose()

    play(main, commit_seconds=0.01)


def test_a_run_that_is_cancelled_twice_releases_its_journal(play, journal):
    """The next run can use the journal as soon as the rows in flight have ended."""

    async def main(client, emulator):
        emulator.faults.add(Latency(1.0, times=1000))
        await left_by_two_cancellations(client.bulk.create(keyed(20), journal=journal))
        await asyncio.sleep(2)
        states = [outcome.state for outcome in await run(client.bulk.create(keyed(20), journal=journal))]
        assert sorted(set(states)) == ["created", "skipped"]

    play(main, commit_seconds=0.01)


async def test_a_run_that_is_cancelled_while_its_journal_opens_releases_it(journal):
    """The next run in the same process can use it."""
    emulator = Emulator(window=None)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=emulator.app)) as http:
        async with ServiceClient(Config(**emulator.settings), http_client=http) as client:
            first = asyncio.create_task(run(client.bulk.create(keyed(1), journal=journal)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            [outcome] = await run(client.bulk.create(keyed(1), journal=journal))
            assert outcome.state == "created"


def test_a_run_with_a_closed_client_sends_nothing(play, journal):
    """The run raises one error, and no row is unknown."""

    async def main(client, emulator):
        job = client.bulk.create(keyed(30), journal=journal)
        await client.aclose()
        with pytest.raises(LSQServiceError, match="client is closed"):
            await run(job)
        assert len(emulator.calls) == 0

    play(main)
    assert states_in(journal) == {}


def test_a_run_whose_client_is_closed_midway_ends(play, journal):
    """Rows that were sent are done, and rows that were waiting are pending."""

    async def main(client, emulator):
        job, closing = client.bulk.create(keyed(60), journal=journal), []

        async def close_midway():
            async for _ in job:
                if job.summary().total == 30:
                    closing.append(asyncio.create_task(client.aclose()))

        with pytest.raises(LSQServiceError, match="closed"):
            await close_midway()
        assert states_in(journal)[State.DONE] == len(emulator.tickets)

    play(main)
    assert set(states_in(journal)) == {State.DONE, State.PENDING}


async def test_a_run_whose_limiter_cannot_be_used_ends(tmp_path, journal):
    """The run raises the same error as a single call."""
    config = Config(access_key="k", secret_key="s", org_id="1", base_url="http://localhost")
    async with httpx.AsyncClient() as http:
        client = ServiceClient(config, limiter=HostLimiter(tmp_path / "nowhere" / "limit"), http_client=http)
        with pytest.raises(ConfigurationError):
            await run(client.bulk.create(tickets(3), journal=journal))
        await client.aclose()
    assert states_in(journal) == {}
