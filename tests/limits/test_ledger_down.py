"""A ledger that is down, for whatever reason: what is to be told stays so, and nobody spins. In virtual time."""

from __future__ import annotations

import asyncio
import logging

import pytest
from virtual_clock import virtual

from limits.ledgers import FileOnTheSpot, processes
from limits.opened import take
from lsq_service_async.config import Lane
from lsq_service_async.errors import NotSentError


@pytest.fixture
def ledger(tmp_path):
    """Makes ledgers that are the same file."""
    return lambda: FileOnTheSpot(tmp_path / "limit.sqlite")


@virtual
async def test_a_refusal_is_told_as_soon_as_the_ledger_is_back(ledger):
    """The next try is two seconds away at most, though nobody calls."""
    async with processes(2, ledger) as [one, other]:
        one.ledger.down = True
        one.refused("r", 1.0, None)
        await asyncio.sleep(15)
        one.ledger.down = False
        await asyncio.sleep(2.1)
        other.pause(0)
        await asyncio.sleep(0.1)
        assert other.stats().calls == 12


@virtual
async def test_what_is_urgent_while_the_ledger_is_down_holds_up_nobody(ledger):
    """Whoever cannot be told anything yet is not asked again and again whether he can (then this test would hang)."""
    async with processes(1, ledger, waits=True) as [gate]:
        gate.ledger.down = True
        waiting = asyncio.create_task(gate.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(8)
        gate.ledger.asks.clear()
        gate.refused("r", 1.0, None)
        await asyncio.sleep(10)
        assert 5 <= len(gate.ledger.asks) <= 15
        gate.ledger.down = False
        await waiting


@virtual
async def test_a_ledger_that_fails_as_nobody_foresaw_is_down(ledger, caplog):
    """It is said once, calls are not sent, and the slots of those on their way are kept when it is well again."""

    def explode(ask):
        raise RuntimeError("boom")

    async with processes(2, ledger) as [one, other]:
        slots = await take(one, 25)
        honest, one.ledger.decide = one.ledger.decide, explode
        await asyncio.sleep(5)
        with pytest.raises(NotSentError, match=r"so the call was not sent: RuntimeError\('boom'\)"):
            await one.acquire(Lane.INTERACTIVE)
        one.ledger.decide = honest
        await asyncio.sleep(60)
        other.pause(0)
        await asyncio.sleep(0.1)
        assert other.stats().used == 25
        for slot in slots:
            slot.answered()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [
        "the limit cannot be asked, so nobody is sent until it can: RuntimeError('boom')",
        "the limit can be asked again",
    ]
