"""The emulator as it is used: made, opened, looked into."""

from __future__ import annotations

import asyncio
import random as randomness
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self, TypedDict

from .app import App, Road
from .calls import Call, CallLog
from .script import FaultScript
from .server import Listener, check_loopback, listen
from .service.account.account import Account
from .service.account.conversations import CONVERSATION_TYPES, ConversationType, StoredConversation
from .service.account.fields import OffsetReading
from .service.account.store import StoredTicket, TicketStore
from .service.desk import Desk
from .service.operations import MARKETING, SERVICE, Api
from .window import Meter, Window, WindowKind, meter_of


class Settings(TypedDict):
    """What a client's Config needs to reach the emulator."""

    access_key: str
    secret_key: str
    org_id: str
    base_url: str
    metadata_url: str
    leads_url: str


class Emulator:
    """A stand-in for the service, with a memory and a strict rate limit, on a loopback socket while it is open::

        async with Emulator() as emulator:
            ServiceClient(Config(**emulator.settings))

    Without being opened it serves in process, as the ASGI application ``app``
    (``httpx.ASGITransport(app=emulator.app)``). What it holds stays when it is closed, and it may be opened again.

    rate_limit: calls and seconds, also the ones that a 429 names. window: how they are counted, one of "sliding",
    "fixed", "bucket", "estimate" (see `lsq_service_async.emulator.window`), a `Window` of your own (which brings its
    own calls and seconds), or None for no limit. refused_count: refused calls count too, where the window can do so.
    leads_rate_limit: the same for the look-ups of leads, which have a window of their own: of the same kind, sliding
    beside a window of your own, none beside None.

    jitter: up to so many seconds pass on the way to the emulator, before a call is counted, and as many on the way
    back. port: 0 takes a free one. clock, sleep, random: what time and chance are made of. store: the memory, shared
    with another emulator or begun at another number.

    admin: whose keys they are; trash, field metadata and sub-types answer anybody else with 403 (an inference).
    enforce_mandatory: new tickets need the fields that the metadata call mandatory, or get a 400 that names them.
    metadata_offset: how an Offset is read, which the vendor says in two ways: the records before the page
    ("from_zero"), the place of its first record ("from_one"), or the number of the page ("page").
    """

    def __init__(
        self,
        *,
        rate_limit: tuple[int, float] = (25, 5.0),
        window: WindowKind | Window | None = "sliding",
        refused_count: bool = True,
        leads_rate_limit: tuple[int, float] = (25, 5.0),
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
        admin: bool = True,
        enforce_mandatory: bool = False,
        metadata_offset: OffsetReading = "from_zero",
    ) -> None:
        check_loopback(host)
        self.faults: FaultScript = FaultScript()
        self._log = CallLog()
        account = Account(org_id, store or TicketStore(), admin, enforce_mandatory, metadata_offset)
        self._desk = Desk(account, access_key, secret_key)
        road = Road(jitter, random or randomness.Random(), sleep)
        meters = _meters(window, rate_limit, leads_rate_limit, refused_count)
        self.app: App = App(self._desk, meters, self.faults, self._log, road, clock)
        self._host = host
        self._port = port
        self._listener: Listener | None = None
        self._closing: asyncio.Task[None] | None = None
        self._origin = "http://localhost"

    def __repr__(self) -> str:
        return (
            f"<Emulator {self._origin if self._listener else 'closed'}, {len(self.tickets)} tickets, "
            f"{len(self.calls)} calls, {self.refused} refused>"
        )

    @property
    def settings(self) -> Settings:
        """A fresh dict: the invented keys, the tenant, and the origin of all APIs (http://localhost while closed)."""
        return Settings(
            access_key=self._desk.access_key,
            secret_key=self._desk.secret_key,
            org_id=self._desk.account.org_id,
            base_url=self._origin,
            metadata_url=self._origin,
            leads_url=self._origin,
        )

    @property
    def tickets(self) -> Mapping[str, StoredTicket]:
        """Number -> ticket, in the order of creation; read only, and live."""
        return self._store.tickets

    @property
    def trashed(self) -> Mapping[str, StoredTicket]:
        """Number -> ticket that is in the trash; read only, and live."""
        return self._store.trashed

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every request so far, in the order of arrival."""
        return self._log.calls

    @property
    def refused(self) -> int:
        """How many calls the rate window has refused."""
        return self._log.refused

    def converse(
        self,
        number: str,
        activity_type: ConversationType = "InboundEmail",
        *,
        text: str | None = None,
        html: str | None = None,
        attachments: Iterable[object] = (),
    ) -> StoredConversation:
        """Plant a message on a ticket, as if it had come or gone; KeyError where there is no such ticket.

        ``attachments`` are printed as they are, and must be JSON: what the service prints there is not documented.
        """
        if activity_type not in CONVERSATION_TYPES:
            raise ValueError(f"a conversation is one of {', '.join(sorted(CONVERSATION_TYPES))}; not {activity_type!r}")
        ticket = self.tickets[number]
        return self._store.converse(ticket, activity_type, text=text, html=html, attachments=attachments)

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
        """Hang up on everybody and free the port, at once; does nothing when it is not open.

        It goes on when it is cancelled, and who closes again waits for its end.
        """
        listener, self._listener = self._listener, None
        self._origin = "http://localhost"
        if listener is not None:
            self._closing = asyncio.create_task(listener.close())
        if self._closing is not None:
            await asyncio.shield(self._closing)

    @property
    def _store(self) -> TicketStore:
        return self._desk.account.store


def _meters(
    window: WindowKind | Window | None,
    rate_limit: tuple[int, float],
    leads_rate_limit: tuple[int, float],
    refused_count: bool,
) -> Mapping[Api, Meter]:
    # One window counts the calls of one API: a given one cannot be shared, so the other API gets a common one.
    leads_window = window if window is None or isinstance(window, str) else "sliding"
    return {
        SERVICE: meter_of(window, rate_limit, refused_count=refused_count),
        MARKETING: meter_of(leads_window, leads_rate_limit, refused_count=refused_count),
    }


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
