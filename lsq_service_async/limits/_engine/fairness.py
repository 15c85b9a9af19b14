"""The order of the processes that share a limit, and of the two lanes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import attrs

from ...config import Lane
from .messages import LANES, Request

BULK_SHARE = 5  # if bulk calls wait, at least every fifth grant is for bulk
GRACE = 0.5  # s for which other processes wait for a late message


class Head(NamedTuple):
    """The waiting calls of one process in one lane, valid until ``until``. ``is_large``: all are large uploads."""

    process_id: int
    lane: Lane
    turn: int
    until: float
    is_large: bool
    waiting: int


@attrs.define
class ProcessOrder:
    """The order of the waiting processes. ``row``: consecutive interactive grants while a bulk call waited."""

    heads: dict[tuple[int, Lane], Head] = attrs.field(factory=dict)
    row: int = 0
    turns: int = 0

    def tidy(self, now: float) -> None:
        """Remove the processes that sent no message in time."""
        for key in [key for key, head in self.heads.items() if head.until <= now]:
            del self.heads[key]

    def is_turn_of_bulk(self, after: int = 0) -> bool:
        """Return whether a waiting bulk call is next, if ``after`` more interactive calls are granted first."""
        return self.row + after >= BULK_SHARE - 1

    def in_turn(self, requests: Sequence[Request]) -> Iterator[Request]:
        """Yield the requests of one process, first those of the lane that is served next."""
        for lane in reversed(LANES) if self.is_turn_of_bulk() else LANES:
            for request in requests:
                if request.lane is lane:
                    yield request

    def ahead(self, process_id: int, lane: Lane, *, uploads_may_go: bool) -> tuple[int, int]:
        """Return how many other processes wait in each lane: interactive, bulk.

        In ``lane``, this counts only processes with an earlier turn. If ``uploads_may_go`` is False, it ignores
        processes that have only large uploads.
        """
        turn, counts = self._turn_of(process_id, lane), [0, 0]
        for head in self.heads.values():
            is_before = head.lane is not lane or head.turn < turn
            if is_before and head.process_id != process_id and (uploads_may_go or not head.is_large):
                counts[head.lane is Lane.BULK] += 1
        return counts[0], counts[1]

    def before(self, process_id: int, lane: Lane, place: int, other: int) -> tuple[int, int]:
        """Return how many calls of ``lane``, and of both lanes, are sent before a call of this process.

        In this process, ``place`` calls of the lane are ahead of the call, and ``other`` calls wait in the other lane.
        """
        turn, same = self._turn_of(process_id, lane), place
        for head in self.heads.values():
            if head.process_id != process_id and head.lane is lane:
                same += min(head.waiting, place + (head.turn < turn))
            elif head.process_id != process_id:
                other += head.waiting
        return same, same + self.passed_by(lane, same, other)

    def passed_by(self, lane: Lane, place: int, other: int) -> int:
        """Return how many of ``other`` calls in the other lane precede call ``place`` (counted from 0) of ``lane``."""
        row = BULK_SHARE - 1
        if lane is Lane.INTERACTIVE:
            return min(other, (place + self.row) // row)
        return min(other, max(0, row * (place + 1) - self.row))

    def granted(self, process_id: int, request: Request, requests: Sequence[Request]) -> None:
        """Count the grant of ``request``. The grant ends the turn of the process in this lane."""
        bulk_waits = (len(requests) > 1 and any(other.lane is Lane.BULK for other in requests)) or any(
            lane is Lane.BULK for _, lane in self.heads
        )
        self.row = self.row + 1 if bulk_waits and request.lane is Lane.INTERACTIVE else 0
        self.heads.pop((process_id, request.lane), None)

    def line_up(self, process_id: int, requests: Sequence[Request], waiting: Sequence[int], at: float) -> None:
        """Replace the heads of a process. Its next message is expected at the time ``at``."""
        for lane, count in zip(LANES, waiting, strict=True):
            is_large = [request.is_large for request in requests if request.lane is lane]
            if is_large:
                turn = self._turn_of(process_id, lane)
                if turn == math.inf:
                    self.turns = turn = self.turns + 1
                self.heads[process_id, lane] = Head(process_id, lane, int(turn), at + GRACE, all(is_large), count)
            else:
                self.heads.pop((process_id, lane), None)

    def _turn_of(self, process_id: int, lane: Lane) -> float:
        head = self.heads.get((process_id, lane))
        return math.inf if head is None else head.turn
