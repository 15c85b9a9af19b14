"""A limiter that is made before two forks, as by a server that loads the application first: how much each of them uses.

Its argument is the file. Twelve calls of the first process are on their way when it ends, then twelve of the second.
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
