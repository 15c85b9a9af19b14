"""The same promise for processes that share one allowance, through a file or through Redis, in virtual time."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_clock import run_virtual

from limits.limiters import FakeBackend, FakeRedis, FileBackend, processes
from limits.strict_servers import CALLS, PER
from limits.test_never_refused import BOTH, all_at_once, lanes, many, networks, shapes_of_traffic
from limits.traffic import Network, Run, Shape, late_both_ways, moments, send_all
from lsq_service_async.config import Lane
from lsq_service_async.limits import Limiter, Slot

counts = st.integers(1, 4)
seeds = st.integers(0, 2**32)


class TakingTurns:
    """Calls go through the processes one after the other, or where chance will have it."""

    def __init__(self, gates: list[Limiter], random: Random) -> None:
        self._gates, self._random = itertools.cycle(gates), random
        self._one = random.random() < 0.3

    async def acquire(self, lane: Lane) -> Slot:
        for _ in range(self._random.randint(0, 3) if self._one else 0):
            next(self._gates)
        return await next(self._gates).acquire(lane)


async def together(
    ledger: Callable[[], FakeBackend], count: int, shapes: list[Shape], calls: int, lanes: list[Lane], network: Network,
    seed: int,
) -> tuple[Run, float]:  # fmt: skip
    """What came of the calls, and how many exchanges there were for each."""
    random = Random(seed)
    async with processes(count, ledger) as gates:
        limiter = TakingTurns(gates, random)
        run = await send_all(limiter, moments(shapes, calls, random), lanes, network, random)
        exchanges = sum(len(gate.backend.messages) for gate in gates)
    return run, exchanges / calls


def check_that_none_is_refused(ledger: Callable[[], FakeBackend], *about: object) -> None:
    run, _ = run_virtual(together(ledger, *about))

    assert run.refused == {}


def in_a_file(*about: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check_that_none_is_refused(lambda: FileBackend(Path(folder) / "limit.sqlite"), *about)


@many(12)
@given(counts, shapes_of_traffic, st.just(150), lanes, networks, seeds)
def test_no_server_refuses_any_call_of_processes_that_share_a_file(count, shapes, calls, lanes, network, seed):
    """Up to four of them, whatever they do."""
    in_a_file(count, shapes, calls, lanes, network, seed)


@pytest.mark.slow
@many(60)
@given(counts, shapes_of_traffic, st.just(500), lanes, networks, seeds)
def test_no_server_refuses_any_of_30_000_calls_of_processes_that_share_a_file(
    count, shapes, calls, lanes, network, seed
):
    """The same, more often."""
    in_a_file(count, shapes, calls, lanes, network, seed)


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.05])
@many(4)
@given(counts, shapes_of_traffic, st.just(150), lanes, networks, seeds)
def test_no_server_refuses_any_call_of_processes_that_share_a_redis(delay, count, shapes, calls, lanes, network, seed):
    """However far away it is, and however often a process loses the race."""
    server = FakeRedis(delay, delay / 2)
    check_that_none_is_refused(server.backend, count, shapes, calls, lanes, network, seed)


@pytest.mark.slow
@many(60)
@given(counts, shapes_of_traffic, st.just(500), lanes, networks, seeds, st.sampled_from([0.0, 0.002, 0.05]))
def test_no_server_refuses_any_of_30_000_calls_of_processes_that_share_a_redis(
    count, shapes, calls, lanes, network, seed, delay
):
    """The same, more often."""
    server = FakeRedis(delay, delay / 2)
    check_that_none_is_refused(server.backend, count, shapes, calls, lanes, network, seed)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("lanes", [[Lane.INTERACTIVE], [Lane.BULK], BOTH], ids=["interactive", "bulk", "both"])
def test_a_flood_of_several_processes_uses_the_allowance_with_few_exchanges(count, lanes, tmp_path):
    """Answers take 0.2 s on average, so 25 in 5.2 s are possible; few who come are sent away again."""
    run, exchanges = run_virtual(
        together(lambda: FileBackend(tmp_path / "limit"), count, [all_at_once], 400, lanes, late_both_ways, 1)
    )

    assert run.refused == {}
    assert run.seconds <= 1.06 * 400 / CALLS * (PER + 0.2)
    assert exchanges <= (1.15 if len(lanes) == 2 else 1.08)  # opening and closing among them
