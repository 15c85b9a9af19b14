"""Processes that change the state in Redis at the same moment, in virtual time with a fake server."""

from __future__ import annotations

import asyncio
import logging

import pytest
from virtual_clock import virtual

from limits.limiters import TOKEN, FakeRedis, processes, spend, ticks
from lsq_service_async.config import Lane

pytest.importorskip("redis", reason="no redis-py here; it comes with the extra redis")


@virtual
async def test_a_process_that_loses_every_race_tries_again_a_token_later(caplog):
    """The number of retries is bounded, losing is not reported as an outage, and completed calls are reported later."""
    server = FakeRedis()
    async with processes(2, server.backend) as [one, other]:
        await spend(one, 12)
        server.is_contended, server.requests = True, 0
        waiting = asyncio.create_task(one.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(10 * TOKEN)
        assert 10 <= server.requests <= 12 * 9
        assert not waiting.done()
        server.is_contended = False
        await asyncio.sleep(1.2 * TOKEN)
        waiting.result().release()
        other.pause(0)
        await ticks()
        assert other.stats().used == 13
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@virtual
async def test_a_process_that_loses_every_race_can_be_opened_and_closed():
    """A process gives up each exchange after five attempts, and grants no call."""
    server = FakeRedis()
    async with processes(1, server.backend) as [first]:
        await spend(first, 1)
        server.is_contended, server.requests = True, 0
        async with processes(1, server.backend) as [limiter]:
            assert server.requests == 5 * 9
            assert limiter.stats().used == 0
        server.is_contended = False


@virtual
async def test_a_process_alone_needs_one_round_trip_for_each_message():
    """A process alone knows the last state and the time of the server, so one round trip is enough."""
    server = FakeRedis(0.01, 0.01)
    async with processes(1, server.backend) as [limiter]:
        server.requests = 0
        await spend(limiter, 20)
        assert server.requests == 20
