"""The ASGI application: a call arrives, is counted, and takes its course."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from random import Random

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from .calls import Call, CallLog
from .faults import Exchange, Fault
from .script import FaultScript
from .service.answers import Answer, limit_exceeded
from .service.bodies import Body, BodyReader
from .service.desk import Desk
from .service.operations import SERVICE, Api, api_of
from .window import Meter

HANG_UP = "lsq_service_async.emulator.hang_up"
"""Where a server with real connections puts its ``(reset: bool) -> None`` into ``scope["state"]``."""


@dataclass(frozen=True)
class Road:
    """The way to the emulator and back: each takes up to ``jitter`` seconds, evenly spread."""

    jitter: float
    random: Random
    sleep: Callable[[float], Awaitable[object]]

    async def travel(self) -> None:
        await self.pause(self.random.uniform(0, self.jitter))

    async def pause(self, seconds: float) -> None:
        if seconds > 0:
            await self.sleep(seconds)


@dataclass(frozen=True)
class OverLimit(Fault):
    """Over the rate limit: read, and answered with 429."""

    async def play(self, exchange: Exchange) -> None:
        await exchange.read()
        await exchange.send(limit_exceeded(*exchange.limit))


@dataclass(frozen=True)
class App:
    """Serves ``desk`` over ASGI; each API has a meter of its own."""

    desk: Desk
    meters: Mapping[Api, Meter]
    faults: FaultScript
    log: CallLog
    road: Road
    clock: Callable[[], float]

    @property
    def limit(self) -> tuple[int, float]:
        """Calls and seconds of the tenant's API."""
        return self.meters[SERVICE].limit

    def meter(self, path: str) -> Meter:
        """What counts the calls of that path."""
        return self.meters[api_of(path)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.road.travel()
        request = Request(scope, receive)
        call = self._arrive(request.method, scope["path"])
        exchange = OpenCall(self, self.log.arrived(call), request, send)
        with suppress(ClientDisconnect):
            await call.fault.play(exchange)

    def _arrive(self, method: str, path: str) -> Call:
        # The window comes first, and counts whatever happens next: a refused call never uses up a fault.
        now = self.clock()
        refused = self.meter(path).refuses(now)
        fault = OverLimit() if refused else self.faults.take(method, path)
        return Call(method, path, now, fault, refused)


class OpenCall:
    """One call on the wire, from its arrival to its end: the `Exchange` that faults play on."""

    def __init__(self, app: App, place: int, request: Request, send: Send) -> None:
        self._app = app
        self._place = place
        self._request = request
        self._send = send
        self._body: Body | None = None

    @property
    def limit(self) -> tuple[int, float]:
        return self._app.meter(self._request.scope["path"]).limit

    async def read(self, *, at_most: float = math.inf, bytes_per_second: float = math.inf) -> None:
        reader = BodyReader(self._request.headers.get("content-type", ""))
        async with aclosing(self._request.stream()) as chunks:
            while reader.size < at_most and (chunk := await anext(chunks)):
                reader.feed(chunk)
                await self.pause(len(chunk) / bytes_per_second)
        if reader.size < at_most:
            self._keep(reader.finish())

    def apply(self) -> Answer:
        if self._body is None:
            raise RuntimeError("a call is carried out after its whole body was read")
        desk, request = self._app.desk, self._request
        before = desk.account.store.changes
        path, query = request.scope["path"], request.query_params
        answer = desk.answer(request.method, path, query, request.headers, self._body)
        self._learn(applied=desk.account.store.changes != before)
        return answer

    async def send(self, answer: Answer, *, at_most: int | None = None) -> None:
        await self._app.road.travel()
        self._learn(status=answer.status)
        await self._send({"type": "http.response.start", "status": answer.status, "headers": _headers(answer)})
        whole = at_most is None
        await self._send({"type": "http.response.body", "body": answer.body[:at_most], "more_body": not whole})

    async def drop(self, *, reset: bool = True) -> None:
        """On a real socket that socket is closed; in process, where there is none, ConnectionResetError is raised."""
        hang_up = self._request.scope.get("state", {}).get(HANG_UP)
        if hang_up is None:
            raise ConnectionResetError("the emulator dropped the connection")
        hang_up(reset)
        # The server must have seen the end, or it takes a call without an answer for a mistake.
        while (await self._request.receive())["type"] != "http.disconnect":
            pass

    async def pause(self, seconds: float) -> None:
        await self._app.road.pause(seconds)

    async def hang(self) -> None:
        await asyncio.Event().wait()

    def _keep(self, body: Body) -> None:
        self._body = body
        self._learn(size=body.size, sha256=body.sha256, files=body.files)

    def _learn(self, **facts: object) -> None:
        self._app.log.learned(self._place, **facts)


def _headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    headers = {"content-type": answer.content_type, "content-length": str(len(answer.body))}
    headers |= {name.lower(): value for name, value in answer.headers.items()}
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
