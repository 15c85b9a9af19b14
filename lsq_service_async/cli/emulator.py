"""The command `emulator`."""

from __future__ import annotations

import click


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 selects a free port.")
def emulator(port: int) -> None:
    """Serve a local stand-in for the service until Ctrl-C.

    It stores tickets in memory and enforces the rate limit of the service. The settings that connect a client to it
    are printed on stdout.
    """
    from ..emulator import serve

    def announce(settings: str) -> None:
        click.echo("Serving until Ctrl-C. Paste these lines into the shell that runs your program:", err=True)
        click.echo(settings)

    try:
        serve(port, say=announce)
    except OSError as error:
        reason = error.strerror or error
        raise click.ClickException(
            f"cannot listen on port {port}: {reason}. Pass another --port, or 0 for a free one."
        ) from error
