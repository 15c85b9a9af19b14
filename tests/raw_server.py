"""A TCP server that sends arbitrary bytes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import attrs

from lsq_service_async import NewTicket, RetryPolicy, ServiceClient

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CREATED = b'{"Status":"Success","Id":"34"}'
TICKET = NewTicket(lead_id="45b5")
ONCE = RetryPolicy(attempts=1)


class RawServer:
    """Runs ``talk`` for each connection. ``connections`` counts all of them, ``open`` those that are not closed yet."""

    def __init__(self, talk: Talk, ssl=None) -> None:
        self._talk = talk
        self._ssl = ssl
        self.connections = 0
        self.open = 0
        self.origin = ""

    async def _serve(self, reader, writer) -> None:
        self.connections += 1
        self.open += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._talk(reader, writer)
        finally:
            self.open -= 1
            writer.close()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["RawServer"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._ssl, limit=1 << 22)
        scheme, port = "https" if self._ssl else "http", server.sockets[0].getsockname()[1]
        self.origin = f"{scheme}://localhost:{port}" if self._ssl else f"{scheme}://127.0.0.1:{port}"
        try:
            yield self
        finally:
            server.close()


async def request_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return head and body of the next request."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].split(b":")[1]) if lengths else 0
    return head, await reader.readexactly(length)


def ok(body: bytes = CREATED, *headers: bytes) -> bytes:
    """Return a 200 with this body."""
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def answering(*chunks, end="keep", wait=0.0):
    """Read requests and write these chunks to each. Then keep the connection, close it, or send nothing more."""

    async def talk(reader, writer):
        while True:
            await request_of(reader)
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(wait)
            if end == "close":
                return
            if end == "silent":
                await reader.read()

    return talk


async def outcome(config, talk, act, **options):
    """Return the result or the error of one call to a server with this behaviour."""
    async with RawServer(talk).running() as server:
        settings = attrs.evolve(config, base_url=server.origin, retry=ONCE, **options)
        async with ServiceClient(settings) as client:
            try:
                return await act(client)
            except Exception as error:
                return error


async def call_create(client):
    return await client.tickets.create(TICKET)


async def call_get(client):
    return await client.tickets.get("143")
