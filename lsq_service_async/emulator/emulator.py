"""The emulator as it is used: made, opened, looked into."""

from __future__ import annotations

import asyncio
import random as randomness
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self, TypedDict

from .app import App, Road
from .calls import Call, CallLog
from .script import FaultScript
from .server import Listener, check_loopback, listen
from .service.operations import Desk
from .service.store import StoredTicket, TicketStore
from .window import Window, WindowKind, window_of


class Settings(TypedDict):
    """What a client's Config needs to reach the emulator."""

    access_key: str
    secret_key: str
    org_id: str
    base_url: str


class Emulator:
    """A stand-in for the service, with a memory and a strict rate limit, on a loopback socket while it is open::

        async with Emulator() as emulator:
            ServiceClient(Config(**emulator.settings))

    Without being opened it serves in process, as the ASGI application ``app``
    (``httpx.ASGITransport(app=emulator.app)``). What it holds stays when it is closed, and it may be opened again.

    rate_limit: calls and seconds, also the ones that a 429 names. window: how they are counted, one of "sliding",
    "fixed", "bucket", "estimate" (see `lsq_service_async.emulator.window`), a `Window` of your own (which brings its
    own calls and seconds), or None for no limit. refused_count: refused calls count too, where the window can do so.
    jitter: up to so many seconds pass on the way to the emulator, before a call is counted, and as many on the way
    back. port: 0 takes a free one. clock, sleep, random: what time and chance are made of. store: the memory, shared
    with another emulator or begun at another number.
    """

    def __init__(
        self,
        *,
        rate_limit: tuple[int, float] = (25, 5.0),
        window: WindowKind | Window | None = "sliding",
        refused_count: bool = True,
        jitter: float = 0.0,
        access_key: str = "emulator-access-key",
        secret_key: str = "emulator-secret-key",  # noqa: S107 -- invented, opens nothing
        org_id: str = "22824",
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: randomness.Random | None = None,
        store: TicketStore | None = None,
    ) -> None:
        check_loopback(host)
        if isinstance(window, str):
            window = window_of(window, *rate_limit, refused_count=refused_count)
        limit = (window.calls, window.per) if window else rate_limit
        self.faults = FaultScript()
        self._log = CallLog()
        self._desk = Desk(store or TicketStore(), access_key, secret_key, org_id)
        road = Road(jitter, random or randomness.Random(), sleep)
        self.app = App(self._desk, window, limit, self.faults, self._log, road, clock)
        self._host = host
        self._port = port
        self._listener: Listener | None = None
        self._origin = "http://localhost"

    def __repr__(self) -> str:
        return (
            f"<Emulator {self._origin if self._listener else 'closed'}, {len(self.tickets)} tickets, "
            f"{len(self.calls)} calls, {self.refused} refused>"
        )

    @property
    def settings(self) -> Settings:
        """A fresh dict: the invented keys, the tenant, and the origin (http://localhost while it is not open)."""
        return Settings(
            access_key=self._desk.access_key,
            secret_key=self._desk.secret_key,
            org_id=self._desk.org_id,
            base_url=self._origin,
        )

    @property
    def tickets(self) -> Mapping[str, StoredTicket]:
        """Number -> ticket, in the order of creation; read only, and live."""
        return self._desk.store.tickets

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every request so far, in the order of arrival."""
        return self._log.calls

    @property
    def refused(self) -> int:
        """How many calls the rate window has refused."""
        return self._log.refused

    async def __aenter__(self) -> Self:
        if self._listener is not None:
            raise RuntimeError("the emulator is open already")
        self._listener = await listen(self.app, self._host, self._port)
        self._origin = self._listener.origin
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Hang up on everybody and free the port, at once; does nothing when it is not open."""
        listener, self._listener = self._listener, None
        self._origin = "http://localhost"
        if listener is not None:
            await listener.close()


def serve(
    port: int = 8080,
    host: str = "127.0.0.1",
    *,
    rate_limit: tuple[int, float] = (25, 5.0),
    window: WindowKind | None = "sliding",
    say: Callable[[str], object] = print,
) -> None:
    """Serve until Ctrl-C; says first with which settings, as environment variables to paste.

    ValueError for a host that is not loopback; OSError when the port is taken.
    """
    emulator = Emulator(rate_limit=rate_limit, window=window, host=host, port=port)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve_until_cancelled(emulator, say))


async def _serve_until_cancelled(emulator: Emulator, say: Callable[[str], object]) -> None:
    async with emulator:
        say(_environment(emulator.settings))
        await asyncio.Event().wait()


def _environment(settings: Settings) -> str:
    return "\n".join(f"export LSQ_{name.upper()}={value}" for name, value in settings.items())
