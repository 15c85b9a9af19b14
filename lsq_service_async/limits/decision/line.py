"""Which process is before which: the heads of all their lines, each with an appointment."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import attrs

from ...config import Lane
from .ask import LANES, Want

BULK_FLOOR = 5  # bulk gets at least every fifth grant
GRACE = 0.5  # s; who does not come to its appointment is waited for so long


class Head(NamedTuple):
    """The first in a lane of a process.

    ``turn`` orders the heads of one lane. ``heavy``: nobody but uploads waits there. ``waiting``: how many do.
    ``until``: when the process is taken for dead.
    """

    owner: int
    lane: Lane
    turn: int
    until: float
    heavy: bool
    waiting: int


class Ahead(NamedTuple):
    """How many heads of other processes stand before one, per lane."""

    interactive: int
    bulk: int


@attrs.define
class WaitingLine:
    """The heads; ``row`` counts the interactive grants in a row that passed waiting bulk."""

    heads: dict[tuple[int, Lane], Head] = attrs.field(factory=dict)
    row: int = 0
    turns: int = 0

    def tidy(self, now: float) -> None:
        """Strike out who did not come."""
        for key in [key for key, head in self.heads.items() if head.until <= now]:
            del self.heads[key]

    def is_turn_of_bulk(self, after: int = 0) -> bool:
        """After so many more interactive grants the next is for bulk, if any wants it."""
        return self.row + after >= BULK_FLOOR - 1

    def in_turn(self, wants: Sequence[Want]) -> Iterator[Want]:
        """Those of one process, the lane whose turn it is first."""
        for lane in reversed(LANES) if self.is_turn_of_bulk() else LANES:
            for want in wants:
                if want.lane is lane:
                    yield want

    def ahead(self, owner: int, lane: Lane, *, uploads_may_go: bool) -> Ahead:
        """Who is before the head of ``owner``'s lane and could go now."""
        turn = self._turn_of(owner, lane)
        before = [
            head.lane
            for head in self.heads.values()
            if head.owner != owner
            and (uploads_may_go or not head.heavy)
            and (head.lane is not lane or head.turn < turn)
        ]
        return Ahead(before.count(Lane.INTERACTIVE), before.count(Lane.BULK))

    def before(self, owner: int, lane: Lane, place: int, other: int) -> tuple[int, int]:
        """How many calls of ``lane``, and how many in all, go before one that has ``place`` of its lane before it.

        ``other`` calls wait in the other lane of its process. The processes take turns.
        """
        turn, same = self._turn_of(owner, lane), place
        for head in self.heads.values():
            if head.owner != owner and head.lane is lane:
                same += min(head.waiting, place + (head.turn < turn))
            elif head.owner != owner:
                other += head.waiting
        return same, same + self.passed_by(lane, same, other)

    def passed_by(self, lane: Lane, place: int, other: int) -> int:
        """How many of ``other`` in the other lane go before one that has ``place`` of its own lane before it."""
        row = BULK_FLOOR - 1
        if lane is Lane.INTERACTIVE:
            return min(other, (place + self.row) // row)
        return min(other, max(0, row * (place + 1) - self.row))

    def granted(self, owner: int, want: Want, wants: Sequence[Want]) -> None:
        """One of ``wants`` has gone; whoever is behind it queues up anew."""
        passed = want.lane is Lane.INTERACTIVE and self._bulk_waits(wants)
        self.row = self.row + 1 if passed else 0
        if self.heads:
            self.heads.pop((owner, want.lane), None)

    def _bulk_waits(self, wants: Sequence[Want]) -> bool:
        if len(wants) > 1 and any(want.lane is Lane.BULK for want in wants):
            return True
        return bool(self.heads) and any(lane is Lane.BULK for _, lane in self.heads)

    def line_up(self, owner: int, wants: Sequence[Want], waiting: Sequence[int], at: float) -> None:
        """Note who waits of a process that comes back ``at`` a time; the others of its heads are forgotten."""
        for lane, count in zip(LANES, waiting, strict=True):
            heavy = [want.heavy for want in wants if want.lane is lane]
            if heavy:
                turn = self._turn_of(owner, lane)
                if turn == math.inf:
                    self.turns = turn = self.turns + 1
                self.heads[owner, lane] = Head(owner, lane, int(turn), at + GRACE, all(heavy), count)
            else:
                self.heads.pop((owner, lane), None)

    def _turn_of(self, owner: int, lane: Lane) -> float:
        head = self.heads.get((owner, lane))
        return math.inf if head is None else head.turn
