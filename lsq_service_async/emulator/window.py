"""Four ways to count calls against a rate limit. The caller passes the time.

The vendor's limit is "25 in 5 second(s)". The vendor does not document how calls are counted.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable
from itertools import takewhile
from typing import Literal, Protocol, get_args, runtime_checkable

WindowKind = Literal["sliding", "fixed", "bucket", "estimate"]


@runtime_checkable
class Window(Protocol):
    """Counts the calls of one account against a rate limit of ``calls`` in ``per`` seconds.

    A window can have a method ``clear()`` that forgets all calls. `Emulator.reset` calls this method.
    """

    @property
    def calls(self) -> int: ...

    @property
    def per(self) -> float: ...

    def allows(self, now: float) -> bool:
        """Count the call that arrives at ``now`` (in seconds), and return whether it is within the limit.

        ``now`` never decreases.
        """
        ...


class _Limit:
    def __init__(self, calls: int, per: float, *, refused_count: bool = True) -> None:
        if calls < 1 or not 0 < per < math.inf:
            raise ValueError(f"a rate limit needs at least 1 call in more than 0 seconds, not {calls} in {per:g}")
        self.calls = calls
        self.per = per
        self._refused_count = refused_count
        self.clear()

    def clear(self) -> None:
        """Forget all calls."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.calls} in {self.per:g} s>"


class Unlimited(_Limit):
    """Allows every call. ``calls`` and ``per`` are used only in the text of a 429."""

    def allows(self, now: float) -> bool:
        return True


class SlidingWindow(_Limit):
    """An exact log of calls. In any interval of ``per`` seconds, it allows at most ``calls`` calls.

    With ``refused_count``, refused calls are logged too. So a client that repeats refused calls without waiting is
    refused again.
    """

    def clear(self) -> None:
        self._times = deque[float](maxlen=self.calls)

    def allows(self, now: float) -> bool:
        allowed = len(self._times) < self.calls or now - self._times[0] >= self.per
        if allowed or self._refused_count:
            self._times.append(now)
        return allowed


class FixedWindow(_Limit):
    """A counter that restarts at ``phase``, ``phase + per`` and so on. ``refused_count`` makes no difference."""

    def __init__(self, calls: int, per: float, *, phase: float = 0.0, refused_count: bool = True) -> None:
        super().__init__(calls, per, refused_count=refused_count)
        self._phase = phase

    def clear(self) -> None:
        self._period = -math.inf
        self._count = 0

    def allows(self, now: float) -> bool:
        period = math.floor((now - self._phase) / self.per)
        self._count = self._count + 1 if period == self._period else 1
        self._period = period
        return self._count <= self.calls


class TokenBucket(_Limit):
    """A bucket of ``calls`` tokens. It begins full, and is refilled evenly with ``calls`` tokens in ``per`` seconds.

    An allowed call takes one token. A refused call takes none, whatever ``refused_count`` is. Nearly ``2 * calls``
    calls can pass within ``per`` seconds.
    """

    def clear(self) -> None:
        self._taken = 0.0
        self._time = -math.inf

    def allows(self, now: float) -> bool:
        self._taken = max(0.0, self._taken - (now - self._time) * self.calls / self.per)
        self._time = now
        # Float sums are rounded, so a nearly whole token counts as a whole token.
        allowed = self._taken <= self.calls - 1 + 1e-9
        self._taken += allowed
        return allowed


class TwoBucketEstimate(_Limit):
    """HAProxy's ``http_req_rate``: calls in the current bucket, plus a shrinking share of calls in the previous bucket.

    The estimate is ``current + previous * left // period``. ``current`` and ``previous`` are the numbers of calls in
    the two buckets. ``current`` includes the new call. ``period`` is the length of a bucket, and ``left`` is the time
    until the current bucket ends, both in milliseconds. As in HAProxy, all numbers are integers. A call is refused if
    the estimate is above ``calls`` (``deny if { sc_http_req_rate(0) gt 25 }``).

    With ``phase=None``, the first bucket begins with the first call, as in HAProxy. After a bucket without a call, the
    next call begins a new bucket. If ``phase`` is a number, buckets begin at ``phase``, ``phase + per`` and so on. With
    ``refused_count=False``, refused calls do not count; in HAProxy, they do.
    """

    def __init__(self, calls: int, per: float, *, phase: float | None = None, refused_count: bool = True) -> None:
        self._phase = phase
        super().__init__(calls, per, refused_count=refused_count)
        self._period = max(1, round(per * 1000))

    def clear(self) -> None:
        self._start = None if self._phase is None else math.floor(self._phase * 1000)
        self._previous = self._current = 0

    def allows(self, now: float) -> bool:
        tick = math.floor(now * 1000)
        start = tick if self._start is None else self._start
        periods = (tick - start) // self._period
        if periods:
            self._previous, self._current = (self._current if periods == 1 else 0), 0
            start = tick if self._phase is None and periods > 1 else start + periods * self._period
        self._start = start
        estimate = self._current + 1 + self._previous * (start + self._period - tick) // self._period
        allowed = estimate <= self.calls
        self._current += allowed or self._refused_count
        return allowed


_KINDS: dict[str | None, Callable[..., Window]] = {
    "sliding": SlidingWindow,
    "fixed": FixedWindow,
    "bucket": TokenBucket,
    "estimate": TwoBucketEstimate,
    None: Unlimited,
}


def create_window(
    window: WindowKind | Window | None, rate_limit: tuple[int, float], *, refused_count: bool = True
) -> Window:
    """Return a window of this kind. A `Window` is returned unchanged, with its own calls and seconds."""
    if isinstance(window, Window):
        return window
    if not isinstance(window, str | None) or window not in _KINDS:
        kinds = ", ".join(get_args(WindowKind))
        raise ValueError(f"window must be one of {kinds}, a Window or None; not {window!r}")
    return _KINDS[window](*rate_limit, refused_count=refused_count)


def kind_of(window: Window) -> str | None:
    """Return the kind of a window, or "custom" for a class that is not in this module."""
    return next((kind for kind, created in _KINDS.items() if type(window) is created), "custom")


def free_slots(window: Window, now: float) -> int | None:
    """Return how many calls would be allowed right now; None if the limit is missing or above 1,000 calls."""
    if isinstance(window, Unlimited) or window.calls > 1000:
        return None
    trial = copy.deepcopy(window)
    return sum(1 for _ in takewhile(lambda _: trial.allows(now), range(window.calls)))
