"""What refusals teach: our calls alone cannot exceed the limit, so somebody else uses it, or it is lower than said."""

from __future__ import annotations

import math

import attrs

from ...config import RateLimit

LEAST = 5  # never under a fifth of the plan


@attrs.define
class Share:
    """``rate`` is what we keep to, of ``plan``, which is what was configured or the lower plan that a refusal named."""

    configured: RateLimit
    plan: RateLimit = attrs.field(init=False)
    rate: RateLimit = attrs.field(init=False)
    halved_at: float = -math.inf
    quiet_since: float = -math.inf

    def __attrs_post_init__(self) -> None:
        self.plan = self.rate = self.configured

    def refused(self, now: float, named: tuple[int, float] | None) -> bool:
        """A call was refused at ``now``, by words that named a limit or not. True if it made the rate lower.

        A lower plan explains the refusal; otherwise the share is halved, at most once a window.
        """
        self.quiet_since = now
        if named is not None and named[0] * self.plan.per < self.plan.calls * named[1]:
            self.plan = RateLimit(named[0], per=named[1])
            self._keep_to(min(self.rate.calls, named[0]))
            return True
        before = self.rate.calls
        if now >= self.halved_at + self.plan.per:
            self.halved_at = now
            self._keep_to(max(self.rate.calls // 2, math.ceil(self.plan.calls / LEAST)))
        return self.rate.calls < before

    def tidy(self, now: float) -> bool:
        """One slot more for each window without a refusal. True if the rate changed."""
        missing = self.plan.calls - self.rate.calls
        quiet = math.floor((now - self.quiet_since) / self.plan.per) if missing else 0
        if quiet < 1:
            return False
        self.quiet_since += quiet * self.plan.per
        self._keep_to(self.rate.calls + min(quiet, missing))
        return True

    def _keep_to(self, calls: int) -> None:
        self.rate = RateLimit(calls, per=self.plan.per)
