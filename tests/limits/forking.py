"""A limiter that is created before two forks, as in a server that loads the application first: ``forking.py FILE``.

Each child has twelve calls in flight when it ends, and prints the number of slots in use.
"""

from __future__ import annotations

import asyncio
import os
import sys

from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.limits import HostLimiter

limiter = HostLimiter(sys.argv[1])


async def use() -> None:
    await limiter.open(RateLimit(25, per=60.0), "host/1")
    for _ in range(12):
        await limiter.acquire(Lane.INTERACTIVE)
    print(limiter.stats().used, flush=True)
    os._exit(0)


for _ in range(2):
    if not os.fork():
        asyncio.run(use())
    os.wait()
