"""The rate after refusals. AIMD: halve it after a refusal, add one call after each window without one."""

from __future__ import annotations

import math
from typing import Self

import attrs

from ...config import RateLimit

LEAST = 5  # the rate is never lowered below a fifth of the configured one
FIRST_HOLD = 600.0  # s; how long a limit that a refusal named is kept; doubled each time it is named again
LONGEST_HOLD = 86_400.0  # s


@attrs.define
class AdaptiveRate:
    """The rate that is in use, and the rates up to which it may grow.

    ``rate`` is in use now. It grows up to ``plan``: the configured rate, or a lower one that a refusal ``named``.

    A named limit holds until ``named_until``, that is for ``hold`` seconds.
    """

    configured: RateLimit
    plan: RateLimit
    rate: RateLimit
    halved_at: float = -math.inf
    quiet_since: float = -math.inf
    named: tuple[int, float] | None = None
    named_until: float = -math.inf
    hold: float = 0.0

    @classmethod
    def of(cls, rate: RateLimit) -> Self:
        """Make the state before any refusal."""
        return cls(rate, rate, rate)

    def refused(self, now: float, named: tuple[int, float] | None) -> bool:
        """Lower the rate after a refusal at ``now``. Return whether the rate is lower than before.

        If the refusal ``named`` a lower limit, use that. Otherwise halve the rate, at most once per window.
        """
        self.quiet_since = now
        named = _credible(named, self.configured)
        if named is not None and _is_lower(named, self.configured) and not _is_lower(_pair(self.plan), named):
            self._hold(now, named)
            if _is_lower(named, self.plan):
                self.plan, self.halved_at = RateLimit(named[0], per=named[1]), now
                self._keep_to(min(self.rate.calls, named[0]))
                return True
        before = self.rate.calls
        if now >= self.halved_at + self.plan.per:
            self.halved_at = now
            self._keep_to(max(self.rate.calls // 2, math.ceil(self.plan.calls / LEAST)))
        return self.rate.calls < before

    def tidy(self, now: float) -> bool:
        """Add one call for each window without a refusal. Return whether the rate changed."""
        before = self.rate
        if self.plan != self.configured and now >= self.named_until:
            self._grow(self.named_until)
            shorter = min(1.0, self.configured.per / self.rate.per)
            self.plan = self.configured
            self._keep_to(max(1, int(self.rate.calls * shorter)))
            self.quiet_since = max(self.quiet_since, self.named_until)
        self._grow(now)
        return self.rate != before

    def is_possible(self) -> bool:
        """Whether `refused` and `tidy` can have made these rates. Another user may have written them."""
        plan, most, rounding = self.plan, self.configured, 1.0 + 1e-9
        most_per_plan = most.calls * plan.per / (plan.calls * most.per)  # how many times as high as the plan
        is_plan = plan.calls <= most.calls and 1.0 / rounding <= most_per_plan <= LEAST * rounding
        return is_plan and self.rate.calls <= plan.calls and self.rate.per == plan.per

    def _hold(self, now: float, named: tuple[int, float]) -> None:
        """Keep to a named limit for ten minutes, or for twice as long as before if it is the same again."""
        if named != self.named:
            self.named, self.hold = named, FIRST_HOLD
        elif now < self.named_until - self.hold + named[1]:
            return  # one of several calls in flight that are refused together
        else:
            self.hold = min(2 * self.hold, LONGEST_HOLD)
        self.named_until = now + self.hold

    def _grow(self, now: float) -> None:
        missing = self.plan.calls - self.rate.calls
        quiet = math.floor((now - self.quiet_since) / self.plan.per) if missing else 0
        if quiet > 0:
            self.quiet_since += quiet * self.plan.per
            self._keep_to(self.rate.calls + min(quiet, missing))

    def _keep_to(self, calls: int) -> None:
        self.rate = RateLimit(calls, per=self.plan.per)


def _credible(named: tuple[int, float] | None, configured: RateLimit) -> tuple[int, float] | None:
    """Correct a limit that a refusal named; None if it cannot be a limit.

    A limit below a fifth of the configured rate is raised to that, because the message of the service may quote text of
    a request that only looks like a limit. A limit of more calls than configured is scaled to a shorter window.
    """
    if named is None or named[0] < 0 or named[1] <= 0:
        return None
    if _is_lower((LEAST * named[0], named[1]), configured):
        return math.ceil(configured.calls / LEAST), configured.per
    if named[0] > configured.calls:
        return configured.calls, named[1] * configured.calls / named[0]
    return named


def _is_lower(one: tuple[int, float], other: tuple[int, float] | RateLimit) -> bool:
    """Whether ``one`` allows fewer calls per second than ``other``."""
    calls, per = _pair(other) if isinstance(other, RateLimit) else other
    return one[0] * per < calls * one[1]


def _pair(rate: RateLimit) -> tuple[int, float]:
    return rate.calls, rate.per
