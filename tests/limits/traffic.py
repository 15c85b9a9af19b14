"""Calls to send, networks to send them through, and the run that does it in virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Protocol

import attrs

from limits.strict_servers import all_servers
from lsq_service_async.config import Lane

Moments = Iterator[float]  # seconds after the call before
Shape = Callable[[Random], Moments]
Network = Callable[[Random, float], tuple[float, float]]  # seconds to the service and back, at a time


def idle(random: Random) -> Moments:
    """One call after a rest."""
    yield random.uniform(0, 15)


def trickle(random: Random) -> Moments:
    """Single calls, about as many as are allowed."""
    gap = 1 / random.uniform(1, 6)
    return (random.expovariate(1 / gap) for _ in range(random.randint(1, 40)))


def burst(random: Random) -> Moments:
    """Up to 40 at once."""
    return itertools.chain([random.uniform(0, 6)], itertools.repeat(0.0, random.randint(0, 39)))


def half_and_half(random: Random) -> Moments:
    """A part of the allowance, and the whole of it one window later."""
    return itertools.chain([random.uniform(0, 15)], [0.0] * 11, [5.0], [0.0] * 24)


def flood(random: Random) -> Moments:
    """Far more at once than fit into a window."""
    return itertools.chain([random.uniform(0, 15)], itertools.repeat(0.0, random.randint(60, 150)))


SHAPES: list[Shape] = [idle, trickle, burst, half_and_half, flood]


def at_once(random: Random, now: float) -> tuple[float, float]:
    """As good as no network at all."""
    return 0.0005, 0.0005


def late_there(random: Random, now: float) -> tuple[float, float]:
    """All jitter lies before the service counts."""
    return random.uniform(0, 0.4), 0.001


def late_back(random: Random, now: float) -> tuple[float, float]:
    """All jitter lies after the service counted."""
    return 0.001, random.uniform(0, 0.4)


def late_both_ways(random: Random, now: float) -> tuple[float, float]:
    """Half of the jitter each way."""
    return random.uniform(0, 0.2), random.uniform(0, 0.2)


def now_or_late(random: Random, now: float) -> tuple[float, float]:
    """Either at once or 400 ms late."""
    return random.choice([0.001, 0.4]), 0.001


def in_waves(random: Random, now: float) -> tuple[float, float]:
    """Late for 400 ms, then at once for 400 ms: later calls arrive together with earlier ones."""
    return (0.4 if int(now / 0.4) % 2 else 0.001), 0.001


def gathered(random: Random, now: float) -> tuple[float, float]:
    """ActiveCall up and let through together every 400 ms."""
    return 0.4 - now % 0.4, 0.001


def slow_uploads(random: Random, now: float) -> tuple[float, float]:
    """Every twentieth call is under way for up to 20 s."""
    return (random.uniform(0, 20) if random.random() < 0.05 else 0.001), 0.001


NETWORKS: list[Network] = [
    at_once, late_there, late_back, late_both_ways, now_or_late, in_waves, gathered, slow_uploads
]  # fmt: skip


class Ticket(Protocol):
    """The right to one call."""

    def release(self) -> None: ...


class Limiter(Protocol):
    """What is to be shown to hold a limit, or not to."""

    async def acquire(self, lane: Lane) -> Ticket: ...


@attrs.frozen
class Run:
    """What came of a run: when calls were granted, and how many each server refused."""

    granted: list[float]
    refused: Counter[str]

    @property
    def seconds(self) -> float:
        """From the first grant to the last."""
        return self.granted[-1] - self.granted[0]


def moments(shapes: Iterable[Shape], calls: int, random: Random) -> list[float]:
    """When to start each of ``calls`` calls, in seconds from now: the shapes one after the other, again and again."""
    gaps = itertools.chain.from_iterable(shape(random) for shape in itertools.cycle(shapes))
    return list(itertools.accumulate(itertools.islice(gaps, calls)))


async def send_all(
    limiter: Limiter, starts: Sequence[float], lanes: Sequence[Lane], network: Network, random: Random
) -> Run:
    """Send a call at each of ``starts``, its lane drawn from ``lanes``; all of `all_servers` count every call."""
    loop = asyncio.get_running_loop()
    run, servers = Run([], Counter()), all_servers(random)

    async def call(lane: Lane) -> None:
        ticket = await limiter.acquire(lane)
        run.granted.append(loop.time())
        there, back = network(random, loop.time())
        await asyncio.sleep(there)
        now = loop.time()
        run.refused.update(name for name, server in servers.items() if not server.allows(now))
        await asyncio.sleep(back)
        ticket.release()

    began = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for start in starts:
            await asyncio.sleep(began + start - loop.time())
            tasks.create_task(call(random.choice(lanes)))
    return run
