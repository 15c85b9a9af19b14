"""`plan` and `run --dry-run`: count the calls of a run and find rows that would fail. Neither changes a ticket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import click

from ... import (
    Attachment,
    AuthenticationError,
    InvalidRequestError,
    LSQServiceError,
    NewTicket,
    ServiceClient,
    TicketUpdate,
)
from ...bulk import Plan
from ...bulk.journal import match_rows
from ..client import client_from_env
from ..columns import FILES, attachment_paths
from ..exit_codes import SOME_FAILED
from ..progress import format_duration
from .input import BulkFile, FileRow, Rows
from .output import Results

Validate = Callable[[NewTicket | TicketUpdate], Awaitable[list[str]]]


async def print_plan(file: BulkFile, rows: Rows) -> None:
    """Print how many calls a run would make and how long they take."""
    async with client_from_env() as client:
        _print_plan(file.job(client, rows).plan())
    if rows.bad:
        click.echo(f"Invalid rows, not counted: {rows.bad}. To print the reasons, use run --dry-run.", err=True)


def _print_plan(plan: Plan) -> None:
    seconds = format_duration(plan.seconds or 0.0)
    click.echo(f"{plan.calls} calls, at least {seconds} at the rate limit; {plan.done} rows are done", err=True)


async def check_rows(file: BulkFile, rows: Rows, results: Results, **options: Any) -> int:
    """Write each row that would fail, print the plan, and return the exit code."""
    failed = rows.bad
    rows.on_bad = lambda line: results.write_failed(line, line.error)
    async with client_from_env() as client:
        plan = file.job(client, rows, **options).plan()  # first, because it rejects the journal of another account
        validate = await _validator(client)
        for row, _, changed in match_rows(file.journal, rows):
            problems = [*await validate(row.ticket), *_attachment_problems(row), *filter(None, [changed])]
            if problems:
                failed += 1
                results.write_failed(row.line, f"line {row.line.number}: {'; '.join(problems)}")
    _print_plan(plan)
    click.echo(f"{failed} of {rows.total} rows would fail; nothing was sent", err=True)
    return SOME_FAILED if failed else 0


async def _validator(client: ServiceClient) -> Validate:
    """Return a function that checks a ticket against the account's metadata.

    If the metadata cannot be read, the function checks only whether a new ticket names its lead.
    """

    async def by_metadata(ticket: NewTicket | TicketUpdate) -> list[str]:
        return [problem.message for problem in await client.metadata.validate(ticket)]

    async def by_lead(ticket: NewTicket | TicketUpdate) -> list[str]:
        if isinstance(ticket, TicketUpdate) or ticket.names_lead:
            return []
        return ["the lead is missing: give lead_id, lead_email or lead_phone"]

    try:
        await client.metadata.validate(NewTicket())
    except AuthenticationError:
        raise  # every row would fail
    except LSQServiceError as error:
        click.echo(f"Checked without the account's field metadata (it needs the keys of an admin): {error}", err=True)
        return by_lead
    return by_metadata


def _attachment_problems(row: FileRow) -> Iterator[str]:
    for path in attachment_paths(row.line.cells):
        try:
            Attachment.from_path(path)
        except InvalidRequestError as error:
            yield f"column {FILES}: {error}"
