"""What the account says of ticket fields, and tickets checked against it before they cost a call.

Both reads are for admins only. They are kept for ``Config(metadata_ttl=300.0)`` seconds, for a client and its views.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import Any

import attrs

from ._wire.call import Api, Call, Idempotency, Send, encode
from ._wire.parse import from_wire
from ._wire.validation import problems_of
from ._wire.values import listed, mapping, some_number
from .errors import InvalidRequestError, NotSentError
from .records import FieldMetadata, NewTicket, Problem, SubType, TicketUpdate

_log = logging.getLogger("lsq_service_async")
_PAGE = 25
_MOST_KEPT = 64  # answers; each search text has one of its own
_Page = tuple[list[FieldMetadata], int]


@attrs.define(eq=False)
class _Kept:
    """One answer, trusted until a loop time. Its lock is held by whoever reads it anew."""

    value: Any = None
    until: float = 0.0
    lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)


class MetadataCache:
    """What was read less than ``ttl`` seconds ago; those who ask for the same at once share one read.

    Of more than 64 answers, the one that was asked for longest ago is forgotten.
    """

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self._kept = lru_cache(maxsize=_MOST_KEPT)(lambda key: _Kept())

    async def get(self, key: str, load: Callable[[], Awaitable[Any]], patience: float | None) -> Any:
        """What is kept under ``key``, or else what ``load`` brings.

        NotSentError where somebody else has been reading it for ``patience`` seconds.
        """
        clock = asyncio.get_running_loop().time
        kept = self._kept(key)
        try:
            async with asyncio.timeout(patience):
                await kept.lock.acquire()
        except TimeoutError:
            raise NotSentError("the deadline passed while another call read these metadata; not sent") from None
        try:
            if clock() >= kept.until:
                kept.value = await load()
                kept.until = clock() + self._ttl
            return kept.value
        finally:
            kept.lock.release()


class Metadata:
    """The metadata operations of a client; reached as ``client.metadata``."""

    def __init__(self, send: Send, cache: MetadataCache, deadline: float | None) -> None:
        self._send = send
        self._cache = cache
        self._deadline = deadline

    async def fields(self, *, search: str = "") -> AsyncIterator[FieldMetadata]:
        """All ticket fields whose names contain ``search``, in the service's order. Repeated whenever that can help.

        Iterated, not awaited: ``async for field in client.metadata.fields()``.

        Page: apidocs.leadsquared.com/?p=5117
        """
        if not isinstance(search, str):
            raise InvalidRequestError(f"search is text, not {type(search).__name__}")
        for field in await self._cache.get(f"fields {search}", lambda: self._all_fields(search), self._deadline):
            yield field

    async def sub_types(self) -> list[SubType]:
        """The values that the field SubType may have. Repeated whenever that can help.

        Page: apidocs.leadsquared.com/?p=5102
        """
        sub_types: list[SubType] = await self._cache.get("sub types", self._all_sub_types, self._deadline)
        return list(sub_types)

    async def validate(self, ticket: NewTicket | TicketUpdate) -> list[Problem]:
        """Why the account would not take this ticket; empty when all is well.

        Mandatory fields, lengths, patterns and known options, by the account's metadata, which costs a few calls
        once. Of an update only what it changes is checked. Patterns are tried on values of at most 256 characters, or
        16 where a group is repeated: no match may take for ever.
        """
        return (await self.validate_many([_checked(ticket)]))[0]

    async def validate_many(
        self, tickets: Iterable[NewTicket | TicketUpdate] | AsyncIterable[NewTicket | TicketUpdate]
    ) -> list[list[Problem]]:
        """The problems of each ticket, in order, for the price of the same few calls."""
        fields = [field async for field in self.fields()]
        sub_types = await self.sub_types()
        return [problems_of(_checked(ticket), fields, sub_types) async for ticket in _each(tickets)]

    async def _all_sub_types(self) -> list[SubType]:
        call = Call(
            operation="metadata.sub_types",
            method="GET",
            path="/lookups/SubType/values",
            idempotency=Idempotency.SAFE,
            parse=_read_sub_types,
        )
        return await self._send(call)

    async def _all_fields(self, search: str) -> list[FieldMetadata]:
        """The meaning of Offset is contradictory (the sample begins at 0, the prose at 1), so it is taken for a count
        of records first and, where that ends too early, for a page number."""
        found: dict[str, FieldMetadata] = {}
        total = await self._follow(search, found, _by_records(found))
        if len(found) < total:
            await self._follow(search, found, itertools.count(1))
        if len(found) < total:
            _log.warning("the service says that it has %d fields, and shows %d of them", total, len(found))
        return list(found.values())

    async def _follow(self, search: str, found: dict[str, FieldMetadata], offsets: Iterator[int]) -> int:
        """Read pages until all are found or two in a row bring nothing new; the number that the service says it has."""
        barren, total = 0, len(found) + 1
        while len(found) < total and barren < 2:
            fields, total = await self._page(search, next(offsets))
            known = len(found)
            found |= {field.schema_name: field for field in fields if field.schema_name not in found}
            barren = barren + 1 if len(found) == known else 0
        return total

    async def _page(self, search: str, offset: int) -> _Page:
        call = Call(
            operation="metadata.fields",
            method="POST",
            path="/ticket-types/1/fields/filter",
            api=Api.METADATA,
            idempotency=Idempotency.SAFE,
            parse=_read_page,
            json=encode({"Limit": _PAGE, "Offset": offset, "SearchText": search}),
        )
        return await self._send(call)


def _by_records(found: dict[str, FieldMetadata]) -> Iterator[int]:
    while True:
        yield len(found)


def _read_page(answer: Any) -> _Page:
    fields = list(map(partial(from_wire, FieldMetadata), listed(mapping(answer)["TicketsFields"])))
    return fields, some_number(answer.get("Total")) or len(fields)


def _read_sub_types(answer: Any) -> list[SubType]:
    if not isinstance(answer, list):
        raise TypeError("a list was expected")
    return list(map(partial(from_wire, SubType), answer))


def _checked(ticket: Any) -> NewTicket | TicketUpdate:
    if not isinstance(ticket, NewTicket | TicketUpdate):
        raise InvalidRequestError(f"a NewTicket or a TicketUpdate can be checked, not {type(ticket).__name__}")
    return ticket


async def _each(tickets: Any) -> AsyncIterator[Any]:
    if hasattr(tickets, "__aiter__"):
        async for ticket in tickets:
            yield ticket
    else:
        for ticket in tickets:
            yield ticket
            await asyncio.sleep(0)  # a long list is no reason to hold up the loop
