"""`run --first N`: send a few rows, read their tickets back, and ask before the others are sent."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import attrs
import click

from ... import LSQServiceError, ServiceClient, Ticket
from ...bulk import RowOutcome
from ...errors import printable
from ...records import UNSET
from ..shell import RESUMABLE, SOME_FAILED
from .input import BulkFile, Rows
from .output import Results
from .run import send_rows


async def send_first(file: BulkFile, rows: Rows, results: Results, *, first: int, **options: Any) -> int:
    """Send the first rows, print the fields that the service changed, and send the others if the user agrees.

    Without a terminal, the others are not sent. Return the exit code.
    """
    total, applied = rows.total, list[RowOutcome]()
    rows.narrow(first=first)
    code = await send_rows(file, rows, results, applied=applied, **options)
    left = total - rows.total
    others = f"{left} row" if left == 1 else f"{left} rows"
    if code not in (0, SOME_FAILED) or not left:
        return code
    async with ServiceClient.from_env() as client:
        for outcome in applied:
            await _compare(client, outcome)
    if not (sys.stdin and sys.stdin.isatty()):
        click.echo(f"Not sent: {others}. To send the rest, run the same command without --first.", err=True)
        return RESUMABLE
    click.echo(f"Send the other {others}? [y/N]: ", nl=False, err=True)  # click.confirm writes a blank to stdout
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        return RESUMABLE
    rows.narrow(after=rows.last_line)
    return max(code, await send_rows(file, rows, results, **options))


async def _compare(client: ServiceClient, outcome: RowOutcome) -> None:
    """Print each field whose value in the ticket differs from the value that was sent."""
    assert outcome.receipt is not None and outcome.row is not None  # noqa: S101, PT018 -- it was applied
    number = outcome.receipt.number
    about = f"row {printable(outcome.key, 60)}, ticket {number}"
    try:
        ticket = await client.tickets.get(number)
    except LSQServiceError as error:
        click.echo(f"{about}: cannot be read: {error}", err=True)
        return
    changes = list(_changes(outcome.row.ticket, ticket))
    for name, sent, found in changes:
        click.echo(printable(f"{about}: {name} was sent as {sent!r} and is {found!r}", 300), err=True)
    if not changes:
        click.echo(f"{about}: all fields are as sent", err=True)


def _changes(sent: Any, ticket: Ticket) -> Iterator[tuple[str, Any, Any]]:
    """Yield the fields that differ, each with the value that was sent and the value of the ticket."""
    is_new = not any(getattr(sent, field.name) is UNSET for field in attrs.fields(type(sent)))
    names = [field.name for field in attrs.fields(type(sent)) if field.name != "fields" and hasattr(ticket, field.name)]
    pairs = [(name, getattr(sent, name), getattr(ticket, name)) for name in names]
    pairs = [pair for pair in pairs if pair[1] is not UNSET and not (is_new and pair[1] is None)]
    pairs += [(name, value, ticket.fields.get(name)) for name, value in sent.fields.items()]
    for name, before, after in pairs:
        is_date = isinstance(before, datetime) and isinstance(after, datetime)
        if before != after if is_date else _text(name, before) != _text(name, after):
            yield name, before, after


def _text(name: str, value: Any) -> str:
    text = "" if value is None else str(value).strip()
    return text.lower() if name.lower().endswith("id") else text  # GUIDs ignore case
