"""The emulator as tests and the command line use it."""

from __future__ import annotations

import asyncio
import random as randomness
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Self, TypedDict

from .app import Application, Call, create_service
from .faults import FaultScript
from .routes import OffsetReading, Operations
from .server import Listener, check_loopback, listen
from .store import CONVERSATION_TYPES, ConversationType, StoredConversation, StoredTicket, TicketStore
from .window import Window, WindowKind, create_window


class Settings(TypedDict):
    """The keyword arguments of a client's Config that lead to the emulator."""

    access_key: str
    secret_key: str
    org_id: str
    base_url: str
    metadata_url: str
    leads_url: str


class Emulator:
    """A stand-in for the service, with state and a strict rate limit, on a loopback socket while it is open::

        async with Emulator() as emulator:
            ServiceClient(Config(**emulator.settings))

    Without opening it, ``app`` serves in process: ``httpx.ASGITransport(app=emulator.app)``. Its state stays when it is
    closed, and it can be opened again.

    rate_limit: calls and seconds. window: how they are counted, one of "sliding", "fixed", "bucket" and "estimate"
    (`lsq_service_async.emulator.window` describes them), a `Window` with its own calls and seconds, or None for no
    limit. refused_count: refused calls count too, if that kind of window can do so. leads_rate_limit: for the look-ups
    of leads, which have another window of the same kind (sliding if you pass a `Window`).

    jitter: the longest time in seconds from a caller to the emulator, and again back; a call is counted in between.
    port: 0 takes a free one. clock, sleep, random: replace time and chance. store: share it with another emulator, or
    begin at another number.

    admin: if False, trash, field metadata and sub-types answer 403 (an inference). enforce_mandatory: new tickets
    without a mandatory field get a 400. metadata_offset: the meaning of an Offset, for which the vendor's page has two:
    the number of records before the page ("from_zero"), the position of its first record ("from_one"), or the number of
    the page ("page").
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
        self._keys = {"access_key": access_key, "secret_key": secret_key}
        self._operations = Operations(org_id, store or TicketStore(), admin, enforce_mandatory, metadata_offset)
        # A window counts the calls of one API, so a `Window` instance cannot serve the look-ups of leads as well.
        leads_window = window if window is None or isinstance(window, str) else "sliding"
        self.app: Application = Application(
            create_service(self._operations, (access_key, secret_key)),
            self._operations.store,
            create_window(window, rate_limit, refused_count=refused_count),
            create_window(leads_window, leads_rate_limit, refused_count=refused_count),
            jitter,
            random or randomness.Random(),
            clock,
            sleep,
        )
        self.faults: FaultScript = self.app.faults
        self._address = (host, port)
        self._listener: Listener | None = None
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return (
            f"<Emulator {self._listener.origin if self._listener else 'closed'}, {len(self.tickets)} tickets, "
            f"{len(self.calls)} calls, {self.refused} refused>"
        )

    @property
    def settings(self) -> Settings:
        """A new dict of the invented keys, the org, and the origin of all APIs (http://localhost while closed)."""
        origin = self._listener.origin if self._listener else "http://localhost"
        return Settings(
            access_key=self._keys["access_key"],
            secret_key=self._keys["secret_key"],
            org_id=self._operations.org_id,
            base_url=origin,
            metadata_url=origin,
            leads_url=origin,
        )

    @property
    def tickets(self) -> Mapping[str, StoredTicket]:
        """A live, read-only view: number -> ticket, in the order of creation."""
        return self._operations.store.tickets

    @property
    def trashed(self) -> Mapping[str, StoredTicket]:
        """A live, read-only view of the trash: number -> ticket."""
        return self._operations.store.trashed

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every request so far, in the order of arrival."""
        return tuple(self.app.calls)

    @property
    def refused(self) -> int:
        """The number of calls that the rate window has refused."""
        return sum(call.refused for call in self.app.calls)

    def converse(
        self,
        number: str,
        activity_type: ConversationType = "InboundEmail",
        *,
        text: str | None = None,
        html: str | None = None,
        attachments: Iterable[object] = (),
    ) -> StoredConversation:
        """Add a message to a ticket, as if it had been received or sent; KeyError if the ticket does not exist.

        ``attachments`` are returned as they are, and must be JSON: their format is not documented.
        """
        if activity_type not in CONVERSATION_TYPES:
            raise ValueError(
                f"activity_type must be one of {', '.join(sorted(CONVERSATION_TYPES))}; not {activity_type!r}"
            )
        ticket = self.tickets[number]
        return self._operations.store.add_message(ticket, activity_type, text=text, html=html, attachments=attachments)

    async def __aenter__(self) -> Self:
        if self._listener is not None:
            raise RuntimeError("the emulator is open already")
        self._listener = await listen(self.app, *self._address)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections and free the port at once; closing a closed emulator does nothing.

        Closing continues if the caller is cancelled, and a second call waits for its end.
        """
        listener, self._listener = self._listener, None
        if listener is not None:
            self._closing = asyncio.create_task(listener.close())
        if self._closing is not None:
            await asyncio.shield(self._closing)


def serve(
    port: int = 8080,
    host: str = "127.0.0.1",
    *,
    rate_limit: tuple[int, float] = (25, 5.0),
    window: WindowKind | None = "sliding",
    say: Callable[[str], object] = print,
) -> None:
    """Serve until Ctrl-C. First ``say`` is called with the settings, as environment variables to paste.

    ValueError if the host is not loopback; OSError if the port is taken.
    """
    emulator = Emulator(rate_limit=rate_limit, window=window, host=host, port=port)

    async def serve_until_cancelled() -> None:
        async with emulator:
            say("\n".join(f"export LSQ_{name.upper()}={value}" for name, value in emulator.settings.items()))
            await asyncio.Event().wait()

    with suppress(KeyboardInterrupt):
        asyncio.run(serve_until_cancelled())
