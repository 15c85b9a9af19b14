"""What a process has to tell while nobody hears it, or nobody says whether it was heard. In virtual time."""

from __future__ import annotations

import asyncio

import pytest
from virtual_clock import virtual

from limits.ledgers import FileOnTheSpot, processes
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
