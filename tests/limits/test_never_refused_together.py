"""No server refuses a call of processes that share a limit in a file or in Redis, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import math
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_clock import run_virtual

from limits.limiters import FakeBackend, FakeRedis, FileBackend, processes
from limits.strict_servers import CALLS, PER
from limits.test_never_refused import BOTH, RATE, SLIDING, all_at_once, lanes, many, networks, rates, shapes_of_traffic
from limits.traffic import Network, Run, Shape, late_both_ways, moments, send_all
from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.errors import NotSentError
from lsq_service_async.limits import Limiter, Slot

counts = st.integers(1, 4)
seeds = st.integers(0, 2**32)
either_rate = st.sampled_from([RATE, SLIDING])


class TakingTurns:
    """Distributes calls over processes, in turn or at random. A killed process sends no call."""

    def __init__(self, limiters: list[Limiter], random: Random) -> None:
        self._limiters, self._random = itertools.cycle(limiters), random
        self._one = random.random() < 0.3

    async def acquire(self, lane: Lane) -> Slot:
        for _ in range(self._random.randint(0, 3) if self._one else 0):
            next(self._limiters)
        while True:
            with suppress(NotSentError):
                return await next(self._limiters).acquire(lane)


async def together(
    backend: Callable[[], FakeBackend], count: int, shapes: list[Shape], calls: int, lanes: list[Lane],
    network: Network, seed: int, rate: RateLimit = RATE, *, kill_after: float = math.inf,
) -> tuple[Run, float]:  # fmt: skip
    """The run, and the number of messages per call. One process can be killed."""
    random = Random(seed)
    async with processes(count, backend, rate=rate) as limiters:
        if kill_after < math.inf:
            asyncio.get_running_loop().call_later(kill_after, setattr, limiters[0].backend, "down", True)
        turns = TakingTurns(limiters, random)
        run = await send_all(turns, moments(shapes, calls, random), lanes, network, random)
        messages = sum(len(limiter.backend.messages) for limiter in limiters)
    return run, messages / calls


def check_that_none_is_refused(backend: Callable[[], FakeBackend], *about: object, rate: RateLimit) -> None:
    run, _ = run_virtual(together(backend, *about, rate))

    assert run.refused_by(rate) == []


# Each test makes some runs, and 30,000 calls if slow tests are selected.
SOME, THOROUGH = 150, pytest.param(500, marks=pytest.mark.endless)


@pytest.mark.parametrize("calls", [SOME, THOROUGH])
def test_no_server_refuses_any_call_of_processes_that_share_a_file(calls):
    """No server refuses a call of up to four processes, with any traffic and network."""

    @many(6 if calls == SOME else 60)
    @given(counts, shapes_of_traffic, lanes, networks, seeds, either_rate)
    def run(count, shapes, lanes, network, seed, rate):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "limit.sqlite"
            check_that_none_is_refused(lambda: FileBackend(path), count, shapes, calls, lanes, network, seed, rate=rate)

    run()


# Seconds to Redis and back, and the part of them that is random.
DELAYS = [(0.0, 0.0, 0.0), (0.002, 0.002, 0.5), (0.05, 0.05, 0.5), (0.0002, 0.29, 0.999), (0.29, 0.0002, 0.999)]


@pytest.mark.parametrize("calls", [SOME, THOROUGH])
def test_no_server_refuses_any_call_of_processes_that_share_a_redis(calls):
    """No server refuses a call, however far away Redis is and however often a process loses a race."""

    @many(6 if calls == SOME else 60)
    @given(st.sampled_from(DELAYS), counts, shapes_of_traffic, lanes, networks, seeds, either_rate)
    def run(delays, count, shapes, lanes, network, seed, rate):
        server = FakeRedis(*delays)
        check_that_none_is_refused(server.backend, count, shapes, calls, lanes, network, seed, rate=rate)

    run()


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("lanes", [[Lane.INTERACTIVE], [Lane.BULK], BOTH], ids=["interactive", "bulk", "both"])
def test_a_flood_of_several_processes_uses_the_rate_with_few_messages(count, lanes, tmp_path):
    """Answers take 0.2 s on average, so 25 calls in 5.2 s are possible. Few requests are not granted."""
    run, messages = run_virtual(
        together(lambda: FileBackend(tmp_path / "limit"), count, [all_at_once], 400, lanes, late_both_ways, 1)
    )

    assert run.refused == {}
    assert run.seconds <= 1.06 * 400 / CALLS * (PER + 0.2)
    assert messages <= (1.2 if len(lanes) == 2 else 1.15)  # opening and closing among them


@rates
def test_no_server_refuses_a_call_if_a_process_is_killed(rate, tmp_path):
    """One of four processes is killed with calls in flight. They count until their leases end."""
    file = tmp_path / "limit"
    run, _ = run_virtual(
        together(lambda: FileBackend(file), 4, [all_at_once], 200, BOTH, late_both_ways, 1, rate, kill_after=5.3)
    )

    assert run.refused_by(rate) == []
    assert run.seconds <= 1.1 * 200 / CALLS * (PER + 0.2) + 10
