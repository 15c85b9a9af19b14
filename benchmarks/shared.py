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
TEXT = """Processes share a limit of 25 calls in 5 s, through the file of a `HostLimiter` or through a
`RedisLimiter`. Each process has more creates to send than the limit allows. The network takes up to 30 ms each way.
The server answers every call, and counts the calls that a strict sliding window or HAProxy's estimate would have
refused. The limit used is the number of calls per window, after the first two windows, as a share of 25. It is less
than 100%, because a slot is free again only 5 s after its response, which the network delays. A round trip is a
transaction on the file, or a script that Redis runs. For `Redis, 5 ms away` and `Redis, 40 ms away`, a proxy adds
this time to each round trip."""

Figures = dict[str, Any]


def run(measure: Measure, quick: bool) -> Result:
    backends = [name for name in BACKENDS if name == "file" or shutil.which("redis-server")]
    windows = 1 if quick else 3
    seen: dict[str, list[Figures]] = {name: [] for name in backends}
    for processes in (4,) if quick else (1, 2, 4, 8):
        # The backends are measured at the same time, because their processes mostly wait.
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
