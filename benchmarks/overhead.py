"""CPU time of a create with the whole client and with bare httpx. The server runs in another process."""

import asyncio
import contextlib
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

import httpx

from benchmarks.table import show
from lsq_service_async import Config, NewTicket, RateLimit, ServiceClient

CALLS, ROUNDS = 500, 7
ANSWER = b'{"Status":"Success","ReasonForFailure":null,"Id":"34","Message":null,"TicketId":"27e8259d","Key":"#034"}'
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)
TICKET = NewTicket(lead_id="45b5", title="Router down", status="Open", priority="Low", channel="Chat")
BODY = {"TypeId": "1", "Id": None, "LeadId": "45b5", "RelatedTicketTypeId": 1, "Fields": [
    {"SchemaName": "Title", "Value": "Router down"}, {"SchemaName": "Status", "Value": "Open"},
    {"SchemaName": "Priority", "Value": "Low"}, {"SchemaName": "Channel", "Value": "Chat"}]}  # fmt: skip


def serve(pipe: Connection) -> None:
    """Answer requests in a separate process, so that the CPU time of the server is not counted."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.split(b":")[1]))
                writer.write(RESPONSE)

    async def main() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


async def cpu_of(call: Callable[[], Awaitable[object]]) -> float:
    """Return the microseconds of CPU that this process spends on one call."""
    started = time.process_time()
    for _ in range(CALLS):
        await call()
    return (time.process_time() - started) / CALLS * 1e6


async def measure(origin: str) -> dict[str, list[float]]:
    config = Config(
        access_key="a", secret_key="b", org_id="1", base_url=origin, rate_limit=RateLimit(1_000_000, per=1.0)
    )
    taken: dict[str, list[float]] = {"bare httpx": [], "lsq_service_async": []}
    async with httpx.AsyncClient() as bare, ServiceClient(config) as client:
        for _ in range(ROUNDS):
            taken["bare httpx"].append(await cpu_of(lambda: bare.post(f"{origin}/tickets", json=BODY)))
            taken["lsq_service_async"].append(await cpu_of(lambda: client.tickets.create(TICKET)))
    return taken


def run() -> None:
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    taken = asyncio.run(measure(f"http://127.0.0.1:{ours.recv()}"))
    server.terminate()
    medians = {name: statistics.median(values) for name, values in taken.items()}
    rows = [(name, median, median / medians["bare httpx"]) for name, median in medians.items()]
    show(f"CPU per create, median of {ROUNDS} x {CALLS}", ["client", "us", "ratio to httpx"], rows)
