"""Leases on the calls in flight of this process, and reports of its completed calls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

from ._engine.messages import ActiveCall, CompletedCall, SyncMessage
from ._engine.sync import LEASE

RENEW = 3.0  # s after which a lease is renewed
_REPORT = 1.0  # s for which a report waits for another message
_WORTH_WAITING = 1.0  # s; a report waits for a message (`Leases.next_at`) that is due at most this long after it


@attrs.define
class _Active:
    """A call in flight, leased until ``until``. ``has_lapsed``: an earlier lease ended, so the slot may be lost."""

    since: float
    until: float
    is_large: bool
    has_lapsed: bool = False


@attrs.define
class _Completed:
    """A completed call. ``was_leased``: it ended before its lease expired."""

    at: float
    is_sent: bool
    is_large: bool
    was_leased: bool
    silence: float | None
    was_reported: bool = False

    def report(self, slot: int, now: float) -> CompletedCall:
        age = now - self.at if self.is_sent else None
        return CompletedCall(slot, age, self.is_large, self.was_reported and self.was_leased, self.silence)


@attrs.define
class Leases:
    """The calls in flight of this process, and its completed calls that the backend has not acknowledged yet.

    Times are on the clock of this process. Reports contain ages, because other processes have other clocks. ``next_at``
    is the time of the next message for a waiting call, or None.
    """

    refusals: list[tuple[tuple[int, float] | None, float]] = attrs.field(factory=list)
    next_at: float | None = None
    _active: dict[int, _Active] = attrs.field(factory=dict)
    _completed: dict[int, _Completed] = attrs.field(factory=dict)
    _paused_until: float = -math.inf

    def add(self, slot: int, asked: float, *, is_large: bool) -> None:
        """Add a call whose slot was requested at ``asked``."""
        self._active[slot] = _Active(asked, asked + LEASE, is_large)

    def is_valid(self, slot: int, now: float) -> bool:
        """Return whether the lease of a call is in force. An expired lease stays invalid, even if it is renewed."""
        call = self._active.get(slot)
        return call is not None and now < call.until and not call.has_lapsed

    def end(self, slot: int, now: float, *, is_sent: bool, silence: float | None = None) -> CompletedCall:
        """Complete a call and return its report. If no reply granted the slot, the slot is unknown here."""
        active = self._active.pop(slot, None)
        is_large, was_leased = active is not None and active.is_large, active is not None and now < active.until
        self._completed[slot] = completed = _Completed(now, is_sent, is_large, was_leased, silence)
        return completed.report(slot, now)

    def expire(self, now: float) -> None:
        """Count all calls in flight as answered now, because their event loop has closed."""
        for slot in list(self._active):
            self.end(slot, now, is_sent=True)

    def pause(self, until: float) -> None:
        """Report a pause with the next message. An earlier pause is never shortened."""
        self._paused_until = max(self._paused_until, until)

    def are_known(self, flights: Mapping[int, object]) -> bool:
        """Return whether ``flights`` of the shared state has all calls in flight of this process."""
        return self._active.keys() <= flights.keys()

    def unacknowledged(self, now: float) -> list[CompletedCall]:
        return [completed.report(slot, now) for slot, completed in self._completed.items()]

    def message(self, now: float, flights: Mapping[int, object], **about: Any) -> SyncMessage:
        """Make a message with all completed calls and all leases to renew."""
        completed, active = self.unacknowledged(now), []
        for ended in self._completed.values():
            ended.was_reported = True
        for slot, call in self._active.items():
            if now >= call.until - LEASE + RENEW or slot not in flights:
                active.append(ActiveCall(slot, now - call.since, call.is_large))
        pause, refusals = self._paused_until - now, [(named, now - sent) for named, sent in self.refusals]
        return SyncMessage(completed=completed, active=active, pause=pause, refusals=refusals, **about)

    def acknowledge(self, message: SyncMessage, sent: float, now: float) -> None:
        """Drop the reports in a message sent at ``sent`` and answered at ``now``. Extend the leases that it renews."""
        for completed in message.completed:
            del self._completed[completed.slot]
        del self.refusals[: len(message.refusals)]
        for slot, _, _ in message.active:
            if (call := self._active.get(slot)) is not None:
                call.has_lapsed, call.until = call.has_lapsed or now >= call.until, sent + LEASE

    def due_at(self) -> float:
        """Return the time at which the next message must be sent, or ``inf``."""
        renew_at = min((call.until for call in self._active.values()), default=math.inf) - LEASE + RENEW
        if not self._completed:
            return renew_at
        report_at = next(iter(self._completed.values())).at + _REPORT
        if self.next_at is not None and self.next_at < report_at + _WORTH_WAITING:
            report_at = max(report_at, self.next_at + _WORTH_WAITING / 2)
        return min(renew_at, report_at)
