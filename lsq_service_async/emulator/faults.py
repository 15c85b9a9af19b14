"""Faults: each class plays an `Exchange`, which is one request and its response, in its own way.

Faults apply in the order in which they were added. Here the first POST gets a 500 and the second one a slow answer::

    emulator.faults.add(Status(500, method="POST"), Latency(2.0, method="POST"))

To write a fault, subclass `Fault` as a frozen dataclass and override ``play``.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Send

from .multipart import Body, BodyReader
from .payloads import JSON_ANSWER, TEXTS

HANG_UP = "lsq_service_async.emulator.hang_up"
"""The key in ``scope["state"]`` of the function that closes the connection: ``(reset: bool) -> None``."""

CONTENT_KEPT = 4 << 20
"""The largest request in bytes whose files are kept to be shown."""

TEXT_KEPT = 16 << 10
"""The number of bytes of a request's JSON, and of a response, that are kept for the log."""


@dataclass
class Exchange:
    """One request and its response, as a fault carries them out.

    ``limit``: calls and seconds of the rate limit. ``pause``: sleeps for a number of seconds on the emulator's clock.
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
        """Read the whole body, or until ``at_most`` bytes have arrived."""
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
        """Read the rest of the body, carry the call out, and return its response, which is not sent yet."""
        while self._body is None:
            await self.read()
        return await self._answer(self._body)

    def apply_later(self, seconds: float) -> None:
        """Carry the call out after ``seconds``, also if its connection is closed by then."""

        async def apply() -> None:
            await self.pause(seconds)
            await self.apply()

        self._start(apply())

    async def send(self, response: Response, *, at_most: int | None = None) -> None:
        """Send the response, or its headers and only ``at_most`` bytes of its body."""
        await self._delay()
        answer = bytes(response.body[:TEXT_KEPT]).decode("utf-8", "replace")
        self._record(status=response.status_code, answer=answer)
        start = {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
        await self._send(start)
        body = bytes(response.body)[:at_most]
        await self._send({"type": "http.response.body", "body": body, "more_body": at_most is not None})

    async def drop(self, *, reset: bool = True) -> None:
        """Close the connection, with a reset or gracefully. In process, raise ConnectionResetError."""
        hang_up = self.request.scope.get("state", {}).get(HANG_UP)
        if hang_up is None:
            raise ConnectionResetError("the emulator dropped the connection")
        hang_up(reset)
        # Until uvicorn notices the disconnection, it logs a call without a response as an error.
        while (await self.request.receive())["type"] != "http.disconnect":
            pass


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Applies to the next ``times`` calls with that ``method`` (None: any) whose path contains ``path``."""

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
        """Carry out one exchange. Unless a subclass overrides this, the call is read, applied and answered."""
        await exchange.send(await exchange.apply())


@dataclass(frozen=True)
class Serve(Fault):
    """No fault. In the queue it lets calls pass before the next fault."""


@dataclass(frozen=True)
class Latency(Fault):
    """Apply the call, and answer ``seconds`` later."""

    seconds: float

    async def play(self, exchange: Exchange) -> None:
        response = await exchange.apply()
        await exchange.pause(self.seconds)
        await exchange.send(response)


@dataclass(frozen=True)
class Status(Fault):
    """Answer with this status, by default with the documented text for it. ``applied``: apply the call first."""

    status: int
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    applied: bool = False

    async def play(self, exchange: Exchange) -> None:
        await (exchange.apply() if self.applied else exchange.read())
        await exchange.send(_text_response(self.status, self.body, self.headers))


@dataclass(frozen=True)
class RateLimited(Fault):
    """Answer with the documented 429. ``retry_after``: the value of that header, unchanged."""

    retry_after: int | str | None = None

    async def play(self, exchange: Exchange) -> None:
        await exchange.read()
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        calls, per = exchange.limit
        text = f"API calls exceeded the limit of {calls} in {per:g} second(s)"
        await exchange.send(PlainTextResponse(text, 429, headers))


