"""The waiting: one task grants slots to those in line, and turns away those for whom it is no use any more."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math

from aiolimiter import AsyncLimiter

from ..config import Lane, RateLimit
from ..errors import NotSentError, QueueTimeoutError
from .decision.ask import Want
from .lanes import Lanes, Line, Waiter
from .store import Store

_log = logging.getLogger("lsq_service_async")
_TICK = 0.01  # s; how exactly deadlines are kept: up to so much early, never late
_AT_ONCE = 100  # so many are turned away before the loop has its turn again
_LONGEST_NAP = 3600.0  # s


class Queue:
    """Calls in line before a store. Its task lives only while somebody waits.

    Every grant passes the bucket, ``AsyncLimiter(calls, per)``. Nobody waits inside it, where the lanes mean nothing:
    it is asked first. It is never narrower than what a store allows, but for calls that never left, whose slots come
    back at once: what it adds is that a dead network is knocked at no faster than ``calls`` in ``per`` seconds. So it
    is asked only once there was such a call (``knocked``), until it has run dry.
    """

    def __init__(self, store: Store) -> None:
        self.lanes: Lanes = Lanes()
        self._store = store
        self._server: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._ask_at = -math.inf
        self._must_ask, self._lined_up = True, False
        self.knocked: bool = False

    def open(self, rate: RateLimit) -> None:
        """Be ready in the running loop."""
        self.rate = rate
        self.bucket: AsyncLimiter = AsyncLimiter(rate.calls, rate.per)
        self._news = asyncio.Event()
        self._server = None
        for _ in self.lanes.leave_all():
            pass  # who still waits in a loop that was closed is gone with it

    def is_clear(self) -> bool:
        """Nobody waits who would be overtaken, and the bucket has room for one."""
        return self._server is None and (not self.knocked or self._has_room())

    def _has_room(self) -> bool:
        if self.knocked and self.bucket.has_capacity(self.rate.calls):
            self.knocked = False
        return not self.knocked or self.bucket.has_capacity()

    def due(self, lane: Lane, *, heavy: bool = False, again: bool = False) -> float:
        """The loop time at which a call will go that joins ``lane`` now."""
        before = self.lanes.before(lane, again=again)
        passed = 0 if heavy or again else self.lanes.held_up(lane, self._store.uploads_room())
        return self._forecast(lane, before - passed)

    async def wait(self, want: Want, deadline: float, *, again: bool) -> int:
        """Stand in line for a slot. QueueTimeoutError once the wait is sure to outlast ``deadline``, a loop time."""
        waiter = self._join(want, deadline, again)
        loop = asyncio.get_running_loop()
        # What is foretold may be wrong, and a store may take its time: the deadline itself has the last word.
        alarm = loop.call_at(deadline, self._overdue, waiter) if deadline < math.inf else None
        try:
            slot = await waiter.grant
        except asyncio.CancelledError:
            self._walk_away(waiter)
            raise
        finally:
            if alarm is not None:
                alarm.cancel()
        self._say_if_long(waiter, loop.time())
        return slot

    def give_back(self, slot: int, *, used: bool) -> None:
        """End a grant."""
        self.knocked = self.knocked or not used
        if self._store.give_back(slot, used=used):
            self.wake()

    def wake(self) -> None:
        """Something has changed: ask again who may go."""
        self._must_ask = True
        self._news.set()

    async def close(self) -> None:
        """Send everybody away with a NotSentError."""
        if self._server is not None:
            self._server.cancel()
            await asyncio.wait([self._server])
        await self._turn_away_all("the client was closed while the call waited for the limit")

    def _join(self, want: Want, deadline: float, again: bool) -> Waiter:
        loop = asyncio.get_running_loop()
        due = self.due(want.lane, heavy=want.heavy, again=again)
        waiter = Waiter(want, loop.time(), due, deadline, loop.create_future(), again)
        if waiter.due >= deadline:
            raise self._too_late(waiter, waiter.due)
        if self.lanes.join(waiter):
            self.wake()
        self._news.set()
        self._say_if_long(waiter, waiter.due)
        if self._server is None:
            server = loop.create_task(self._serve(), name="lsq_service_async limit")
            self._server = None if server.done() else server  # an eager task may have served everybody already
        return waiter

    def _walk_away(self, waiter: Waiter) -> None:
        self.lanes.leave(waiter)
        if not waiter.grant.cancelled() and waiter.grant.exception() is None:
            # Granted and cancelled in the same tick: the slot was never used.
            self.give_back(waiter.grant.result(), used=False)
        self._news.set()

    def _overdue(self, waiter: Waiter) -> None:
        self.lanes.leave(waiter)
        due = self._forecast(waiter.want.lane, self.lanes.before_head(waiter))
        _fail(waiter, self._too_late(waiter, max(waiter.deadline, due)))
        self._news.set()

    async def _serve(self) -> None:
        try:
            # Once more when those whom the store knows to wait have left, lest others stand back for them.
            while self.lanes or self._lined_up:
                await self._serve_next()
        except Exception as error:  # whatever a store raises, nobody may be left waiting for ever
            self._lined_up = False
            what = (
                "" if isinstance(error, NotSentError) else "the store of the limit failed, so the call was not sent: "
            )
            while self.lanes:  # also those who come meanwhile
                await self._turn_away_all(f"{what}{error}", error)
        finally:
            self._server = None

    async def _serve_next(self) -> None:
        self._news.clear()
        now = asyncio.get_running_loop().time()
        if self.lanes and now < self._ask_at and not self._must_ask:
            await self._sleep(min(self._ask_at - now, self._turn_away_the_late()))
        elif not self.lanes or self._has_room():
            await self._ask()
        else:
            self._ask_at, self._must_ask = now + self.rate.per / self.rate.calls, False

    async def _ask(self) -> None:
        wants = self.lanes.wants()
        self._must_ask, self._lined_up = False, bool(wants)
        slot, (want, wait) = await self._store.take(wants, self.lanes.counts())
        self._ask_at = asyncio.get_running_loop().time() + wait
        if want is not None:
            await self.bucket.acquire()  # it cannot wait
            self._hand_over(slot, want)
            wants.remove(want)
            self._must_ask = self._must_ask or not set(self.lanes.wants()) <= set(wants)
            self._lined_up = bool(wants)
            await asyncio.sleep(0)  # one at a time, so that a large bunch does not hold up the loop

    def _hand_over(self, slot: int, want: Want) -> None:
        waiter = self.lanes.next(want)
        if waiter is None:
            self.give_back(slot, used=False)
        else:
            waiter.grant.set_result(slot)

    async def _sleep(self, seconds: float) -> None:
        alarm = asyncio.get_running_loop().call_later(min(max(seconds, 0.0), _LONGEST_NAP), self.wake)
        try:
            await self._news.wait()
        finally:
            alarm.cancel()

    def _turn_away_the_late(self) -> float:
        """Fail those who will miss their deadline; returns the seconds after which it is time to look again."""
        patience = math.inf
        for line in self.lanes.lines():
            if line.least_margin() == math.inf:
                continue
            delay = self._delay(line)
            for waiter in itertools.islice(self.lanes.leave_late(line, delay + _TICK), _AT_ONCE):
                _fail(waiter, self._too_late(waiter, waiter.due + delay))
            patience = min(patience, line.least_margin() - delay - _TICK / 2)
        return patience

    def _delay(self, line: Line) -> float:
        """How much later than it was foretold the head of a line will go; so will, at the least, all behind it."""
        head = line.head()
        return self._forecast(head.want.lane, self.lanes.before_head(head)) - head.due

    def _forecast(self, lane: Lane, place: int) -> float:
        other = Lane.BULK if lane is Lane.INTERACTIVE else Lane.INTERACTIVE
        held_up = self.lanes.held_up(other, self._store.uploads_room())
        return self._store.forecast(lane, place, self.lanes.waiting(other) - held_up)

    async def _turn_away_all(self, why: str, cause: Exception | None = None) -> None:
        for number, waiter in enumerate(self.lanes.leave_all(), 1):
            error = NotSentError(why)
            error.__cause__ = cause
            _fail(waiter, error)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)

    def _too_late(self, waiter: Waiter, due: float) -> QueueTimeoutError:
        late = due - waiter.deadline + self.rate.per / self.rate.calls
        return QueueTimeoutError(
            f"the limit lets this call go in about {due - waiter.since:.1f} s, after its deadline; "
            f"trying again makes sense in {late:.1f} s",
            retry_after=late,
        )

    def _say_if_long(self, waiter: Waiter, goes_at: float) -> None:
        seconds = goes_at - waiter.since
        if seconds > self.rate.per and not waiter.told:
            waiter.told = True
            limit = f"{self.rate.calls} calls per {self.rate.per:g} s"
            _log.info("a call waits longer than %g s for the limit of %s: lane %s, about %.1f s",
                      self.rate.per, limit, waiter.want.lane.value, seconds)  # fmt: skip


def _fail(waiter: Waiter, error: Exception) -> None:
    # A cancelled one is still in line until its task has its turn.
    if not waiter.grant.done():
        waiter.grant.set_exception(error)
