"""The commands `ticket create`, `ticket get` and `ticket update`: one call each, with its result as JSON on stdout."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import click

from .. import NewTicket, ServiceClient, Ticket, TicketReceipt, TicketUpdate
from .client import client_from_env
from .columns import ColumnError, TicketType, check_columns, field_names, make_ticket
from .exit_codes import SOME_FAILED
from .streams import discard_stdout, print_json, to_json


@click.group()
def ticket() -> None:
    """Create, get or update one ticket.

    The account is set by LSQ_ACCESS_KEY, LSQ_SECRET_KEY and LSQ_ORG_ID. Set LSQ_LIMIT_FILE to a file to share the
    rate limit with other programs on this machine.
    """


def _field_options(ticket_type: TicketType) -> list[click.Parameter]:
    """Return an option for each field, `--field` for fields that have only a schema name, and `--attach`."""
    help = {"due_date": "With a time zone, such as 2026-01-31T09:00:00+05:30."}
    named = [click.Option([f"--{name.replace('_', '-')}"], help=help.get(name)) for name in field_names(ticket_type)]
    return [
        *named,
        click.Option(
            ["--field", "fields"],
            multiple=True,
            metavar="NAME=VALUE",
            help="Set a field by its schema name. Repeatable.",
        ),
        click.Option(["--attach"], multiple=True, type=click.Path(path_type=Path), help="Attach a file. Repeatable."),
    ]


@ticket.command(params=_field_options(NewTicket))
def create(fields: tuple[str, ...], attach: tuple[Path, ...], **named: str | None) -> int:
    """Create a ticket and print its receipt as JSON."""
    new: Any = _ticket(NewTicket, fields, named)
    return asyncio.run(_print(lambda client: client.tickets.create(new, attachments=attach)))


@ticket.command()
@click.argument("number")
def get(number: str) -> int:
    """Print a ticket as JSON. NUMBER is its number or its GUID."""
    return asyncio.run(_print(lambda client: client.tickets.get(number)))


@ticket.command(params=[click.Argument(["number"]), *_field_options(TicketUpdate)])
@click.option("--clear", multiple=True, metavar="NAME", help="Empty a field. Repeatable.")
def update(
    number: str, fields: tuple[str, ...], attach: tuple[Path, ...], clear: tuple[str, ...], **named: str | None
) -> int:
    """Change fields of a ticket or attach files, and print the receipt as JSON."""
    change: Any = _ticket(TicketUpdate, fields, named, clear)
    return asyncio.run(_print(lambda client: client.tickets.update(number, change, attachments=attach)))


def _ticket(
    ticket_type: TicketType, fields: Iterable[str], named: Mapping[str, str | None], clear: Iterable[str] = ()
) -> Any:
    given = [(name, value) for name, value in named.items() if value is not None]
    for text in fields:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--field expects NAME=VALUE, such as CustomData.SRC_CS_2=Online, not {text!r}")
        given.append((name, value))
    both = {name for name, _ in given}.intersection(clear)
    if both:
        raise click.UsageError(f"field {min(both)}: both set and cleared; remove one of the two options")
    pairs = [*given, *((name, None) for name in clear)]
    try:
        check_columns((name for name, _ in pairs), ticket_type)
        return make_ticket(dict(pairs), ticket_type)
    except ColumnError as error:
        raise click.UsageError(str(error).replace("column", "field", 1)) from None


async def _print(operation: Callable[[ServiceClient], Awaitable[Ticket | TicketReceipt]]) -> int:
    """Call *operation* with a client, print the record that it returns, and return the exit code."""
    async with client_from_env() as client:
        record = await operation(client)
    shown = attrs.asdict(record, filter=lambda field, value: field.name != "attempts")
    try:
        print_json(shown, indent=2)
    except OSError as error:
        discard_stdout()
        click.echo(f"Cannot write to stdout: {error.strerror}. The result is: {to_json(shown)}", err=True)
        return SOME_FAILED
    return 0
