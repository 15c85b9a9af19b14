"""What a client and its views share, and the life of it: opened once, in one event loop of one process, closed once."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from .._wire import Api
from ..config import Config, is_loopback
from ..errors import LSQServiceError, NotSentError
from ..events import Hook
from ..limits.gate import Gate
from ..limits.local import LocalLimiter
from .exchange import Exchange
from .pipeline import Pipeline

_KEEPALIVE = 3.0  # below the idle time-outs of common gateways, which close in the instant of the next request


class Session:
    """What a client and its views share: the pool, the limiter, the flights, and the loop they belong to."""

    def __init__(
        self,
        config: Config,
        limiter: Gate | None,
        http_client: httpx.AsyncClient | None,
        hooks: Sequence[Hook],
        user_agent: str,
    ) -> None:
        self._open = False
        self.config: Config = config
        self.limiter: Gate = limiter or LocalLimiter()
        self._leads_limiter = LocalLimiter()
        self._own_http = http_client is None
        self._http = http_client or _own_http_client(config)
        gates = {Api.TENANT: self.limiter, Api.METADATA: self.limiter, Api.LEADS: self._leads_limiter}
        self.pipeline: Pipeline = Pipeline(config, Exchange(config, self._http, user_agent), gates, hooks)
        self.closed: bool = False
        self.before_closing: set[Callable[[], Awaitable[None]]] = set()
        self._home: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._opening = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None

    async def open(self, patience: float | None = None) -> bool:
        """Bind to the running loop and open the limiter; False, and at once, where that has happened.

        NotSentError where that takes more than ``patience`` seconds.
        """
        self._check_home()
        if self._open:
            return False
        try:
            async with asyncio.timeout(patience), self._opening:
                self._check_home()  # it may have been closed meanwhile
                return not self._open and await self._open_once()
        except TimeoutError:
            raise NotSentError("the deadline passed while the limiter was opened; nothing was sent") from None
        except LSQServiceError:
            raise
        except Exception as error:
            raise NotSentError(f"the limiter could not be opened: {error!r}; nothing was sent") from error

    async def _open_once(self) -> bool:
        await self.limiter.open(self.config.rate_limit, self.config.limit_name)
        await self._leads_limiter.open(self.config.leads_rate_limit, self.config.leads_url)
        self._open = True
        return True

    def _check_home(self) -> None:
        here = (os.getpid(), asyncio.get_running_loop())
        if self.closed:
            raise LSQServiceError("this client is closed; make a new one")
        if self._home is None:
            self._home = here
        if self._home[0] != here[0]:
            raise LSQServiceError("this client was made before the process forked; make a client in each process")
        if self._home[1] is not here[1]:
            raise LSQServiceError("this client belongs to another event loop; make a client in each loop")

    async def aclose(self) -> None:
        """All who close wait for the same closing, which goes on when one of them is cancelled."""
        if self._home is not None and self._home[1].is_closed():
            self.closed = True  # with its loop, everything of it has ended
            return
        if self._closing is None:
            if self._home is not None:
                self._check_home()
            self.closed = True
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            await self.pipeline.aclose(self.config.timeout)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.config.timeout):
                    for written in list(self.before_closing):
                        await written()
        finally:
            if self._own_http:
                await self._http.aclose()
            async with self._opening:  # who is opening it right now has opened it then
                if self._open:
                    await self.limiter.aclose()
                    await self._leads_limiter.aclose()

    def __del__(self) -> None:
        if getattr(self, "_open", False) and not self.closed:  # a copy that failed midway has none
            client = f"a ServiceClient of {self.config.tenant_url}"
            warnings.warn(f"{client} was never closed; use async with, or aclose()", ResourceWarning, stacklevel=2)


def _own_http_client(config: Config) -> httpx.AsyncClient:
    # The gate bounds how many calls are under way, so the pool need not.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=_KEEPALIVE)
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    # A proxy of the environment cannot reach this machine's own loopback, where the emulator is.
    local = is_loopback(httpx.URL(config.base_url).host)
    return httpx.AsyncClient(limits=limits, follow_redirects=False, trust_env=not local, cookies=no_cookies)
