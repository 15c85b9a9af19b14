"""One of several processes that flood a service: ``python flood.py SETTINGS``, where SETTINGS is JSON.

``url``, ``calls`` and ``rate`` say what to do, ``limiter`` and ``at`` with which limiter, ``lane`` in which lane. When
its standard input says go it makes all its calls at once, and prints, in JSON, for each call: when it was asked for,
when it was granted, and the status of its answer. It needs nothing of the tests.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import httpx

from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.limits import HostLimiter, Limiter


def limiter_of(settings: dict[str, Any]) -> Limiter:
    if settings["limiter"] == "host":
        return HostLimiter(settings["at"])
    from lsq_service_async.limits.redis import RedisLimiter

    return RedisLimiter(settings["at"])


async def flood(settings: dict[str, Any]) -> None:
    gate, lane, gap = limiter_of(settings), Lane(settings["lane"]), settings.get("gap", 0.0)
    await gate.open(RateLimit(settings["rate"][0], per=settings["rate"][1]), settings["url"])
    await asyncio.to_thread(sys.stdin.readline)

    async def call(number: int) -> None:
        await asyncio.sleep(number * gap)
        asked = time.monotonic()
        slot = await gate.acquire(lane)
        granted = time.monotonic()
        answer = await client.post(settings["url"], headers=settings.get("headers", {}), json={})
        slot.release()
        print(json.dumps([asked, granted, answer.status_code]), flush=True)

    # A connection for each call: what is measured is the limit, and a pool would spread the calls.
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=None), timeout=60, trust_env=False) as client:
        await asyncio.gather(*map(call, range(settings["calls"])))
    await gate.aclose()


if __name__ == "__main__":
    asyncio.run(flood(json.loads(sys.argv[1])))
