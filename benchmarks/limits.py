"""Many creates at once against strict servers: how many succeed and are refused, and how long they take."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from typing import Any

from .measure import Measure
from .report import Plot, Result, Table
from .workers.creates import CLIENTS
from .workers.strict_server import CALLS, PER, PROXIES, WINDOWS, program

TEXT = """Each cell has the creates that succeeded, the calls that were refused with a 429, and the seconds until the
last create ended, divided by calls / rate. 0.83 is the least for 150 creates, because the first 25 need not wait; a
bucket allows less. The server allows 25 calls in 5 s. It counts them in a sliding or a fixed window, in a bucket, or
with the estimate of gateways that keep two counters, and refused calls count, too. HAProxy and nginx are real. Jitter
delays each request and each answer by up to so many milliseconds. Clients are set up as their documentation shows.
openai-python, stripe, slack_sdk and githubkit have no limiter: they repeat a refused call a few times at most, and
their policies expect a Retry-After, which the answers of this service do not have."""
CARD = "httpx + aiolimiter + tenacity"
PICTURED = ("this", CARD, "httpx + tenacity", "openai-python")
AT_THE_SAME_TIME = 10  # processes, which mostly wait


@dataclass(frozen=True)
class Variant:
    client: str
    server: str
    calls: int = 150
    jitter: int = 60  # ms


def run(measure: Measure, quick: bool) -> Result:
    proxies = {name: program(name) for name in PROXIES}
    servers = [*WINDOWS, *(name for name, path in proxies.items() if path)]
    clients = [*PICTURED, "httpx + pyrate-limiter + tenacity"] if quick else list(CLIENTS)
    kinds = ["sliding", "estimate"] if quick else servers
    jittered = [] if quick else [(client, jitter) for client in ("this", CARD) for jitter in (0, 400)]
    many = [] if quick else list(CLIENTS)
    with ThreadPoolExecutor(AT_THE_SAME_TIME) as threads:
        order = [Variant(client, "sliding", 500) for client in many]  # first, because they take longest
        order += [Variant(client, server) for server in kinds for client in clients]
        order += [Variant(client, server, 150, jitter) for client, jitter in jittered for server in servers]

        def create(variant: Variant) -> dict[str, Any]:
            return measure.run("creates", *astuple(variant), 50 if quick else 2.5 * variant.calls / CALLS * PER)

        seen = dict(zip(order, threads.map(create, order), strict=True))
    rows = [[client, *(cell(seen, Variant(client, server)) for server in kinds)] for client in clients]
    other = [
        [f"{client}, {jitter} ms", *(cell(seen, Variant(client, server, 150, jitter)) for server in servers)]
        for client, jitter in jittered
    ]
    longer = [[client, cell(seen, Variant(client, "sliding", 500))] for client in many]
    meaning = "succeeded / refused / time"
    tables = [
        Table(f"150 creates at once, jitter 60 ms: {meaning}", ["client", *kinds], rows),
        Table(f"150 creates at once, other jitter: {meaning}", ["client", *servers], other),
        Table(f"500 creates at once, jitter 60 ms: {meaning}", ["client", "sliding"], longer),
    ]
    text = TEXT + "".join(f" {name} is not installed." for name, path in proxies.items() if path is None)
    title = "150 creates at once against a sliding window of 25 in 5 s"
    plots = [Plot("arrivals", title, pictures(seen, PICTURED), (9, 5))]
    if not quick:
        plots.append(Plot("arrivals-all", title, pictures(seen, clients), (10, 13)))
    return Result("Rate limit", text, [table for table in tables if table.rows], plots)


def cell(seen: Mapping[Variant, Mapping[str, Any]], variant: Variant) -> str:
    figures = seen[variant]
    time = figures["s"] / (variant.calls / CALLS * PER)
    refused = sum(not is_allowed for _, is_allowed in figures["arrivals"])
    return f"{figures['succeeded']} / {refused} / {time:.2f}"


def pictures(seen: Mapping[Variant, Mapping[str, Any]], clients: Sequence[str]) -> Any:
    """Return a function that draws, for each client, how many calls arrived in the 5 s before each moment."""

    def draw(figure: Any) -> None:
        columns = 2
        grid = figure.subplots(-(-len(clients) // columns), columns, sharex=True, sharey=True, squeeze=False)
        for axes, client in zip(grid.flat, clients, strict=False):
            figures = seen[Variant(client, "sliding")]
            times = [at for at, _ in figures["arrivals"]]
            moments = sorted([*times, *(at + PER for at in times)])
            recent = [bisect_right(times, at) - bisect_right(times, at - PER) for at in moments]
            axes.step(moments, recent, where="post", color="#1f6f8b")
            refused = [at for at, is_allowed in figures["arrivals"] if not is_allowed]
            axes.plot(refused, [0] * len(refused), "|", color="#c0392b", markersize=12)
            axes.axhline(CALLS, color="#888888", linestyle="--", linewidth=1)
            axes.set_title(f"{client}: {figures['succeeded']} succeeded, {len(refused)} refused", fontsize=9)
            axes.set_xlim(0, 60)
        for axes in grid.flat[len(clients) :]:
            axes.set_visible(False)
        figure.supxlabel("seconds; a red line is a refused call")
        figure.supylabel("calls in the last 5 s; dashed: the limit")

    return draw
