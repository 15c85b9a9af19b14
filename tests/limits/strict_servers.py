"""Servers that forgive nothing, one per way of counting. Each says of a call that arrives now whether it is allowed.

Refused calls count too where a server counts what arrives; times must not run backwards.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, deque
from random import Random
from typing import Protocol

CALLS, PER = 25, 5.0
ROUNDING = 1e-6


class Server(Protocol):
    """What all of them can."""

    def allows(self, now: float) -> bool:
        """Count the call, and say whether it passes."""
        ...


class Sliding:
    """No more than ``CALLS`` in any ``PER`` seconds."""

    def __init__(self) -> None:
        self._arrivals: deque[float] = deque()

    def allows(self, now: float) -> bool:
        self._arrivals.append(now)
        while self._arrivals[0] <= now - PER:
            self._arrivals.popleft()
        return len(self._arrivals) <= CALLS


class Fixed:
    """No more than ``CALLS`` between two ticks of a clock, of which one is at ``phase``."""

    def __init__(self, phase: float) -> None:
        self._phase = phase
        self._counts: Counter[int] = Counter()

    def allows(self, now: float) -> bool:
        window = math.floor((now - self._phase) / PER)
        self._counts[window] += 1
        return self._counts[window] <= CALLS


class Bucket:
    """Holds ``CALLS`` tokens and gets one every ``PER / CALLS`` seconds."""

    def __init__(self) -> None:
        self._tokens, self._at = float(CALLS), -math.inf

    def allows(self, now: float) -> bool:
        self._tokens = min(CALLS, self._tokens + (now - self._at) * CALLS / PER)
        self._at = now
        allowed = self._tokens >= 1 - ROUNDING
        self._tokens -= allowed
        return allowed


class Estimate:
    """HAProxy's ``http_req_rate``: this bucket and the fading one before it, rounded down."""

    def __init__(self, phase: float) -> None:
        self._phase = phase
        self._counts: Counter[int] = Counter()

    def allows(self, now: float) -> bool:
        window, age = divmod(now - self._phase, PER)
        self._counts[int(window)] += 1
        older = self._counts[int(window) - 1] * (1 - age / PER)
        return self._counts[int(window)] + math.floor(older) <= CALLS


class EstimateAtWorst:
    """The same at whatever phase is worst for each call: what it allows, `Estimate` allows at every phase."""

    def __init__(self) -> None:
        self._arrivals: list[float] = []

    def allows(self, now: float) -> bool:
        self._arrivals.append(now)
        del self._arrivals[: bisect_left(self._arrivals, now - 2 * PER)]
        boundaries = (arrival + (0 if arrival > now - PER else PER) for arrival in self._arrivals)
        return all(self._estimate(boundary, now) < CALLS + 1 - ROUNDING for boundary in boundaries)

    def _estimate(self, boundary: float, now: float) -> float:
        since = bisect_left(self._arrivals, boundary - ROUNDING)
        older = since - bisect_left(self._arrivals, boundary - PER - ROUNDING)
        return len(self._arrivals) - since + older * (1 - (now - boundary) / PER)


def all_servers(random: Random) -> dict[str, Server]:
    """One of each, and those that have a phase at four random ones."""
    phases = [random.uniform(0, PER) for _ in range(4)]
    return {
        "sliding": Sliding(),
        "bucket": Bucket(),
        "estimate at its worst": EstimateAtWorst(),
        **{f"fixed {phase:.3f}": Fixed(phase) for phase in phases},
        **{f"estimate {phase:.3f}": Estimate(phase) for phase in phases},
    }
