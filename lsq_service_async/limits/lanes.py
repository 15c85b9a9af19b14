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
from .store import Granted, Want

BULK_FLOOR = 5  # bulk gets at least every fifth grant
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
    """The lines of both lanes: interactive goes first, bulk keeps its floor, uploads stand in lines of their own."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._lines = {Want(lane, heavy): Line() for lane in Lane for heavy in (False, True)}
        self._in_a_row = 0

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def waiting(self, lane: Lane) -> int:
        """How many wait in ``lane``."""
        return len(self._lines[Want(lane, False)]) + len(self._lines[Want(lane, True)])

    def lines(self) -> Iterator[Line]:
        """The lines in which somebody stands."""
        return filter(None, self._lines.values())

    def join(self, waiter: Waiter) -> None:
        """To the end of its line."""
        waiter.number = next(self._numbers)
        self._lines[waiter.want].join(waiter)

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
        """What the heads of the lines want, the one whose turn it is first."""
        first, then = (Lane.BULK, Lane.INTERACTIVE) if self._is_turn_of_bulk() else (Lane.INTERACTIVE, Lane.BULK)
        return [*self._heads(first), *self._heads(then)]

    def next(self, want: Want) -> Waiter | None:
        """Take out who is next of those with this ``want``; None if the last has just been cancelled."""
        line = self._lines[want]
        while line:
            waiter = line.head()
            line.leave(waiter)
            if not waiter.grant.done():
                self._in_a_row = self._in_a_row + 1 if want.lane is Lane.INTERACTIVE else 0
                return waiter
        return None

    def ahead(self, lane: Lane, place: int) -> int:
        """How many go before a call that has ``place`` of its own lane before it."""
        share = BULK_FLOOR - 1
        row = min(self._in_a_row, share)
        if lane is Lane.INTERACTIVE:
            return place + min(self.waiting(Lane.BULK), (place + row) // share)
        return place + min(self.waiting(Lane.INTERACTIVE), share * (place + 1) - row)

    def _is_turn_of_bulk(self) -> bool:
        return self._in_a_row >= BULK_FLOOR - 1

    def _heads(self, lane: Lane) -> list[Want]:
        heads = [line.head() for heavy in (False, True) if (line := self._lines[Want(lane, heavy)])]
        return [head.want for head in sorted(heads, key=lambda head: head.number)]
