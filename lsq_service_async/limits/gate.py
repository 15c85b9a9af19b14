"""Who may go, and when: the gate that every call passes, in front of a store that knows how much is left."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Mapping
from types import MappingProxyType
from weakref import WeakKeyDictionary

import attrs

from ..config import Lane, RateLimit
from ..errors import ConfigurationError, LSQServiceError
from ..events import Event, LimitLowered, LimitPaused
from .decision.ask import Want
from .decision.state import PLAIN
from .queue import Queue
from .store import Store

_DAY = 86_400  # s; a limit with such a window is a quota
_log = logging.getLogger("lsq_service_async")


@attrs.frozen
class LimiterStats:
    """The limit at one moment: ``used`` and ``free`` of ``calls`` slots, who waits, and how long a new call would.

    ``estimated_wait`` is in seconds, for each lane, and right within one token (``per / calls``), or a thirtieth of
    ``per`` where that is more, while answers take about as long as they lately did.
    """

    calls: int
    per: float
    used: int
    free: int
    waiting: Mapping[Lane, int]
    estimated_wait: Mapping[Lane, float]


class Slot:
    """The right to one call, to be ended by `answered` or by `unused`; whatever comes after the first is ignored."""

    __slots__ = ("_number", "_queue")

    def __init__(self, queue: Queue, number: int) -> None:
        self._queue: Queue | None = queue
        self._number = number

    def answered(self) -> None:
        """The service has the call behind it, or may have: the slot comes back ``per`` seconds from now."""
        self._end(used=True)

    def unused(self) -> None:
        """Certainly nothing reached the service: the slot comes back at once."""
        self._end(used=False)

    def _end(self, *, used: bool) -> None:
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.give_back(self._number, used=used)


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
        self._doors: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    def __repr__(self) -> str:
        state = f"open {self._users} times, {len(self._queue.lanes)} waiting" if self._users else "closed"
        return f"<{type(self).__name__}: {state}>"

    async def open(self, rate: RateLimit, name: str) -> None:
        """Begin to use the limit of ``name`` (host and org).

        ConfigurationError if it is in use for another name or at another rate.
        """
        async with self._door():
            if self._loop is not None and self._loop.is_closed():
                self._users = 0  # its users went down with their loop
            if self._users and self._here() and self._open_for != (rate, name):
                raise ConfigurationError(f"this limiter serves {self._open_for}; {(rate, name)} needs one of its own")
            if not self._users:
                await self._store.open(rate, name)
                self._queue.open(rate)
                self._open_for, self._loop = (rate, name), asyncio.get_running_loop()
            self._users += 1

    async def aclose(self) -> None:
        """Stop using it. With the last user gone, those who still wait get a NotSentError."""
        self._here()
        async with self._door():
            self._users -= 1
            if not self._users:
                self._loop = None
                await self._queue.close()
                await self._store.aclose()

    async def acquire(
        self, lane: Lane, *, deadline: float | None = None, heavy: bool = False, again: bool = False
    ) -> Slot:
        """Wait for the right to one call.

        ``deadline`` is a reading of the loop's clock. QueueTimeoutError is raised as soon as the call is not expected
        to go before it, and when it has come at the latest. ``heavy`` marks an upload that may be long under way: such
        calls hold at most half of the slots, and others pass them when they have to wait for that. A call that is sent
        ``again`` goes before those of its lane that had no turn yet.

        Whoever calls this sees to it that it is the loop that opened the gate, as a client does: to ask for the loop
        takes as long as a sixth of all this.
        """
        loop, queue = self._loop, self._queue
        want = PLAIN if lane is PLAIN.lane and not heavy else Want(lane, heavy)
        if loop is not None and queue.is_clear() and (deadline is None or deadline > loop.time()):
            number = self._store.take_at_once(want)
            if number is not None:
                await queue.bucket.acquire()  # it cannot wait
                return Slot(queue, number)
        self._here()
        while True:
            number = await queue.wait(want, math.inf if deadline is None else deadline, again=again)
            if self._store.holds(number):
                return Slot(queue, number)
            queue.give_back(number, used=False)
            again = True

    def pause(self, seconds: float) -> None:
        """Let nobody through for so long; a longer pause in force stays."""
        self._here()
        self._store.pause(seconds)
        self._queue.wake()

    def refused(self, reference: str, retry_after: float | None, named: tuple[int, float] | None) -> list[Event]:
        """The service refused the call of ``reference`` for speed: nobody goes for a while, and then fewer.

        ``retry_after`` is the seconds that it asked to wait, or None; ``named`` the (calls, seconds) that it gave as
        its limit, or None. A daily quota does not change the rate. Returns what the hooks are to be told.
        """
        is_quota = named is not None and named[1] >= _DAY
        if is_quota and retry_after is None:
            return []
        rate = self._queue.rate
        seconds = rate.per + random.uniform(0, 1) if retry_after is None else retry_after
        self.pause(seconds)
        paused = LimitPaused(reference=reference, seconds=seconds)
        if is_quota:
            return [paused]
        is_news, lowered = self._store.usage().rate == rate, self._store.refused(named)
        is_lower = named is not None and named[0] * rate.per < rate.calls * named[1]
        if is_news or (is_lower and lowered):
            _warn(rate, lowered or rate, named if is_lower else None)
        if lowered is None:
            return [paused]
        cause = "lower plan" if is_lower else "other traffic"
        return [paused, LimitLowered(reference=reference, cause=cause, calls=lowered.calls, per=lowered.per)]

    def stats(self) -> LimiterStats:
        """How it stands now."""
        now = self._here().time()
        rate, used = self._store.usage()
        return LimiterStats(
            calls=rate.calls,
            per=rate.per,
            used=used,
            free=max(0, rate.calls - used),
            waiting=MappingProxyType({lane: self._queue.lanes.waiting(lane) for lane in Lane}),
            estimated_wait=MappingProxyType({lane: self._queue.due(lane) - now for lane in Lane}),
        )

    def _door(self) -> asyncio.Lock:
        """Who opens or closes, one by one, for a store takes its time over both. A lock serves one loop."""
        return self._doors.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    def _here(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return loop
        if not self._users:
            raise LSQServiceError("this limiter is not open: a client opens it when it is entered")
        raise LSQServiceError("this limiter belongs to another event loop: each loop needs a client of its own")


def _warn(rate: RateLimit, now: RateLimit, named: tuple[int, float] | None) -> None:
    if named:
        why = f"the service names a limit of {named[0]} calls in {named[1]:g} s"
    else:
        why = "another program uses the same account, or the plan allows less"
    _log.warning(
        "Rate limit hit although at most %d calls in %g s are sent: %s. From now on at most %d in %g s are sent%s, "
        "then one more after each window without a refusal. If the plan allows no more, set LSQ_RATE_LIMIT=%d/%g",
        rate.calls, rate.per, why, now.calls, now.per,
        " for ten minutes or longer" if named else "", now.calls, now.per,
    )  # fmt: skip
