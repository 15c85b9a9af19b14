"""Reads of a ticket whose description has SIZE bytes: ``reading SIZE CALLS``; prints the CPU time of one read.

The answer is that of the emulator, and no socket is used, so that the time is that of the client.
"""

import asyncio
import json
import sys
import time

import httpx

from lsq_service_async import Config, NewTicket, RateLimit, ServiceClient
from lsq_service_async.emulator import Emulator

MARK = "a short description"


async def read(size: str, calls: str) -> dict[str, float]:
    emulator, answers = Emulator(), list[bytes]()

    async def keep(answer: httpx.Response) -> None:
        answers.append(await answer.aread())

    app, hooks = httpx.ASGITransport(app=emulator.app), {"response": [keep]}
    async with (
        httpx.AsyncClient(transport=app, event_hooks=hooks) as http,
        ServiceClient(Config(**emulator.settings), http_client=http) as client,
    ):
        ticket = NewTicket(lead_id="45b5", title="Router down", description=MARK, status="Open")
        number = (await client.tickets.create(ticket)).number
        await client.tickets.get(number)
    body = answers[-1].replace(MARK.encode(), b"x" * int(size))
    answer = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    config = Config(**emulator.settings, rate_limit=RateLimit(1_000_000, per=1.0))
    async with httpx.AsyncClient(transport=answer) as http, ServiceClient(config, http_client=http) as client:
        assert len((await client.tickets.get(number)).description or "") == int(size)
        started = time.process_time()
        for _ in range(int(calls)):
            await client.tickets.get(number)
        return {"s": (time.process_time() - started) / int(calls)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(read(*sys.argv[1:]))))
