"""CPU time and instructions of a create, compared with the same POST by bare HTTP clients."""

import shutil
from collections.abc import Mapping

from .measure import Measure
from .report import Plot, Result, Table, bars
from .workers.calls import CLIENTS

AT_ONCE = (1, 50)
COUNTED = (50, 150)  # calls in two runs; their difference does not include the start of the process
BASES = ("httpx", "httpx + sniffio")
TEXT = """Each client sends the same create to a minimal server in another process, checks the status and decodes the
answer. If sniffio is not installed, httpcore searches for it on each call. pip installs httpx without sniffio; this
package depends on sniffio. cachegrind counts the instructions, which hardly depend on the load of the machine. For 50
calls at once, only the time is measured: instructions would vary, because httpx searches its pool of connections for
longer if more calls happen to wait."""


def run(measure: Measure, quick: bool) -> Result:
    variants = [(client, at_once) for at_once in AT_ONCE for client in CLIENTS]
    counted = (*BASES, "this") if quick else tuple(CLIENTS)
    with measure.running("raw_server.serve") as server:
        origin, calls = server["origin"], 200 if quick else 1000
        seen = measure.interleaved(
            1 if quick else 3,
            variants,
            lambda variant: measure.run("calls.create", variant[0], origin, variant[1], calls),
        )
        exact: dict[str, float] = {}
        if shutil.which("valgrind"):
            counts = measure.instructions("calls.create", [(client, origin, 1) for client in counted], COUNTED)
            exact = dict(zip(counted, (count / 1000 for count in counts), strict=True))
    tables = []
    for at_once in AT_ONCE:
        cpu = {client: seen[client, at_once]["cpu_us"].median for client in CLIENTS}
        head = ["client", "CPU µs (lowest to highest)", *(f"of {base}" for base in BASES)]
        rows = [[client, f"{seen[client, at_once]['cpu_us']:.0f}", *ratios(cpu, client)] for client in CLIENTS]
        if exact and at_once == 1:
            head += ["instructions, thousands", *(f"of {base}" for base in BASES)]
            for row in rows:
                row += [f"{exact[row[0]]:,.0f}", *ratios(exact, row[0])] if row[0] in exact else ["", "", ""]
        tables.append(Table("One call after the other" if at_once == 1 else f"{at_once} calls at once", head, rows))
    millions = {client: count / 1000 for client, count in exact.items()}
    plot = Plot("calls", "A create, and the same POST by bare HTTP clients", bars(millions, "million instructions"))
    text = TEXT if exact else f"{TEXT} valgrind is not installed, so instructions are not counted."
    return Result("CPU of a call", text, tables, [plot] if exact else [])


def ratios(figures: Mapping[str, float], client: str) -> list[str]:
    """Return the ratios to httpx without and with sniffio."""
    return [f"{figures[client] / figures[base]:.2f}" for base in BASES]
