"""Opens one client in the lifespan of a FastAPI app. All requests share this client through a dependency::

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
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from typing import Annotated, Any
from urllib.parse import quote

import attrs

from .. import (
    Config,
    ConfigurationError,
    Hook,
    InvalidRequestError,
    LSQServiceError,
    NoAnswerError,
    NotFoundError,
    OutcomeUnknownError,
    QueueTimeoutError,
    RateLimitError,
    ServiceClient,
)
from .._logging import logger
from ..limits import Limiter, limiter_from_env

try:
    from fastapi import Depends, FastAPI
    from fastapi.requests import HTTPConnection
    from fastapi.responses import JSONResponse
    from fastapi.websockets import WebSocket, WebSocketDisconnect, WebSocketState
except ImportError as _error:
    raise ImportError("integrations.fastapi needs FastAPI: pip install 'lsq-service-async[fastapi]'") from _error

State = Mapping[str, Any]
OwnLifespan = Callable[[FastAPI], AbstractAsyncContextManager[State | None]]
"""The type of FastAPI's argument ``lifespan``: a function that takes the app, usually an ``asynccontextmanager``."""

_STATE_KEY = "lsq_service_async"
_MAX_RETRY_AFTER = 3600.0
_WINDOW = 5.0  # seconds; sent as Retry-After if an error has no retry_after


@attrs.frozen
class _Opened:
    client: ServiceClient
    loop: asyncio.AbstractEventLoop


def lifespan(
    config: Config | Callable[[], Config],
    own: OwnLifespan | None = None,
    *,
    limiter: Limiter | None = None,
    http_client: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
    hooks: Sequence[Hook] = (),
) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    """Return a lifespan that opens a client when the app starts and closes it when the app stops.

    ``config`` is a Config, or a function that returns one. With ``Config.from_env``, the module of the app can be
    imported before the environment variables are set.

    ``own`` is your own lifespan, which runs while the client is open. It can get the client with `client_of`, and can
    yield a mapping, which is added to the state of the app's lifespan. For a second account, open a second client in
    ``own``.

    ``limiter`` and ``hooks`` are passed to `ServiceClient`. If the server runs several worker processes, use a
    HostLimiter or a RedisLimiter. If ``config`` is a function and ``limiter`` is not given, the variables
    LSQ_LIMIT_FILE and LSQ_LIMIT_REDIS choose the limiter.

    ``http_client`` is a function that returns an AsyncClient of httpx or httpx2. The function is called when the app
    starts, in the event loop of the app. The AsyncClient is closed when the app stops.

    Wrong arguments raise ConfigurationError.
    """
    # The mistake FastAPI(lifespan=lifespan) passes the app, which is callable, as ``config``.
    if not isinstance(config, Config) and (isinstance(config, FastAPI | type) or not callable(config)):
        kind = f"the class {config.__name__}" if isinstance(config, type) else type(config).__name__
        what = "a Config or a function that returns one"
        del config  # config may hold API keys, and crash reporters send local variables
        raise ConfigurationError(
            f"lifespan takes {what}, as in FastAPI(lifespan=lifespan(Config.from_env)), not {kind}"
        )
    if http_client is not None and not callable(http_client):
        what = "a function that makes an httpx.AsyncClient when the app starts"
        raise ConfigurationError(f"http_client must be {what}, not {type(http_client).__name__}")
    if own is not None and not callable(own):
        raise ConfigurationError(f"own must be a lifespan, as in FastAPI(lifespan=...), not {type(own).__name__}")

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[State]:
        settings, shared = config, limiter
        if not isinstance(settings, Config):
            settings, shared = settings(), limiter or limiter_from_env()
        async with (
            _context_of("http_client", http_client) as http,
            ServiceClient(settings, limiter=shared, http_client=http, hooks=hooks) as client,
            _stored(app, client) as state,
            _context_of("own", own, app) as more,
        ):
            if not isinstance(more, Mapping | None):
                raise ConfigurationError(f"own must yield nothing or a mapping, not {type(more).__name__}")
            yield {**(more or {}), **state}

    return opened


def _context_of(name: str, make: Callable[..., Any] | None, *arguments: Any) -> AbstractAsyncContextManager[Any]:
    """Return the async context manager that ``make`` returns, or raise ConfigurationError."""
    made = nullcontext() if make is None else make(*arguments)
    if not hasattr(made, "__aenter__"):
        hint = "put @asynccontextmanager on it" if name == "own" else "return an httpx.AsyncClient"
        raise ConfigurationError(f"{name} must return an async context manager, not {type(made).__name__}: {hint}")
    return made


