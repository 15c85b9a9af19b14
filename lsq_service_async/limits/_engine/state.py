"""The state of a limit, and the decision which call gets the next slot."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from typing import NamedTuple, Self

import attrs

from ...config import Lane, RateLimit
from .adaptive_rate import AdaptiveRate
from .fairness import ProcessOrder
from .messages import Request
from .window import opens_at, room_for_others

ALONE = 0  # the process id if only one process uses the limit


class Flight(NamedTuple):
    """A call in flight. At ``until``, it counts as answered.

    ``is_stuck``: it ended without an answer (timeout or broken connection), and the service stands still.
    """

    process_id: int
    since: float
    until: float
    is_large: bool
    is_stuck: bool = False


class Presence(NamedTuple):
    """A process and its configured rate. At ``until``, the process counts as ended."""

    until: float
    rate: RateLimit


@attrs.define
class LimitState:
    """The state of a limit. Times are seconds on one clock that never runs backwards.

    ``answered`` has the times of all answers in the last two windows, oldest first. ``uploads`` has the times of the
    answers to large uploads in the last window. No call is granted before ``paused_until``. Evenly spaced calls (bulk
    calls, and all calls if `is_paced`) are not granted before ``paced_until``. ``revision`` changes when estimates may
    change.

    The service `stands_still` if a call timed out and no answer arrived after that call was sent. One probe at a time
    is then sent until an answer arrives, even if no slot is free. ``probe`` is the slot of the last probe.
    """

    adaptive: AdaptiveRate
    order: ProcessOrder = attrs.field(factory=ProcessOrder)
    seen: float = -math.inf
    paused_until: float = -math.inf
    paced_until: float = -math.inf
    round_trip: float = 0.1
    answered: list[float] = attrs.field(factory=list)
    uploads: list[float] = attrs.field(factory=list)
    flights: dict[int, Flight] = attrs.field(factory=dict)
    processes: dict[int, Presence] = attrs.field(factory=dict)
    last_answer: float = -math.inf
    probe: int = -1
    stands_still: bool = attrs.field(init=False, eq=False)
    rate: RateLimit = attrs.field(init=False, eq=False)
    """The rate at which calls are sent now."""
    revision: int = attrs.field(default=0, init=False, eq=False)
    _always_room: int = attrs.field(init=False, eq=False)

    def __attrs_post_init__(self) -> None:
        self._rate_changed()
        self._find_stuck()

    @classmethod
    def of(cls, rate: RateLimit) -> Self:
        return cls(AdaptiveRate.of(rate))

    @property
    def is_paced(self) -> bool:
        """Whether interactive calls are evenly spaced, like bulk calls: after a refusal, or in a standstill."""
        return self.adaptive.is_paced or self.stands_still

    @property
    def token(self) -> float:
        """Seconds between two evenly spaced calls."""
        return self.rate.per / self.rate.calls

    # Events.

    def enter(self, slot: int, flight: Flight) -> None:
        self.flights[slot] = flight
        self.revision += 1

    def answer(self, slot: int, moment: float, *, is_large: bool) -> None:
        """Count a call as answered at ``moment``, even if it is not in ``flights``."""
        flight = self.flights.pop(slot, None)
        if flight is not None and not is_large:
            self.round_trip += 0.2 * (moment - flight.since - self.round_trip)
        insort(self.answered, moment)
        if is_large:
            insort(self.uploads, moment)
        self.revision += 1

    def end(self, slot: int, moment: float, silence: float | None, *, is_large: bool) -> None:
        """End a call that was sent. ``silence``: see `CompletedCall`."""
        flight = self.flights.get(slot)
        if silence is None:
            self.answer(slot, moment, is_large=is_large)
            self.last_answer = max(self.last_answer, moment)
            if self.stands_still:
                self._recover(moment)
        elif flight is not None and (self.stands_still or (silence and self.last_answer < moment - silence)):
            self.enter(slot, flight._replace(is_stuck=True))
            self.stands_still = True
        else:
            self.flights.pop(slot, None)  # so that `answer` ignores the round trip of this call
            self.answer(slot, moment, is_large=is_large)

    def _recover(self, moment: float) -> None:
        """Count the stuck calls as answered at ``moment``, because the service answers again."""
        for slot, flight in list(self.flights.items()):
            if flight.is_stuck and flight.since <= moment:  # otherwise the answer is older than this call
                self._give_up(slot, moment)
                self.adaptive.known_at = max(self.adaptive.known_at, moment)  # a refused probe must not lower the rate
        self._find_stuck()

    def _find_stuck(self) -> None:
        self.stands_still = any(flight.is_stuck for flight in self.flights.values())

    def renew(self, process_id: int, until: float) -> None:
        """Extend the leases of the stuck calls of a process, because the process does not report these calls again."""
        for slot, flight in self.flights.items():
            if flight.is_stuck and flight.process_id == process_id:
                self.flights[slot] = flight._replace(until=until)

    def forget(self, slot: int) -> None:
        """Remove a call that was never sent."""
        self.flights.pop(slot, None)
        self.revision += 1

    def expire(self, now: float) -> None:
        """Count all calls in flight as answered now."""
        for slot in list(self.flights):
            self._give_up(slot, now)
        self.stands_still = False

    def pause(self, until: float) -> None:
        """Before ``until``, grant no call and do not raise the rate. An earlier pause is never shortened."""
        self.paused_until = max(self.paused_until, until)
        self.adaptive.quiet_since = max(self.adaptive.quiet_since, until - self.rate.per)

    def refused(self, now: float, named: tuple[int, float] | None, sent: float) -> bool:
        """Lower the rate after a refusal. Return whether the rate is now lower."""
        is_lower = self.adaptive.refused(now, named, sent)
        self._rate_changed()
        return is_lower

    def configure(self, rate: RateLimit) -> None:
        """Set the configured rate. Past calls still count. A new rate ends the effects of past refusals."""
        if rate != self.adaptive.configured:
            self.adopt(AdaptiveRate.of(rate))

    def adopt(self, adaptive: AdaptiveRate) -> None:
        self.adaptive = adaptive
        self._rate_changed()

    def tidy(self, now: float) -> None:
        """Delete old answers, count calls with expired leases as answered, and raise a lowered rate."""
        if self.adaptive.tidy(now):
            self._rate_changed()
        for slot, flight in list(self.flights.items()):
            if flight.until <= now:
                self._give_up(slot, flight.until)
        if self.stands_still:
            self._find_stuck()
        del self.answered[: bisect_left(self.answered, now - 2 * self.rate.per)]
        del self.uploads[: bisect_left(self.uploads, now - self.rate.per)]
        if self.order.heads:
            self.order.tidy(now)

    def _give_up(self, slot: int, moment: float) -> None:
        self.answer(slot, moment, is_large=self.flights.pop(slot).is_large)

    def _rate_changed(self) -> None:
        self.rate = self.adaptive.in_use
        self._always_room = int(room_for_others(self.rate))
        self.revision += 1

    # Decisions.

    def take(
        self, now: float, process_id: int, slot: int, requests: Sequence[Request], until: float
    ) -> tuple[Request | None, float]:
        """Grant ``slot`` to the first request that may be sent now, with a lease until ``until``.

        Return the request and ``now``, or None and the time of the next try.
        """
        request, at = self._first(now, process_id, requests)
        if request is None or at > now:
            return None, at
        if request.lane is Lane.BULK or self.is_paced:
            # After a slightly late call, the next call may be sooner, so that delays do not add up.
            in_time = now - self.paced_until < self.token / 2
            self.paced_until = (self.paced_until if in_time else now) + self.token
        if self.order.heads or self.order.row or len(requests) > 1:
            self.order.granted(process_id, request, requests)
        if self.stands_still:
            self.probe = slot
        self.flights[slot] = Flight(process_id, now, until, request.is_large)
        self.revision += 1
        return request, now

    def _first(self, now: float, process_id: int, requests: Sequence[Request]) -> tuple[Request | None, float]:
        """Return the request that may be sent first, and its time; ``inf`` if an answer is needed first."""
        first, first_at = None, math.inf
        for request in self.order.in_turn(requests) if len(requests) > 1 else requests:
            is_simple = request.lane is Lane.INTERACTIVE and not request.is_large and not self.is_paced
            if is_simple and not self.order.heads:
                at = max(self.paused_until, self.opens_at())
            else:
                at = self._ready_at(now, process_id, request)
            if at < first_at:
                first, first_at = request, at
            if at <= now:
                break
        return first, first_at

    def _ready_at(self, now: float, process_id: int, request: Request) -> float:
        uploads_at = self.uploads_at(now) if request.is_large or self.order.heads else now
        interactive, bulk = self.order.ahead(process_id, request.lane, uploads_may_go=uploads_at <= now)
        if request.lane is Lane.INTERACTIVE:
            ahead = interactive
            if bulk and self.order.is_turn_of_bulk(interactive) and self.paced_until <= now:
                ahead += 1
        else:
            ahead = bulk + self.order.passed_by(Lane.BULK, bulk, interactive)
        at = max(self.paused_until, self.opens_at(ahead), uploads_at if request.is_large else -math.inf)
        if request.lane is Lane.BULK or self.is_paced:
            before = ahead if self.is_paced else bulk
            at = max(at, max(now, self.paced_until) + before * self.token if before else self.paced_until)
        return at

    def opens_at(self, ahead: int = 0) -> float:
        """Return when one more call may be sent after ``ahead`` other calls: ``-inf`` if at once.

        While the service stands still, the time is ``-inf`` for the next probe and ``inf`` for all other calls.
        """
        if self.stands_still:
            probe = self.flights.get(self.probe)
            return -math.inf if not ahead and (probe is None or probe.is_stuck) else math.inf
        in_flight = len(self.flights) + ahead
        if in_flight + len(self.answered) <= self._always_room:
            return -math.inf
        return opens_at(self.answered, in_flight, self.rate)

    def is_idle(self, now: float) -> bool:
        """Return whether no process waits, and an interactive call would be sent at once."""
        start = max(self.paused_until, self.paced_until if self.is_paced else -math.inf)
        return not self.order.heads and start <= now and self.opens_at() <= now

    def is_filled(self) -> bool:
        """Return whether the last two windows have at least as many calls as one window allows."""
        return len(self.flights) + len(self.answered) >= self.adaptive.configured.calls

    def used(self, now: float) -> int:
        """Return the number of calls in flight or answered less than ``per`` seconds ago."""
        return len(self.flights) + len(self.answered) - bisect_right(self.answered, now - self.rate.per)

    def uploads_room(self, now: float) -> int:
        """Return how many more large uploads may be sent now. They get at most half of the slots."""
        in_flight = sum(flight.is_large and not flight.is_stuck for flight in self.flights.values())
        recent = len(self.uploads) - bisect_right(self.uploads, now - self.rate.per)
        return max(0, max(1, self.rate.calls // 2) - in_flight - recent)

    def uploads_at(self, now: float) -> float:
        """Return when one more large upload may be sent; ``inf`` if an answer is needed first."""
        if self.uploads_room(now) > 0:
            return now
        recent = self.uploads[bisect_right(self.uploads, now - self.rate.per) :]
        return recent[0] + self.rate.per if recent else math.inf
