"""One call: its request, fault, response and log entry."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from .multipart import Body, BodyReader, ReceivedFile

HANG_UP = "lsq_service_async.emulator.hang_up"
"""The key of the function in ``scope["state"]`` that closes the connection: ``(reset: bool) -> None``."""

CONTENT_KEPT = 4 << 20
"""The files of a request are stored for the page only if the request has at most this many bytes."""

TEXT_KEPT = 16 << 10
"""The log stores at most this many bytes of the JSON of a request, and of the body of a response."""

RECENT = 1000
"""The log stores the JSON and the response of this many recent calls. The page shows no older calls."""


@dataclass
class Exchange:
    """One request and its response. A fault uses this object to read, apply and answer the call.

    ``limit``: the calls and seconds of the rate limit. ``pause``: waits for a number of seconds on the emulator's
    clock.
    """

    request: Request
    limit: tuple[int, float]
    pause: Callable[[float], Awaitable[None]]
    _send: Send
    _answer: Callable[[Body], Awaitable[Response]]
    _record: Callable[..., None]
    _delay: Callable[[], Awaitable[None]]
    _start: Callable[[Coroutine[Any, Any, object]], object]
    _reader: BodyReader | None = None
    _body: Body | None = None

    async def read(self, *, at_most: float = math.inf, bytes_per_second: float = math.inf) -> None:
        """Read the whole body, or stop when ``at_most`` bytes have arrived."""
        if self._reader is None:
            headers = self.request.headers
            length = headers.get("content-length", "")
            is_small = length.isdigit() and int(length) <= CONTENT_KEPT
            self._reader = BodyReader(headers.get("content-type", ""), keep=is_small)
        reader = self._reader
        async with aclosing(self.request.stream()) as chunks:
            while reader.size < at_most and (chunk := await anext(chunks)):
                reader.feed(chunk)
                await self.pause(len(chunk) / bytes_per_second)
        if reader.size < at_most:
            self._body = reader.finish()
            text = (self._body.text or b"")[:TEXT_KEPT].decode("utf-8", "replace")
            self._record(size=self._body.size, sha256=self._body.sha256, files=self._body.files, text=text)

    async def apply(self) -> Response:
        """Read the rest of the body, apply the call, and return its response without sending it."""
        while self._body is None:
            await self.read()
        return await self._answer(self._body)

    def apply_later(self, seconds: float) -> None:
        """Apply the call after ``seconds``, even if the connection is closed by then."""

        async def apply() -> None:
            await self.pause(seconds)
            await self.apply()

        self._start(apply())

    async def send(self, response: Response, *, at_most: int | None = None) -> None:
        """Send the response, or only the headers and the first ``at_most`` bytes of the body."""
        await self._delay()
        body = b"" if response.status_code in (204, 304) else bytes(response.body)
        self._record(status=response.status_code, answer=body[:TEXT_KEPT].decode("utf-8", "replace"))
        start = {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body[:at_most], "more_body": at_most is not None})

    async def drop(self, *, reset: bool = True) -> None:
        """Close the connection, with a TCP reset or gracefully. Without a socket, raise ConnectionResetError."""
        hang_up = self.request.scope.get("state", {}).get(HANG_UP)
        if hang_up is None:
            raise ConnectionResetError("the emulator dropped the connection")
        hang_up(reset)
        # Wait for the disconnection. Otherwise, uvicorn would log the missing response as an error.
        while (await self.request.receive())["type"] != "http.disconnect":
            pass


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault. It applies to the next ``times`` calls with this ``method`` (None: any) whose path contains ``path``."""

    times: int = 1
    method: str | None = None
    path: str = ""

    def __post_init__(self) -> None:
        if self.times < 1:
            raise ValueError(f"times must be at least 1, not {self.times}")

    def hits(self, method: str, path: str) -> bool:
        """Whether the fault applies to this call."""
        return self.method in (None, method) and self.path in path

    async def play(self, exchange: Exchange) -> None:
        """Read, apply and answer the call. Subclasses override this method."""
        await exchange.send(await exchange.apply())


@dataclass(frozen=True, slots=True)
class Call:
    """One request and its result so far.

    ``time``: when the request arrived, on the emulator's clock. ``refused``: whether the rate limit refused the call;
    False for a 429 that a fault sent. ``status``: None if no response was sent yet. ``size``, ``sha256`` and ``files``
    describe the body after it has been read completely. ``applied``: whether the call changed the store. ``seconds``:
    the time from the arrival to the end of the response. ``text`` and ``answer``: the first 16 KiB of the JSON of the
    request, and of the body of the response. Both are None for all calls except the last 1,000.
    """

    method: str
    path: str
    time: float
    fault: Fault
    refused: bool
    status: int | None = None
    size: int | None = None
    sha256: str | None = None
    files: tuple[ReceivedFile, ...] = ()
    applied: bool = False
    seconds: float | None = None
    text: str | None = field(default=None, repr=False)
    answer: str | None = field(default=None, repr=False)


class CallLog:
    """The log of the last calls, by their number: at most ``keep`` calls and files in total."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._next = self._files = 0
        self.kept: OrderedDict[int, Call] = OrderedDict()
        self.total: int = 0
        self.refused: int = 0

    def clear(self) -> None:
        """Remove all calls. No number is used again, because open calls still change their entries by number."""
        self.kept.clear()
        self.total = self.refused = self._files = 0

    def add(self, call: Call) -> int:
        number, self._next = self._next, self._next + 1
        self.total += 1
        self.refused += call.refused
        self.kept[number] = call
        self.change(number)
        if old := self.kept.get(number - RECENT):
            self.kept[number - RECENT] = replace(old, text=None, answer=None)
        return number

    def change(self, number: int, **changes: Any) -> None:
        """Change attributes of a call that is still in the log."""
        if call := self.kept.get(number):
            self.kept[number] = replace(call, **changes)
            self._files += len(self.kept[number].files) - len(call.files)
            while len(self.kept) + self._files > self._keep:
                self._files -= len(self.kept.popitem(last=False)[1].files)
