"""Runs workers as separate processes, and summarizes the figures that they print."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from .workers import command

K = TypeVar("K")


@dataclass(frozen=True)
class Spread:
    """The median of the rounds, the lowest value and the highest."""

    median: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.low:{spec}} to {self.high:{spec}})"


@dataclass(frozen=True)
class Measure:
    """Runs the workers of a scenario and collects their figures.

    If ``rounds`` is given, it replaces the number of rounds of every scenario.
    """

    rounds: int | None = None

    def run(self, worker: str, *args: object) -> dict[str, Any]:
        """Call a function of a worker, such as ``uploads.upload``, in a separate process, and return its result."""
        done = subprocess.run(command(worker, *args), stdout=subprocess.PIPE, text=True, check=True)
        printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return printed

    @contextmanager
    def running(self, worker: str, *args: object) -> Iterator[dict[str, Any]]:
        """Run a worker during the block, and yield the JSON object that it prints first.

        The worker ends when its input is closed.
        """
        program = command(worker, *args)
        with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin
            assert process.stdout
            try:
                yield json.loads(process.stdout.readline())
            finally:
                process.stdin.close()

    def instructions(self, worker: str, variants: Sequence[tuple[object, ...]], counts: tuple[int, int]) -> list[float]:
        """Return the number of instructions of one call, for each variant.

        The last argument of the worker must be a number of calls. The result is the difference between a run with many
        calls and a run with few, divided by the additional calls, so that the start of the process is not included. As
        many processes as there are cores run at the same time.
        """

        def total(args: tuple[object, ...]) -> int:
            valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
            done = subprocess.run(
                [*valgrind, *command(worker, *args)],
                capture_output=True,
                text=True,
                check=True,
                env=os.environ | {"PYTHONHASHSEED": "0"},
            )
            (found,) = re.findall(r"I\s+refs:\s+([\d,]+)", done.stderr)
            return int(found.replace(",", ""))

        few, many = ([(*variant, count) for variant in variants] for count in counts)
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            totals = list(threads.map(total, [*few, *many]))
        pairs = zip(totals[: len(variants)], totals[len(variants) :], strict=True)
        return [(most - least) / (counts[1] - counts[0]) for least, most in pairs]

    def interleaved(
        self, rounds: int, variants: Iterable[K], figures_of: Callable[[K], Mapping[str, float]]
    ) -> dict[K, dict[str, Spread]]:
        """Measure each variant once in each round, so that a busy minute of the machine slows all of them."""
        taken: dict[K, list[Mapping[str, float]]] = {variant: [] for variant in variants}
        for _ in range(self.rounds or rounds):
            for variant, seen in taken.items():
                seen.append(figures_of(variant))
        return {
            variant: {name: _spread([figures[name] for figures in seen]) for name in seen[0]}
            for variant, seen in taken.items()
        }


def _spread(values: list[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))
