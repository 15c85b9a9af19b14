"""What a process has to tell the others: the calls it has on their way, and what has come of those before."""

from __future__ import annotations

import math
from collections.abc import Container

import attrs

from .decision.ask import Ask, Ended, Held
from .decision.exchange import LEASE

RENEW = 3.0  # s; a lease is made longer when so much of it has passed
REPORT = 1.0  # s; a report waits so long for something to go with
_WORTH_WAITING = 1.0  # s more, if an exchange is sure to come then


@attrs.define
class _Call:
    since: float
    until: float
    heavy: bool


@attrs.define
class _End:
    """``leased``: its lease lasted until then, so the others count it then or later, also if they are never told."""

    at: float
    used: bool
    heavy: bool
    leased: bool
    told: bool = False

    def of(self, slot: int, now: float) -> Ended:
        return Ended(slot, now - self.at if self.used else None, self.heavy, again=self.told and self.leased)


@attrs.define
class Reports:
    """Times are readings of the process's own clock; what is told are ages.

    ``next_at`` is when somebody who waits will ask in any case, None if nobody waits.
    """

    refusals: list[tuple[int, float] | None] = attrs.field(factory=list)
    next_at: float | None = None
    _calls: dict[int, _Call] = attrs.field(factory=dict)
    _ended: dict[int, _End] = attrs.field(factory=dict)
    _paused_until: float = -math.inf

    def hold(self, slot: int, asked: float, *, heavy: bool) -> None:
        """A call was granted that was asked for at ``asked``."""
        self._calls[slot] = _Call(asked, asked + LEASE, heavy)

    def holds(self, slot: int, now: float) -> bool:
        """Its lease is not over."""
        return now < self._calls[slot].until

    def end(self, slot: int, now: float, *, used: bool) -> Ended:
        """A call is over, or was perhaps never granted."""
        call = self._calls.pop(slot, None)
        end = _End(now, used, call is not None and call.heavy, call is not None and now < call.until)
        self._ended[slot] = end
        return end.of(slot, now)

    def settle(self, now: float) -> None:
        """Nobody is left who could say how the calls on their way ended: they are taken for answered now."""
        for slot in list(self._calls):
            self.end(slot, now, used=True)

    def pause(self, until: float) -> None:
        """Nobody is to go before."""
        self._paused_until = max(self._paused_until, until)

    def unknown_to(self, flights: Container[int]) -> set[int]:
        """The calls on their way that others have forgotten, or were never told of."""
        return {slot for slot in self._calls if slot not in flights}

    def added_to(self, ask: Ask, now: float, flights: Container[int]) -> Ask:
        """The same exchange, with all that is to be told now to those who know of ``flights``."""
        unknown = self.unknown_to(flights)
        ended = self.untold(now)
        for end in self._ended.values():
            end.told = True
        held = [
            Held(slot, now - call.since, call.heavy)
            for slot, call in self._calls.items()
            if now >= call.until - LEASE + RENEW or slot in unknown
        ]
        pause = self._paused_until - now
        return attrs.evolve(ask, ended=ended, held=held, pause=pause, refusals=tuple(self.refusals))

    def told(self, ask: Ask, asked: float) -> None:
        """The others know what ``ask`` said at ``asked``."""
        for ended in ask.ended:
            del self._ended[ended.slot]
        del self.refusals[: len(ask.refusals)]
        for slot, _, _ in ask.held:
            if slot in self._calls:
                self._calls[slot].until = asked + LEASE

    def untold(self, now: float) -> list[Ended]:
        """The ends of which nobody has said that he heard of them."""
        return [end.of(slot, now) for slot, end in self._ended.items()]

    def due_at(self) -> float:
        """When something must be told."""
        renewal = min((call.until for call in self._calls.values()), default=math.inf) - LEASE + RENEW
        return min(renewal, self._report_at())

    def _report_at(self) -> float:
        if not self._ended:
            return math.inf
        report_at = next(iter(self._ended.values())).at + REPORT
        if self.next_at is not None and self.next_at < report_at + _WORTH_WAITING:
            return max(report_at, self.next_at + _WORTH_WAITING / 2)
        return report_at
