"""`Emulator` for tests, and `serve` for the command line."""

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
"""The log stores at most this many characters of the path of a call."""


class Settings(TypedDict):
    """Keyword arguments for the Config of a client that calls the emulator."""

    access_key: str
    secret_key: str
    org_id: str
    base_url: str
    metadata_url: str
    leads_url: str


class Emulator:
    """A local stand-in for the service, with a strict rate limit. An open emulator listens on a loopback socket::

        async with Emulator() as emulator:
            ServiceClient(Config(**emulator.settings))

    An emulator that is not open can be called in the same process: ``httpx.ASGITransport(app=emulator.app)``. After
    closing, an emulator still has its tickets, and can be opened again.

    ``rate_limit``: calls and seconds. ``window``: how calls are counted. It is "sliding", "fixed", "bucket" or
    "estimate" (`lsq_service_async.emulator.window` describes them), a `Window` with its own calls and seconds, or None
    for no limit. ``refused_count``: whether refused calls count, too. Some windows ignore this argument.
    ``leads_rate_limit``: the rate limit for look-ups of leads. They are counted separately, by a window of the same
    kind, or by a sliding window if ``window`` is a `Window`.

    ``jitter``: each call waits up to this many seconds before it is counted, and again before its response is sent.
    ``port``: 0 means any free port. ``clock``, ``sleep`` and ``random`` replace the clock, the waits and the random
    numbers. ``store``: a `TicketStore`, to share tickets with another emulator or to set the number of the first
    ticket.

    ``admin``: if False, requests that trash tickets, or read field metadata or sub-types, get a 403. The vendor does
    not document this 403. ``enforce_mandatory``: whether a new ticket without a mandatory field is refused with a 400.
    ``metadata_offset``: the meaning of Offset in a request for field metadata. "from_zero": the number of fields to
    skip. "from_one": the position of the first returned field, counted from 1. "page": the number of the page of
    results, counted from 1. The vendor's documentation contradicts itself on this point.

    ``facts``: facts about one account, as a `Facts` object, a mapping, or the path of a JSON file. If the facts have a
    ``window``, a ``rate_limit`` or a ``metadata_offset``, it replaces the argument of the same name. ``keep``: the log
    stores at most this many calls and uploaded files in total, and drops the oldest calls. ``on_call``: a function that
    is called with each `Call` when the call has ended.
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
        """A live, read-only view of the tickets by their number. New tickets come last."""
        self.trashed: Mapping[str, StoredTicket] = store.trashed
        """A live, read-only view of the tickets in the trash, by their number."""
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
        """The invented keys, the org id, and the emulator's URL for every API.

        While the emulator is closed, the URL is http://localhost.
        """
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
        """The calls so far, in the order of arrival. If there are too many for ``keep``, the oldest are dropped."""
        return tuple(self._log.kept.values())

    @property
    def refused(self) -> int:
        """The number of calls that the rate limit has refused."""
        return self._log.refused

    def set_limit(self, rate_limit: tuple[int, float], window: WindowKind | Window | None = "sliding") -> None:
        """Count calls against this limit from now on.

        Earlier calls do not count, unless you pass a `Window` that has already counted them. Look-ups of leads have the
        same rate limit as before, but a window of the new kind counts them.
        """
        self.window = create_window(window, rate_limit, refused_count=self._refused_count)
        kind = window if window is None or isinstance(window, str) else "sliding"
        self._leads_window = create_window(kind, self._leads_rate_limit, refused_count=self._refused_count)

    def reset(self) -> None:
        """Delete all tickets, calls and pending faults. Earlier calls no longer count against the limit.

        A `Window` class that you wrote still counts earlier calls, unless it has a method ``clear``. Ticket numbers are
        not used again, because a client raises OutcomeUnknownError if a create gets a number for the second time.
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
        """The ASGI application. Requests for the page and the control routes are not calls."""
        if is_control(scope):
            return await (check_host(scope) or check_origin(scope) or self._control)(scope, receive, send)
        await self._delay()
        request = Request(scope, receive)
        method, path = request.method, scope["path"]
        window = self._leads_window if path.startswith(MARKETING) else self.window
        # A call with a fault counts, too. A refused call does not use up a fault.
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
        """Apply a call, and return its response without sending it."""
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        before = self._store.changes
        await self._service({**scope, "state": {**scope.get("state", {}), "body": body}}, receive, collect)
        # Operations do not wait, so no other call has changed the store in between.
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
        """Add a message to a ticket, as if the service had received or sent it. KeyError if the ticket does not exist.

        ``attachments`` must be JSON values, and are returned unchanged. The vendor does not document their format.
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
        """Close all connections immediately, and free the port. If the caller is cancelled, closing continues."""
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
    """Serve an emulator until Ctrl-C is pressed. Pass its settings to ``say``, as ``export`` commands for a shell.

    ``on_call`` and ``options`` are arguments of `Emulator`. Raises ValueError if the host is not a loopback address,
    and OSError if the port is in use.
    """
    emulator = Emulator(host=host, port=port, on_call=on_call, **options)

    async def serve_until_cancelled() -> None:
        async with emulator:
            say("\n".join(f"export LSQ_{name.upper()}={value}" for name, value in emulator.settings.items()))
            await asyncio.Event().wait()

    with suppress(KeyboardInterrupt):
        asyncio.run(serve_until_cancelled())
