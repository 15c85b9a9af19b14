"""Rows of a bulk run: whatever iterable they come from, each gets a key and a digest of its content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import attrs

from .._attachment_sources import SpooledSource
from ..attachments import Attachable
from ..errors import InvalidRequestError
from ..records import NewTicket, TicketRef, TicketUpdate

KEY_LENGTH = 200


def _files(given: Iterable[Attachable] | None) -> tuple[Attachable, ...]:
    if given is None:
        return ()
    if isinstance(given, str | bytes | os.PathLike) or not isinstance(given, Iterable):
        raise InvalidRequestError(f"attachments is a list, also for one file, not {given!r:.80}")
    return tuple(given)


@attrs.frozen
class BulkRow:
    """One row of a bulk run.

    ``key`` names it in the journal, at most 200 characters: a second run with the same key and content skips what is
    done; None has it made of the content. ``ticket`` is a NewTicket to create, or a TicketUpdate with the ticket to
    change as ``target``.
    """

    key: str | None
    ticket: NewTicket | TicketUpdate
    attachments: tuple[Attachable, ...] = attrs.field(default=(), converter=_files)
    target: TicketRef | None = attrs.field(default=None, kw_only=True)


Source = Iterable[NewTicket | BulkRow] | AsyncIterable[NewTicket | BulkRow]


@attrs.frozen
class Row:
    """A row with the digest of its content; ``key`` is None until the journal has said which occurrence it is."""

    key: str | None
    digest: str
    given: BulkRow


async def rows_of(source: Source) -> AsyncIterator[Row]:
    """The rows of any iterable, one at a time. InvalidRequestError for what is no row."""
    if hasattr(source, "__aiter__"):
        async for item in source:
            yield row_of(item)
    else:
        for item in source:
            yield row_of(item)


def row_of(item: Any) -> Row:
    """A ticket alone gets a key of its content later; a `BulkRow` brings its own."""
    if isinstance(item, NewTicket):
        return Row(None, digest_of(item), BulkRow(None, item))
    if not isinstance(item, BulkRow) or not isinstance(item.ticket, NewTicket | TicketUpdate):
        raise InvalidRequestError(f"a bulk row is a NewTicket or a BulkRow, not {type(item).__name__}")
    if item.key is None:
        return Row(None, digest_of(item.ticket, item.target, item.attachments), item)
    if not isinstance(item.key, str) or not item.key.strip() or len(item.key) > KEY_LENGTH:
        raise InvalidRequestError(f"a bulk row's key is text of 1 to {KEY_LENGTH} characters, not {item.key!r:.80}")
    return Row(item.key, digest_of(item.ticket, item.target, item.attachments), item)


def digest_of(ticket: NewTicket | TicketUpdate, target: TicketRef | None = None, files: Iterable[Any] = ()) -> str:
    """128 bits of SHA-256 over everything that a row says, with its files by name and length."""
    # What is not said is left out, or a field that a later version adds would make every row another one.
    said_at_all = attrs.asdict(ticket, recurse=False, filter=lambda field, value: value is not field.default)
    named = sorted(said_at_all.items())
    said = [type(ticket).__name__, repr([(name, _plain(value)) for name, value in named]), repr(_number(target))]
    said += [repr(_file(file)) for file in files]
    return hashlib.sha256("\x00".join(said).encode(errors="surrogatepass")).hexdigest()[:32]


def _plain(value: Any) -> Any:
    """The same for all values that are sent alike: an enum's text is text, and a date the same in every zone."""
    if isinstance(value, dict):
        return sorted((str(name), _plain(held)) for name, held in value.items())
    if isinstance(value, datetime) and value.tzinfo is not None:
        with suppress(OverflowError):  # the first and last day of all; nothing is sent for such a one
            return value.astimezone(UTC)
    return str(value) if isinstance(value, str | UUID) else value


def _number(target: TicketRef | None) -> str | None:
    return None if target is None else str(getattr(target, "number", target))


def _file(file: Any) -> tuple[str, Any]:
    # The length of what can be read once is known only when it has been read, and a row is the same before and after.
    length = None if isinstance(getattr(file, "source", None), SpooledSource) else getattr(file, "length", None)
    return str(getattr(file, "name", file)), length
