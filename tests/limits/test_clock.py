"""A server whose clock is set while two processes use it to the full. In virtual time."""

from __future__ import annotations

import asyncio

import pytest
from virtual_clock import virtual

from limits.ledgers import Server, ServerOnTheSpot, loop_time, processes
from limits.strict_servers import PER, Sliding
from lsq_service_async.config import Lane


@virtual
@pytest.mark.parametrize("step", [2.0, 4.0, 10.0, 3600.0, -2.0, -3600.0])
async def test_a_clock_that_is_set_lets_nobody_send_more(step):
    """Nor much less for long: two windows at most, for each takes what was used for used just now."""
    server, service, allowed = Server(), Sliding(), []

    async def call(gate):
        slot = await gate.acquire(Lane.INTERACTIVE)
        allowed.append(service.allows(loop_time()))
        await asyncio.sleep(0.05)
        slot.answered()

    async def set_clock():
        await asyncio.sleep(7.3)
        server.ahead = step

    async with processes(2, lambda: ServerOnTheSpot(server)) as gates:
        began = loop_time()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(set_clock())
            for number in range(300):
                tasks.create_task(call(gates[number % 2]))
    assert allowed == [True] * 300
    assert loop_time() - began < 300 / 25 * PER + 2 * PER


@virtual
async def test_a_process_that_only_stood_still_has_seen_no_clock_jump():
    """Stopped for a minute it knows how late it is when it goes on, so nothing is taken for used just now."""
    server = Server()
    async with processes(1, lambda: ServerOnTheSpot(server)) as [gate]:
        for _ in range(20):
            (await gate.acquire(Lane.INTERACTIVE)).answered()
        await asyncio.sleep(6)
        gate._store._keeper.cancel()
        await asyncio.sleep(60)
        began = loop_time()
        for _ in range(25):
            await gate.acquire(Lane.INTERACTIVE)
        assert loop_time() - began < 0.1
