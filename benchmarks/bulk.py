"""Bulk runs: rows a second, slow disks, continuing a long run, and kills."""

import shutil
from concurrent.futures import ThreadPoolExecutor

from .measure import Measure
from .report import Result, Table

POLICIES = ("skip", "Lookup", "resend")
PER_SECOND = 5  # rows, at 25 calls in 5 s
TEXT = """No rate limit applies, and the server runs in another process, so the times are those of the client. As with
the default limit, at most 25 rows are in flight. The journal is in the system's folder for temporary files. Slow disks
are simulated: strace adds the milliseconds to each fsync and fdatasync of the process. After each kill, the run is
continued with the same journal. Rows that were in flight during a kill may have been applied. With `on_unknown="skip"`,
the default, these rows are reported as unknown. A `Lookup` finds out whether they were applied, and sends only the
others again. With "resend", all of them are sent again, which shows how many rows the kills hit."""


def run(measure: Measure, quick: bool) -> Result:
    with measure.running("raw_server.serve") as server:
        tables = [
            speed(measure, server["origin"], 500 if quick else 5000, 1 if quick else 3),
            *slow_disks(measure, server["origin"], {10: 200} if quick else {1: 1000, 10: 500, 100: 200}),
            continued(measure, server["origin"], 10_000 if quick else 100_000),
        ]
    tables.append(kills(measure, 4 if quick else 20))
    missing = "" if shutil.which("strace") else " strace is not installed, so slow disks are left out."
    return Result("Bulk runs", TEXT + missing, tables)


def speed(measure: Measure, origin: str, count: int, rounds: int) -> Table:
    names = {"calls": "calls without a journal", "rows": "bulk run with a journal"}
    seen = measure.interleaved(rounds, names, lambda kind: measure.run(f"bulking.{kind}", origin, count))
    rows = [
        [
            names[kind],
            f"{count / figures['s'].median:,.0f}",
            f"{figures['s'].median / seen['calls']['s'].median:.2f}",
            f"{figures['cpu_s'].median / count * 1000:.2f}",
        ]
        for kind, figures in seen.items()
    ]
    return Table(f"{count:,} rows without a limit", ["rows", "rows a second", "time, of calls", "CPU ms per row"], rows)


def slow_disks(measure: Measure, origin: str, counts: dict[int, int]) -> list[Table]:
    if not shutil.which("strace"):
        return []
    rates = {
        delay: count / measure.run("bulking.rows_on_a_slow_disk", origin, count, delay)["s"]
        for delay, count in counts.items()
    }
    rows = [[f"{delay} ms", f"{rate:,.0f}", f"{rate / PER_SECOND:,.1f}"] for delay, rate in rates.items()]
    head = ["added to each fsync", "rows a second", f"of the {PER_SECOND} rows a second of the default limit"]
    return [Table("A run on a slow disk", head, rows)]


def continued(measure: Measure, origin: str, finished: int) -> Table:
    figures = measure.run("bulking.resume", origin, finished)
    row = [f"{finished:,}", f"{figures['s']:.1f}", f"{figures['memory'] / 2**20:.1f}"]
    return Table("Continuing a run", ["finished rows", "s until the first new row is sent", "memory MiB"], [row])


def kills(measure: Measure, count: int) -> Table:
    with ThreadPoolExecutor(len(POLICIES)) as threads:
        seen = list(threads.map(lambda policy: measure.run("bulking.kills", policy, count), POLICIES))
    columns = [
        ("kills", "{kills:,}"),
        ("rows", "{rows:,}"),
        ("sent twice", "{doubled:,}"),
        ("lost", "{lost:,}"),
        ("left unknown", "{unknown:,}"),
    ]
    return Table.of("Runs that are killed at random moments", "on_unknown", zip(POLICIES, seen, strict=True), columns)
