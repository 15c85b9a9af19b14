"""The commands `lead find`, `fields` and `sub-types`: read leads and field metadata, and print JSON."""

from __future__ import annotations

import asyncio

import click

from .. import FieldMetadata, Lead, ServiceClient
from .client import print_result


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
            raise click.ClickException(f"no lead has {email_or_phone!r}")
        return found

    return asyncio.run(print_result(call))


@click.command()
@click.option("--search", default="", metavar="TEXT", help="Only fields that match this text.")
def fields(search: str) -> int:
    """Print the ticket fields of the account as a JSON list. The keys must belong to an admin."""

    async def call(client: ServiceClient) -> list[FieldMetadata]:
        return [field async for field in client.metadata.fields(search=search)]

    return asyncio.run(print_result(call))


@click.command()
def sub_types() -> int:
    """Print the values of the field SubType as a JSON list. The keys must belong to an admin."""
    return asyncio.run(print_result(lambda client: client.metadata.sub_types()))
