"""How the time and memory of operations grow with their size."""

import math
import statistics
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from .measure import Measure
from .report import COLOURS, Plot, Result, Table

MIB = 1 << 20
LEAST_MEMORY = 1.0  # MiB; less is noise
TEXT = """Each operation is measured at several sizes. The exponent shows how a figure grows with the size: 0 is flat, 1
is linear, and 2 would be quadratic. It is the slope of the straight line through the points of the largest two decades,
with logarithms on both axes. Memory below 1 MiB counts as 1 MiB. A bulk run keeps the keys of its rows, to notice a key
that is given twice. The time of waiting calls includes the time of their tasks: the more tasks there are, the more time
asyncio needs for each of them."""
Series = dict[tuple[str, str, str], list[tuple[float, float]]]  # operation, unit of the size, unit of the figure


def run(measure: Measure, quick: bool) -> Result:
    series: Series = {}

    def add(operation: str, size_unit: str, unit: str, size: float, figure: float) -> None:
        series.setdefault((operation, size_unit, unit), []).append((size, figure))

    with measure.running("raw_server.serve") as server, tempfile.TemporaryDirectory() as folder:
        for size in (100, 300, 1000) if quick else (100, 1000, 10_000, 30_000):
            figures = measure.run("bulking.rows", server["origin"], size)
            add("Bulk run, time", "rows", "CPU s", size, figures["cpu_s"])
            add("Bulk run, memory", "rows", "MiB", size, max(LEAST_MEMORY, figures["memory"] / MIB))
            add("Bulk run, journal", "rows", "MiB", size, figures["journal"] / MIB)
        for size in (1, 8, 64) if quick else (1, 8, 64, 256, 1024):
            path = Path(folder, "large.bin")
            with path.open("wb") as file:
                file.truncate(size * MIB)  # sparse, so that no disk limits the speed
            figures = measure.run("uploads.upload", "this", server["origin"], str(path))
            add("Upload, time", "MiB", "CPU s", size, figures["cpu_s"])
            add("Upload, memory", "MiB", "MiB", size, max(LEAST_MEMORY, figures["peak_mib"]))
    for size in (100, 1000, 10_000) if quick else (100, 1000, 10_000, 100_000):
        figures = measure.run("acquiring.waiters", "this", size, "deadlines")
        add("Waiting calls, start", "calls", "CPU s", size, figures["enqueue_cpu_s"])
        add("Waiting calls, rejection", "calls", "CPU s", size, figures["cancel_cpu_s"])
        add("Waiting calls, memory", "calls", "MiB", size, max(LEAST_MEMORY, figures["bytes"] * size / MIB))
    for size in (10_000, 100_000, 1_000_000) if quick else (1000, 10_000, 100_000, 1_000_000, 8_000_000):
        seconds = measure.run("reading.read", size, 10 if size > 100_000 else 100)["s"]
        add("Read of a ticket", "bytes", "CPU ms", size, seconds * 1000)
    rows = [
        [operation, f"{points[0][0]:,} to {points[-1][0]:,} {size_unit}",
         f"{points[0][1]:,.3g} to {points[-1][1]:,.3g} {unit}", f"{exponent(points):.2f}"]
        for (operation, size_unit, unit), points in series.items()
    ]  # fmt: skip
    table = Table("Growth", ["operation", "sizes", "first and last figure", "exponent"], rows)
    plot = Plot("growth", "Growth, both axes logarithmic", partial(draw, series), (10, 9))
    return Result("Growth", TEXT, [table], [plot])


def exponent(points: Sequence[tuple[float, float]]) -> float:
    largest = [point for point in points if point[0] >= points[-1][0] / 100]
    sizes, figures = zip(*[map(math.log, point) for point in largest], strict=True)
    return statistics.linear_regression(sizes, figures).slope


def draw(series: Series, figure: Any) -> None:
    panels = figure.subplots(math.ceil(len(series) / 3), 3).flat
    for panel, ((operation, size_unit, unit), points) in zip(panels, series.items(), strict=False):
        sizes, figures = zip(*points, strict=True)
        panel.loglog(sizes, figures, marker="o", color=COLOURS[True])
        linear = [figures[-1] * size / sizes[-1] for size in sizes]
        panel.loglog(sizes, linear, linestyle=":", color="#888888", label="linear")
        panel.text(0.95, 0.08, f"exponent {exponent(points):.2f}", transform=panel.transAxes, ha="right")
        panel.set(title=operation, xlabel=size_unit, ylabel=unit)
        panel.yaxis.set_minor_formatter("")
    figure.axes[0].legend()
    for unused in figure.axes[len(series) :]:
        unused.set_visible(False)
