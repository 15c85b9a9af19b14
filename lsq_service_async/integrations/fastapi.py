"""One client per FastAPI app: opened in the lifespan, reached by a dependency, shared by all requests::

    app = FastAPI(lifespan=lifespan(Config.from_env))
    install_error_handlers(app)

    @app.get("/tickets/{number}")
    async def show(number: str, client: Client) -> Ticket:
        return await client.tickets.get(number)

Needs the extra ``fastapi``.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Annotated, Any
from urllib.parse import quote

import attrs
import httpx

from .. import (
    Config,
    ConfigurationError,
    Hook,
    InvalidRequestError,
    LSQServiceError,
    NotFoundError,
    OutcomeUnknownError,
    QueueTimeoutError,
    RateLimitError,
    ServiceClient,
)
from ..limits import Gate

try:
    from fastapi import Depends, FastAPI
    from fastapi.requests import HTTPConnection, Request
    from fastapi.responses import JSONResponse
except ImportError as _error:
    raise ImportError("integrations.fastapi needs FastAPI: pip install 'lsq-service-async[fastapi]'") from _error

State = Mapping[str, Any]
OwnLifespan = Callable[[FastAPI], AbstractAsyncContextManager[State | None]]
"""What ``FastAPI(lifespan=...)`` takes: a function of the app, most often an ``asynccontextmanager``."""

Answer = Callable[[Request, Exception], Awaitable[JSONResponse]]

_log = logging.getLogger("lsq_service_async")
_PLACE = "lsq_service_async"
_LONGEST = 3600.0
_WINDOW = 5.0  # the service's own, for a refusal that names no time


@attrs.frozen
class _Opened:
    """A client, and the event loop that it was opened in."""

    client: ServiceClient
    loop: asyncio.AbstractEventLoop


def lifespan(
    config: Config | Callable[[], Config],
    own: OwnLifespan | None = None,
    *,
    limiter: Gate | None = None,
    http_client: Callable[[], httpx.AsyncClient] | None = None,
    hooks: Sequence[Hook] = (),
) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    """A lifespan that opens a client before the app serves, and closes it when the app ends.

    ``config`` may be a function, such as ``Config.from_env``, so that importing the app needs no settings. ``own`` is
    the app's own lifespan: it runs while the client is open, may use it (`client_of`), and its state is kept; a client
    for a second account is opened there. ``limiter`` and ``hooks`` are what `ServiceClient` takes; with several
    workers, the limiter is a HostLimiter or a RedisLimiter. ``http_client`` is a function, as an httpx.AsyncClient
    belongs to one event loop: it is called when the app starts, and what it made is closed when the app ends.
    """
    # An app is callable too, and is what arrives if the function itself is given: FastAPI(lifespan=lifespan).
    if not isinstance(config, Config) and (isinstance(config, FastAPI) or not callable(config)):
        kind, what = type(config).__name__, "a Config or a function that returns one"
        del config  # crash reporters send the locals of this frame, and a mapping may hold keys
        raise ConfigurationError(
            f"lifespan takes {what}, as in FastAPI(lifespan=lifespan(Config.from_env)), not {kind}"
        )
    if http_client is not None and not callable(http_client):
        what = "a function that makes an httpx.AsyncClient when the app starts, in its event loop"
        raise ConfigurationError(f"http_client must be {what}, not {type(http_client).__name__}")

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[State]:
        settings = config if isinstance(config, Config) else config()
        async with (
            (http_client or nullcontext)() as http,
            ServiceClient(settings, limiter=limiter, http_client=http, hooks=hooks) as client,
            _kept(app, client) as state,
            own(app) if own else nullcontext() as more,
        ):
            yield {**(more or {}), **state}

    return opened


@asynccontextmanager
async def _kept(app: FastAPI, client: ServiceClient) -> AsyncIterator[State]:
    """Twice: apps that are mounted see only the lifespan's state, and who runs the lifespan by hand only the app's."""
    opened, before = _Opened(client, asyncio.get_running_loop()), getattr(app.state, _PLACE, None)
    if before is not None and before.loop is opened.loop:
        # Handlers would use the one, and client_of the other.
        raise ConfigurationError("this app has a client already; open that of a second account in its own lifespan")
    setattr(app.state, _PLACE, opened)
    try:
        yield {_PLACE: opened}
    finally:
        setattr(app.state, _PLACE, before)


def client_of(app: FastAPI) -> ServiceClient:
    """The client of a running app, for code that serves no request, such as a task begun in the app's own lifespan.

    RuntimeError where the lifespan does not run, or runs in another event loop.
    """
    return _usable(getattr(app.state, _PLACE, None))


async def get_client(connection: HTTPConnection) -> ServiceClient:
    """The dependency behind `Client`, for ``app.dependency_overrides[get_client]`` in tests."""
    opened = getattr(connection.state, _PLACE, None)
    return _usable(opened or getattr(connection.app.state, _PLACE, None))


Client = Annotated[ServiceClient, Depends(get_client)]
"""The app's client, as a parameter of a handler or of another dependency: ``client: Client``."""


