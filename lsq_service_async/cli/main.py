"""The group of commands, and the exit code of the process."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

import click

from .. import LSQServiceError, __version__
from .._logging import LOG_LEVEL, log_to_stderr
from .account import fields, lead, sub_types
from .bulk.commands import bulk
from .demo.command import demo
from .doctor import doctor
from .emulator import emulator
from .exit_codes import INTERRUPTED, SOME_FAILED, exit_code_for
from .streams import discard_stdout, printable_lines, reliable_streams
from .ticket import ticket


@click.group()
@click.version_option(__version__, message="lsq-service-async %(version)s")
def commands() -> None:
    """Work with LeadSquared Service CRM tickets from the command line.

    Start with "demo": it needs no account. LSQ_LOG=info logs retries and waits on stderr.
    """
    log_to_stderr(os.environ.get(LOG_LEVEL))


for _command in (demo, emulator, doctor, ticket, lead, fields, sub_types, bulk):
    commands.add_command(_command)


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: `sys.argv`) and return its exit code.

    0 success, 1 failure, 2 wrong usage or settings, 4 rejected keys, 75 a bulk run that stopped and can continue,
    130 Ctrl-C. A command returns its exit code; None means 0.
    """
    with reliable_streams():
        try:
            return int(commands.main(args=argv, standalone_mode=False) or 0)
        except click.ClickException as error:
            shown = io.StringIO()
            error.show(shown)
            click.echo(printable_lines(shown.getvalue(), 4000), nl=False, err=True)
            return error.exit_code
        except LSQServiceError as error:
            click.echo(f"Error: {error}", err=True)
            return exit_code_for(error)
        except click.Abort:
            click.echo("Stopped by Ctrl-C.", err=True)
            return INTERRUPTED
        except OSError as error:
            discard_stdout()
            click.echo(f"Error: cannot write: {error.strerror or error}", err=True)
            return SOME_FAILED
