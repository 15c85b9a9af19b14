"""The group of all commands, and the exit code of the process."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from importlib import import_module

import click

from .. import LSQServiceError, __version__
from .._logging import LOG_LEVEL, log_to_stderr
from .shell import INTERRUPTED, SOME_FAILED, discard_stdout, exit_code_for, printable_lines, reliable_streams

_MODULES = {
    "demo": ".demo.command",
    "emulator": ".emulator",
    "doctor": ".doctor",
    "ticket": ".calls",
    "lead": ".calls",
    "fields": ".calls",
    "sub-types": ".calls",
    "bulk": ".bulk.commands",
}


class _Commands(click.Group):
    """Imports the module of a command when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _MODULES:
            return None
        command: click.Command = getattr(import_module(_MODULES[name], __package__), name.replace("-", "_"))
        return command


@click.group(cls=_Commands)
@click.version_option(__version__, message="lsq-service-async %(version)s")
def commands() -> None:
    """Work with LeadSquared Service CRM tickets from the command line.

    Start with "demo": it needs no account. To log retries and waits on stderr, set LSQ_LOG=info.
    """
    log_to_stderr(os.environ.get(LOG_LEVEL))


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: `sys.argv`) and return its exit code.

    0 success, 1 failure, 2 wrong usage or settings, 4 wrong keys or a missing permission, 75 a bulk run that can
    continue, 130 Ctrl-C. The function of a command returns the exit code, or None for 0.
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
            problem = f"{error.filename!r} cannot be used" if error.filename else "cannot write to stdout"
            click.echo(f"Error: {problem}: {error.strerror or error}", err=True)
            return SOME_FAILED
