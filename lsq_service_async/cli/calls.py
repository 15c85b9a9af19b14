"""The commands `ticket`, `lead`, `fields` and `sub-types`. Each runs one operation and prints its result as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Any

import attrs
import click

from .. import ActivityType, FieldMetadata, Lead, NewTicket, ServiceClient, TicketUpdate
from ..bulk.columns import ColumnError, TicketType, field_names, fields_of, make_ticket
from .shell import SOME_FAILED, TIME_ZONE, discard_stdout, print_json, to_json


@click.group()
def ticket() -> None:
    """Create, read, change or trash tickets. Each command makes one call.

    Set LSQ_ACCESS_KEY and LSQ_SECRET_KEY to the API keys of the account, and LSQ_ORG_ID to its org id. To share the
    rate limit with other programs on this machine, set LSQ_LIMIT_FILE to a file.
    """


def _field_options(ticket_type: TicketType) -> list[click.Parameter]:
    """Return the options for the fields and files of a ticket."""
    help = {"due_date": "Date and time, such as 2026-01-31T09:00:00+05:30."}
    named = [click.Option([f"--{name.replace('_', '-')}"], help=help.get(name)) for name in field_names(ticket_type)]
    return [
        *named,
        TIME_ZONE,
        click.Option(
            ["--field", "fields"],
            multiple=True,
            metavar="NAME=VALUE",
            help="Set a field by its schema name. Repeatable.",
        ),
        click.Option(["--attach"], multiple=True, type=click.Path(path_type=Path), help="Attach a file. Repeatable."),
    ]


@ticket.command(params=_field_options(NewTicket))
def create(fields: tuple[str, ...], attach: tuple[Path, ...], time_zone: tzinfo | None, **named: str | None) -> int:
    """Create a ticket and print its receipt as JSON."""
    new: Any = _ticket(NewTicket, fields, named, time_zone)
    return _run(lambda client: client.tickets.create(new, attachments=attach))


@ticket.command()
@click.argument("number")
def get(number: str) -> int:
    """Print a ticket as JSON. NUMBER is the number or the GUID of the ticket."""
    return _run(lambda client: client.tickets.get(number))


@ticket.command(params=[click.Argument(["number"]), *_field_options(TicketUpdate)])
@click.option("--clear", multiple=True, metavar="NAME", help="Clear a field. Repeatable.")
def update(
    number: str,
    fields: tuple[str, ...],
    attach: tuple[Path, ...],
    clear: tuple[str, ...],
    time_zone: tzinfo | None,
    **named: str | None,
) -> int:
    """Change fields of a ticket or attach files, and print the receipt as JSON."""
    change: Any = _ticket(TicketUpdate, fields, named, time_zone, clear)
    return _run(lambda client: client.tickets.update(number, change, attachments=attach))


@ticket.command()
@click.argument("number")
@click.argument("text")
def note(number: str, text: str) -> int:
    """Add the internal note TEXT to a ticket and print the receipt as JSON."""
    return _run(lambda client: client.tickets.add_note(number, text))


@ticket.command()
@click.argument("number")
@click.argument("text")
@click.option("--direction", default="INBOUND", show_default=True, help="The vendor documents only INBOUND.")
def portal(number: str, text: str, direction: str) -> int:
    """Add TEXT to a ticket as a message of the customer portal, and print the receipt as JSON."""
    return _run(lambda client: client.tickets.add_portal_activity(number, text, direction=direction))


@ticket.command()
@click.argument("number")
@click.option("--type", "types", multiple=True, metavar="NAME", help="Print only activities of this type. Repeatable.")
def conversations(number: str, types: tuple[str, ...]) -> int:
    """Print the e-mails and portal messages of a ticket as a JSON list.

    The types are InboundEmail, OutboundEmail, PortalInbound and PortalOutbound. By default, all are printed.
    """
    return _run(lambda client: client.tickets.conversations(number, types=types or tuple(ActivityType)))


@ticket.command()
@click.argument("numbers", nargs=-1, required=True, metavar="NUMBER...")
def trash(numbers: tuple[str, ...]) -> int:
    """Trash tickets, and print as JSON which were trashed and which failed.

    The keys must belong to an admin. The exit code is 1 if a ticket could not be trashed.
    """
    return _run(lambda client: client.tickets.trash(numbers), is_ok=lambda result: not result.failed)


@click.group()
def lead() -> None:
    """Find a lead."""


@lead.command()
@click.argument("email_or_phone")
def find(email_or_phone: str) -> int:
    """Print the lead with this e-mail address or phone number as JSON.

    The exit code is 1 if the account has no such lead.
    """

    async def call(client: ServiceClient) -> Lead:
        by = client.leads.find_by_email if "@" in email_or_phone else client.leads.find_by_phone
        found = await by(email_or_phone)
        if found is None:
            raise click.ClickException(f"no lead has the e-mail address or phone number {email_or_phone!r}")
        return found

    return _run(call)


@click.command()
@click.option("--search", default="", metavar="TEXT", help="Print only fields that match this text.")
def fields(search: str) -> int:
    """Print the ticket fields of the account as a JSON list. The keys must belong to an admin."""

    async def call(client: ServiceClient) -> list[FieldMetadata]:
        return [field async for field in client.metadata.fields(search=search)]

    return _run(call)


@click.command()
def sub_types() -> int:
    """Print the values of the field SubType as a JSON list. The keys must belong to an admin."""
    return _run(lambda client: client.metadata.sub_types())


def _run(operation: Callable[[ServiceClient], Awaitable[Any]], **options: Any) -> int:
    return asyncio.run(_print_result(operation, **options))


async def _print_result(
    operation: Callable[[ServiceClient], Awaitable[Any]], is_ok: Callable[[Any], bool] = lambda record: True
) -> int:
    """Print the result of *operation* as JSON, and return the exit code."""
    async with ServiceClient.from_env() as client:
        record = await operation(client)
    shown = [_shown(one) for one in record] if isinstance(record, list) else _shown(record)
    try:
        print_json(shown, indent=2)
    except OSError as error:
        discard_stdout()
        click.echo(f"Cannot write to stdout: {error.strerror}. The result is: {to_json(shown)}", err=True)
        return SOME_FAILED
    return 0 if is_ok(record) else SOME_FAILED


def _shown(record: Any) -> dict[str, Any]:
    return attrs.asdict(record, filter=lambda field, value: field.name != "attempts")


def _ticket(
    ticket_type: TicketType,
    fields: Iterable[str],
    named: Mapping[str, str | None],
    zone: tzinfo | None,
    clear: Iterable[str] = (),
) -> Any:
    given = [(name, value) for name, value in named.items() if value is not None]
    for text in fields:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--field expects NAME=VALUE, such as CustomData.SRC_CS_2=Online, not {text!r}")
        given.append((name, value))
    both = {name for name, _ in given}.intersection(clear)
    if both:
        raise click.UsageError(f"field {min(both)} is both set and cleared; remove one of the two options")
    pairs = [*given, *((name, None) for name in clear)]
    try:
        names = fields_of([name for name, _ in pairs], ticket_type)
        return make_ticket(dict(zip(names, (value for _, value in pairs), strict=True)), ticket_type, zone)
    except ColumnError as error:
        raise click.UsageError(str(error).replace("column", "field", 1)) from None
