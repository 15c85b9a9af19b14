"""Processes that share one limit: refused calls, the share of the limit that they use, and round trips."""

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
counts those that a strict sliding window and HAProxy's estimate would have refused. The limit used is the share of 25
calls per window that arrived after the first two windows; a slot is free again 5 s after its response, so the network
costs a part of it. Round trips are transactions on the file, or scripts that Redis runs; a proxy delays them as if
Redis were so far away."""

Figures = dict[str, Any]


def run(measure: Measure, quick: bool) -> Result:
    backends = [name for name in BACKENDS if name == "file" or shutil.which("redis-server")]
    windows = 1 if quick else 3
    seen: dict[str, list[Figures]] = {name: [] for name in backends}
    for processes in (4,) if quick else (1, 2, 4, 8):
        # At the same time, because they mostly wait.
        with ThreadPoolExecutor(len(backends)) as threads:
            runs = {
                name: threads.submit(measure.run, "sharing.share", kind, processes, windows, *delay)
                for name, (kind, *delay) in BACKENDS.items()
                if name in backends
            }
        for name, run in runs.items():
            seen[name].append({"processes": processes, **run.result()})
    columns = [
        ("processes", "{processes}"),
        ("calls", "{calls:,}"),
        ("refused by a sliding window", "{refused_window:,}"),
        ("refused by the estimate", "{refused_estimate:,}"),
        ("errors", "{failed:,}"),
        ("limit used", "{used:.1%}"),
        ("round trips per call", "{round_trips:.2f}"),
    ]
    rows = [(name, figures) for name in backends for figures in seen[name]]
    table = Table.of("25 calls in 5 s", "limit in", rows, columns)
    text = TEXT + ("" if len(backends) > 1 else " redis-server is not installed.")
    plots = [] if quick else [Plot("shared", "Limit used", partial(draw, seen))]
    return Result("Sharing a limit", text, [table], plots)


def draw(seen: Mapping[str, Sequence[Figures]], figure: Any) -> None:
    axes = figure.add_subplot()
    for name, results in seen.items():
        used = [100 * figures["used"] for figures in results]
        axes.plot([figures["processes"] for figures in results], used, marker="o", label=name)
    axes.set(xlabel="processes", ylabel="% of 25 calls in 5 s", ylim=(0, 105), xticks=[1, 2, 4, 8])
    axes.legend(loc="lower left")
