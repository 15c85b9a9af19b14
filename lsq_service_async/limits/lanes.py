"""Who waits, and who is next: plain bookkeeping without a clock."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import OrderedDict
from collections.abc import Iterator

import attrs

from ..config import Lane
from .decision.ask import Want
from .store import Granted

_RUBBISH = 64  # so many who are gone may stay noted beside as many as are there


@attrs.define(eq=False)
class Waiter:
    """A call in line ``since`` a loop time.

    ``due`` is when it was foretold to go, ``deadline`` when that is no use any more (``inf``: never). ``told`` is True
    once the log has said that it waits long.
    """

    want: Want
    since: float
    due: float
    deadline: float
    grant: asyncio.Future[Granted]
    number: int = -1
    told: bool = False


class Line:
    """Those who want the same, in the order they came. To join, and to leave from anywhere, costs no search."""

    def __init__(self) -> None:
        self._waiters: OrderedDict[int, Waiter] = OrderedDict()
        self._by_margin: list[tuple[float, int, Waiter]] = []

    def __len__(self) -> int:
        return len(self._waiters)

    def join(self, waiter: Waiter) -> None:
        """To the end of the line."""
        self._waiters[waiter.number] = waiter
        if waiter.deadline < math.inf:
            heapq.heappush(self._by_margin, (waiter.deadline - waiter.due, waiter.number, waiter))

    def leave(self, waiter: Waiter) -> None:
        """From anywhere in the line; who has left already may leave again."""
        self._waiters.pop(waiter.number, None)
        if len(self._by_margin) > 2 * len(self._waiters) + _RUBBISH:
            self._by_margin = [entry for entry in self._by_margin if entry[1] in self._waiters]
            heapq.heapify(self._by_margin)
        self._drop_gone_tops()

    def head(self) -> Waiter:
        """Who has waited longest. There must be somebody."""
        return next(iter(self._waiters.values()))

    def first(self, count: int) -> Iterator[Waiter]:
        """At most so many, those who have waited longest."""
        return itertools.islice(self._waiters.values(), count)

    def least_margin(self) -> float:
        """How much later than foretold all may go and still keep their deadlines; ``inf`` if nobody has one."""
        return self._by_margin[0][0] if self._by_margin else math.inf

    def leave_late(self, delay: float) -> Iterator[Waiter]:
        """Take out those who miss their deadline when all go ``delay`` seconds later than foretold."""
        while self.least_margin() < delay:
            waiter = self._by_margin[0][2]
            self.leave(waiter)
            yield waiter

    def _drop_gone_tops(self) -> None:
        while self._by_margin and self._by_margin[0][1] not in self._waiters:
            heapq.heappop(self._by_margin)


class Lanes:
    """The lines of both lanes; in each lane uploads stand in a line of their own."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._lines = {Want(lane, heavy): Line() for lane in Lane for heavy in (False, True)}

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def waiting(self, lane: Lane) -> int:
        """How many wait in ``lane``."""
        return len(self._lines[Want(lane, False)]) + len(self._lines[Want(lane, True)])

    def counts(self) -> tuple[int, int]:
        """How many wait, interactive and bulk."""
        return self.waiting(Lane.INTERACTIVE), self.waiting(Lane.BULK)

    def lines(self) -> Iterator[Line]:
        """The lines in which somebody stands."""
        return filter(None, self._lines.values())

    def join(self, waiter: Waiter) -> bool:
        """To the end of its line; True if nobody stood there."""
        waiter.number = next(self._numbers)
        line = self._lines[waiter.want]
        line.join(waiter)
        return len(line) == 1

    def leave(self, waiter: Waiter) -> None:
        """From anywhere."""
        self._lines[waiter.want].leave(waiter)

    def leave_all(self) -> Iterator[Waiter]:
        """Take out everybody."""
        for line in self.lines():
            while line:
                waiter = line.head()
                line.leave(waiter)
                yield waiter

    def wants(self) -> list[Want]:
        """What the first two of each line want, in the order in which they came."""
        first = itertools.chain.from_iterable(line.first(2) for line in self.lines())
        return [waiter.want for waiter in sorted(first, key=lambda waiter: waiter.number)]

    def next(self, want: Want) -> Waiter | None:
        """Take out who is next of those with this ``want``; None if the last has just been cancelled."""
        line = self._lines[want]
        while line:
            waiter = line.head()
            line.leave(waiter)
            if not waiter.grant.done():
                return waiter
        return None
