"""What a process has to tell while nobody hears it, or nobody says whether it was heard. In virtual time."""

from __future__ import annotations

import asyncio

import pytest
from virtual_clock import virtual

from limits.ledgers import FileOnTheSpot, processes
from limits.opened import spend, take
from lsq_service_async.config import Lane
from lsq_service_async.errors import NotSentError


@pytest.fixture
def ledger(tmp_path):
    """Makes ledgers that are the same file."""
    return lambda: FileOnTheSpot(tmp_path / "limit.sqlite")


@virtual
async def test_while_the_ledger_is_down_calls_leave_nothing_to_tell(ledger):
    """Or there would be more of it with each: only the last question may have been heard and is to be undone."""
    async with processes(1, ledger) as [gate]:
        gate.ledger.down = True
        for _ in range(1000):
            with pytest.raises(NotSentError):
                await gate.acquire(Lane.INTERACTIVE)
        assert {len(ask.ended) for ask in gate.ledger.asks} == {0, 1}
        gate.ledger.down = False
        await gate.acquire(Lane.INTERACTIVE)
        assert gate.stats().used == 1


@virtual
async def test_nor_do_those_who_wait(ledger):
    """An hour of asking in vain makes no question longer."""
    async with processes(1, ledger, waits=True) as [gate]:
        gate.ledger.down = True
        waiting = asyncio.create_task(gate.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(3600)
        assert len(gate.ledger.asks[-1].ended) == 1
        gate.ledger.down = False
        await waiting


@virtual
async def test_a_question_whose_answer_is_lost_takes_one_slot_however_often_it_is_asked(ledger):
    """It was granted each time, and each time undone by the next."""
    async with processes(1, ledger) as [gate]:
        gate.ledger.loses_replies = True
        for _ in range(30):
            with pytest.raises(NotSentError):
                await gate.acquire(Lane.INTERACTIVE)
        gate.ledger.loses_replies = False
        await gate.acquire(Lane.INTERACTIVE)
        assert gate.stats().used == 1


@virtual
async def test_an_answer_counts_once_however_often_it_is_told(ledger):
    """It was heard each time, but nobody said so; the next is told for the first time."""
    async with processes(2, ledger) as [one, other]:
        await spend(one, 12)
        one.ledger.loses_replies = True
        await asyncio.sleep(3)
        one.ledger.loses_replies = False
        await asyncio.sleep(1.5)
        await spend(one, 1)
        await asyncio.sleep(2.5)
        await spend(other, 1)
        assert len(other._store._state.answered) == 12 + 1 + 1


@virtual
async def test_an_answer_that_was_not_heard_counts_when_it_is(ledger):
    """The call was on its way for the others until then."""
    async with processes(2, ledger) as [one, other]:
        slots = await take(one, 12)
        await spend(other, 1)
        one.ledger.down = True
        for slot in slots:
            slot.answered()
        await asyncio.sleep(3)
        one.ledger.down = False
        await asyncio.sleep(1.5)
        await spend(other, 1)
        assert other.stats().used == len(other._store._state.answered) == 14


@virtual
async def test_an_answer_that_came_after_the_lease_counts_then(ledger):
    """At the end of the lease it was counted too early: the service may have seen the call until its answer."""
    async with processes(2, ledger) as [one, other]:
        [slot] = await take(one, 1)
        one.ledger.down = True
        await asyncio.sleep(30)
        slot.answered()
        await asyncio.sleep(3)
        one.ledger.down = False
        await asyncio.sleep(1.5)
        await spend(other, 1)
        assert other.stats().used == 2


@virtual
async def test_an_answer_counts_again_for_a_ledger_that_lost_its_state(ledger):
    """Whatever it heard it has forgotten."""
    async with processes(2, ledger) as [one, other]:
        await spend(one, 12)
        one.ledger.loses_replies = True
        await asyncio.sleep(2.5)
        one.ledger.loses_replies = False
        other.ledger._file._db.execute("DELETE FROM limits")
        other.pause(0)
        await asyncio.sleep(0.1)
        assert len(other._store._state.answered) == 25
        await asyncio.sleep(2)
        other.pause(0)
        await asyncio.sleep(0.1)
        assert len(other._store._state.answered) == 25 + 12
