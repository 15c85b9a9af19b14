"""The rate after refusals.

A first refusal ends bursts and lowers the rate by one call per window. This is enough if the service merely counts in
another way. A later refusal halves the rate. The rate grows by one call after each window without a refusal (AIMD).
"""

from __future__ import annotations

import math
from typing import Self

import attrs

from ...config import RateLimit

LEAST = 5  # the plan is at least 1/5 of the configured rate, and halving stops at 1/5 of the plan
FIRST_HOLD = 600.0  # s for which a limit named by a refusal holds; doubles if the limit is named again
LONGEST_HOLD = 86_400.0  # s
_TRIAL_GROWS = 4  # factor for ``trial`` if the full rate is soon refused again


@attrs.define
class AdaptiveRate:
    """The rate after refusals. Calls are sent at the rate `in_use`.

    ``rate`` grows up to ``plan``: the configured rate, or a lower limit that a refusal ``named``. A named limit holds
    for ``hold`` seconds, until ``named_until``. While ``is_paced`` is True, calls are evenly spaced. The pacing ends
    ``trial`` seconds after ``rate`` has grown to the plan. ``known_at`` is the time of the last refusal that counted,
    or of the answer that ended the last standstill. Refusals of calls sent before that time do not count, except if
    they name a lower limit.
    """

    configured: RateLimit
    plan: RateLimit
    rate: RateLimit
    halved_at: float = -math.inf
    quiet_since: float = -math.inf
    named: tuple[int, float] | None = None
    named_until: float = -math.inf
    hold: float = 0.0
    is_paced: bool = False
    known_at: float = -math.inf
    trial: float = 0.0

    @classmethod
    def of(cls, rate: RateLimit) -> Self:
        return cls(rate, rate, rate)

    @property
    def in_use(self) -> RateLimit:
        """The rate at which calls are sent. While calls are paced, it is below the configured rate, if possible."""
        if not self.is_paced:
            return self.rate
        return RateLimit(min(self.rate.calls, max(1, self.configured.calls - 1)), per=self.rate.per)

    @property
    def is_mild(self) -> bool:
        """Whether the refusal at ``known_at`` did not halve the rate."""
        return self.halved_at < self.known_at

    def refused(self, now: float, named: tuple[int, float] | None, sent: float) -> bool:
        """Adapt the rate to the refusal at ``now`` of a call sent at ``sent``. Return whether it is now lower."""
        self.quiet_since, before = max(self.quiet_since, now), self.rate.calls
        named, least = _credible(named, self.configured), math.ceil(self.plan.calls / LEAST)
        if named is not None and _is_lower(named, self.configured) and not _is_lower(_pair(self.plan), named):
            self._hold(now, named)
            if _is_lower(named, self.plan):
                self.plan = attrs.evolve(self.configured, calls=named[0], per=named[1])
                self.halved_at = self.known_at = now
                self._keep_to(min(before, named[0]))
                return True
        if sent < self.known_at:
            return False
        if self.rate == self.configured and not self.is_paced:
            is_repeated = now < self.known_at + self.trial + FIRST_HOLD
            longer = min(_TRIAL_GROWS * self.trial, FIRST_HOLD) if is_repeated else 0.0
            self.trial = max(self.plan.per, longer)
            self.known_at, self.is_paced = now, True
            self._keep_to(max(before - 1, least))
        elif now >= self.halved_at + self.plan.per:
            self.halved_at = self.known_at = now
            self._keep_to(min(before, max(before // 2, least)))
        return self.rate.calls < before

    def tidy(self, now: float) -> bool:
        """Add one call for each window without a refusal, and later allow bursts. Return whether the rate changed."""
        before = self.rate, self.is_paced
        if self.plan != self.configured and now >= self.named_until:
            self._grow(self.named_until)
            shorter = min(1.0, self.configured.per / self.rate.per)
            self.plan = self.configured
            self._keep_to(max(1, int(self.rate.calls * shorter)))
            self.quiet_since = max(self.quiet_since, self.named_until)
        self._grow(now)
        return (self.rate, self.is_paced) != before

    def is_possible(self) -> bool:
        """Return whether `refused` and `tidy` can have produced these rates."""
        plan, most, rounding = self.plan, self.configured, 1.0 + 1e-9
        most_per_plan = most.calls * plan.per / (plan.calls * most.per)
        is_plan = plan.calls <= most.calls and 1.0 / rounding <= most_per_plan <= LEAST * rounding
        return is_plan and self.rate.calls <= plan.calls and self.rate.per == plan.per

    def _hold(self, now: float, named: tuple[int, float]) -> None:
        """Use a named limit for ten minutes, or for twice as long as before if it is named again."""
        if named != self.named:
            self.named, self.hold = named, FIRST_HOLD
        elif now < self.named_until - self.hold + named[1]:
            return  # the refused calls were in flight together
        else:
            self.hold = min(2 * self.hold, LONGEST_HOLD)
        self.named_until = now + self.hold

    def _grow(self, now: float) -> None:
        missing = self.plan.calls - self.rate.calls
        steps = min(missing, math.floor((now - self.quiet_since) / self.plan.per)) if missing else 0
        if steps > 0:
            self.quiet_since += steps * self.plan.per
            self._keep_to(self.rate.calls + steps)
        if self.is_paced and steps == missing and now >= self.quiet_since + self.trial:
            self.is_paced = False

    def _keep_to(self, calls: int) -> None:
        self.rate = attrs.evolve(self.plan, calls=calls)


def _credible(named: tuple[int, float] | None, configured: RateLimit) -> tuple[int, float] | None:
    """Correct a limit that a refusal named. Return None if the numbers cannot be a limit.

    A limit below a fifth of the configured rate is raised to that fifth, because it may be other text that looks like a
    limit. A limit with more calls than configured is converted to the configured calls in a shorter window.
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
