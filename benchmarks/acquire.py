"""Limiters alone: CPU time of a slot, and many waiting tasks."""

import shutil

from .measure import Measure
from .report import Plot, Result, Table, bars
from .workers.acquiring import PEERS

TEXT = """In the first table, a slot is acquired and released without waiting, at a limit of a million calls a
second. In the other tables, tasks wait for a limiter of 25 calls in 5 s that has no free slot. The tasks are started
in batches of 100. Then all of them are turned away (cancelled) at the same moment. In the line `this, deadlines`,
the tasks are not cancelled. Instead, this package rejects them in batches after a 429, because they would be sent
after their deadlines. Memory is the total of a waiting task; the line `no limiter` shows the part that asyncio
needs. The lag is the longest delay of a task that sleeps in the same event loop. aiolimiter is a bucket, which
stores less for each call than a window, and allows more calls. limits has no queue, so its tasks poll."""
WAITING = [("this", "deadlines"), *((peer, "") for peer in PEERS)]
MOST = [*WAITING[:2], ("aiolimiter", ""), ("no limiter", "")]  # with the other limiters, 100,000 tasks take minutes
COUNTED = (300, 1300)  # calls in two runs; their difference does not include the start of the process


def run(measure: Measure, quick: bool) -> Result:
    limiters = [peer for peer in PEERS if peer != "no limiter"]
    spent = measure.interleaved(1 if quick else 5, limiters, lambda peer: measure.run("acquiring.cpu", peer, 20_000))
    cpu = {peer: figures["microseconds"].median for peer, figures in spent.items()}
    head = ["limiter", "CPU µs (lowest to highest)", "of aiolimiter"]
    rows = [[peer, f"{spent[peer]['microseconds']:.1f}", f"{cpu[peer] / cpu['aiolimiter']:.1f}"] for peer in limiters]
    text = TEXT
    if not quick and shutil.which("valgrind"):
        counts = measure.instructions("acquiring.cpu", [(peer,) for peer in limiters], COUNTED)
        head.append("instructions, thousands")
        for row, count in zip(rows, counts, strict=True):
            row.append(f"{count / 1000:.1f}")
    elif not quick:
        text += " valgrind is not installed, so instructions are not counted."
    tables = [Table("A slot that is free", head, rows), waiting(measure, MOST if quick else WAITING, 10_000)]
    tables += [] if quick else [waiting(measure, MOST, 100_000)]
    return Result("The limiter", text, tables, [Plot("acquire", "CPU time of a slot that is free", bars(cpu, "µs"))])


def waiting(measure: Measure, variants: list[tuple[str, str]], count: int) -> Table:
    seen = measure.interleaved(
        1, variants, lambda variant: measure.run("acquiring.waiters", variant[0], count, variant[1])
    )
    columns = [
        ("start, CPU s", "{enqueue_cpu_s.median:.2f}"),
        ("bytes per task", "{bytes.median:,.0f}"),
        ("lag ms", "{lag_ms.median:,.0f}"),
        ("turn away, CPU s", "{cancel_cpu_s.median:.2f}"),
        ("lag ms", "{cancel_lag_ms.median:,.0f}"),
    ]
    rows = [(", ".join(filter(None, variant)), figures) for variant, figures in seen.items()]
    return Table.of(f"{count:,} waiting tasks", "limiter", rows, columns)
