"""The group of commands, and what the process ends with."""

from __future__ import annotations

from collections.abc import Sequence

import click

from .. import LSQServiceError, __version__
from .bulk.commands import bulk
from .demo.command import demo
from .doctor import doctor
from .emulator import emulator
from .endings import INTERRUPTED, exit_code_of
from .ticket import ticket


@click.group()
@click.version_option(__version__, message="lsq-service-async %(version)s")
def commands() -> None:
    """Tickets of LeadSquared Service CRM from the command line.

    Begin with "demo": it needs no account.
    """


for _command in (demo, emulator, doctor, ticket, bulk):
    commands.add_command(_command)


def run(argv: Sequence[str] | None = None) -> int:
    """Carry out one command line (by default that of the process); its exit code: 0 for all well, 1 for a command that
    failed, 2 for one that cannot be understood, 4 for keys that will not do, 75 for a bulk run that stopped and can go
    on, 130 after Ctrl-C."""
    try:
        return int(commands.main(args=argv, standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except LSQServiceError as error:
        click.echo(f"Error: {error}", err=True)
        return exit_code_of(error)
    except click.Abort:
        click.echo("stopped by Ctrl-C", err=True)
        return INTERRUPTED