def _usable(opened: _Opened | None) -> ServiceClient:
    if opened is None:
        raise RuntimeError(
            "this app has no open client: make it with FastAPI(lifespan=lifespan(config)), and in tests enter its "
            "lifespan with `with TestClient(app)`; httpx.ASGITransport does not run the lifespan"
        )
    if opened.loop is not asyncio.get_running_loop():
        raise RuntimeError(
            "this app's client was opened in another event loop than the one that serves this request; let the same "
            "`with TestClient(app)`, or the same server, run the lifespan and the requests"
        )
    return opened.client


def install_error_handlers(app: FastAPI) -> None:
    """Answer the package's errors: 404 no such ticket, 422 the call cannot be right, 503 with Retry-After for the
    limit, 502 everything else.

    A body has the shape of FastAPI's own and says nothing of the service's answer; that is logged, with the reference
    that the body names. A 422 repeats the error, and so may name what the handler gave, such as a path. What a
    background task raises comes after its response and is no answer: catch it there. An app that is mounted in another
    answers for itself, and needs handlers of its own.
    """
    app.add_exception_handler(NotFoundError, _answer(404, "There is no such ticket."))
    app.add_exception_handler(InvalidRequestError, _invalid)
    app.add_exception_handler(QueueTimeoutError, _busy)
    app.add_exception_handler(RateLimitError, _busy)
    app.add_exception_handler(OutcomeUnknownError, _unknown)
    app.add_exception_handler(LSQServiceError, _answer(502, "The ticket service did not do this."))


def _answer(status: int, detail: str) -> Answer:
    async def answer(request: Request, error: Exception) -> JSONResponse:
        return _told(request, error, status, detail)

    return answer


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    problem = {"type": "invalid_request", "loc": [], "msg": str(error)}
    return _told(request, error, 422, [problem])


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    if getattr(error, "safe_to_repeat", False):
        return _told(request, error, 502, "No usable answer came. A repeat does no harm.")
    return _told(request, error, 502, "It may have been done. Look before you repeat it.")


async def _busy(request: Request, error: Exception) -> JSONResponse:
    seconds = math.ceil(min(getattr(error, "retry_after", None) or _WINDOW, _LONGEST))
    return _told(request, error, 503, "The ticket service is busy.", {"Retry-After": str(seconds)})


def _told(
    request: Request, error: Exception, status: int, detail: Any, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    reference = getattr(error, "reference", None)
    level = logging.WARNING if status == 502 else logging.INFO
    method = request.scope.get("method", "WEBSOCKET")  # whose handler may raise too, and nobody gets the answer
    path = quote(request.scope["path"])  # a line of the log is no place for what a browser may put into a path
    _log.log(level, "%s %s: %d, because of %r (%s)", method, path, status, error, reference)
    return JSONResponse({"detail": detail, "reference": reference}, status, headers)
