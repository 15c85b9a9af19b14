"""Queues of waiting calls."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import OrderedDict
from collections.abc import Iterator

import attrs

from ..config import Lane
from ._engine.messages import Request

_MOST_REMOVED = 1000  # a heap is rebuilt only if it has more removed calls than this
_MOST_COUNTED = 1000  # because `before` runs for each call that expires


@attrs.define(eq=False)
class Waiter:
    """A call that waits for a slot. Times are on the clock of the event loop.

    ``since``: when the wait began. ``due``: when the call will be sent, as estimated at ``since``. ``deadline``:
    ``inf`` if the call has none. ``is_retry``: the call is served before new calls. ``is_reported``: its long wait was
    logged.
    """

    request: Request
    since: float
    due: float
    deadline: float
    grant: asyncio.Future[int]
    is_retry: bool = False
    number: int = -1
    is_reported: bool = False


class FifoQueue:
    """Calls of one kind (lane, size, retry or not) in order of arrival. Any call can be removed without a search."""

    def __init__(self) -> None:
        self._waiters: OrderedDict[int, Waiter] = OrderedDict()
        self._margins: list[tuple[float, int, Waiter]] = []  # a heap; a removed call stays until it is at the top

    def __len__(self) -> int:
        return len(self._waiters)

    def __iter__(self) -> Iterator[Waiter]:
        return iter(self._waiters.values())

    def add(self, waiter: Waiter) -> None:
        self._waiters[waiter.number] = waiter
        if waiter.deadline < math.inf:
            heapq.heappush(self._margins, (waiter.deadline - waiter.due, waiter.number, waiter))

    def remove(self, waiter: Waiter) -> bool:
        """Remove a call. Return False if it was removed before."""
        was_there = self._waiters.pop(waiter.number, None) is not None
        if len(self._margins) > 2 * len(self._waiters) + _MOST_REMOVED:
            self._margins = [entry for entry in self._margins if entry[1] in self._waiters]
            heapq.heapify(self._margins)
        while self._margins and self._margins[0][1] not in self._waiters:
            heapq.heappop(self._margins)
        return was_there

    def before(self, number: float) -> int:
        """Return how many calls have a smaller number, at most 1000. For ``inf``, return the length of the queue."""
        if number == math.inf:
            return len(self)
        first = itertools.islice(self._waiters, _MOST_COUNTED)
        return sum(1 for _ in itertools.takewhile(lambda other: other < number, first))

    def least_margin(self) -> float:
        """Return the largest delay, in seconds, with which no call misses its deadline, or ``inf``."""
        return self._margins[0][0] if self._margins else math.inf

    def remove_late(self, delay: float) -> Iterator[Waiter]:
        """Remove and yield the calls that miss their deadlines if each is sent ``delay`` seconds after its ``due``."""
        while self.least_margin() < delay:
            waiter = self._margins[0][2]
            self.remove(waiter)
            yield waiter


class PriorityQueues:
    """The queues of both lanes. In a lane, retries and large uploads have separate queues."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._requests = [Request(lane, is_large) for lane in Lane for is_large in (False, True)]
        self._queues = {(request, is_retry): FifoQueue() for request in self._requests for is_retry in (True, False)}

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __iter__(self) -> Iterator[FifoQueue]:
        """The queues that are not empty."""
        return filter(None, self._queues.values())

    def waiting(self, lane: Lane) -> int:
        return sum(len(queue) for (request, _), queue in self._queues.items() if request.lane is lane)

    def ahead(self, request: Request, room: int, *, is_retry: bool = False, number: float = math.inf) -> int:
        """Return how many calls of the same lane are sent before the call ``number`` (by default, a new call).

        Only ``room`` large uploads can be sent now. For a call that is not large, further large uploads do not count.
        """
        counts = {False: 0, True: 0}
        for (other, other_is_retry), queue in self._queues.items():
            if other.lane is request.lane and other_is_retry:
                counts[other.is_large] += queue.before(number) if is_retry else len(queue)
            elif other.lane is request.lane and not is_retry:
                counts[other.is_large] += queue.before(number)
        return counts[False] + (counts[True] if request.is_large else min(counts[True], room))

    def add(self, waiter: Waiter) -> bool:
        """Append a call to its queue. Return whether it is the first call there."""
        waiter.number = next(self._numbers)
        queue = self._queues[waiter.request, waiter.is_retry]
        queue.add(waiter)
        return len(queue) == 1

    def remove(self, waiter: Waiter) -> None:
        """Remove a call, unless it was removed before."""
        self._queues[waiter.request, waiter.is_retry].remove(waiter)

    def remove_all(self) -> Iterator[Waiter]:
        for queue in self._queues.values():
            while queue:
                waiter = next(iter(queue))
                queue.remove(waiter)
                yield waiter

    def requests(self) -> list[Request]:
        """Return the requests of the first two calls of each lane and size, in each lane in the order of service."""
        first: list[Waiter] = []
        for request in self._requests:
            both = itertools.chain(self._queues[request, True], self._queues[request, False])
            first += itertools.islice(both, 2)
        if len(first) > 1:
            first.sort(key=lambda waiter: (not waiter.is_retry, waiter.number))
        return [waiter.request for waiter in first]

    def next(self, request: Request) -> Waiter | None:
        """Remove and return the next call with this lane and size, or None if all have just been cancelled."""
        for is_retry in (True, False):
            queue = self._queues[request, is_retry]
            while queue:
                waiter = next(iter(queue))
                queue.remove(waiter)
                if not waiter.grant.done():
                    return waiter
        return None
