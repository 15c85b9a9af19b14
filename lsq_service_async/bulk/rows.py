"""Rows of a bulk run: whatever iterable they come from, each gets a key and a digest of its content."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

import attrs

from ..errors import InvalidRequestError
from ..records import NewTicket, TicketRef, TicketUpdate

_KEY_LENGTH = 200


@attrs.frozen
class BulkRow:
    """One row of a bulk run.

    ``key`` names it in the journal, at most 200 characters: a second run with the same key and content skips what is
    done; None has it made of the content. ``ticket`` is a NewTicket to create, or a TicketUpdate with the ticket to
    change as ``target``.
    """

    key: str | None
    ticket: NewTicket | TicketUpdate
    attachments: tuple[Any, ...] = attrs.field(default=(), converter=tuple)
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
    if not isinstance(item.key, str) or not item.key.strip() or len(item.key) > _KEY_LENGTH:
        raise InvalidRequestError(f"a bulk row's key is text of 1 to {_KEY_LENGTH} characters, not {item.key!r:.80}")
    return Row(item.key, digest_of(item.ticket, item.target, item.attachments), item)


def digest_of(ticket: NewTicket | TicketUpdate, target: TicketRef | None = None, files: Iterable[Any] = ()) -> str:
    """128 bits of SHA-256 over everything that a row says, with its files by name and length."""
    named = sorted(attrs.asdict(ticket, recurse=False).items())
    said = [type(ticket).__name__, repr([(name, _plain(value)) for name, value in named]), repr(_number(target))]
    said += [repr(_file(file)) for file in files]
    return hashlib.sha256("\x00".join(said).encode(errors="surrogatepass")).hexdigest()[:32]


def _plain(value: Any) -> Any:
    return sorted(value.items()) if isinstance(value, dict) else value


def _number(target: TicketRef | None) -> str | None:
    return None if target is None else str(getattr(target, "number", target))


def _file(file: Any) -> tuple[str, Any]:
    return str(getattr(file, "name", file)), getattr(file, "length", None)
