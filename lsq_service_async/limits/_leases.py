"""Leases on the calls of this process that are in flight, and reports of those that have ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

from ._engine.messages import ActiveCall, CompletedCall, SyncMessage
from ._engine.sync import LEASE

_RENEW = 3.0  # s; a lease is renewed when so much of it has passed
_REPORT = 1.0  # s; a report waits so long for another message to be sent with
_WORTH_WAITING = 1.0  # s more, if a message is sure to be sent then


@attrs.define
class _Active:
    since: float
    until: float
    is_large: bool


@attrs.define
class _Completed:
    """``was_leased``: the lease lasted until then, so the others count the call then or later in any case."""

    at: float
    is_sent: bool
    is_large: bool
    was_leased: bool
    was_reported: bool = False

    def report(self, slot: int, now: float) -> CompletedCall:
        age = now - self.at if self.is_sent else None
        return CompletedCall(slot, age, self.is_large, self.was_reported and self.was_leased)


@attrs.define
class Leases:
    """Times are readings of this process's clock; ages are reported.

    ``next_at``: when a waiting call sends a message in any case, or None.
    """

    refusals: list[tuple[int, float] | None] = attrs.field(factory=list)
    next_at: float | None = None
    _active: dict[int, _Active] = attrs.field(factory=dict)
    _completed: dict[int, _Completed] = attrs.field(factory=dict)
    _paused_until: float = -math.inf

    def add(self, slot: int, asked: float, *, is_large: bool) -> None:
        """Add a call that was granted to a message of the time ``asked``."""
        self._active[slot] = _Active(asked, asked + LEASE, is_large)

    def is_valid(self, slot: int, now: float) -> bool:
        """Whether the lease of a call has not ended."""
        return now < self._active[slot].until

    def end(self, slot: int, now: float, *, is_sent: bool) -> CompletedCall:
        """Note that a call has ended, or was perhaps never granted."""
        active = self._active.pop(slot, None)
        is_large, was_leased = active is not None and active.is_large, active is not None and now < active.until
        self._completed[slot] = completed = _Completed(now, is_sent, is_large, was_leased)
        return completed.report(slot, now)

    def expire(self, now: float) -> None:
        """Take all calls in flight as answered now: the loop that could report their answers has ended."""
        for slot in list(self._active):
            self.end(slot, now, is_sent=True)

    def pause(self, until: float) -> None:
        """Report a pause; a longer one stays."""
        self._paused_until = max(self._paused_until, until)

    def are_known(self, flights: Mapping[int, object]) -> bool:
        """Whether the shared state knows all calls in flight; it may have been lost."""
        return self._active.keys() <= flights.keys()

    def unacknowledged(self, now: float) -> list[CompletedCall]:
        """The completed calls that are not acknowledged yet."""
        return [completed.report(slot, now) for slot, completed in self._completed.items()]

    def message(self, now: float, flights: Mapping[int, object], **about: Any) -> SyncMessage:
        """A message with all reports that are due to a state that knows ``flights``."""
        completed, active = self.unacknowledged(now), []
        for ended in self._completed.values():
            ended.was_reported = True
        for slot, call in self._active.items():
            if now >= call.until - LEASE + _RENEW or slot not in flights:
                active.append(ActiveCall(slot, now - call.since, call.is_large))
        pause, refusals = self._paused_until - now, tuple(self.refusals)
        return SyncMessage(completed=completed, active=active, pause=pause, refusals=refusals, **about)

    def acknowledge(self, message: SyncMessage, sent: float) -> None:
        """The others know what the message reported."""
        for completed in message.completed:
            del self._completed[completed.slot]
        del self.refusals[: len(message.refusals)]
        for slot, _, _ in message.active:
            if slot in self._active:
                self._active[slot].until = sent + LEASE

    def due_at(self) -> float:
        """When a message must be sent."""
        renew_at = min((call.until for call in self._active.values()), default=math.inf) - LEASE + _RENEW
        if not self._completed:
            return renew_at
        report_at = next(iter(self._completed.values())).at + _REPORT
        if self.next_at is not None and self.next_at < report_at + _WORTH_WAITING:
            report_at = max(report_at, self.next_at + _WORTH_WAITING / 2)
        return min(renew_at, report_at)
