"""Serves the emulator on a loopback socket, with uvicorn's HTTP protocol in the running event loop.

uvicorn's own `Server` is not used, because it replaces the signal handlers of the process and closes slowly.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from .calls import HANG_UP


def check_loopback(host: str) -> None:
    """Raise ValueError unless the host is a loopback address, because the keys of the emulator are not secret."""
    with suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return
    raise ValueError(f"the emulator binds to a loopback address only, not to {host!r}")


def check_host(scope: Scope) -> Response | None:
    """Return a 403 if the Host header does not name this machine, as in an attack by DNS rebinding."""
    host = Headers(scope=scope).get("host", "")
    if re.fullmatch(r"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?", host, re.IGNORECASE):
        return None
    text = f"The emulator serves localhost and loopback addresses, not the host {host[:100]!r}."
    return PlainTextResponse(text, 403)


class Connection(H11Protocol):
    """One connection. A fault can close it with ``hang_up``."""

    def __init__(self, config: Config, state: ServerState) -> None:
        super().__init__(config, state, {HANG_UP: self.hang_up})
        # Config(access_log=False) would silence every uvicorn server in the process.
        self.access_log = False

    def hang_up(self, reset: bool) -> None:
        """Close the connection with a TCP reset, or after sending the data that was written."""
        if reset and not self.transport.is_closing():
            # With a linger time of 0, the system sends RST instead of FIN.
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        self.transport.close()


@dataclass(frozen=True)
class Listener:
    """A listening server with its connections."""

    _server: asyncio.Server
    _state: ServerState

    @property
    def origin(self) -> str:
        """The URL of the server, such as ``http://127.0.0.1:8080``."""
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def close(self) -> None:
        """Abort every connection, cancel every open call, and free the port."""
        # An asyncio server that closes during an accept leaves the connection open. So stop accepting first, and wait
        # three turns of the loop until the accept has ended.
        with suppress(NotImplementedError):  # missing on Windows
            for listening in self._server.sockets:
                self._server.get_loop().remove_reader(listening.fileno())
        for _ in range(3):
            await asyncio.sleep(0)
        self._server.close()
        # An aborted connection is removed in the next turn of the loop.
        while self._state.connections:
            for connection in self._state.connections:
                connection.transport.abort()
            await asyncio.sleep(0)
        calls = list(self._state.tasks)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls)
        await self._server.wait_closed()


async def listen(app: ASGIApp, host: str, port: int) -> Listener:
    """Serve the application at this address. Port 0 means any free port. OSError if the port is in use."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        # `Listener.close` cancels calls, and uvicorn would log each cancellation as an error.
        with suppress(asyncio.CancelledError):
            await (check_host(scope) or app)(scope, receive, send)

    config = Config(guarded, http="h11", ws="none", lifespan="off", interface="asgi3", log_config=None)
    state = ServerState()
    state.default_headers = [(b"server", b"lsq-service-emulator")]
    loop = asyncio.get_running_loop()
    return Listener(await loop.create_server(lambda: Connection(config, state), host, port, backlog=2048), state)
