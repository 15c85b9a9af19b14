"""The limiter: queues calls and grants them slots. Subclasses store the state of the limit."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import attrs

from .._logging import logger
from ..config import Lane, RateLimit
from ..errors import ConfigurationError, InvalidRequestError, LSQServiceError, NotSentError, QueueTimeoutError, shown
from ..events import Event, LimitLowered, LimitPaused
from ._engine.estimate import Estimate
from ._engine.messages import Grant, Request
from ._engine.state import LimitState
from .queues import PriorityQueues, Waiter

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

_DAY = 86_400  # s; a limit for a day or longer is a quota
_TICK = 0.01  # s; a call is rejected if it is expected to be sent less than this before its deadline
_AT_ONCE = 100  # rejected calls until other tasks get a turn
_LONGEST_SLEEP = 3600.0  # s
_ANOTHER_LOOP = "this limiter belongs to another event loop; create a client in each loop"
_INTERACTIVE = Request(Lane.INTERACTIVE, is_large=False)


@attrs.frozen
class LimiterStats:
    """A snapshot of the limit, which is now ``calls`` in ``per`` seconds.

    ``used`` counts the calls that are in flight or have ended in the last ``per`` seconds. The other slots are
    ``free``; with ``window="any"``, a call may have to wait although a slot is free. ``waiting`` counts the waiting
    calls of each lane. ``estimated_wait`` has the seconds that a new call would wait in each lane. While response times
    do not change, the error of this estimate is at most ``per / calls`` or ``per / 30`` seconds, whichever is larger.
    """

    calls: int
    per: float
    used: int
    free: int
    waiting: Mapping[Lane, int]
    estimated_wait: Mapping[Lane, float]


class Slot:
    """Permission to send one attempt. Call `release` or `cancel` once. After that, both do nothing."""

    __slots__ = ("_limiter", "_number")

    def __init__(self, limiter: Limiter, number: int) -> None:
        self._limiter: Limiter | None = limiter
        self._number = number

    def is_valid(self) -> bool:
        """Whether the attempt may be sent. Check this just before the first byte is sent.

        The result is False after `release` or `cancel`. It is also False if the lease of this process on the slot has
        expired, for example because the process was suspended. If so, call `cancel` and acquire another slot.
        """
        return self._limiter is not None and self._limiter._is_valid(self._number)

    def release(self, *, silence: float | None = None) -> None:
        """Make the slot free after ``per`` seconds. Call this after an attempt that may have reached the service.

        ``silence`` is for attempts without an answer: the seconds from the send to the timeout, or 0 if the connection
        broke. If an attempt timed out and no call was answered during these seconds, the limiter assumes that the
        service stands still, and sends only one call at a time until an answer arrives. The slots of the attempts that
        timed out become free ``per`` seconds after this answer.
        """
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter._end(self._number, is_sent=True, silence=silence)

    def cancel(self) -> None:
        """Make the slot free at once. Call this if the attempt was not sent."""
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter._cancel(self._number)


class Limiter(ABC):
    """Grants slots within the rate limit: interactive calls before bulk calls, and first in, first out in each lane.

    While bulk calls wait, they get at least one slot in five. In each lane, retries are served before new calls. Large
    uploads get at most half of the slots, and other calls overtake large uploads that must wait.

    A limiter belongs to the event loop that opened it. It closes when `aclose` has been called as often as `open`.

    Each granted call takes a token from an aiolimiter bucket of ``calls`` in ``per`` seconds. If the bucket is empty, a
    probe takes none. The bucket delays calls only after a granted call was not sent, for example while the network is
    down. The slot of such a call is free again at once, so without the bucket, calls would be granted too fast.
    """

    _process_id: int
    _rate: RateLimit
    _bucket: AsyncLimiter
    _time: Callable[[], float]  # the clock of the event loop

    def __init__(self) -> None:
        self._state = LimitState.of(RateLimit())
        self._offset = 0.0  # s by which the clock of the state is ahead of the event loop's clock
        self._estimate = Estimate()
        self._queues = PriorityQueues()
        self._users = 0
        self._open_for: tuple[RateLimit, str] | None = None
        self._owner: asyncio.AbstractEventLoop | None = None  # the loop that opens, uses or closes the limiter
        self._owner_lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None  # `_owner` while the limiter is open, otherwise None
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self._server: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._ask_at, self._must_ask = -math.inf, True
        self._is_lined_up = False  # this process has a turn in the shared state
        self._has_unsent = False  # a granted call was not sent, and the bucket has not been full since

    def __repr__(self) -> str:
        state = f"open {self._users} times, {len(self._queues)} waiting" if self._users else "closed"
        return f"<{type(self).__name__}: {state}>"

    async def open(self, rate: RateLimit, name: str) -> None:
        """Start using the limit ``name``. A client uses its host and org id as the name.

        Raises ConfigurationError if the limiter is open for another rate or name, and LSQServiceError if it is in use
        in another event loop.
        """
        if not isinstance(rate, RateLimit):
            raise ConfigurationError(f"rate must be a RateLimit, such as RateLimit(25, per=5.0), not {shown(rate)}")
        check_name(name)
        from aiolimiter import AsyncLimiter  # a slow import

        async with self._lock(), self._ownership() as loop:
            if self._users and (used := self._open_for) and used != (rate, name):
                one, other = (f"{limit} for {at}" for limit, at in (used, (rate, name)))
                raise ConfigurationError(f"this limiter is already open with {one}; use another limiter with {other}")
            if not self._users:
                self._rate, self._time = rate, loop.time
                self._state.configure(rate)
                await self._open_state(name)
                self._bucket = AsyncLimiter(rate.calls, rate.per)
                self._changed, self._server = asyncio.Event(), None
                for _ in self._queues.remove_all():
                    pass  # the event loop of these calls is closed
                self._open_for, self._loop = (rate, name), loop
            self._users += 1

    async def aclose(self) -> None:
        """Stop using the limit. The last user closes the limiter, and calls that still wait raise NotSentError.

        If `aclose` is cancelled, the limiter is closed all the same.
        """
        await asyncio.shield(self._close())

    async def _close(self) -> None:
        async with self._lock(), self._ownership():
            self._check_loop()
            self._users -= 1
            if not self._users:
                self._loop = None
                if self._server is not None:
                    self._server.cancel()
                    await asyncio.wait([self._server])
                await self._reject_all("the client was closed while the call waited for the rate limit")
                await self._close_state()

    async def acquire(
        self, lane: Lane, *, deadline: float | None = None, is_large: bool = False, is_retry: bool = False
    ) -> Slot:
        """Wait for a slot. Use this method only in the event loop of the limiter.

        ``deadline`` is a time on the clock of the event loop. QueueTimeoutError is raised at the deadline, or as soon
        as the limiter estimates that the call cannot be sent before the deadline. ``is_large`` marks an upload that may
        take long. In its lane, a call with ``is_retry`` is served before new calls.
        """
        loop = self._loop
        if lane is _INTERACTIVE.lane and not is_large:  # Python 3.11 looks up Lane.INTERACTIVE slowly
            request = _INTERACTIVE
        elif isinstance(lane, Lane):
            request = Request(lane, bool(is_large))
        else:
            raise InvalidRequestError(f"lane must be Lane.INTERACTIVE or Lane.BULK, not {shown(lane)}")
        if deadline is not None:
            _check_seconds(deadline, "deadline")
        if loop is not None and self._server is None and (deadline is None or deadline > loop.time()):
            taken = self._take_at_once((request,)) if not self._has_unsent or self._has_room() else None
            if taken is not None and taken[1].request is not None:
                await self._take_token()
                return Slot(self, taken[0])
        self._check_loop()
        while True:
            number = await self._wait(request, math.inf if deadline is None else deadline, is_retry)
            if self._is_valid(number):
                return Slot(self, number)
            self._cancel(number)
            is_retry = True

    def pause(self, seconds: float) -> None:
        """Grant no slot for ``seconds``, in any process that shares the limit. An earlier pause is never shortened."""
        _check_seconds(seconds, "seconds", most=366 * _DAY)
        self._check_loop()
        self._state.pause(self._now() + seconds)
        self._publish(pause=seconds)
        self._wake()

    def refused(
        self,
        reference: str,
        retry_after: float | None,
        named: tuple[int, float] | None,
        *,
        sent: float | None = None,
    ) -> list[Event]:
        """Pause all calls and lower the rate after a refusal of the call ``reference``. Returns events for the hooks.

        ``retry_after`` is the wait in seconds that the service requested, or None. ``named`` is the limit in the
        message of the service, as calls and seconds, or None. A limit for a day or longer is a quota and does not
        change the rate. ``sent`` is when the call was sent, on the clock of the event loop; None means one window ago.
        """
        if named is not None and named[1] >= _DAY:
            if retry_after is None:
                return []
            self.pause(retry_after)
            return [LimitPaused(reference=reference, seconds=retry_after)]
        state, rate, now = self._state, self._state.adaptive.configured, self._now()
        state.tidy(now)
        was_full = state.adaptive.rate == rate
        is_dated, sent = sent is not None, self._time() - rate.per if sent is None else sent
        is_lowered = state.refused(now, named, sent + self._offset)
        self._publish(refusals=[(named, sent)])
        if retry_after is not None:
            seconds = retry_after
        elif is_dated and state.adaptive.is_mild and state.is_filled():
            # This client alone filled the limit, so the service counts in another way: a short pause is enough.
            seconds = rate.per * random.uniform(0.1, 0.2)
        else:
            seconds = rate.per + random.uniform(0, 1)
        self.pause(seconds)
        events: list[Event] = [LimitPaused(reference=reference, seconds=seconds)]
        is_lower = named is not None and named[0] * rate.per < rate.calls * named[1]
        lowered = state.adaptive.rate
        if (was_full and state.adaptive.is_paced) or (is_lower and is_lowered):
            _warn(rate, lowered, named if is_lower else None)
        if is_lowered:
            cause = "lower plan" if is_lower else "other traffic"
            events.append(LimitLowered(reference=reference, cause=cause, calls=lowered.calls, per=lowered.per))
        return events

    def stats(self) -> LimiterStats:
        """Return a snapshot of the limit."""
        self._check_loop()
        state, now = self._state, self._now()
        state.tidy(now)
        used, rate = state.used(now), state.adaptive.rate
        return LimiterStats(
            calls=rate.calls,
            per=rate.per,
            used=used,
            free=max(0, rate.calls - used),
            waiting=MappingProxyType({lane: self._queues.waiting(lane) for lane in Lane}),
            estimated_wait=MappingProxyType(
                {lane: max(0.0, self._due(Request(lane, is_large=False)) - self._time()) for lane in Lane}
            ),
        )

    # The state: subclasses implement these methods.

    @abstractmethod
    async def _open_state(self, name: str) -> None:
        """Prepare ``_state`` for the running event loop."""

    async def _close_state(self) -> None:
        """Close what `_open_state` opened."""
        return

    def _take_at_once(self, requests: Sequence[Request]) -> tuple[int, Grant] | None:
        """Take a slot as `_take` does, but without waiting. Return None if only a backend can decide."""
        return None

    @abstractmethod
    async def _take(self, requests: Sequence[Request], waiting: tuple[int, int]) -> tuple[int, Grant]:
        """Take a slot for one of the requests, if a call can be sent now. If `_take` is cancelled, no slot is taken.

        ``waiting`` counts the waiting calls: interactive, bulk. ``Grant.wait`` is ``inf`` if an answer is needed first.
        """

    def _is_valid(self, slot: int) -> bool:
        return True

    @abstractmethod
    def _end(self, slot: int, *, is_sent: bool, silence: float | None = None) -> None:
        """Make a slot free: at once, or after ``per`` seconds if the call was sent. ``silence``: see `Slot.release`."""

    def _publish(
        self, *, pause: float = -math.inf, refusals: Sequence[tuple[tuple[int, float] | None, float]] = ()
    ) -> None:
        """Report a pause or refusals to the other processes."""
        return

    def _outage(self) -> tuple[Exception, float] | None:
        """Return the error that makes the state unusable and the seconds until the next try, or None."""
        return None

    def _now(self) -> float:
        """Return the time on the clock of the state."""
        return self._time() + self._offset

    def _cancel(self, slot: int) -> None:
        self._has_unsent = True
        self._end(slot, is_sent=False)

    # Waiting.

    async def _wait(self, request: Request, deadline: float, is_retry: bool) -> int:
        """Queue a call, wait, and return the number of its slot."""
        loop, due = asyncio.get_running_loop(), self._due(request, is_retry=is_retry)
        waiter = Waiter(request, loop.time(), due, deadline, loop.create_future(), bool(is_retry))
        if due >= deadline:
            raise self._too_late(waiter, due)
        self._must_ask = self._queues.add(waiter) or self._must_ask
        self._changed.set()
        self._log_long_wait(waiter, due)
        if self._server is None:
            server = loop.create_task(self._serve(), name="lsq_service_async limit")
            self._server = None if server.done() else server  # an eager task may be done already
        # The timer is needed because the estimate may be wrong and a backend may be slow.
        timer = loop.call_at(deadline, self._expire, waiter) if deadline < math.inf else None
        try:
            slot = await waiter.grant
        except asyncio.CancelledError:
            self._queues.remove(waiter)
            if not waiter.grant.cancelled() and waiter.grant.exception() is None:
                self._cancel(waiter.grant.result())  # the call was cancelled just after its grant
            self._changed.set()
            raise
        finally:
            if timer is not None:
                timer.cancel()
        self._log_long_wait(waiter, loop.time())
        return slot

    def _expire(self, waiter: Waiter) -> None:
        self._queues.remove(waiter)
        due = self._due(waiter.request, is_retry=waiter.is_retry, number=waiter.number)
        _fail(waiter, self._too_late(waiter, max(waiter.deadline, due)))
        self._changed.set()

    async def _serve(self) -> None:
        """While calls wait, grant slots in order and reject calls that will miss their deadlines."""
        try:
            # Other processes wait for the turn of this process. So after the last call, one more message ends the turn.
            while self._queues or self._is_lined_up:
                self._changed.clear()
                now = asyncio.get_running_loop().time()
                if self._queues and now < self._ask_at and not self._must_ask:
                    seconds = min(self._ask_at - now, self._reject_late(), _LONGEST_SLEEP)
                    try:
                        async with asyncio.timeout(seconds):
                            await self._changed.wait()
                    except TimeoutError:
                        self._must_ask = True
                elif not self._queues or self._has_room():
                    await self._ask()
                else:
                    self._ask_at, self._must_ask = now + self._rate.per / self._rate.calls, False
        except Exception as error:
            self._is_lined_up = False
            what = "" if isinstance(error, NotSentError) else "the rate limiter failed, so the call was not sent: "
            while self._queues:  # calls may arrive during `_reject_all`
                await self._reject_all(f"{what}{error}", error)
        finally:
            self._server = None

    async def _ask(self) -> None:
        requests = self._queues.requests()
        self._must_ask, self._is_lined_up = False, bool(requests)
        waiting = self._queues.waiting(Lane.INTERACTIVE), self._queues.waiting(Lane.BULK)
        slot, (request, wait) = await self._take(requests, waiting)
        self._ask_at = asyncio.get_running_loop().time() + wait
        if request is None:
            return
        await self._take_token()
        waiter = self._queues.next(request)
        if waiter is None:
            self._cancel(slot)
        else:
            waiter.grant.set_result(slot)
        requests.remove(request)
        if request not in requests:  # a call of this kind may have arrived meanwhile
            self._must_ask = self._must_ask or request in self._queues.requests()
        self._is_lined_up = bool(requests)
        await asyncio.sleep(0)  # so that a burst does not block the event loop

    async def _take_token(self) -> None:
        if self._bucket.has_capacity():  # if not, the call is a probe, which needs no token
            await self._bucket.acquire()

    def _wake(self) -> None:
        """Ask for a slot again, because a slot may be free earlier than expected."""
        self._must_ask = True
        self._changed.set()

    def _has_room(self) -> bool:
        """Return whether the bucket has room for a call. This matters only after a granted call was not sent."""
        if self._has_unsent and self._bucket.has_capacity(self._rate.calls):
            self._has_unsent = False
        return not self._has_unsent or self._bucket.has_capacity()

    def _reject_late(self) -> float:
        """Reject the calls that will miss their deadlines. Return the seconds until the next check."""
        check_in = math.inf
        for queue in self._queues:
            if queue.least_margin() == math.inf:
                continue
            # The first call will be sent ``delay`` s after its ``due``. Later calls are delayed by the same time.
            first = next(iter(queue))
            delay = self._due(first.request, is_retry=first.is_retry, number=first.number) - first.due
            for waiter in itertools.islice(queue.remove_late(delay + _TICK), _AT_ONCE):
                _fail(waiter, self._too_late(waiter, waiter.due + delay))
            check_in = min(check_in, queue.least_margin() - delay - _TICK / 2)
        return check_in

    def _due(self, request: Request, *, is_retry: bool = False, number: float = math.inf) -> float:
        """Estimate the loop time at which the waiting call ``number`` (by default, a new call) will be sent."""
        now = self._now()
        if not self._queues and not request.is_large and self._state.is_idle(now):
            return self._time()
        room = self._state.uploads_room(now)
        ahead = self._queues.ahead(request, room, is_retry=is_retry, number=number)
        other = Lane.BULK if request.lane is Lane.INTERACTIVE else Lane.INTERACTIVE
        in_other = self._queues.ahead(Request(other, is_large=False), room)
        before = self._state.order.before(self._process_id, request.lane, ahead, in_other)
        return self._estimate.sent_at(self._state, now, request.lane, before) - self._offset

    async def _reject_all(self, why: str, cause: Exception | None = None) -> None:
        for number, waiter in enumerate(self._queues.remove_all(), 1):
            error = NotSentError(why)
            error.__cause__ = cause
            _fail(waiter, error)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)

    def _too_late(self, waiter: Waiter, due: float) -> QueueTimeoutError:
        late, outage = due - waiter.deadline + self._rate.per / self._rate.calls, self._outage()
        why = f"rate limit: the call would be sent in about {due - waiter.since:.1f} s, after its deadline"
        if outage is not None:
            cause, back_off = outage
            late = max(late, back_off)
            why = f"rate-limit backend unavailable, so the call was not sent before its deadline: {cause}"
        error = QueueTimeoutError(f"{why}; retry in {late:.1f} s", retry_after=late)
        error.__cause__ = outage and outage[0]
        return error

    def _log_long_wait(self, waiter: Waiter, sent_at: float) -> None:
        seconds, rate = sent_at - waiter.since, self._state.adaptive.configured
        if seconds > rate.per and not waiter.is_reported:
            waiter.is_reported = True
            logger.info("Wait of about %.1f s in the %s lane for the rate limit of %s",
                      seconds, waiter.request.lane.value, rate)  # fmt: skip

    def _lock(self) -> asyncio.Lock:
        """Return the lock with which the running event loop serializes `open` and `aclose`."""
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    @asynccontextmanager
    async def _ownership(self) -> AsyncIterator[asyncio.AbstractEventLoop]:
        """Reserve the limiter for the running event loop, because two threads may open it at the same moment."""
        loop = asyncio.get_running_loop()
        with self._owner_lock:
            if self._owner is not None and self._owner.is_closed():
                self._owner, self._users = None, 0  # the users ended with their event loop
            if self._owner not in (None, loop):
                raise LSQServiceError(_ANOTHER_LOOP)
            self._owner = loop
        try:
            yield loop
        finally:
            if not self._users:
                self._owner = None

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            closed = "this limiter is not open; enter its client with `async with` first"
            raise LSQServiceError(_ANOTHER_LOOP if self._users else closed)


def check_name(name: object) -> None:
    """Raise ConfigurationError if ``name`` is not printable text."""
    if not isinstance(name, str) or not name.isprintable():
        raise ConfigurationError(f"The name of a limit must be printable text, not {shown(name)}")


def _check_seconds(value: object, name: str, most: float = math.inf) -> None:
    if not isinstance(value, float | int) or not value <= most:  # also rejects NaN
        bound = "" if most == math.inf else f" up to {most:g}"
        raise InvalidRequestError(f"{name} must be a number of seconds{bound}, not {shown(value)}")


def _fail(waiter: Waiter, error: Exception) -> None:
    if not waiter.grant.done():  # a cancelled call stays in its queue until its task runs
        waiter.grant.set_exception(error)


def _warn(rate: RateLimit, now: RateLimit, named: tuple[int, float] | None) -> None:
    why, hold = "another program uses the same account (set LSQ_LIMIT_FILE in both programs to share the limit), or", ""
    why += " the plan allows less"
    if rate.window == "sliding":
        why += ', or the gateway does not count sliding windows (remove "sliding" from the rate limit)'
    if named:
        why, hold = f"the service named a limit of {named[0]} calls in {named[1]:g} s", " for ten minutes or longer"
    logger.warning(
        "Rate limit hit although this client stayed within %s: %s. Slowing down to %d calls in %g s%s, then "
        "adding one call after each window without a refusal. If your plan allows no more, set LSQ_RATE_LIMIT=%d/%g",
        rate, why, now.calls, now.per, hold, now.calls, now.per,
    )  # fmt: skip
