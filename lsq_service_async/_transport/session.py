"""The connection pool, limiters and pipeline that a client shares with its views (`with_options`)."""

from __future__ import annotations

import asyncio
import os
import secrets
import ssl
import sys
import time
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from .._wire import Api, Call, OwnTickets
from ..config import CallOptions, Config
from ..errors import ConfigurationError, LSQServiceError, NotSentError
from ..events import Hook
from ..limits import Limiter, LocalLimiter
from .attempt import HttpSender
from .context import CallContext
from .network import authorities, proxies_of
from .pipeline import Pipeline

if TYPE_CHECKING:
    import httpx2

    HttpClient = httpx.AsyncClient | httpx2.AsyncClient
else:
    HttpClient = httpx.AsyncClient
T = TypeVar("T")
_KEEPALIVE = 3.0  # s; shorter than in gateways, so that no gateway closes a connection during its next use


class Session:
    """Shared by a client and its views. Belongs to the event loop and the process in which it was first used."""

    def __init__(
        self,
        config: Config,
        limiter: Limiter | None,
        http_client: HttpClient | None,
        hooks: Sequence[Hook],
        user_agent: str,
    ) -> None:
        self._is_open = False
        self.config: Config = config
        self.limiter: Limiter = limiter or LocalLimiter()
        self.close_callbacks: set[Callable[[], Awaitable[None]]] = set()
        self.closed: bool = False
        self.own_tickets: OwnTickets = OwnTickets()
        self._leads_limiter = LocalLimiter()
        self._own_http = http_client is None
        proxies = proxies_of(config) if http_client is None else {}
        self.http_client: HttpClient = _open_http_client(config, proxies) if http_client is None else http_client
        limiters = {Api.TENANT: self.limiter, Api.METADATA: self.limiter, Api.LEADS: self._leads_limiter}
        http = _as_httpx(self.http_client)
        sender = HttpSender(config, http, user_agent, proxies, keeps_headers=bool(hooks))
        self._pipeline = Pipeline(config, sender, limiters, hooks, self.own_tickets)
        self._owner: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._open_lock = asyncio.Lock()
        self._close_task: asyncio.Task[None] | None = None

    @cached_property
    def loop_epoch(self) -> float:
        """The Unix time at which the event loop's clock was 0. Computed once, because the system clock may jump."""
        return time.time() - asyncio.get_running_loop().time()

    async def send(self, call: Call[T], options: CallOptions, *, until: float | None = None) -> T:
        """Send a call and return its record. ``until``, a time of the loop's clock, replaces ``options.deadline``."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        deadline = started + options.deadline if until is None and options.deadline is not None else until
        if not self._is_open or self.closed or self._owner != (os.getpid(), loop):
            await self.open(deadline)
        reference = secrets.token_hex(8) if call.create is None else call.create.reference
        context = CallContext(
            call=call, options=options, reference=reference, clock=loop.time, started=started, deadline=deadline
        )
        record: T = await self._pipeline.send(context)
        return record

    async def open(self, deadline: float | None = None) -> bool:
        """Bind to the running event loop and open the limiters. Return False if the session is already open.

        Raises ConfigurationError for wrong settings of a limiter, and NotSentError if opening fails for another reason.
        """
        self._check_owner()
        if self._is_open:
            return False
        try:
            async with asyncio.timeout_at(deadline) as bound, self._open_lock:
                self._check_owner()  # the session may have been closed meanwhile
                if self._is_open:
                    return False
                await self.limiter.open(self.config.rate_limit, self.config.limit_name)
                await self._leads_limiter.open(self.config.leads_rate_limit, self.config.leads_url)
                self._is_open = True
                return True
        except LSQServiceError:
            raise
        except Exception as error:
            reason = "before the deadline" if bound.expired() else f"({error!r})"
            raise NotSentError(f"The limiter could not be opened {reason}. Nothing was sent.") from error

    def _check_owner(self) -> None:
        here = (os.getpid(), asyncio.get_running_loop())
        if self.closed:
            raise LSQServiceError("This client is closed. Make a new one.")
        if self._owner is None:
            self._owner = here
        if self._owner[0] != here[0]:
            raise LSQServiceError("This client was used before the process forked. Make a client in each process.")
        if self._owner[1] is not here[1]:
            raise LSQServiceError("This client belongs to another event loop. Make a client in each loop.")

    async def aclose(self) -> None:
        """Close the session once. If a caller is cancelled, closing continues."""
        if self._owner is not None and self._owner[1].is_closed():
            self.closed = True  # the tasks of the session ended with its loop
            return
        if self._close_task is None:
            if self._owner is not None:
                self._check_owner()
            self.closed = True
            self._close_task = asyncio.create_task(self._close())
        await asyncio.shield(self._close_task)

    async def _close(self) -> None:
        try:
            await self._pipeline.aclose(self.config.timeout)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.config.timeout):
                    for callback in list(self.close_callbacks):
                        await callback()
        finally:
            if self._own_http:
                await self.http_client.aclose()
            async with self._open_lock:  # another task may be opening the limiters
                if self._is_open:
                    await self.limiter.aclose()
                    await self._leads_limiter.aclose()

    def __del__(self) -> None:
        if getattr(self, "_is_open", False) and not self.closed:  # no attributes after a failed copy.deepcopy
            client = f"A ServiceClient of {self.config.tenant_url}"
            warnings.warn(f"{client} was never closed. Use async with, or aclose().", ResourceWarning, stacklevel=2)


def _open_http_client(config: Config, proxies: Mapping[str, httpx.Proxy]) -> httpx.AsyncClient:
    """Return a new httpx client that does not read the environment itself."""
    # No maximum, because the limiter bounds the number of requests in flight.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=_KEEPALIVE)
    needs_tls = any(url.startswith("https:") for url in (config.base_url, config.metadata_url, config.leads_url))
    verify = authorities() if needs_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    mounts = {
        origin: httpx.AsyncHTTPTransport(verify=verify, trust_env=False, limits=limits, proxy=proxy)
        for origin, proxy in proxies.items()
    }
    client = httpx.AsyncClient(verify=verify, trust_env=False, limits=limits, mounts=mounts)
    # Cookies are not stored: to extract cookies, httpx would copy the request, including the keys.
    client.cookies.extract_cookies = lambda response: None  # type: ignore[method-assign]
    return client


def _as_httpx(client: object) -> Any:
    """Return a client of httpx unchanged, and wrap a client of httpx2."""
    if isinstance(client, httpx.AsyncClient):
        return client
    library = sys.modules.get("httpx2")  # a caller with a client of httpx2 has imported it
    if library is None or not isinstance(client, library.AsyncClient):
        kind = type(client).__name__
        raise ConfigurationError(f"http_client must be an httpx.AsyncClient or an httpx2.AsyncClient, not {kind}")
    from .httpx2 import Httpx2Client

    return Httpx2Client(client)
