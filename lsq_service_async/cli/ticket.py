"""The commands ``ticket create``, ``ticket get`` and ``ticket update``: one call each, its answer as JSON on stdout."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import click

from .. import NewTicket, ServiceClient, Ticket, TicketReceipt, TicketUpdate
from .client import client_of_env
from .columns import ColumnError, Kind, check_columns, python_names, ticket_of

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
Answer = Ticket | TicketReceipt
_HELP = {"due_date": "Like 2026-01-31T09:00:00+05:30."}


@click.group()
def ticket() -> None:
    """Create, show or change one ticket.

    Keys come from LSQ_ACCESS_KEY, LSQ_SECRET_KEY and LSQ_ORG_ID. LSQ_LIMIT_FILE names the file of a limit that others
    on this machine share.
    """


def _options_of(kind: Kind) -> Decorator:
    """An option for each field, ``--field`` for those that have only a schema name, and ``--attach``."""
    names = [click.option(f"--{name.replace('_', '-')}", name, help=_HELP.get(name)) for name in python_names(kind)]
    more = [
        click.option("--field", "fields", multiple=True, metavar="NAME=VALUE", help="By schema name; repeatable."),
        click.option("--attach", multiple=True, type=click.Path(path_type=Path), help="A file; repeatable."),
    ]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed([*names, *more]):
            command = option(command)
        return command

    return decorate


@ticket.command()
@_options_of(NewTicket)
def create(fields: tuple[str, ...], attach: tuple[Path, ...], **named: str | None) -> None:
    """Create a ticket; prints its receipt as JSON."""
    new: Any = _ticket(NewTicket, fields, named)
    _print(_call(lambda client: client.tickets.create(new, attachments=attach)))


@ticket.command()
@click.argument("number")
def get(number: str) -> None:
    """Show a ticket, by its number or GUID."""
    _print(_call(lambda client: client.tickets.get(number)))


@ticket.command()
@click.argument("number")
@_options_of(TicketUpdate)
@click.option("--clear", multiple=True, metavar="NAME", help="A field to empty; repeatable.")
def update(
    number: str, fields: tuple[str, ...], attach: tuple[Path, ...], clear: tuple[str, ...], **named: str | None
) -> None:
    """Change fields of a ticket, and add files to it."""
    change: Any = _ticket(TicketUpdate, fields, named, clear)
    _print(_call(lambda client: client.tickets.update(number, change, attachments=attach)))


def _ticket(kind: Kind, fields: Iterable[str], named: Mapping[str, str | None], clear: Iterable[str] = ()) -> Any:
    given = [*((name, value) for name, value in named.items() if value is not None), *map(_pair, fields)]
    cleared = [(name, None) for name in clear]
    both = {name for name, _ in given}.intersection(clear)
    if both:
        raise click.UsageError(f"field {min(both)}: it is both set and cleared")
    try:
        check_columns((name for name, _ in [*given, *cleared]), kind)
        return ticket_of(dict([*given, *cleared]), kind)
    except ColumnError as error:
        raise click.UsageError(str(error).replace("column", "field", 1)) from None


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--field takes NAME=VALUE, such as CustomData.SRC_CS_2=Online, not {text!r}")
    return name, value


def _call(operation: Callable[[ServiceClient], Awaitable[Answer]]) -> Answer:
    async def call() -> Answer:
        async with client_of_env() as client:
            return await operation(client)

    return asyncio.run(call())


def _print(answer: Answer) -> None:
    shown = attrs.asdict(answer, filter=lambda field, value: field.name != "attempts")
    click.echo(json.dumps(shown, default=_date, ensure_ascii=False, indent=2))


def _date(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
