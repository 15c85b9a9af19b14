"""Bulk runs without a rate limit. As with the default limit, at most 25 rows are in flight."""

import asyncio
import logging
import os
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from lsq_service_async import BulkRow, Lookup, NewTicket, RateLimit, RetryPolicy, ServiceClient
from lsq_service_async.bulk import State, row_of, unknown_in
from lsq_service_async.bulk._journal_file import Entry, JournalFile
from lsq_service_async.emulator import Emulator
from lsq_service_async.events import AttemptStarted

from . import command, config, peak

LIMIT = RateLimit(25, per=0.001)
OPTIONS = {"rate_limit": LIMIT, "retry": RetryPolicy(repeat_creates=False)}
ROWS_PER_KILL = 50  # more than a run finishes before it is killed
Figures = dict[str, float]


def ticket(number: int) -> NewTicket:
    return NewTicket(lead_id="45b5", title=f"row-{number}", status="Open")


def row(number: int) -> BulkRow:
    return BulkRow(f"row-{number}", ticket(number))


def rows_on_a_slow_disk(origin: str, count: int, fsync_ms: int) -> None:
    """Do the same as ``rows``, while strace adds ``fsync_ms`` to every fsync and fdatasync of the process."""
    delay = ["-e", f"inject=fsync,fdatasync:delay_exit={fsync_ms * 1000}"]
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", *delay]
    os.execvp("strace", [*strace, *command("bulking.rows", origin, count)])


async def rows(origin: str, count: int) -> Figures:
    """Create ``count`` tickets in a bulk run with a journal."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder, "run.sqlite")
        async with ServiceClient(config(origin, **OPTIONS)) as client:
            await client.tickets.create(ticket(0))  # opens a connection, and loads modules
            before, cpu, started = peak(), time.process_time(), time.perf_counter()
            async for outcome in client.bulk.create(map(row, range(count)), journal=journal):
                assert outcome.state == "created", outcome
            seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        size = os.path.getsize(journal)  # noqa: ASYNC240 -- the run has ended
    return {"s": seconds, "cpu_s": cpu, "memory": peak() - before, "journal": size}


async def calls(origin: str, count: int) -> Figures:
    """Create the same tickets without a journal, in 25 tasks."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await client.tickets.create(ticket(number))

    async with ServiceClient(config(origin, **OPTIONS)) as client:
        await client.tickets.create(ticket(0))
        cpu, started = time.process_time(), time.perf_counter()
        await asyncio.gather(*(work() for _ in range(LIMIT.calls)))
        return {"s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}


async def resume(origin: str, finished: int) -> Figures:
    """Continue a run of which ``finished`` rows are done. Measure the time until the first new row is sent."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder, "run.sqlite")
        file = JournalFile(str(journal))
        file.open("created", f"{origin}, org 22824")
        keyed = map(row_of, map(row, range(finished)))
        file.write(Entry(str(each.key), each.digest, State.DONE, number="1") for each in keyed)
        file.close()
        sent: list[float] = []

        def hook(event: object) -> None:
            if isinstance(event, AttemptStarted):
                sent.append(time.perf_counter())

        async with ServiceClient(config(origin, **OPTIONS), hooks=[hook]) as client:
            before, started = peak(), time.perf_counter()
            states = Counter[str]()
            async for outcome in client.bulk.create(map(row, range(finished + 1)), journal=journal):
                states[outcome.state] += 1
    assert states == {"skipped": finished, "created": 1}, states
    return {"s": sent[0] - started, "memory": peak() - before}


async def run(origin: str, journal: str, count: int, on_unknown: str) -> None:
    """Start a run that creates tickets, or continue it, and print the key of each row that was not skipped."""
    logging.disable()  # a row that is sent twice logs a warning
    policy: Any = Lookup(quiet=0.3, fence=True) if on_unknown == "Lookup" else on_unknown
    async with ServiceClient(config(origin, **OPTIONS)) as client:
        async for outcome in client.bulk.create(map(row, range(count)), journal=journal, on_unknown=policy):
            if outcome.state != "skipped":
                print(outcome.key, flush=True)


async def kills(on_unknown: str, count: int) -> Figures:
    """Kill a run at random moments, and continue it after each kill. After the last kill, let the run end."""
    chance, rows, killed = random.Random(on_unknown), ROWS_PER_KILL * (count + 1), 0
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder, "run.sqlite")
        async with Emulator(window=None, jitter=0.005) as emulator:
            program = command("bulking.run", emulator.settings["base_url"], str(journal), rows, on_unknown)
            for number in range(count + 1):
                process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
                if number < count:
                    await kill(process, chance)
                await process.communicate()
                killed += process.returncode == -signal.SIGKILL
            titles = Counter(created.fields["Title"] for created in emulator.tickets.values())
        unknown = unknown_in(journal)
    assert process.returncode == 0, process.returncode
    return {
        "kills": killed,
        "rows": rows,
        "doubled": titles.total() - len(titles),
        "lost": rows - len(titles.keys() | unknown.keys()),
        "unknown": len(unknown),
    }


async def kill(process: asyncio.subprocess.Process, chance: random.Random) -> None:
    """Wait until the process has printed some outcomes, and a moment longer. Then kill the process."""
    assert process.stdout is not None
    for _ in range(chance.randrange(1, 16)):
        await process.stdout.readline()
    await asyncio.sleep(chance.random() * 0.02)
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