@dataclass(frozen=True)
class DropConnection(Fault):
    """Close the connection before or after reading the body, without applying or answering the call.

    With ``reset=False`` the connection is closed gracefully, but the system still resets it if bytes are unread.
    """

    when: Literal["before_body", "after_body"] = "before_body"
    reset: bool = True

    async def play(self, exchange: Exchange) -> None:
        if self.when == "after_body":
            await exchange.read()
        await exchange.drop(reset=self.reset)


@dataclass(frozen=True)
class AnswerLost(Fault):
    """Apply the call, then close the connection without an answer."""

    reset: bool = True

    async def play(self, exchange: Exchange) -> None:
        await exchange.apply()
        await exchange.drop(reset=self.reset)


@dataclass(frozen=True)
class AppliedLater(Fault):
    """Close the connection without an answer, and apply the call ``seconds`` later."""

    seconds: float
    reset: bool = True

    async def play(self, exchange: Exchange) -> None:
        await exchange.read()
        exchange.apply_later(self.seconds)
        await exchange.drop(reset=self.reset)


@dataclass(frozen=True)
class BadJson(Fault):
    """Answer 200 with this text as JSON; the call is applied unless ``applied`` is False."""

    text: str = '{"Status": "Succ'
    applied: bool = True

    async def play(self, exchange: Exchange) -> None:
        await (exchange.apply() if self.applied else exchange.read())
        await exchange.send(Response(self.text, media_type=JSON_ANSWER))


@dataclass(frozen=True)
class TruncatedAnswer(Fault):
    """Apply the call, send the headers and ``keep`` bytes of the body (default: half), then disconnect."""

    keep: int | None = None

    async def play(self, exchange: Exchange) -> None:
        response = await exchange.apply()
        await exchange.send(response, at_most=len(response.body) // 2 if self.keep is None else self.keep)
        await exchange.drop(reset=False)


@dataclass(frozen=True)
class SlowRead(Fault):
    """Read the body at this speed, then apply and answer the call."""

    bytes_per_second: float

    async def play(self, exchange: Exchange) -> None:
        await exchange.read(bytes_per_second=self.bytes_per_second)
        await exchange.send(await exchange.apply())


@dataclass(frozen=True)
class StopReading(Fault):
    """Read ``after_bytes`` of the body, then neither read nor answer; the connection stays open."""

    after_bytes: int = 0

    async def play(self, exchange: Exchange) -> None:
        await exchange.read(at_most=self.after_bytes)
        await asyncio.Event().wait()


@dataclass(frozen=True)
class ResetMidway(Fault):
    """Reset the connection after reading ``after_bytes`` of the body."""

    after_bytes: int

    async def play(self, exchange: Exchange) -> None:
        await exchange.read(at_most=self.after_bytes)
        await exchange.drop()


@dataclass(frozen=True)
class EarlyStatus(Fault):
    """Answer before reading the body, as a gateway does with a body that is too large.

    With ``close=True`` the connection is closed after the answer, and the caller may see a reset instead of it;
    otherwise the body is received and discarded.
    """

    status: int
    body: str | None = None
    close: bool = True

    async def play(self, exchange: Exchange) -> None:
        headers = {"connection": "close"} if self.close else {}
        await exchange.send(_text_response(self.status, self.body, headers))


def _text_response(status: int, text: str | None, headers: Mapping[str, str]) -> Response:
    """Return plain text, by default the documented one for that status."""
    return PlainTextResponse(TEXTS.get(status, "") if text is None else text, status, headers)


@dataclass
class FaultScript:
    """A queue of faults; each call takes the first one that applies to it.

    ``pending``: the faults that have not been applied yet, with the remaining times.
    """

    pending: tuple[Fault, ...] = ()

    def add(self, *faults: Fault) -> None:
        """Add faults to the end of the queue."""
        self.pending += faults

    def clear(self) -> None:
        """Remove all pending faults."""
        self.pending = ()

    def take(self, method: str, path: str) -> Fault:
        """Return the fault for this call and use it up once; `Serve` if no fault applies."""
        for index, fault in enumerate(self.pending):
            if fault.hits(method, path):
                rest = (replace(fault, times=fault.times - 1),) if fault.times > 1 else ()
                self.pending = (*self.pending[:index], *rest, *self.pending[index + 1 :])
                return fault
        return Serve()
