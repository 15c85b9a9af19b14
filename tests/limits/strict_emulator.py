"""The emulator in a separate process: ``python strict_emulator.py WINDOW CALLS PER``.

It prints its settings as JSON, and when its standard input is closed, the numbers of received and refused calls.
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
