"""Who may go, and when: the gate that every call passes, in front of a store that knows how much is left."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from ..config import Lane, RateLimit
from ..errors import ConfigurationError, LSQServiceError
from .queue import Queue
from .store import Granted, Store, Want

_ALONE = {(lane, heavy): (Want(lane, heavy),) for lane in Lane for heavy in (False, True)}


@attrs.frozen
class LimiterStats:
    """The limit at one moment: ``used`` and ``free`` of ``calls`` slots, who waits, and how long a new call would.

    ``estimated_wait`` is in seconds, for each lane, and right within one token (``per / calls``) while answers take
    about as long as they lately did.
    """

    calls: int
    per: float
    used: int
    free: int
    waiting: Mapping[Lane, int]
    estimated_wait: Mapping[Lane, float]


class Slot:
    """The right to one call, to be ended by `answered` or by `unused`; whatever comes after the first is ignored."""

    __slots__ = ("_gate", "_grant")

    def __init__(self, gate: Gate, grant: Granted) -> None:
        self._gate: Gate | None = gate
        self._grant = grant

    def answered(self) -> None:
        """The service has the call behind it, or may have: the slot comes back ``per`` seconds from now."""
        self._end(used=True)

    def unused(self) -> None:
        """Certainly nothing reached the service: the slot comes back at once."""
        self._end(used=False)

    def _end(self, *, used: bool) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.take_back(self._grant, used=used)


class Gate:
    """Lets calls through one by one: interactive before bulk, in the order they came, never more than the store allows.

    It belongs to the event loop that opened it, until it was closed as often as it was opened.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue = Queue(store)
        self._users = 0
        self._open_for: tuple[RateLimit, str] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        state = f"open {self._users} times, {len(self._queue.lanes)} waiting" if self._users else "closed"
        return f"<{type(self).__name__}: {state}>"

    async def open(self, rate: RateLimit, name: str) -> None:
        """Begin to use the limit of ``name`` (host and org).

        ConfigurationError if it is in use for another name or at another rate.
        """
        if self._users and self._here() and self._open_for != (rate, name):
            raise ConfigurationError(f"this limiter serves {self._open_for}; {(rate, name)} needs one of its own")
        if not self._users:
            await self._store.open(rate, name)
            self._queue.rate = rate
            self._open_for, self._loop = (rate, name), asyncio.get_running_loop()
        self._users += 1

    async def aclose(self) -> None:
        """Stop using it. With the last user gone, those who still wait get a NotSentError."""
        self._here()
        self._users -= 1
        if not self._users:
            await self._queue.close()
            await self._store.aclose()

    async def acquire(self, lane: Lane, *, deadline: float | None = None, heavy: bool = False) -> Slot:
        """Wait for the right to one call.

        ``deadline`` is a reading of the loop's clock. QueueTimeoutError is raised as soon as the call is not expected
        to go before it, and when it has come at the latest. ``heavy`` marks an upload that may be long under way: such
        calls hold at most half of the slots, and others pass them when they have to wait for that.
        """
        loop = self._here()
        if self._queue.is_empty and (deadline is None or deadline > loop.time()):
            verdict = await self._store.take(_ALONE[lane, heavy])
            if isinstance(verdict, Granted):
                return Slot(self, verdict)
        return Slot(self, await self._queue.wait(Want(lane, heavy), math.inf if deadline is None else deadline))

    def pause(self, seconds: float) -> None:
        """Let nobody through for so long; a longer pause in force stays."""
        self._here()
        self._store.pause(seconds)
        self._queue.wake()

    def stats(self) -> LimiterStats:
        """How it stands now."""
        now = self._here().time()
        calls, per, used = self._store.usage()
        return LimiterStats(
            calls=calls,
            per=per,
            used=used,
            free=max(0, calls - used),
            waiting=MappingProxyType({lane: self._queue.lanes.waiting(lane) for lane in Lane}),
            estimated_wait=MappingProxyType({lane: self._queue.due(lane) - now for lane in Lane}),
        )

    def take_back(self, grant: Granted, *, used: bool) -> None:
        """What `Slot` calls at its end."""
        self._store.give_back(grant, used=used)
        self._queue.wake()

    def _here(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if loop is self._loop and self._users:
            return loop
        if not self._users:
            raise LSQServiceError("this limiter is not open: a client opens it when it is entered")
        raise LSQServiceError("this limiter belongs to another event loop: each loop needs a client of its own")
