"""Reads of a ticket of any size."""

import time

import httpx

from lsq_service_async import Config, NewTicket, RateLimit, ServiceClient
from lsq_service_async.emulator import Emulator

MARK = "a short description"


async def read(size: int, calls: int) -> dict[str, float]:
    """Return the CPU time of one read of a ticket whose description has ``size`` bytes.

    The answer was recorded from the emulator, and no socket is used, so that only the client is measured.
    """
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
    body = answers[-1].replace(MARK.encode(), b"x" * size)
    answer = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    config = Config(**emulator.settings, rate_limit=RateLimit(1_000_000, per=1.0))
    async with httpx.AsyncClient(transport=answer) as http, ServiceClient(config, http_client=http) as client:
        assert len((await client.tickets.get(number)).description or "") == size
        started = time.process_time()
        for _ in range(calls):
            await client.tickets.get(number)
        return {"s": (time.process_time() - started) / calls}
