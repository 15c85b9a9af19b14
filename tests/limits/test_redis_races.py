"""Processes that change the state in Redis at the same moment. In virtual time."""

from __future__ import annotations

import asyncio
import logging

import pytest
from virtual_clock import virtual

from limits.ledgers import FakeRedis, asking_redis, processes
from limits.opened import TOKEN, spend, ticks
from lsq_service_async.config import Lane

pytest.importorskip("redis", reason="no redis-py here; it comes with the extra redis")


@virtual
async def test_a_process_that_loses_every_race_tries_again_a_token_later(caplog):
    """The number of retries is bounded, losing is not reported as an outage, and completed calls are reported later."""
    server = FakeRedis()
    async with processes(2, lambda: asking_redis(server)) as [one, other]:
        await spend(one, 12)
        server.is_contended, server.requests = True, 0
        waiting = asyncio.create_task(one.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(10 * TOKEN)
        assert 10 <= server.requests <= 10 * 9
        assert not waiting.done()
        server.is_contended = False
        await asyncio.sleep(1.2 * TOKEN)
        waiting.result().answered()
        other.pause(0)
        await ticks()
        assert other.stats().used == 13
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@virtual
async def test_a_process_that_loses_every_race_while_it_opens_and_closes_does_so_all_the_same():
    """It is not known to the others until it wins one."""
    server = FakeRedis()
    async with processes(1, lambda: asking_redis(server)) as [first]:
        await spend(first, 1)
        server.is_contended, server.requests = True, 0
        async with processes(1, lambda: asking_redis(server)) as [limiter]:
            assert server.requests == 5 * 9
            assert limiter.stats().used == 0
        server.is_contended = False


@virtual
async def test_a_process_alone_needs_one_round_trip_for_each_exchange():
    """It knows the state that it wrote, and what time it is there."""
    server = FakeRedis(delay=0.01)
    async with processes(1, lambda: asking_redis(server)) as [limiter]:
        server.requests = 0
        await spend(limiter, 20)
        assert server.requests == 20
