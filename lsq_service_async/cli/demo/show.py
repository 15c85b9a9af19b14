"""What the demo prints: what is about to happen, how it gets on, what came of it, and where to go from there."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ... import RateLimit
from ...emulator import Emulator, Latency, RateLimited, Serve, Status
from ..screen import Screen, say
from .report import Evidence, Line, planned, table
from .run import run_demo
from .tickets import DemoRow, demo_rows

FAULTS = (
    Serve(times=9, method="POST"),
    Status(500, method="POST"),
    Serve(times=15, method="POST"),
    Latency(2.0, method="POST"),
    # Late, because a refusal for speed halves what is sent from then on.
    Serve(times=27, method="POST"),
    RateLimited(retry_after=1, method="POST"),
)


def stand_in(rate: RateLimit) -> Emulator:
    """The emulator of the demo: no stretch of ``rate.per`` seconds may hold more calls; and it is wrong three times."""
    emulator = Emulator(rate_limit=(rate.calls, rate.per), window="sliding")
    emulator.faults.add(*FAULTS)
    return emulator


def perform(console: Console, emulator: Emulator, rate: RateLimit) -> bool:
    """Run the demo against an emulator that is not open yet, at ``rate``; True when all of it was right."""
    with TemporaryDirectory() as folder:
        rows = demo_rows(Path(folder))
        _open(console, emulator, len(rows), rate)
        return _close(console, table(_evidence(console, emulator, rows, rate)))


def _evidence(console: Console, emulator: Emulator, rows: Sequence[DemoRow], rate: RateLimit) -> Evidence:
    with Screen(console, "tickets", len(rows)) as screen:
        return Evidence(rows, asyncio.run(run_demo(emulator, rows, rate, screen)), emulator, rate)


def _open(console: Console, emulator: Emulator, tickets: int, rate: RateLimit) -> None:
    say(
        console,
        f"Creating {tickets} tickets in a local stand-in for LeadSquared Service CRM: "
        "no account is used, and nothing leaves this machine.",
    )
    faults = ", ".join(planned(emulator)) or "nothing"
    say(
        console,
        f"It refuses calls beyond {rate.calls} in {rate.per:g} s. "
        f"Going wrong on purpose, which the client does not know: {faults}.\n",
    )


def _close(console: Console, lines: list[Line]) -> bool:
    wrong = [line.name for line in lines if line.wrong]
    console.print("", _printed(lines), "")
    if wrong:
        say(console, f"Wrong: {', '.join(wrong)}.\n", "bold red")
    else:
        say(console, "All of it is right.\n", "bold green")
    _point_onward(console)
    return not wrong


def _printed(lines: Iterable[Line]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column()
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column()
    for line in lines:
        note = Text(f"WRONG: {line.wrong}", "bold red") if line.wrong else Text(line.note, "dim")
        grid.add_row(Text(line.name), Text(line.found, "bold red" if line.wrong else "bold green"), note)
    return grid


def _point_onward(console: Console) -> None:
    say(console, "What next:")
    say(console, '- a program of your own: "A script" in the README')
    say(console, "- this stand-in, for as long as you like:")
    console.print(f"  {_python()} -m lsq_service_async emulator", soft_wrap=True, markup=False, highlight=False)
    say(console, "- your account: set LSQ_ACCESS_KEY, LSQ_SECRET_KEY and LSQ_ORG_ID, and use ServiceClient.from_env()")


def _python() -> str:
    """How this Python is called from the current folder, so that the line can be pasted."""
    if shutil.which("python") == sys.executable:
        return "python"
    return shlex.quote(min(sys.executable, os.path.relpath(sys.executable), key=len))
