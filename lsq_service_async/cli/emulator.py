"""The command ``emulator``."""

from __future__ import annotations

import click


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
def emulator(port: int) -> None:
    """Serve a stand-in for the service until Ctrl-C.

    Local, with a memory, and as strict about speed as the service. Prints the settings that lead a client to it.
    """
    from ..emulator import serve

    try:
        serve(port, say=_announce)
    except OSError as error:
        why = error.strerror or error
        raise click.ClickException(f"cannot serve on port {port}: {why}; --port takes another, 0 a free one") from error


def _announce(settings: str) -> None:
    click.echo("Serving until Ctrl-C. Paste this where your program runs; ServiceClient.from_env() reads it:", err=True)
    click.echo(settings)
