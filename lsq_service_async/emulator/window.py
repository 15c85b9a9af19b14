"""How a strict server counts calls: four kinds, all pure, all given the time.

The vendor says "25 in 5 second(s)" and not how it counts; these are the ways that servers and gateways count.
Every window is asked once per call, on its arrival, with times that never go back.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

WindowKind = Literal["sliding", "fixed", "bucket", "estimate"]


class Window(Protocol):
    """Counts the calls of one account: at most ``calls`` in ``per`` seconds."""

    @property
    def calls(self) -> int: ...

    @property
    def per(self) -> float: ...

    def allows(self, now: float) -> bool:
        """Count the call that arrives at ``now`` (seconds); True when it is within the limit."""
        ...


class _Limited:
    def __init__(self, calls: int, per: float) -> None:
        if calls < 1 or not 0 < per < math.inf:
            raise ValueError(f"a limit needs at least 1 call in more than 0 seconds, not {calls} in {per:g}")
        self.calls = calls
        self.per = per

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.calls} in {self.per:g} s>"


class SlidingWindow(_Limited):
    """An exact log: no stretch of ``per`` seconds, wherever it begins, holds more than ``calls`` calls.

    A call is forgotten ``per`` seconds after it came. With ``refused_count`` a refused call is in the log too, so
    that a client which keeps on knocking stays outside.
    """

    def __init__(self, calls: int, per: float, *, refused_count: bool = True) -> None:
        super().__init__(calls, per)
        self._refused_count = refused_count
        self._times: deque[float] = deque()

    def allows(self, now: float) -> bool:
        self._forget(now)
        allowed = len(self._times) < self.calls
        if allowed or self._refused_count:
            self._times.append(now)
        return allowed

    def _forget(self, now: float) -> None:
        while self._times and now - self._times[0] >= self.per:
            self._times.popleft()


class FixedWindow(_Limited):
    """A counter that starts again at ``phase``, ``phase + per``, ``phase + 2 * per``...

    Refused calls change nothing: the counter is over its limit already.
    """

    def __init__(self, calls: int, per: float, *, phase: float = 0.0) -> None:
        super().__init__(calls, per)
        self._phase = phase
        self._turn = -math.inf
        self._count = 0

    def allows(self, now: float) -> bool:
        turn = math.floor((now - self._phase) / self.per)
        if turn != self._turn:
            self._turn, self._count = turn, 0
        self._count += 1
        return self._count <= self.calls


class TokenBucket(_Limited):
    """A bucket of ``calls`` tokens, full at first, refilled evenly with ``calls`` tokens per ``per`` seconds.

    A call takes one token or is refused; a refused call takes nothing. It lets nearly twice ``calls`` through in one
    stretch of ``per`` seconds, and still refuses who comes faster than it is refilled.
    """

    # A token that is full but for the rounding of float sums is a whole one.
    _ROUNDING = 1e-9

    def __init__(self, calls: int, per: float) -> None:
        super().__init__(calls, per)
        self._tokens = float(calls)
        self._filled_at = -math.inf

    def allows(self, now: float) -> bool:
        self._fill(now)
        allowed = self._tokens >= 1 - self._ROUNDING
        self._tokens -= allowed
        return allowed

    def _fill(self, now: float) -> None:
        self._tokens = min(float(self.calls), self._tokens + (now - self._filled_at) * self.calls / self.per)
        self._filled_at = now


class TwoBucketEstimate(_Limited):
    """What HAProxy's ``http_req_rate`` computes: the current bucket, and the older one fading linearly.

    With ``older`` calls in the last full bucket, ``current`` ones in this one (the new call is counted first) and
    ``left`` of ``period`` milliseconds to go, the estimate is ``current + older * left // period``, in whole numbers
    as in HAProxy's ``freq_ctr``. More than ``calls`` is refused (``deny if { sc_http_req_rate(0) gt 25 }``).

    ``phase=None`` does as HAProxy does: the first bucket begins with the first call, and after two idle periods with
    the next one. A number fixes the grid at ``phase + n * per``, as sliding-window counters elsewhere do.
    Refused calls count in HAProxy; ``refused_count=False`` is the milder kind.
    """

    def __init__(self, calls: int, per: float, *, phase: float | None = None, refused_count: bool = True) -> None:
        super().__init__(calls, per)
        self._refused_count = refused_count
        self._period = max(1, round(per * 1000))
        self._follows_calls = phase is None
        self._start: int | None = None if phase is None else math.floor(phase * 1000)
        self._older = self._current = 0

    def allows(self, now: float) -> bool:
        tick = math.floor(now * 1000)
        start = self._turn(tick)
        estimate = self._current + 1 + self._older * (start + self._period - tick) // self._period
        allowed = estimate <= self.calls
        self._current += allowed or self._refused_count
        return allowed

    def _turn(self, tick: int) -> int:
        """Go on to the bucket of ``tick``; the tick at which it began."""
        if self._start is None:
            self._start = tick
        turns = (tick - self._start) // self._period
        if turns:
            self._older = self._current if turns == 1 else 0
            self._current = 0
            self._start = tick if self._follows_calls and turns > 1 else self._start + turns * self._period
        return self._start


_KINDS: Mapping[WindowKind, Callable[[int, float, bool], Window]] = {
    "sliding": lambda calls, per, refused_count: SlidingWindow(calls, per, refused_count=refused_count),
    "fixed": lambda calls, per, refused_count: FixedWindow(calls, per),
    "bucket": lambda calls, per, refused_count: TokenBucket(calls, per),
    "estimate": lambda calls, per, refused_count: TwoBucketEstimate(calls, per, refused_count=refused_count),
}


def window_of(kind: WindowKind, calls: int, per: float, *, refused_count: bool = True) -> Window:
    """The window of that kind, at its own phase; ValueError for a kind that does not exist."""
    if kind not in _KINDS:
        raise ValueError(f"window is one of {', '.join(_KINDS)}, a Window of your own, or None; not {kind!r}")
    return _KINDS[kind](calls, per, refused_count)


@dataclass(frozen=True)
class Meter:
    """A window, or None for no limit; and the calls and seconds that a refusal names."""

    window: Window | None
    limit: tuple[int, float]

    def refuses(self, now: float) -> bool:
        """Count the call that arrives at ``now``; True when it is over the limit."""
        return self.window is not None and not self.window.allows(now)


def meter_of(window: WindowKind | Window | None, rate_limit: tuple[int, float], *, refused_count: bool) -> Meter:
    """A window of your own brings its own calls and seconds."""
    if isinstance(window, str):
        window = window_of(window, *rate_limit, refused_count=refused_count)
    return Meter(window, rate_limit if window is None else (window.calls, window.per))
