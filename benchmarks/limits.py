"""Many creates at once against strict servers: how many succeed and are refused, and how long they take."""

from __future__ import annotations

import subprocess
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from .measure import Measure
from .report import COLOURS, Plot, Result, Table
from .workers.creates import CLIENTS
from .workers.strict_server import CALLS, PER, PROXIES, WINDOWS, program

TEXT = """Each cell has the number of creates that succeeded, the number of calls that were refused with a 429, and the
time until the last create ended. The unit of this time is the time that all creates take at 5 per second (30 s for
150). The shortest possible time is 0.83 for 150 creates and 0.95 for 500, because the first 25 need not wait. With a
fixed window, it can be 0.67 and 0.90, if the first 25 calls arrive at the end of a period. With an estimate, it is 0.99
and 1.00, because each period after the first allows its 25th call only just before it ends. A client that gives up ends
early. The server allows 25 calls in 5 s. It counts them in a sliding or a fixed window, in a bucket, or with the
estimate of gateways that keep two counters. Refused calls count, too, except in a bucket. `haproxy` (an estimate) and
`nginx` (a bucket) are the real programs. Jitter delays each request and each answer by a random time of at most the
stated milliseconds. Clients are set up as their documentation shows. `this, sliding` has `RateLimit(25, per=5.0,
window="sliding")`, which is for gateways that do not estimate. openai-python, stripe, slack_sdk and githubkit have no
limiter, and repeat a refused call once or twice. The 429 has a `Retry-After` of 5 s and `Stripe-Should-Retry: true`;
without these headers, some of the clients would repeat nothing."""
AIOLIMITER, PYRATE = "httpx + aiolimiter + tenacity", "httpx + pyrate-limiter + tenacity"
PICTURED = ("this", AIOLIMITER, PYRATE, "httpx + tenacity")
AT_THE_SAME_TIME = 32  # processes, which mostly wait
FIRST_JITTER, OTHER_JITTERS = 60, (0, 400)  # ms
COLUMNS = 2  # of pictures next to each other
REFUSED = "#c0392b"
Figures = Mapping[str, Any]


class Variant(NamedTuple):
    client: str
    server: str
    calls: int = 150
    jitter: int = FIRST_JITTER


def run(measure: Measure, quick: bool) -> Result:
    missing = [name for name in PROXIES if not program(name)]
    servers = ["sliding", "estimate"] if quick else [*WINDOWS, *(name for name in PROXIES if name not in missing)]
    clients = [*PICTURED, "openai-python"] if quick else list(CLIENTS)
    variants = [] if quick else [Variant(client, "sliding", 500) for client in clients]  # first: they take longest
    variants += [] if quick else [Variant("this", server, 500) for server in servers[1:]]
    most = 1.5 if quick else 2.5  # the time after which a client is stopped, in the unit of the tables
    jitters = (FIRST_JITTER, *(() if quick else OTHER_JITTERS))
    variants += [Variant(client, server, 150, ms) for ms in jitters for server in servers for client in clients]

    def create(variant: Variant) -> Figures | None:
        try:
            return measure.run("creates.create", *variant, most * variant.calls / CALLS * PER)
        except subprocess.CalledProcessError:
            return None  # for example, the peer is not installed; the worker has printed the error

    with ThreadPoolExecutor(AT_THE_SAME_TIME) as threads:
        seen = dict(zip(variants, threads.map(create, variants), strict=True))
    tables = []
    for calls, ms in dict.fromkeys((variant.calls, variant.jitter) for variant in sorted(variants, key=_order)):
        rows = [
            [client, *(_cell(seen, Variant(client, server, calls, ms)) for server in servers)] for client in clients
        ]
        title = f"{calls} creates at once, jitter {ms} ms: succeeded / refused / time"
        tables.append(Table(title, ["client", *servers], rows))
    arrivals = {client: figures for client in clients if (figures := seen[Variant(client, "sliding")])}
    title = "150 creates at once, to a server that allows 25 in any 5 s"
    pictured = {name: arrivals[name] for name in PICTURED if name in arrivals}
    plots = [Plot("arrivals", title, partial(_draw, pictured), (10, 5.6))]
    if not quick:
        plots.append(Plot("arrivals-all", title, partial(_draw, arrivals), (10, 12)))
    absent = [f"{name} is not installed." for name in missing]
    text = " ".join([TEXT, f"A client that has not ended at the time {most:g} is stopped.", *absent])
    return Result("Rate limit", text, tables, plots)


def _order(variant: Variant) -> tuple[int, bool]:
    return variant.calls, variant.jitter != FIRST_JITTER


def _cell(seen: Mapping[Variant, Figures | None], variant: Variant) -> str:
    """Return the text of a cell: "failed" if the worker failed, and an empty text if the variant was not measured."""
    if not (figures := seen.get(variant)):
        return "failed" if variant in seen else ""
    refused = sum(not is_allowed for _, is_allowed in figures["arrivals"])
    return f"{figures['succeeded']} / {refused} / {figures['s'] / (variant.calls / CALLS * PER):.2f}"


def _draw(clients: Mapping[str, Figures], figure: Any) -> None:
    """Draw one point for each call: when it arrived, and how many calls had arrived in the 5 s until then."""
    grid = figure.subplots(-(-len(clients) // COLUMNS), COLUMNS, sharex=True, sharey=True, squeeze=False)
    for axes, (client, figures) in zip(grid.flat, clients.items(), strict=False):
        points = list(_points(figures["arrivals"]))
        for is_allowed, colour in (True, COLOURS[True]), (False, REFUSED):
            chosen = [(at, recent) for at, recent, allowed in points if allowed is is_allowed]
            axes.plot([at for at, _ in chosen], [recent for _, recent in chosen], ".", color=colour, markersize=4)
        axes.axhline(CALLS, color="#888888", linestyle="--", linewidth=1)
        axes.set_yscale("log")
        axes.set_yticks([1, 5, 25, 125, 625], ["1", "5", "25", "125", "625"])
        axes.minorticks_off()
        name = "lsq_service_async" if client == "this" else client
        refused = sum(not allowed for _, _, allowed in points)
        axes.set_title(f"{name}: {figures['succeeded']} succeeded, {refused:,} refused", fontsize=10, loc="left")
    for axes in grid.flat[len(clients) :]:
        axes.set_visible(False)
    figure.supxlabel("seconds; a point is a call, and a red one was refused with a 429", fontsize=10)
    figure.supylabel("calls in the last 5 s; dashed: the limit of 25", fontsize=10)


def _points(arrivals: Sequence[tuple[float, bool]]) -> Any:
    times = [at for at, _ in arrivals]
    for number, (at, is_allowed) in enumerate(arrivals, 1):
        yield at, number - bisect_right(times, at - PER), is_allowed
