"""The emulator in a process of its own: ``python strict_emulator.py WINDOW CALLS PER``.

In JSON it prints its settings, and when its standard input ends, how many calls came and how many it refused.
"""

from __future__ import annotations

import asyncio
import json
import sys

from lsq_service_async.emulator import Emulator


async def serve(window: str, calls: str, per: str) -> None:
    async with Emulator(window=window, rate_limit=(int(calls), float(per)), jitter=0.03) as emulator:
        print(json.dumps(emulator.settings), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        print(json.dumps([len(emulator.calls), emulator.refused]), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
