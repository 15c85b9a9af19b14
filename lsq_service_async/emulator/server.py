"""Real connections: uvicorn's HTTP protocol on a loopback socket, in the event loop of whoever opens it.

uvicorn's own `Server` is left out: it takes over the process's signals, and its shutdown waits in steps of 0.1 s.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from .app import HANG_UP


def check_loopback(host: str) -> None:
    """ValueError unless the host is this machine and nobody else: there is no real check of who calls."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError(f"the emulator binds to a loopback address only, not to {host!r}")


class Connection(H11Protocol):
    """One connection, which the application may hang up."""

    def __init__(self, config: Config, state: ServerState) -> None:
        super().__init__(config, state, {HANG_UP: self.hang_up})
        # Not through Config, which would silence the access log of every other uvicorn in the process.
        self.access_log = False

    def hang_up(self, reset: bool) -> None:
        """Close at once with a TCP reset, or in order: what was written first, then the end."""
        if self.transport.is_closing():
            return
        if reset:
            self._linger_not()
            self.transport.abort()
        else:
            self.transport.close()

    def _linger_not(self) -> None:
        # A linger time of zero is how a socket is told to send RST where it would send FIN.
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Listener:
    """Listens from the moment it is there; `close` ends it."""

    def __init__(self, server: asyncio.Server, state: ServerState) -> None:
        self._server = server
        self._state = state

    @property
    def origin(self) -> str:
        """Such as ``http://127.0.0.1:8080``."""
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def close(self) -> None:
        """Hang up on everybody, end every open call, and be gone; nobody is waited for."""
        await self._stop_accepting()
        self._server.close()
        await self._hang_up_all()
        await self._end_calls()
        await self._server.wait_closed()

    async def _stop_accepting(self) -> None:
        # A connection whose accepting is under way when its asyncio server closes stays open for ever, unheard. So
        # first no new ones; then three turns of the loop, which is what accepting takes.
        for listening in self._server.sockets:
            self._server.get_loop().remove_reader(listening.fileno())
        for _ in range(3):
            await asyncio.sleep(0)

    async def _hang_up_all(self) -> None:
        # An aborted connection is gone in the next turn of the loop.
        while self._state.connections:
            for connection in self._state.connections:
                connection.transport.abort()
            await asyncio.sleep(0)

    async def _end_calls(self) -> None:
        calls = list(self._state.tasks)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls)


async def listen(app: ASGIApp, host: str, port: int) -> Listener:
    """Serve the application there; port 0 takes a free one. OSError when the port is taken."""
    config = Config(_ended_quietly(app), http="h11", ws="none", lifespan="off", interface="asgi3", log_config=None)
    state = ServerState()
    state.default_headers = [(b"server", b"lsq-service-emulator")]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(config, state), host, port, backlog=2048)
    return Listener(server, state)


def _ended_quietly(app: ASGIApp) -> ASGIApp:
    # Calls are cancelled by the closing only, and uvicorn would log that as an error of the application.
    async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    return quiet
