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

_PAGE = 512  # waiters; so many may be struck out at once without holding up the loop


@attrs.define(eq=False)
class Waiter:
    """A call in line ``since`` a loop time.

    ``due`` is when it was foretold to go, ``deadline`` when that is no use any more (``inf``: never). ``again`` marks
    one that has had its turn before. ``told`` is True once the log has said that it waits long.
    """

    want: Want
    since: float
    due: float
    deadline: float
    grant: asyncio.Future[int]
    again: bool = False
    number: int = -1
    told: bool = False


class Line:
    """Those who want the same, in the order they came. To join, and to leave from anywhere, costs no search."""

    def __init__(self) -> None:
        self._waiters: OrderedDict[int, Waiter] = OrderedDict()
        # Heaps by margin, each of those who came together; who has left stays in its heap until he is at the top.
        self._pages: dict[int, list[tuple[float, int, Waiter]]] = {}

    def __len__(self) -> int:
        return len(self._waiters)

    def join(self, waiter: Waiter) -> None:
        """To the end of the line."""
        self._waiters[waiter.number] = waiter
        if waiter.deadline < math.inf:
            page = self._pages.setdefault(waiter.number // _PAGE, [])
            heapq.heappush(page, (waiter.deadline - waiter.due, waiter.number, waiter))

    def leave(self, waiter: Waiter) -> bool:
        """From anywhere in the line; False if he has left already."""
        there = self._waiters.pop(waiter.number, None) is not None
        page = self._pages.get(waiter.number // _PAGE)
        while page and page[0][1] not in self._waiters:
            heapq.heappop(page)
        if page == []:
            del self._pages[waiter.number // _PAGE]
        return there

    def head(self) -> Waiter:
        """Who has waited longest. There must be somebody."""
        return next(iter(self._waiters.values()))

    def first(self, count: int) -> Iterator[Waiter]:
        """At most so many, those who have waited longest."""
        return itertools.islice(self._waiters.values(), count)

    def least_margin(self) -> float:
        """How much later than foretold all may go and still keep their deadlines; ``inf`` if nobody has one."""
        return min((page[0][0] for page in self._pages.values()), default=math.inf)

    def most_pressed(self) -> Waiter:
        """Who has the least margin. There must be somebody with a deadline."""
        return min(page[0] for page in self._pages.values())[2]


class Lanes:
    """The lines of both lanes. In each lane uploads stand in lines of their own, and so do those who come again: they
    have had their turn once, and go before all who have not."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        wants = [Want(lane, heavy) for lane in Lane for heavy in (False, True)]
        self._lines = {want: (Line(), Line()) for want in wants}
        self._waiting = dict.fromkeys(Lane, 0)
        self._again = dict.fromkeys(Lane, 0)
        self._uploads = dict.fromkeys(Lane, 0)

    def __len__(self) -> int:
        return sum(self._waiting.values())

    def waiting(self, lane: Lane) -> int:
        """How many wait in ``lane``."""
        return self._waiting[lane]

    def counts(self) -> tuple[int, int]:
        """How many wait, interactive and bulk."""
        return self._waiting[Lane.INTERACTIVE], self._waiting[Lane.BULK]

    def before(self, lane: Lane, *, again: bool) -> int:
        """How many of ``lane`` go before one that joins it now."""
        return self._again[lane] if again else self._waiting[lane]

    def before_head(self, head: Waiter) -> int:
        """How many of its lane go before the head of a line."""
        return 0 if head.again else self._again[head.want.lane]

    def held_up(self, lane: Lane, room: int) -> int:
        """How many uploads of ``lane`` are passed by others, when ``room`` more uploads may go."""
        return max(0, self._uploads[lane] - room)

    def lines(self) -> Iterator[Line]:
        """The lines in which somebody stands."""
        return filter(None, itertools.chain.from_iterable(self._lines.values()))

    def join(self, waiter: Waiter) -> bool:
        """To the end of its line; True if nobody stood there."""
        waiter.number = next(self._numbers)
        line = self._line_of(waiter)
        line.join(waiter)
        self._count(waiter, 1)
        return len(line) == 1

    def leave(self, waiter: Waiter) -> None:
        """From anywhere; who has left already may leave again."""
        if self._line_of(waiter).leave(waiter):
            self._count(waiter, -1)

    def leave_all(self) -> Iterator[Waiter]:
        """Take out everybody."""
        for line in self.lines():
            while line:
                waiter = line.head()
                self.leave(waiter)
                yield waiter

    def leave_late(self, line: Line, delay: float) -> Iterator[Waiter]:
        """Take out those of a line who miss their deadline when all go ``delay`` seconds later than foretold."""
        while line.least_margin() < delay:
            waiter = line.most_pressed()
            self.leave(waiter)
            yield waiter

    def wants(self) -> list[Want]:
        """What the first two of each line want, in the order in which they go."""
        first: list[Waiter] = []
        for again, line in self._lines.values():
            if again or line:
                first += itertools.islice(itertools.chain(again.first(2), line.first(2)), 2)
        return [waiter.want for waiter in sorted(first, key=lambda waiter: (not waiter.again, waiter.number))]

    def next(self, want: Want) -> Waiter | None:
        """Take out who is next of those with this ``want``; None if the last has just been cancelled."""
        for line in self._lines[want]:
            while line:
                waiter = line.head()
                self.leave(waiter)
                if not waiter.grant.done():
                    return waiter
        return None

    def _line_of(self, waiter: Waiter) -> Line:
        return self._lines[waiter.want][0 if waiter.again else 1]

    def _count(self, waiter: Waiter, change: int) -> None:
        lane = waiter.want.lane
        self._waiting[lane] += change
        self._again[lane] += change * waiter.again
        self._uploads[lane] += change * waiter.want.heavy
