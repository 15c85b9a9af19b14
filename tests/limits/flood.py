"""One of several processes that flood a service: ``python flood.py SETTINGS``, where SETTINGS is JSON.

It sends ``calls`` POST requests to ``url`` in one ``lane``, within ``rate``, with a ``limiter`` on the file or server
``at``. It starts after a line on its standard input. For each call it prints, as JSON, the times when the call was
queued and granted, and the status of the response. It imports nothing from the tests.
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
    limiter, lane, gap = limiter_of(settings), Lane(settings["lane"]), settings.get("gap", 0.0)
    await limiter.open(RateLimit.parse(settings["rate"]), settings["url"])
    await asyncio.to_thread(sys.stdin.readline)

    async def call(number: int) -> None:
        await asyncio.sleep(number * gap)
        asked = time.monotonic()
        slot = await limiter.acquire(lane)
        granted = time.monotonic()
        answer = await client.post(settings["url"], headers=settings.get("headers", {}), json={})
        slot.release()
        print(json.dumps([asked, granted, answer.status_code]), flush=True)

    # A connection for each call: a pool would delay some of them.
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=None), timeout=60, trust_env=False) as client:
        await asyncio.gather(*map(call, range(settings["calls"])))
    await limiter.aclose()


if __name__ == "__main__":
    asyncio.run(flood(json.loads(sys.argv[1])))
