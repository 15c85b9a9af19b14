"""The rows of a bulk run, read from any iterable."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

import attrs

from .._attachment_sources import SpooledSource
from ..attachments import Attachable, as_attachments, as_tuple
from ..errors import InvalidRequestError, shown
from ..records import NewTicket, TicketRef, TicketUpdate
from ..records.tickets import number_of

KEY_LENGTH = 200
_KEY = f"(?s)[^\ud800-\udfff]{{1,{KEY_LENGTH}}}"  # SQLite cannot store an unpaired surrogate


def _files(given: Iterable[Attachable] | None) -> tuple[Attachable, ...]:
    return tuple(as_attachments([file])[0] if isinstance(file, tuple) else file for file in as_tuple(given))


@attrs.frozen
class BulkRow:
    """One row of a bulk run.

    ``key`` identifies the row in the journal, and has at most 200 characters. A row without a key is identified by its
    content. A later run with the same journal skips a row that is done and has the same content. ``ticket`` is a
    `NewTicket` to create or a `TicketUpdate`. For an update, ``target`` is the ticket to change.
    """

    key: str | None
    ticket: NewTicket | TicketUpdate
    attachments: tuple[Attachable, ...] = attrs.field(default=(), converter=_files)
    target: TicketRef | None = attrs.field(default=None, kw_only=True)


Source = Iterable[NewTicket | BulkRow] | AsyncIterable[NewTicket | BulkRow]


@attrs.frozen
class Row:
    """A row and the digest of its content."""

    key: str | None
    digest: str
    given: BulkRow


async def rows_of(source: Source) -> AsyncIterator[Row]:
    """Yield the rows of any iterable, one at a time. Raises InvalidRequestError for an item that is not a row."""
    if hasattr(source, "__aiter__"):
        async for item in source:
            yield row_of(item)
            await asyncio.sleep(0)  # lets other tasks run, even if the source never waits
    else:
        for item in source:
            yield row_of(item)
            await asyncio.sleep(0)


def row_of(item: Any) -> Row:
    """Make a `Row` from a `NewTicket` or a `BulkRow`. Raises InvalidRequestError for anything else."""
    row = BulkRow(None, item) if isinstance(item, NewTicket) else item
    if not isinstance(row, BulkRow) or not isinstance(row.ticket, NewTicket | TicketUpdate):
        text = f"A bulk row must be a NewTicket or a BulkRow, not {type(item).__name__}."
        raise InvalidRequestError(f"{text} To make rows from mappings, use bulk.rows_from.")
    key = row.key
    if key is not None and not is_key(key):
        raise InvalidRequestError(f"A bulk row's key must be text of 1 to {KEY_LENGTH} characters, not {shown(key)}.")
    try:
        return Row(row.key, digest_of(row.ticket, row.target, row.attachments), row)
    except Exception as error:
        raise InvalidRequestError(f"The values of the row with the key {shown(key)} cannot be used: {error}") from None


def is_key(key: object) -> bool:
    """Return whether a value can be the key of a row."""
    return isinstance(key, str) and bool(key.strip()) and re.fullmatch(_KEY, key) is not None


def digest_of(ticket: NewTicket | TicketUpdate, target: TicketRef | None = None, files: Iterable[Any] = ()) -> str:
    """Return 128 bits of the SHA-256 of a row. Of each file, only the name and the length are hashed."""
    # Defaults are left out, so that a new field in a later version does not change every digest.
    given = []
    for field in attrs.fields(type(ticket)):
        if (value := getattr(ticket, field.name)) is not field.default:
            given.append((field.name, _plain(value)))
    number = None if target is None else number_of(str(getattr(target, "number", target)))
    parts = [type(ticket).__name__, repr(sorted(given, key=itemgetter(0))), repr(number)]
    for file in files:
        # A source that can be read only once has no length before it is read.
        length = None if isinstance(getattr(file, "source", None), SpooledSource) else getattr(file, "length", None)
        parts.append(repr((str(getattr(file, "name", file)), length)))
    return hashlib.sha256("\x00".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]


def _plain(value: Any) -> Any:
    """Normalize a value, so that equal values of different types have the same digest."""
    if isinstance(value, dict):
        return sorted((str(name), _plain(held)) for name, held in value.items())
    if isinstance(value, datetime) and value.tzinfo is not None:
        with suppress(OverflowError):  # raised near datetime.min and datetime.max
            return value.astimezone(UTC)
    return str(value) if isinstance(value, str | UUID) else value
