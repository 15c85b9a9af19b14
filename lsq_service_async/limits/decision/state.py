"""What is known of the calls of the last two windows, and what is granted on it."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import NamedTuple, Self

import attrs

from ...config import Lane, RateLimit
from .ask import Want
from .line import WaitingLine
from .rule import opens_at, room_beside_one
from .share import Share

ALONE = 0  # the owner of everything, where there is one process only


PLAIN = Want(Lane.INTERACTIVE, heavy=False)


class Flight(NamedTuple):
    """A call on its way ``since`` its grant; it counts as that ``until`` a time at most, then as answered."""

    owner: int
    since: float
    until: float
    heavy: bool


@attrs.define
class State:
    """Times are readings of one clock in seconds, and may not run backwards.

    ``answered`` holds the answers of the last two windows, ``uploads`` those of uploads in the last one, both oldest
    first. ``users`` says until when a process is taken to use the limit. ``round_trip``: the seconds that calls other
    than uploads lately took.
    """

    share: Share
    line: WaitingLine = attrs.field(factory=WaitingLine)
    seen: float = -math.inf
    paused_until: float = -math.inf
    paced_until: float = -math.inf
    round_trip: float = 0.1
    answered: list[float] = attrs.field(factory=list)
    uploads: list[float] = attrs.field(factory=list)
    flights: dict[int, Flight] = attrs.field(factory=dict)
    users: dict[int, float] = attrs.field(factory=dict)
    _never_full: int = attrs.field(init=False, eq=False)
    _opens_at: float | None = attrs.field(default=None, init=False, eq=False)

    def __attrs_post_init__(self) -> None:
        self._never_full = int(room_beside_one(self.rate))

    @classmethod
    def of(cls, rate: RateLimit) -> Self:
        """Nothing has happened yet."""
        return cls(Share(rate))

    @property
    def rate(self) -> RateLimit:
        """What may be used now."""
        return self.share.rate

    @property
    def token(self) -> float:
        """Seconds from one call to the next when they are evenly spaced."""
        return self.rate.per / self.rate.calls

    # What happened.

    def enter(self, slot: int, flight: Flight) -> None:
        """A call holds ``slot``."""
        self.flights[slot] = flight
        self._opens_at = None

    def answer(self, slot: int, moment: float, *, heavy: bool) -> None:
        """The call of ``slot`` was answered, or cannot be any more: the slot comes back ``per`` after ``moment``.

        It counts also if it is not known (any more).
        """
        flight = self.flights.pop(slot, None)
        if flight is not None and not heavy:
            self.round_trip += 0.2 * (moment - flight.since - self.round_trip)
        insort(self.answered, moment)
        if heavy:
            insort(self.uploads, moment)
        self._opens_at = None

    def forget(self, slot: int) -> None:
        """The call of ``slot`` certainly never left: the slot comes back at once."""
        self.flights.pop(slot, None)
        self._opens_at = None

    def settle(self, now: float) -> None:
        """Nobody is left who could report an answer: take every call in flight for answered now."""
        for slot in list(self.flights):
            self._give_up(slot, now)

    def pause(self, until: float) -> None:
        """Nobody goes before; a longer pause stays."""
        self.paused_until = max(self.paused_until, until)

    def refused(self, now: float, named: tuple[int, float] | None) -> bool:
        """The service refused a call, and named a limit or not. True if there is less to use from now on."""
        lowered = self.share.refused(now, named)
        self._rate_changed()
        return lowered

    def keep(self, rate: RateLimit) -> None:
        """Use ``rate`` from now on; past calls still count, and refusals if it was the same."""
        if rate != self.share.configured:
            self.share = Share(rate)
            self._rate_changed()

    def tidy(self, now: float) -> None:
        """Strike out what is too old to matter, and let the share grow."""
        if self.share.tidy(now):
            self._rate_changed()
        for slot in [slot for slot, flight in self.flights.items() if flight.until <= now]:
            self._give_up(slot, self.flights[slot].until)
        del self.answered[: bisect_left(self.answered, now - 2 * self.rate.per)]
        del self.uploads[: bisect_left(self.uploads, now - self.rate.per)]
        self.line.tidy(now)

    # What follows.

    def take(self, now: float, owner: int, slot: int, wants: Sequence[Want], until: float) -> tuple[Want | None, float]:
        """Grant ``slot`` to the first of ``wants`` that may go now, if any; else the time at which one may."""
        want, at = self.first_of(now, owner, wants)
        if want is None or at > now:
            return None, at
        if want.lane is Lane.BULK:
            # Who comes a little late is followed a little sooner, or lateness would add up.
            in_time = now - self.paced_until < self.token / 2
            self.paced_until = (self.paced_until if in_time else now) + self.token
        self.line.granted(owner, want, wants)
        self.enter(slot, Flight(owner, now, until, want.heavy))
        return want, now

    def take_one(self, now: float, slot: int, want: Want) -> bool:
        """`take` for the only call that wants anything, of the only process there is; True if it may go."""
        if want is not PLAIN:
            return self.take(now, ALONE, slot, (want,), math.inf)[0] is not None
        # Most calls come this way, so nothing is asked here that is known.
        if self.paused_until > now:
            return False
        if len(self.flights) + len(self.answered) > self._never_full and self.opens_at() > now:
            return False
        self.line.row = 0
        # The constructor of a named tuple is written in Python and takes twice as long.
        self.flights[slot] = tuple.__new__(Flight, (ALONE, now, math.inf, False))
        self._opens_at = None
        return True

    def first_of(self, now: float, owner: int, wants: Sequence[Want]) -> tuple[Want | None, float]:
        """Who of one process may go first, and when (``inf``: when somebody has reported an answer)."""
        if len(wants) == 1:
            return wants[0], self._ready_at(now, owner, wants[0])
        first, first_at = None, math.inf
        for want in self.line.in_turn(wants):
            at = self._ready_at(now, owner, want)
            if at < first_at:
                first, first_at = want, at
            if at <= now:
                break
        return first, first_at

    def opens_at(self, ahead: int = 0) -> float:
        """The time from which one more call may go after ``ahead`` others: ``-inf`` if at once."""
        if len(self.flights) + ahead + len(self.answered) <= self._never_full:
            return -math.inf
        if ahead:
            return opens_at(self.answered, len(self.flights) + ahead, self.rate)
        if self._opens_at is None:
            self._opens_at = opens_at(self.answered, len(self.flights), self.rate)
        return self._opens_at

    def used(self, now: float) -> int:
        """How many slots are taken: by calls in flight, and by those answered less than ``per`` seconds ago."""
        return len(self.flights) + sum(1 for answer in self.answered if answer + self.rate.per > now)

    def _ready_at(self, now: float, owner: int, want: Want) -> float:
        if want == PLAIN and not self.line.heads:
            return max(self.paused_until, self.opens_at())
        uploads_at = self.uploads_at(now) if want.heavy or self.line.heads else now
        before = self.line.ahead(owner, want.lane, uploads_may_go=uploads_at <= now)
        if want.lane is Lane.INTERACTIVE:
            floor = before.bulk > 0 and self.line.is_turn_of_bulk(before.interactive) and self.paced_until <= now
            ahead, at = before.interactive + floor, self.paused_until
        else:
            passed = self.line.passed_by(Lane.BULK, before.bulk, before.interactive)
            ahead, at = before.bulk + passed, self._pace_at(now, before.bulk)
        return max(at, self.opens_at(ahead), uploads_at if want.heavy else -math.inf)

    def _pace_at(self, now: float, ahead: int) -> float:
        pace_at = max(now, self.paced_until) + ahead * self.token if ahead else self.paced_until
        return max(pace_at, self.paused_until)

    def uploads_room(self, now: float) -> int:
        """How many more uploads may go now: at most half of the slots are theirs."""
        flying = sum(flight.heavy for flight in self.flights.values())
        return max(0, max(1, self.rate.calls // 2) - flying - len(self._uploads_of_late(now)))

    def uploads_at(self, now: float) -> float:
        """When one more upload may go."""
        if self.uploads_room(now) > 0:
            return now
        of_late = self._uploads_of_late(now)
        return of_late[0] + self.rate.per if of_late else math.inf

    def _uploads_of_late(self, now: float) -> list[float]:
        return [answer for answer in self.uploads if answer + self.rate.per > now]

    def _give_up(self, slot: int, moment: float) -> None:
        """Nobody knows how the call went; how long it took says nothing about others."""
        self.answer(slot, moment, heavy=self.flights.pop(slot).heavy)

    def _rate_changed(self) -> None:
        self._never_full = int(room_beside_one(self.rate))
        self._opens_at = None
