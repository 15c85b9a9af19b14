"""The command `emulator`."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from .._private_files import check_private_database

if TYPE_CHECKING:
    from ..emulator import Call


def _limit(context: click.Context, option: click.Parameter, value: str) -> tuple[int, float]:
    calls, _, seconds = value.partition("/")
    if re.fullmatch(r"[0-9]{1,9}/[0-9]{1,9}(\.[0-9]{1,9})?", value) and int(calls) and float(seconds):
        return int(calls), float(seconds)
    raise click.BadParameter(f"{value!r} is not a limit. Write calls and seconds, such as 25/5.")


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 selects a free port.")
@click.option("--limit", callback=_limit, default="25/5", show_default=True, help="Rate limit: calls and seconds.")
@click.option(
    "--window",
    type=click.Choice(["sliding", "fixed", "bucket", "estimate"]),
    default="sliding",
    show_default=True,
    help="How the emulator counts calls. With estimate, it counts like HAProxy.",
)
@click.option("--persist", metavar="FILE", help="Store the tickets and the counter of their numbers in a SQLite file.")
@click.option(
    "--seed",
    metavar="FILE",
    help="Load tickets from a JSONL file at the start, unless the --persist file already has tickets.",
)
@click.option("--facts", metavar="FILE", help="Behave like the account in FILE, which `doctor --learn FILE` wrote.")
@click.option("--no-mandatory", is_flag=True, help="Accept new tickets without the mandatory fields Title and Status.")
def emulator(
    port: int,
    limit: tuple[int, float],
    window: str,
    persist: str | None,
    seed: str | None,
    facts: str | None,
    no_mandatory: bool,
) -> None:
    """Serve a local emulator of the service until Ctrl-C.

    The emulator stores tickets in memory, unless --persist is given. In the --facts file, `rate_limit` replaces
    --limit, and `window` replaces --window. The command prints the settings for a client on stdout, and a line for each
    request on stderr.
    """
    from ..emulator import TicketFile, TicketStore, serve
    from ..emulator import seed as add_tickets

    is_listening = False

    def announce(settings: str) -> None:
        nonlocal is_listening
        is_listening = True
        origin = settings.rpartition("=")[2]
        click.echo(f"Serving until Ctrl-C. Requests and tickets are shown at {origin}/", err=True)
        click.echo("Paste these lines into the shell that runs your program:", err=True)
        click.echo(settings)

    with ExitStack() as stack:
        try:
            store = TicketStore()
            if persist is not None:
                if Path(persist).exists():
                    check_private_database(persist)
                store = stack.enter_context(closing(TicketFile(persist)))
            if seed is not None and not store.tickets and not store.trashed:
                add_tickets(store, seed)
            given: Any = {"rate_limit": limit, "window": window, "facts": facts, "enforce_mandatory": not no_mandatory}
            serve(port, say=announce, on_call=_print_call, store=store, **given)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        except OSError as error:
            if is_listening:
                raise  # a write to stdout failed
            reason = error.strerror or error
            if error.filename is not None:
                raise click.UsageError(f"cannot open {error.filename}: {reason}") from error
            raise click.ClickException(
                f"cannot listen on port {port}: {reason}. Pass another --port, or 0 for a free one."
            ) from error


def _print_call(call: Call) -> None:
    fault = "over the limit" if call.refused else type(call.fault).__name__.replace("Serve", "")
    color = "green" if (call.status or 599) < 400 else "yellow" if (call.status or 599) < 500 else "red"
    status = click.style(f"{call.status or 'none':>4}", fg=color)
    milliseconds = f"{1000 * (call.seconds or 0):.0f} ms"
    # Quoted, because characters in a path could control the terminal.
    line = f"{time.strftime('%H:%M:%S')} {status} {milliseconds:>8}  {call.method:4} {quote(call.path)}  {fault}"
    click.echo(line.rstrip(), err=True)
