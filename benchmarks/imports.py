"""Import time of the package and of httpx, in fresh processes."""

import statistics
import subprocess
import sys
import time

from benchmarks.table import show

ROUNDS = 15
PROGRAMS = {"nothing": "pass", "httpx": "import httpx", "lsq_service_async": "import lsq_service_async"}


def seconds_of(program: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - started


def run() -> None:
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(ROUNDS):
        for name, program in PROGRAMS.items():
            taken[name].append(seconds_of(program))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    rows = [(name, median * 1000, median / medians["httpx"]) for name, median in medians.items()]
    show(f"import time, median of {ROUNDS} fresh processes", ["import", "ms", "ratio to httpx"], rows)
