"""The ASGI application: counts each call, lets a fault carry it out, and records it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .faults import Exchange, Fault, FaultScript, RateLimited
from .multipart import Body, ReceivedFile
from .responses import RefusedError, text_response
from .routes import Operations
from .store import TicketStore
from .window import Window

TENANT_KEYS = ("x-lsq-access-key", "x-lsq-secret-key")
MARKETING_KEYS = ("x-lsq-accesskey", "x-lsq-secretkey")


@dataclass(frozen=True)
class Call:
    """One request and its result so far.

    ``time``: when it arrived, on the emulator's clock. ``refused``: by the rate window (not a 429 by a fault).
    ``status``: of the response; None before it is sent, and if the connection was dropped. ``size``, ``sha256`` and
    ``files``: the body, None and empty unless it was read to its end. ``applied``: the call changed the store.
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


@dataclass
class Application:
    """Carries every call to ``service`` and back, each way within ``jitter`` seconds. Each API has its own window."""

    service: ASGIApp
    store: TicketStore
    window: Window
    leads_window: Window
    jitter: float
    random: Random
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]]
    faults: FaultScript = field(default_factory=FaultScript)
    calls: list[Call] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._travel()
        request = Request(scope, receive)
        method, path = request.method, scope["path"]
        window = self.leads_window if is_marketing(path) else self.window
        # The window counts every call before anything else happens, and a refused call uses up no fault.
        now = self.clock()
        refused = not window.allows(now)
        fault = RateLimited() if refused else self.faults.take(method, path)
        index = len(self.calls)
        self.calls.append(Call(method, path, now, fault, refused))

        def record(**attributes: Any) -> None:
            self.calls[index] = replace(self.calls[index], **attributes)

        async def apply(body: Body) -> Response:
            # No endpoint waits for anything, so the changes counted here are those of this call.
            before = self.store.changes
            response = await self._respond(request, body)
            record(applied=self.store.changes != before)
            return response

        limit = (window.calls, window.per)
        with suppress(ClientDisconnect):
            await fault.play(Exchange(request, send, limit, apply, record, self._travel, self.sleep))

    async def _travel(self) -> None:
        seconds = self.random.uniform(0, self.jitter)
        if seconds > 0:
            await self.sleep(seconds)

    async def _respond(self, request: Request, body: Body) -> Response:
        """Return the response of the service instead of sending it."""
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        scope = {**request.scope, "state": {**request.scope.get("state", {}), "body": body}}
        await self.service(scope, request.receive, collect)
        start, *parts = messages
        response = Response(b"".join(part["body"] for part in parts), start["status"])
        response.raw_headers = start["headers"]
        return response


@dataclass(frozen=True)
class KeyMiddleware:
    """Answers 401 unless both keys are right. The two APIs use different header names."""

    app: ASGIApp
    keys: tuple[str, str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Request(scope).headers
        names = MARKETING_KEYS if is_marketing(scope["path"]) else TENANT_KEYS
        authorized = tuple(headers.get(name) for name in names) == self.keys
        await (self.app if authorized else text_response(401))(scope, receive, send)


def is_marketing(path: str) -> bool:
    """Whether the path belongs to the marketing API; all others belong to the tenant's API."""
    return path.startswith("/v2/")


def create_service(operations: Operations, keys: tuple[str, str]) -> Starlette:
    """Return the service behind the rate limit. A path or method without an operation is the documented 404."""

    async def refused(request: Request, error: Exception) -> Response:
        return error.response if isinstance(error, RefusedError) else text_response(404)

    service = Starlette(
        routes=operations.routes(),
        middleware=[Middleware(KeyMiddleware, keys=keys)],
        exception_handlers={404: refused, 405: refused, RefusedError: refused},
    )
    service.router.redirect_slashes = False
    return service
