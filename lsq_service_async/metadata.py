"""Reads the field metadata of the account, and uses it to validate tickets before they are sent.

The answers are cached for ``Config.metadata_ttl`` seconds. A client and its views (`with_options`) share the cache.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Collection, Iterable
from functools import lru_cache, partial
from typing import Any

import attrs

from ._logging import logger
from ._wire.call import Api, Call, Idempotency, Send
from ._wire.parse import parse_field_page, parse_sub_types
from ._wire.serialize import encode
from ._wire.validation import problems_of
from .errors import InvalidRequestError, MalformedResponseError, NotSentError
from .records import FieldMetadata, NewTicket, Problem, SubType, TicketUpdate

_PAGE_SIZE = 25
_MAX_PAGES = 400
_MAX_FIELDS = _MAX_PAGES * _PAGE_SIZE
_MAX_CACHED = 64  # answers; each search text has its own answer


@attrs.define(eq=False)
class _CacheEntry:
    """A cached answer. ``valid_until`` is a time of the event loop's clock."""

    value: Any = None
    valid_until: float = 0.0
    lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)


class MetadataCache:
    """Caches up to 64 answers for ``ttl`` seconds. Concurrent calls of `get` with the same key share one request."""

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self._entry = lru_cache(maxsize=_MAX_CACHED)(lambda key: _CacheEntry())

    async def get(self, key: str, load: Callable[[], Awaitable[Any]], until: float | None) -> Any:
        """Return the cached answer, or load a new one.

        Raises NotSentError if another call is still loading this answer at ``until``, a time of the event loop's clock.
        """
        clock = asyncio.get_running_loop().time
        entry = self._entry(key)
        try:
            async with asyncio.timeout_at(until):
                await entry.lock.acquire()
        except TimeoutError:
            raise NotSentError("The deadline passed while another call read this metadata. Nothing was sent.") from None
        try:
            if clock() >= entry.valid_until:
                entry.value = await load()
                entry.valid_until = clock() + self._ttl
            return entry.value
        finally:
            entry.lock.release()


class Metadata:
    """The metadata operations of a client: ``client.metadata``. They are retried like ``client.tickets.get``."""

    def __init__(self, send: Send, cache: MetadataCache, deadline: float | None, marker: str | None = None) -> None:
        self._send = send
        self._cache = cache
        self._deadline = deadline
        self._marker = marker

    async def fields(self, *, search: str = "") -> AsyncIterator[FieldMetadata]:
        """Iterate over the ticket fields that match ``search`` (by default all fields), in the order of the service.

        Use it as ``async for field in client.metadata.fields()``. The API keys must belong to an admin.

        Page: apidocs.leadsquared.com/?p=5117
        """
        if not isinstance(search, str):
            raise InvalidRequestError(f"search must be text, not {type(search).__name__}")
        for field in await self._fields(search, self._until()):
            yield field

    async def sub_types(self) -> list[SubType]:
        """Return the values that the field SubType can have. The API keys must belong to an admin.

        Page: apidocs.leadsquared.com/?p=5102
        """
        return await self._sub_types(self._until())

    def _until(self) -> float | None:
        """Return the deadline of an operation that begins now."""
        return None if self._deadline is None else asyncio.get_running_loop().time() + self._deadline

    async def _sub_types(self, until: float | None) -> list[SubType]:
        call = Call(
            operation="metadata.sub_types",
            method="GET",
            path="/lookups/SubType/values",
            idempotency=Idempotency.SAFE,
            parse=parse_sub_types,
        )
        return list(await self._cache.get("sub types", lambda: self._send(call, until=until), until))

    async def validate(self, ticket: NewTicket | TicketUpdate) -> list[Problem]:
        """Return the reasons why the account would reject this ticket, or an empty list.

        Checks mandatory fields, lengths, patterns and sub-types. If the account's metadata is not cached, it is read
        first, with one call for each 25 fields and one call for the sub-types. The API keys must belong to an admin.

        For an update, only the given fields are checked. A pattern is not checked if it uses syntax that this package
        does not support, such as a backreference, or if matching it would take too long.
        """
        return (await self.validate_many([_checked(ticket)]))[0]

    async def validate_many(
        self, tickets: Iterable[NewTicket | TicketUpdate] | AsyncIterable[NewTicket | TicketUpdate]
    ) -> list[list[Problem]]:
        """Return a list of problems for each ticket, in the same order. The metadata is read once for all tickets."""
        if not isinstance(tickets, Iterable | AsyncIterable):
            raise InvalidRequestError(f"validate_many takes a list of tickets, not {type(tickets).__name__}")
        if isinstance(tickets, Collection):  # unlike an iterator, a collection can be read twice
            tickets = [_checked(ticket) async for ticket in _each(tickets)]
        until = self._until()
        fields, sub_types = await self._fields("", until), await self._sub_types(until)
        return [problems_of(_checked(ticket), fields, sub_types, self._marker) async for ticket in _each(tickets)]

    async def _fields(self, search: str, until: float | None) -> list[FieldMetadata]:
        read = partial(self._read_fields, search, until)
        fields: list[FieldMetadata] = await self._cache.get(f"fields {search}", read, until)
        return fields

    async def _read_fields(self, search: str, until: float | None) -> list[FieldMetadata]:
        """Read all pages. Raises MalformedResponseError if there are more than 400 pages or 10,000 fields.

        In the vendor's documentation, Offset begins at 0 in the sample and at 1 in the text. So this method first sends
        the number of fields read so far as Offset. If fields are still missing then, it sends page numbers.
        """
        found: dict[str, FieldMetadata] = {}
        total, pages = 1, 0
        for offsets in (iter(lambda: len(found), -1), itertools.count(1)):
            repeated_pages = 0
            while len(found) < total and repeated_pages < 2:
                fields, total = await self._send(_field_page(search, next(offsets)), until=until)
                pages += 1
                known = len(found)
                for field in fields:
                    found.setdefault(field.schema_name, field)
                repeated_pages = repeated_pages + 1 if len(found) == known else 0
                if len(found) > _MAX_FIELDS or pages > _MAX_PAGES:
                    raise MalformedResponseError(
                        f"The service reports {total:,} fields; at most {_MAX_FIELDS:,} on {_MAX_PAGES} pages are read."
                    )
        if len(found) < total:
            logger.warning("The service reports %d fields but returned %d.", total, len(found))
        return list(found.values())


def _field_page(search: str, offset: int) -> Call[tuple[list[FieldMetadata], int]]:
    return Call(
        operation="metadata.fields",
        method="POST",
        path="/ticket-types/1/fields/filter",
        api=Api.METADATA,
        idempotency=Idempotency.SAFE,
        parse=parse_field_page,
        body=encode({"Limit": _PAGE_SIZE, "Offset": offset, "SearchText": search}),
    )


def _checked(ticket: Any) -> NewTicket | TicketUpdate:
    if not isinstance(ticket, NewTicket | TicketUpdate):
        raise InvalidRequestError(f"validate takes a NewTicket or a TicketUpdate, not {type(ticket).__name__}")
    return ticket


async def _each(tickets: Any) -> AsyncIterator[Any]:
    if hasattr(tickets, "__aiter__"):
        async for ticket in tickets:
            yield ticket
    else:
        for ticket in tickets:
            yield ticket
            await asyncio.sleep(0)  # a long list must not block the event loop
