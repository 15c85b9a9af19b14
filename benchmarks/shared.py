"""Processes that share one limit: refused calls, the share of the limit that they use, and round trips."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .measure import Measure
from .report import Plot, Result, Table

BACKENDS = {
    "file": ("file",),
    "Redis, loopback": ("redis", 0),
    "Redis, 5 ms away": ("redis", 5),
    "Redis, 40 ms away": ("redis", 40),
}
TEXT = """Processes share a limit of 25 calls in 5 s, through the file of a `HostLimiter` or a `RedisLimiter`. Each has
more creates to send than the limit allows. The network takes up to 30 ms each way. The server answers every call, and
counts those that a strict sliding window and HAProxy's estimate would have refused. The limit used is the number of
calls that arrived after the first two windows, of 25 per window; a slot is free again 5 s after its response, so the
network costs a part of it. Round trips are transactions on the file, or scripts that Redis runs; a proxy delays them
as if Redis were so far away."""


def run(measure: Measure, quick: bool) -> Result:
    backends = [name for name in BACKENDS if name == "file" or shutil.which("redis-server")]
    windows = 1 if quick else 3
    seen: dict[tuple[str, int], dict[str, Any]] = {}
    for processes in (4,) if quick else (1, 2, 4, 8):
        # At the same time, because they mostly wait.
        with ThreadPoolExecutor(len(backends)) as threads:
            runs = {
                name: threads.submit(measure.run, "sharing.share", kind, processes, windows, *delay)
                for name, (kind, *delay) in BACKENDS.items()
                if name in backends
            }
        seen |= {(name, processes): run.result() for name, run in runs.items()}
    rows = [
        [
            name,
            str(processes),
            f"{figures['calls']:,}",
            f"{figures['refused_window']:,}",
            f"{figures['refused_estimate']:,}",
            f"{figures['failed']:,}",
            f"{figures['used']:.1%}",
            f"{figures['round_trips']:.2f}",
        ]
        for (name, processes), figures in sorted(seen.items(), key=lambda one: backends.index(one[0][0]))
    ]
    head = ["limit in", "processes", "calls", "refused by a sliding window", "refused by the estimate", "errors"]
    table = Table("25 calls in 5 s", [*head, "limit used", "round trips per call"], rows)
    text = TEXT + ("" if len(backends) > 1 else " redis-server is not installed.")
    return Result(
        "Sharing a limit", text, [table], [] if quick else [Plot("shared", "Limit used", draw(seen, backends))]
    )


def draw(seen: dict[tuple[str, int], dict[str, Any]], backends: list[str]) -> Any:
    def lines(figure: Any) -> None:
        axes = figure.add_subplot()
        for name in backends:
            points = [(processes, 100 * one["used"]) for (backend, processes), one in seen.items() if backend == name]
            axes.plot(*zip(*points, strict=True), marker="o", label=name)
        axes.set(xlabel="processes", ylabel="% of 25 calls in 5 s", ylim=(0, 105), xticks=[1, 2, 4, 8])
        axes.legend(loc="lower left", frameon=False)
        axes.spines[["top", "right"]].set_visible(False)

    return lines
