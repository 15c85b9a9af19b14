"""A server that allows 25 calls in 5 seconds and refuses every call beyond this limit.

It runs in a separate process, so that a busy client does not delay the counting.

Four kinds of servers count calls with the windows of the emulator. Refused calls count, too, except in the bucket. The
other two kinds use a real HAProxy or nginx: for each call, the server sends a request to the proxy, and answers with
the status of the proxy.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast, get_args

from lsq_service_async.emulator.window import FixedWindow, WindowKind, create_window

from . import daemon, free_port

CALLS, PER = 25, 5.0
# The service does not send these headers. Without them, slack_sdk, githubkit and stripe would not repeat a call.
HEADERS = f"Retry-After: {PER:.0f}\r\nStripe-Should-Retry: true\r\n"
WINDOWS: tuple[WindowKind, ...] = get_args(WindowKind)
PROXIES = {
    "haproxy": """
defaults
    mode http
    timeout client 10s
    timeout connect 10s
    timeout server 10s
frontend strict
    bind 127.0.0.1:{port}
    stick-table type ip size 1k expire 10m store http_req_rate(5s)
    http-request track-sc0 src
    http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 25 }}
    http-request return status 200
""",
    # nginx carries out "return" before it counts the call, unless "return" is in a named location.
    "nginx": """
daemon off; master_process off; pid {folder}/pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{
    access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2;
    fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    limit_req_zone $binary_remote_addr zone=calls:1m rate=300r/m; limit_req_status 429;
    server {{
        listen 127.0.0.1:{port};
        location / {{ limit_req zone=calls burst=24 nodelay; try_files /nothing @ok; }}
        location @ok {{ return 200; }}
    }}
}}
""",
}
COMMANDS = {"haproxy": ["-db", "-f"], "nginx": ["-c"]}
Allows = Callable[[float], Awaitable[bool]]


def program(name: str) -> str | None:
    """Return the path of a proxy. Many systems install it in /usr/sbin, which only root has in PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


class StrictServer:
    """Answers creates. For each call, ``arrivals`` has the seconds since the first call, and if it was allowed."""

    def __init__(self, allows: Allows, jitter: float) -> None:
        self._allows = allows
        self._jitter = jitter
        self._numbers = itertools.count(1)
        self._began: float | None = None
        self.arrivals: list[tuple[float, bool]] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = [line[15:] for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(length[0]) if length else 0)
                await asyncio.sleep(random.random() * self._jitter)
                now = asyncio.get_running_loop().time()
                self._began = now if self._began is None else self._began
                is_allowed = await self._allows(now)
                self.arrivals.append((round(now - self._began, 3), is_allowed))
                await asyncio.sleep(random.random() * self._jitter)
                writer.write(self._answer(is_allowed))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client or this program has ended
        finally:
            writer.close()

    def _answer(self, is_allowed: bool) -> bytes:
        status, body = "429 Too Many Requests", f"API calls exceeded the limit of {CALLS} in {PER:g} second(s)"
        if is_allowed:
            # slack_sdk requires ``ok``.
            status, body = "200 OK", json.dumps({"Status": "Success", "Id": str(next(self._numbers)), "ok": True})
        headers = "Content-Type: application/json\r\n" if is_allowed else HEADERS
        return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()


@asynccontextmanager
async def _limit(kind: str) -> AsyncIterator[Allows]:
    if kind not in PROXIES:
        # The phase is random, because a client cannot know when a fixed window begins.
        window = (
            FixedWindow(CALLS, PER, phase=random.random() * PER)
            if kind == "fixed"
            else create_window(cast(WindowKind, kind), (CALLS, PER))
        )

        async def counts(now: float) -> bool:
            return window.allows(now)

        yield counts
        return
    with TemporaryDirectory() as folder:
        settings, port = Path(folder, "settings"), free_port()
        settings.write_text(PROXIES[kind].format(port=port, folder=folder))  # noqa: ASYNC240 -- nothing else runs yet

        async def asks(_: float) -> bool:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: strict\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            return answer.startswith(b"HTTP/1.1 200")

        async with daemon(port, program(kind) or kind, *COMMANDS[kind], str(settings)):
            yield asks


async def serve(kind: str, jitter_ms: int) -> dict[str, Any]:
    """Print ``{"origin": ...}``, and serve until the standard input ends.

    Returns, for each call, the seconds since the first call, and whether the call was allowed.
    """
    async with _limit(kind) as allows:
        strict = StrictServer(allows, jitter_ms / 1000)
        server = await asyncio.start_server(strict.talk, "127.0.0.1", 0, backlog=1000)
        print(json.dumps({"origin": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        server.close()
    # Calls that arrive at the same time stay in the order in which they were counted.
    return {"arrivals": sorted(strict.arrivals, key=lambda arrival: arrival[0])}
