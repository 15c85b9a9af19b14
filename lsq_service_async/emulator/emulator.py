"""The emulator as tests and the command line use it."""

from __future__ import annotations

import asyncio
import math
import os
import random as randomness
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Self, TypedDict

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from .calls import Call, CallLog, Exchange
from .control import Control, check_origin, is_control
from .facts import Facts, OffsetReading
from .faults import FaultScript, RateLimited
from .multipart import Body
from .routes import MARKETING, Operations
from .server import Listener, check_host, check_loopback, listen
from .store import CONVERSATION_TYPES, ConversationType, StoredConversation, StoredTicket, TicketStore
from .window import Window, WindowKind, create_window

PATH_KEPT = 1000
"""The number of characters of a path that are kept."""


class Settings(TypedDict):
    """Keyword arguments for a client's Config, so that the client uses the emulator."""

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
    limit. refused_count: refused calls count too, in the kinds that support it. leads_rate_limit: for the look-ups
    of leads, which have another window of the same kind (sliding if you pass a `Window`).

    jitter: each call waits up to this many seconds before it is counted, and again before its response is sent. port: 0
    takes a free one. clock, sleep, random: replace the clock and the random numbers. store: a `TicketStore`, to share
    tickets with another emulator or to set the number of the first ticket.

    admin: if False, trash, field metadata and sub-types answer 403 (not documented). enforce_mandatory: new tickets
    without a mandatory field get a 400. metadata_offset: the meaning of an Offset, on which the vendor's page
    contradicts itself: the number of records before the page ("from_zero"), the position of its first record
    ("from_one"), or the number of the page ("page"). facts: `Facts` about one account, as a mapping or the path of a
    JSON file; they replace the settings above. keep: how many calls and files, counted together, ``calls`` keeps at
    most. on_call: is called with each call when it has ended.
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
        enforce_mandatory: bool = True,
        metadata_offset: OffsetReading = "from_zero",
        facts: Facts | Mapping[str, Any] | str | os.PathLike[str] | None = None,
        keep: int = 50_000,
        on_call: Callable[[Call], object] | None = None,
    ) -> None:
        check_loopback(host)
        numbers = {"keep": (keep, math.inf), "jitter": (jitter, math.inf), "port": (port, 65535)}
        for name, (number, highest) in numbers.items():
            if not isinstance(number, int | float) or not 0 <= number <= highest:
                raise ValueError(f"{name} must be a number from 0 to {highest}, not {number!r}")
        store = store or TicketStore()
        random = random or randomness.Random()
        facts = Facts.load(facts)
        window, rate_limit = facts.window or window, facts.rate_limit or rate_limit
        store.draw = partial(facts.next_numbers, random=random)
        self.tickets: Mapping[str, StoredTicket] = store.tickets
        """A live, read-only view: number -> ticket, in the order of creation."""
        self.trashed: Mapping[str, StoredTicket] = store.trashed
        """A live, read-only view of the trash: number -> ticket."""
        self.faults: FaultScript = FaultScript()
        self._refused_count, self._leads_rate_limit = refused_count, leads_rate_limit
        self.window: Window
        self._leads_window: Window
        self.set_limit(rate_limit, window)
        keys = (access_key, secret_key)
        self._store = store
        self._org_id, self._keys = org_id, keys
        self._service = Operations(
            store=store,
            org_id=org_id,
            keys=keys,
            admin=admin,
            enforce_mandatory=enforce_mandatory,
            metadata_offset=facts.metadata_offset or metadata_offset,
            facts=facts,
            random=random,
        ).service()
        self._log, self._on_call = CallLog(keep), on_call
        self._late: set[asyncio.Task[object]] = set()
        self._control = Control(self, store, self._log, clock).app()
        self._jitter, self._random = jitter, random
        self._clock, self._sleep = clock, sleep
        self._address = (host, port)
        self._listener: Listener | None = None
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return (
            f"<Emulator {self._listener.origin if self._listener else 'closed'}, {len(self.tickets)} tickets, "
            f"{self._log.total} calls, {self.refused} refused>"
        )

    @property
    def settings(self) -> Settings:
        """A new dict of the invented keys, the org, and the origin of all APIs (http://localhost while closed)."""
        origin = self._listener.origin if self._listener else "http://localhost"
        (access_key, secret_key), org_id = self._keys, self._org_id
        return Settings(
            access_key=access_key,
            secret_key=secret_key,
            org_id=org_id,
            base_url=origin,
            metadata_url=origin,
            leads_url=origin,
        )

    @property
    def calls(self) -> tuple[Call, ...]:
        """The requests so far, in the order of arrival; the oldest are dropped beyond ``keep``."""
        return tuple(self._log.kept.values())

    @property
    def refused(self) -> int:
        """The number of calls that the rate window has refused."""
        return self._log.refused

    def set_limit(self, rate_limit: tuple[int, float], window: WindowKind | Window | None = "sliding") -> None:
        """Count calls against this limit from now on.

        Look-ups of leads keep their rate. Earlier calls do not count, unless you pass a `Window` that has counted them.
        """
        self.window = create_window(window, rate_limit, refused_count=self._refused_count)
        # A window counts the calls of one API, so a `Window` instance cannot serve the look-ups of leads as well.
        kind = window if window is None or isinstance(window, str) else "sliding"
        self._leads_window = create_window(kind, self._leads_rate_limit, refused_count=self._refused_count)

    def reset(self) -> None:
        """Delete all tickets, calls and pending faults. Earlier calls do not count against the limit.

        A `Window` of your own class still counts them, unless it has a method ``clear``. Ticket numbers are not used
        again: a client rejects the number of a ticket that it created before.
        """
        for task in self._late:
            task.cancel()
        self.faults.clear()
        self._store.clear()
        self._log.clear()
        for window in (self.window, self._leads_window):
            if clear := getattr(window, "clear", None):
                clear()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application: counts and records a call, and passes it to its fault, which reads and answers it.

        A call that no other fault applies to has the fault `Serve`. The page and the control routes do not count.
        """
        if is_control(scope):
            return await (check_host(scope) or check_origin(scope) or self._control)(scope, receive, send)
        await self._delay()
        request = Request(scope, receive)
        method, path = request.method, scope["path"]
        window = self._leads_window if path.startswith(MARKETING) else self.window
        # The window counts every call before anything else happens, and a refused call uses up no fault.
        now = self._clock()
        refused = not window.allows(now)
        fault = RateLimited() if refused else self.faults.take(method, path)
        number = self._log.add(Call(method, path[:PATH_KEPT], now, fault, refused))
        record = partial(self._log.change, number)
        apply = partial(self._apply, scope, receive, record)
        exchange = Exchange(
            request, (window.calls, window.per), self._pause, send, apply, record, self._delay, self._start
        )
        try:
            with suppress(ClientDisconnect):
                await fault.play(exchange)
        finally:
            record(seconds=self._clock() - now)
            if self._on_call and (call := self._log.kept.get(number)):
                self._on_call(call)

    async def _apply(self, scope: Scope, receive: Receive, record: Callable[..., None], body: Body) -> Response:
        """Carry out a call whose body was read, and return its response, which is not sent yet."""
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        before = self._store.changes
        await self._service({**scope, "state": {**scope.get("state", {}), "body": body}}, receive, collect)
        # No operation waits for anything, so the changes counted here are those of this call.
        applied = self._store.changes != before
        record(applied=applied)
        self._store.keep_contents(body.contents if applied else {})
        response = Response(b"".join(part["body"] for part in messages[1:]), messages[0]["status"])
        response.raw_headers = messages[0]["headers"]
        return response

    def _start(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _delay(self) -> None:
        await self._pause(self._random.uniform(0, self._jitter))

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            await self._sleep(seconds)

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
            raise ValueError(f"activity_type must be one of {', '.join(CONVERSATION_TYPES)}; not {activity_type!r}")
        content = {"text": text, "html": html, "attachments": tuple(attachments)}
        return self._store.add_message(self.tickets[number], activity_type, **content)

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
        for task in self._late:
            task.cancel()
        listener, self._listener = self._listener, None
        if listener is not None:
            self._closing = asyncio.create_task(listener.close())
        if self._closing is not None:
            await asyncio.shield(self._closing)


def serve(
    port: int = 8080,
    host: str = "127.0.0.1",
    *,
    say: Callable[[str], object] = print,
    on_call: Callable[[Call], object] | None = None,
    **options: Any,
) -> None:
    """Serve until Ctrl-C. Calls ``say`` once, with the settings as environment variables to paste.

    ``on_call`` is called with each request when it has ended. ``options``: further arguments of `Emulator`. ValueError
    if the host is not loopback; OSError if the port is taken.
    """
    emulator = Emulator(host=host, port=port, on_call=on_call, **options)

    async def serve_until_cancelled() -> None:
        async with emulator:
            say("\n".join(f"export LSQ_{name.upper()}={value}" for name, value in emulator.settings.items()))
            await asyncio.Event().wait()

    with suppress(KeyboardInterrupt):
        asyncio.run(serve_until_cancelled())
