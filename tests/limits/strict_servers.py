"""Strict servers, one for each way of counting: the emulator's windows, and the estimate at its worst phase.

A server that counts arrivals counts refused calls too; times never decrease.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from random import Random
from typing import Protocol

from lsq_service_async.emulator import FixedWindow, SlidingWindow, TokenBucket, TwoBucketEstimate

CALLS, PER = 25, 5.0
ROUNDING = 1e-6


class Server(Protocol):
    def allows(self, now: float) -> bool:
        """Count the call, and return whether it is within the limit."""
        ...


class EstimateAtWorst:
    """HAProxy's estimate at the worst phase for each call: a call that it allows is allowed at every phase."""

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


class SlowClock:
    """A server whose clock shows whole milliseconds, and loses one second in 5,000."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def allows(self, now: float) -> bool:
        return self._server.allows(math.floor(now * 1000 * (1 - 1 / 5000)) / 1000)


def all_servers(random: Random) -> dict[str, Server]:
    """Return one server of each kind, and four with random phases of each kind that has a phase."""
    phases = [random.uniform(0, PER) for _ in range(4)]
    return {
        "sliding": SlidingWindow(CALLS, PER),
        "bucket": TokenBucket(CALLS, PER),
        "estimate at its worst": EstimateAtWorst(),
        "sliding, slow clock": SlowClock(SlidingWindow(CALLS, PER)),
        "estimate, slow clock": SlowClock(TwoBucketEstimate(CALLS, PER)),
        **{f"fixed {phase:.3f}": FixedWindow(CALLS, PER, phase=phase) for phase in phases},
        **{f"estimate {phase:.3f}": TwoBucketEstimate(CALLS, PER, phase=phase) for phase in phases},
    }
