"""``--dry-run``: every row validated, and nothing sent that could change anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

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
from ..columns import FILES, files_of
from .reading import BadRow, FileRow, Rows

Validate = Callable[[NewTicket | TicketUpdate], Awaitable[list[str]]]
_LEAD_SCHEMA = ("LeadDetail.EmailAddress", "LeadDetail.Phone")


async def problems(rows: Rows, client: ServiceClient) -> AsyncIterator[tuple[FileRow | BadRow, str]]:
    """The rows that would fail, each with why: by the account's metadata, which costs a few calls in all, or where
    those cannot be read by what every account demands."""
    validate = await _validation(client)
    for row in rows:
        if isinstance(row, BadRow):
            yield row, row.error
        elif found := [*await validate(row.ticket), *_of_files(row)]:
            yield row, f"line {row.line}: {'; '.join(found)}"


async def _validation(client: ServiceClient) -> Validate:
    async def by_account(ticket: NewTicket | TicketUpdate) -> list[str]:
        return [problem.message for problem in await client.metadata.validate(ticket)]

    try:
        await client.metadata.validate(NewTicket())
    except AuthenticationError:
        raise  # no row would be taken
    except LSQServiceError as error:
        click.echo(f"Checked without the account's metadata, which only an admin's keys can read: {error}", err=True)
        return _by_themselves
    return by_account


async def _by_themselves(ticket: NewTicket | TicketUpdate) -> list[str]:
    if isinstance(ticket, NewTicket) and not _names_lead(ticket):
        return ["the lead is missing: give lead_id, lead_email or lead_phone"]
    return []


def _names_lead(ticket: NewTicket) -> bool:
    named = (ticket.lead_id, ticket.lead_email, ticket.lead_phone)
    return any(named) or any(ticket.fields.get(name) for name in _LEAD_SCHEMA)


def _of_files(row: FileRow) -> Iterator[str]:
    for path in files_of(row.record):
        try:
            Attachment.from_path(path)
        except InvalidRequestError as error:
            yield f"column {FILES}: {error}"
