"""Results of scenarios as Markdown tables and plots in ``results/``."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import SCENARIOS

RESULTS = Path(__file__).parent / "results"
COLOURS = {True: "#1f6f8b", False: "#b8c4cc"}  # this package, and others
HEAD = """# Results

`python -m benchmarks` wrote this page. [Benchmarks](../README.md) explains the scenarios and how to read their results.
Each section names its date and the machine. Compare ratios, not seconds: seconds depend on the machine.
"""
README = """\
In this benchmark, 150 creates start at once, and the server answers every call beyond 25 in 5 s with a 429. Requests
and answers are delayed by up to 60 ms (jitter). Each row of the table is a client: this package, httpx with
tenacity (and in most rows a rate limiter), or the SDK of another service, set up to send its requests to this server.
`this` is this package with its default settings. `this, sliding` uses `RateLimit(25, per=5.0, window="sliding")`,
which is not for gateways that estimate the number of calls.

Each column is a server: the emulator with four ways to count calls, and the gateways HAProxy (which estimates) and
nginx (which uses a bucket). Each cell has three numbers: the creates that succeeded, the requests that were refused,
and the time until the last create ended. Times are relative to 30 s, the time that 150 calls take at 5 calls per
second: 1.04 means 31.2 s. The shortest possible time is 0.67 for `fixed`, 0.99 for `estimate` and `haproxy`, and 0.83
for the other servers. If the first number is below 150, the client gave up some creates, or was stopped at the time
2.50."""
MORE = """The [other results](benchmarks/results/README.md) compare CPU time, uploads, imports, shared limits and bulk
runs. You can [repeat the benchmarks](benchmarks/README.md)."""
Rows = Iterable[tuple[str, Mapping[str, Any]]]
"""Names, and the figures of each."""


@dataclass(frozen=True)
class Table:
    """Rows of cells. The first column has names, the others have numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @classmethod
    def of(cls, title: str, first: str, rows: Rows, columns: Sequence[tuple[str, str]]) -> Table:
        """Return a table with one line for each name. ``columns`` has the title and the format of each column."""
        cells = [[name, *(form.format_map(figures) for _, form in columns)] for name, figures in rows]
        return cls(title, [first, *(column for column, _ in columns)], cells)

    def __str__(self) -> str:
        lines = [self.columns, ["---", *("--:" for _ in self.columns[1:])], *self.rows]
        return f"**{self.title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True)
class Plot:
    """A picture. ``draw`` draws it in a matplotlib Figure."""

    name: str
    title: str
    draw: Callable[[Any], None]
    size: tuple[float, float] = (8.0, 4.0)


@dataclass(frozen=True)
class Result:
    """The outcome of a scenario: a text that explains the scenario, tables, and plots."""

    title: str
    text: str
    tables: Sequence[Table]
    plots: Sequence[Plot] = field(default=())


def bars(values: Mapping[str, float], unit: str) -> Callable[[Any], None]:
    """Return a function that draws one horizontal bar for each value. The bars of this package have another color."""

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        names = list(values)[::-1]
        colours = [COLOURS[name.startswith(("this", "lsq"))] for name in names]
        drawn = axes.barh(names, [values[name] for name in names], color=colours)
        labels = [f"{values[name]:,.0f}" if values[name] >= 100 else f"{values[name]:.3g}" for name in names]
        axes.bar_label(drawn, labels=labels, padding=3)
        axes.set_xlabel(unit)
        axes.margins(x=0.12)

    return draw


def _paint(plot: Plot, folder: Path) -> None:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}):
        figure = Figure(plot.size, layout="constrained")
        plot.draw(figure)
        figure.suptitle(plot.title)
        for kind in ("png", "svg"):
            figure.savefig(folder / f"{plot.name}.{kind}", dpi=160, metadata={"Date": None} if kind == "svg" else None)


def save(folder: Path, name: str, result: Result, command: str, versions: Mapping[str, str]) -> None:
    """Write the tables and plots of a scenario, and the README of all scenarios that have results in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for plot in result.plots:
        _paint(plot, folder)
    about = {
        "title": result.title,
        "text": result.text,
        "tables": [asdict(table) for table in result.tables],
        "plots": [[plot.name, plot.title] for plot in result.plots],
        "run": {"command": command, "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}", "machine": machine()},
        "versions": dict(versions),
    }
    (folder / f"{name}.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sections = [_read(path) for scenario in SCENARIOS if (path := folder / f"{scenario}.json").exists()]
    (folder / "README.md").write_text("\n".join([HEAD, *map(_section, sections)]), encoding="utf-8")


def performance() -> str:
    """Return the section Performance of the project's README.md: the main table and picture of the last run."""
    about = _read(RESULTS / "limits.json")
    run, picture = about["run"], about["plots"][0]
    table = Table(**about["tables"][0])
    measured = f"`{run['command']}` measured this on {run['date']} with {run['machine']}."
    image = f"![{picture[1]}](benchmarks/results/{picture[0]}.png)"
    return "\n\n".join(["## Performance", README, str(table), image, measured, MORE])


def _read(path: Path) -> dict[str, Any]:
    about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return about


def _section(about: dict[str, Any]) -> str:
    run, versions = about["run"], about["versions"]
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    parts = [f"## {about['title']}", about["text"]]
    parts += [str(Table(**table)) for table in about["tables"]]
    parts += [f"![{title}]({name}.svg)" for name, title in about["plots"]]
    parts += [f"`{run['command']}` on {run['date']}: {run['machine']}. {packages}."]
    return "\n\n".join(parts) + "\n"


def machine() -> str:
    """Return the number of cores, the model of the CPU, the system and the version of Python."""
    model = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return f"{os.cpu_count()} cores of {model}, {platform.system()}, Python {platform.python_version()}"
