"""The group of commands, and what the process ends with."""

from __future__ import annotations

from collections.abc import Sequence

import click

from .. import __version__
from .demo import demo
from .emulator import emulator

INTERRUPTED = 130
"""What shells report for a process that Ctrl-C ended."""


@click.group()
@click.version_option(__version__, message="lsq-service-async %(version)s")
def commands() -> None:
    """Tickets of LeadSquared Service CRM from the command line.

    Begin with "demo": it needs no account.
    """


commands.add_command(demo)
commands.add_command(emulator)


def run(argv: Sequence[str] | None = None) -> int:
    """Carry out one command line (by default that of the process); its exit code: 0 for all well, 1 for a command that
    failed, 2 for one that cannot be understood, 130 after Ctrl-C."""
    try:
        return int(commands.main(args=argv, standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("stopped by Ctrl-C", err=True)
        return INTERRUPTED