@asynccontextmanager
async def _stored(app: FastAPI, client: ServiceClient) -> AsyncIterator[State]:
    """Store the client in ``app.state`` for `client_of`, and yield a lifespan state with the client, for requests."""
    opened, before = _Opened(client, asyncio.get_running_loop()), getattr(app.state, _STATE_KEY, None)
    if before is not None and before.loop is opened.loop:
        raise ConfigurationError(
            "this app has a client already; for a second account, open another client in your own lifespan"
        )
    setattr(app.state, _STATE_KEY, opened)
    try:
        yield {_STATE_KEY: opened}
    finally:
        setattr(app.state, _STATE_KEY, before)


def client_of(app: FastAPI) -> ServiceClient:
    """Return the client of a running app, for code outside of requests, such as a task that your lifespan started.

    Raises RuntimeError if the lifespan is not running, or if it is running in another event loop.
    """
    return _usable(getattr(app.state, _STATE_KEY, None))


async def get_client(connection: HTTPConnection) -> ServiceClient:
    """Return the client of the app. Tests can replace this dependency with ``app.dependency_overrides[get_client]``."""
    opened = getattr(connection.state, _STATE_KEY, None)
    return _usable(opened or getattr(connection.app.state, _STATE_KEY, None))


Client = Annotated[ServiceClient, Depends(get_client)]
"""Declare a parameter of a handler or a dependency as ``client: Client`` to get the client of the app."""


def _usable(opened: _Opened | None) -> ServiceClient:
    if opened is None:
        raise RuntimeError(
            "this app has no open client: create the app with FastAPI(lifespan=lifespan(config)). In tests, use "
            "`with TestClient(app)`, because httpx.ASGITransport does not run the lifespan."
        )
    if opened.loop is not asyncio.get_running_loop():
        raise RuntimeError(
            "this app's client was opened in another event loop: run the lifespan and the requests in the same "
            "`with TestClient(app)` block, or in the same server"
        )
    return opened.client


def install_error_handlers(app: FastAPI) -> None:
    """Convert errors of this package to responses.

    The status is 404 for NotFoundError, 422 for InvalidRequestError, 503 with Retry-After for QueueTimeoutError and
    RateLimitError, 504 for NoAnswerError, and 502 for every other LSQServiceError. The body has a ``detail``, as
    FastAPI's own errors have, and the ``reference`` of the call. The error is logged with the same reference. The body
    does not quote the service. The ``detail`` of a 422 has the message of the error, which may quote a value that the
    handler passed to the client.

    An accepted websocket is closed with the code 1011. Catch errors of a background task in the task, because the task
    runs after the response was sent. Call this function for each mounted app, too.
    """
    app.add_exception_handler(LSQServiceError, _answer)


async def _answer(request: HTTPConnection, error: Exception) -> Any:
    """Return the response to an error. If a websocket was accepted, close it and return None."""
    status, headers = 502, {}
    detail: Any = "The ticket service failed."
    if isinstance(error, NotFoundError):
        status, detail = 404, "The requested ticket or resource does not exist."
    elif isinstance(error, InvalidRequestError):
        status, detail = 422, [{"type": "invalid_request", "loc": [], "msg": str(error)}]
    elif isinstance(error, QueueTimeoutError | RateLimitError):
        seconds = math.ceil(min(error.retry_after or _WINDOW, _MAX_RETRY_AFTER))
        status, detail, headers = 503, "The ticket service is busy.", {"Retry-After": str(seconds)}
    elif isinstance(error, NoAnswerError):
        status, detail = 504, "The ticket service did not answer. The request can be repeated."
    elif isinstance(error, OutcomeUnknownError) and error.safe_to_repeat:
        detail = "The ticket service gave no usable answer. The request can be repeated."
    elif isinstance(error, OutcomeUnknownError):
        detail = "The request may have been applied. Check before you repeat it."
    reference = getattr(error, "reference", None)
    level = logging.WARNING if status in (502, 504) else logging.INFO
    method = request.scope.get("method", "WEBSOCKET")
    path = quote(request.scope["path"])  # a line break must not start a new line in the log
    logger.log(level, "%s %s: %d, because of %r (%s)", method, path, status, error, reference)
    if isinstance(request, WebSocket) and request.application_state is not WebSocketState.CONNECTING:
        with suppress(RuntimeError, WebSocketDisconnect):  # the websocket may be closed already
            await request.close(1011)
        return None
    return JSONResponse({"detail": detail, "reference": reference}, status, headers)
