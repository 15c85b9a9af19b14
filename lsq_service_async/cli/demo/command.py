"""The command `demo` and its output."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ... import RateLimit
from ..progress import Output, ProgressDisplay, print_paragraph
from ..shell import SOME_FAILED

if TYPE_CHECKING:
    from ...emulator import Emulator
    from .demo import Check

RATE = RateLimit()
"""The documented limit, for the client and the emulator."""


@click.command()
@click.option("--open", "open_page", is_flag=True, help="Open the page of the emulator in your web browser.")
def demo(open_page: bool) -> int:
    """Create 60 tickets at the real rate limit, without an account.

    The tickets are sent to a local emulator of the service, which injects a few faults. The bulk run is interrupted
    once and continued. Exit codes: 0 all checks passed, 1 a check failed.
    """
    from .demo import demo_emulator

    checked = run_demo(Output(highlight=False), demo_emulator(RATE), RATE, open_page=open_page)
    return 0 if asyncio.run(checked) else SOME_FAILED


async def run_demo(console: Console, emulator: Emulator, rate: RateLimit, *, open_page: bool = False) -> bool:
    """Run the demo, print the checks, and return whether all checks passed."""
    from .demo import FAULTS_IN_WORDS, check_result, demo_rows, play

    def say(text: str, style: str = "") -> None:
        print_paragraph(console, text, style)

    with TemporaryDirectory() as folder:
        rows = demo_rows(Path(folder))
        say(
            f"Creating {len(rows)} tickets in a local emulator of LeadSquared Service CRM. "
            "No account is used, and nothing leaves this machine."
        )
        say(f"The emulator refuses more than {rate.calls} calls in {rate.per:g} s. On purpose, it {FAULTS_IN_WORDS}.")
        async with emulator:
            page = f"{emulator.settings['base_url']}/"
            say(f"Watch the emulator while the demo runs: {page}\n")
            if open_page:
                await asyncio.to_thread(webbrowser.open, page)
            with ProgressDisplay(console, "tickets", len(rows)) as display:
                result = await play(emulator, rows, rate, display)
    checks = check_result(result)
    console.print("", _table(checks), "")
    failed = ", ".join(check.name for check in checks if check.problem)
    if failed:
        say(f"Failed: {failed}.\n", "bold red")
    else:
        say("All checks passed.\n", "bold green")
    if marked := ", ".join(str(key) for key, receipt in result.receipts.items() if receipt.possible_duplicate):
        say(
            f"Marked as a possible duplicate: {marked}. A create that was answered with 500 may have been applied. "
            "If it was, the repeat has created a second ticket. "
            'The line "duplicates" above counts the rows with two tickets.\n'
        )
    say("Next steps:")
    say('- Write a program: see "Creating and updating tickets" in the README.')
    say("- Serve the emulator until Ctrl-C:")
    _print_command(console, "emulator")
    say("- Use your account: set LSQ_ACCESS_KEY, LSQ_SECRET_KEY and LSQ_ORG_ID, then:")
    _print_command(console, "doctor")
    return not failed


def _table(checks: list[Check]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column()
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column()
    for check in checks:
        note = Text(f"FAILED: {check.problem}", "bold red") if check.problem else Text(check.meaning, "dim")
        grid.add_row(Text(check.name), Text(check.found, "bold red" if check.problem else "bold green"), note)
    return grid


def _print_command(console: Console, name: str) -> None:
    """Print a command to paste, with the shortest path of this Python executable."""
    python = sys.executable
    with suppress(ValueError):  # on Windows, Python can be on another drive
        python = min(python, os.path.relpath(python), key=len)
    python = shlex.quote(python)
    if shutil.which("python") == sys.executable:
        python = "python"
    console.print(f"  {python} -m lsq_service_async {name}", soft_wrap=True, markup=False, highlight=False)
