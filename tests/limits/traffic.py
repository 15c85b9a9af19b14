"""Patterns of calls and networks, and a run that sends calls in virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Protocol

import attrs

from limits.strict_servers import all_servers
from lsq_service_async.config import Lane, RateLimit

Moments = Iterator[float]  # seconds after the previous call
Shape = Callable[[Random], Moments]
Network = Callable[[Random, float], tuple[float, float]]  # seconds to the service and back, at a time


def idle(random: Random) -> Moments:
    """Make one call after a rest."""
    yield random.uniform(0, 15)


def trickle(random: Random) -> Moments:
    """Make single calls at about the permitted rate."""
    gap = 1 / random.uniform(1, 6)
    return (random.expovariate(1 / gap) for _ in range(random.randint(1, 40)))


def burst(random: Random) -> Moments:
    """Make up to 40 calls at once."""
    return itertools.chain([random.uniform(0, 6)], itertools.repeat(0.0, random.randint(0, 39)))


def half_and_half(random: Random) -> Moments:
    """Make twelve calls, and 25 more a window later."""
    return itertools.chain([random.uniform(0, 15)], [0.0] * 11, [5.0], [0.0] * 24)


def flood(random: Random) -> Moments:
    """Make far more calls at once than fit into a window."""
    return itertools.chain([random.uniform(0, 15)], itertools.repeat(0.0, random.randint(60, 150)))


SHAPES: list[Shape] = [idle, trickle, burst, half_and_half, flood]


def at_once(random: Random, now: float) -> tuple[float, float]:
    """A network without delay."""
    return 0.0005, 0.0005


def late_there(random: Random, now: float) -> tuple[float, float]:
    """Requests are delayed by up to 400 ms before the service counts them."""
    return random.uniform(0, 0.4), 0.001


def late_back(random: Random, now: float) -> tuple[float, float]:
    """Responses are delayed by up to 400 ms."""
    return 0.001, random.uniform(0, 0.4)


def late_both_ways(random: Random, now: float) -> tuple[float, float]:
    """Requests and responses are each delayed by up to 200 ms."""
    return random.uniform(0, 0.2), random.uniform(0, 0.2)


def now_or_late(random: Random, now: float) -> tuple[float, float]:
    """Requests arrive either at once or 400 ms later."""
    return random.choice([0.001, 0.4]), 0.001


def in_waves(random: Random, now: float) -> tuple[float, float]:
    """Requests of 400 ms arrive together with those of the next 400 ms."""
    return (0.4 if int(now / 0.4) % 2 else 0.001), 0.001


def gathered(random: Random, now: float) -> tuple[float, float]:
    """Requests are held up and arrive together every 400 ms."""
    return 0.4 - now % 0.4, 0.001


def slow_uploads(random: Random, now: float) -> tuple[float, float]:
    """Every twentieth request takes up to 20 s to arrive."""
    return (random.uniform(0, 20) if random.random() < 0.05 else 0.001), 0.001


NETWORKS: list[Network] = [
    at_once, late_there, late_back, late_both_ways, now_or_late, in_waves, gathered, slow_uploads
]  # fmt: skip


class Ticket(Protocol):
    """Permission for one call."""

    def release(self) -> None: ...


class Limiter(Protocol):
    """A limiter under test."""

    async def acquire(self, lane: Lane) -> Ticket: ...


@attrs.frozen
class Run:
    """When the calls of a run were granted, and how many of them each server refused."""

    granted: list[float]
    refused: Counter[str]

    def refused_by(self, rate: RateLimit) -> list[str]:
        """The servers that refused a call although they count in a way that the rate permits."""
        return [name for name in self.refused if rate.window == "any" or not name.startswith("estimate")]

    @property
    def seconds(self) -> float:
        """The seconds from the first grant to the last."""
        return self.granted[-1] - self.granted[0]


def moments(shapes: Iterable[Shape], calls: int, random: Random) -> list[float]:
    """When each of ``calls`` calls starts, in seconds from now. The patterns are repeated."""
    gaps = itertools.chain.from_iterable(shape(random) for shape in itertools.cycle(shapes))
    return list(itertools.accumulate(itertools.islice(gaps, calls)))


async def send_all(
    limiter: Limiter, starts: Sequence[float], lanes: Sequence[Lane], network: Network, random: Random
) -> Run:
    """Start a call at each of ``starts``, each in a random lane; all of `all_servers` count it."""
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
