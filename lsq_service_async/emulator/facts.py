"""Facts that differ between accounts. `lsq-service doctor --learn` finds the facts of an account."""

from __future__ import annotations

import math
import os
import random as randomness
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

from .store import StoredTicket, TicketStore, Value, parse_json
from .window import WindowKind

OffsetReading = Literal["from_zero", "from_one", "page"]
"""The meaning of Offset in a request for field metadata, as described in `Emulator`.

The vendor's sample sends 0, but the vendor's text says that 1 returns the records 1 to 25.
"""

_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts about one account.

    ``ids_in_urls``: the ids of a ticket that URLs accept: "number", "guid" or both. ``unknown_ticket``: the ``status``
    and ``body`` of the response for a ticket that does not exist.

    ``gaps``: the share of ticket numbers that are skipped. ``numbers_ascend``: if False, each group of ten numbers is
    assigned in random order. ``others``: the share of tickets that other users create, each just before a ticket of the
    client. ``neighbours_readable``: if False, the user of the keys cannot read the tickets of other users.
    ``unreadable``: the share of all tickets that this user cannot read. ``unreadable_status``: the status of the
    response for a ticket that the user cannot read. ``rewrites``: fields that an automation of the account changes
    right after a create, with their new values. In a value, ``{value}`` is replaced by the value that the client sent,
    and ``{number}`` by the ticket's number.

    ``fields``: the metadata of the account's fields. The default is a set of invented fields. ``marker_field``: the
    schema name of a field that is added to the metadata. ``metadata_offset``, ``window`` and ``rate_limit`` replace the
    arguments of `Emulator` that have the same names.
    """

    ids_in_urls: Sequence[str] = ("number", "guid")
    unknown_ticket: Mapping[str, Any] | None = None
    gaps: float = 0.0
    numbers_ascend: bool = True
    others: float = 0.0
    neighbours_readable: bool = True
    unreadable: float = 0.0
    unreadable_status: int = 403
    rewrites: Mapping[str, Value] | None = None
    metadata_offset: OffsetReading | None = None
    fields: Sequence[Mapping[str, Any]] = ()
    marker_field: str | None = None
    window: WindowKind | None = None
    rate_limit: tuple[int, float] | None = None

    def __post_init__(self) -> None:
        for name, (words, is_valid) in _RULES.items():
            value = getattr(self, name)
            if value is not None and not is_valid(value):
                raise ValueError(f"the fact {name} must be {words}, not {value!r}")

    @classmethod
    def load(cls, source: Self | Mapping[str, Any] | str | os.PathLike[str] | None) -> Self:
        """Return the facts of a JSON file or a mapping.

        Facts that are missing or null have their defaults. Unknown keys are ignored.
        """
        if isinstance(source, cls):
            return source
        if isinstance(source, (str, os.PathLike)):
            try:
                source = parse_json(Path(source).read_text(encoding="utf-8"))
            except ValueError as error:
                raise ValueError(f"{source} is not a JSON file: {error}") from error
        if not isinstance(source, Mapping | None):
            raise ValueError(f"facts must be a JSON object, not {type(source).__name__}")
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in (source or {}).items() if name in known and value is not None})

    def accepts(self, name: str) -> bool:
        """Whether URLs accept ``name`` as the id of a ticket."""
        return ("number" if name.isdigit() else "guid") in self.ids_in_urls

    def can_read(self, ticket: StoredTicket) -> bool:
        """Whether the user of the keys can read the ticket. The result for a ticket never changes."""
        if self.unreadable and int(ticket.number) * _GOLDEN % 1 < self.unreadable:
            return False
        return self.neighbours_readable or not ticket.by_others

    def next_numbers(self, first: int, random: randomness.Random) -> list[int]:
        """Return the next ticket numbers, starting at ``first``. The last number of the list is assigned first."""
        numbers: list[int] = []
        while len(numbers) < (1 if self.numbers_ascend else 10):
            if random.random() >= self.gaps:
                numbers.append(first)
            first += 1
        random.shuffle(numbers)
        return numbers

    def add_others(self, store: TicketStore, random: randomness.Random) -> None:
        """Create the tickets that other users create before the next ticket of the client."""
        while random.random() < self.others:
            store.create("other-lead", {"Title": "Ticket of another user", "Status": "Open"}, by_others=True)

    def rewrite(self, ticket: StoredTicket) -> dict[str, Value]:
        """Return the fields of a new ticket that the automation changes, with their new values."""
        changes = dict(self.rewrites or {})
        for name, value in changes.items():
            if isinstance(value, str):
                sent = ticket.fields.get(name)
                value = value.replace("{number}", ticket.number)
                changes[name] = value.replace("{value}", "" if sent is None else str(sent))
        return changes


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


def _is_status(value: object) -> bool:
    return isinstance(value, int) and 200 <= value <= 599


def _is_list_of(kind: Any, values: object) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, kind) for value in values)


def _is_field(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("SchemaName"), str) and isinstance(value.get("ValidationProperties"), Mapping | None)


_SHARE, _FLAG = ("at least 0 and less than 1", _is_share), ("true or false", lambda value: isinstance(value, bool))
_FORMS = (["number"], ["guid"], ["number", "guid"], ["guid", "number"])
_RULES: dict[str, tuple[str, Callable[[Any], object]]] = {
    "ids_in_urls": ('["number"], ["guid"] or both', lambda value: _is_list_of(str, value) and list(value) in _FORMS),
    "unknown_ticket": (
        "an object with a status and perhaps a body",
        lambda value: (
            isinstance(value, Mapping)
            and _is_status(value.get("status", 404))
            and isinstance(value.get("body"), str | None)
        ),
    ),
    "gaps": _SHARE,
    "numbers_ascend": _FLAG,
    "others": _SHARE,
    "neighbours_readable": _FLAG,
    "unreadable": ("a number from 0 to 1", lambda value: _is_share(value) or (value == 1 and value is not True)),
    "unreadable_status": ("a status from 200 to 599", _is_status),
    "rewrites": ("an object", lambda value: isinstance(value, Mapping)),
    "fields": (
        "a list of objects with a SchemaName and perhaps ValidationProperties",
        lambda value: _is_list_of(Mapping, value) and all(map(_is_field, value)),
    ),
    "marker_field": ("a schema name", lambda value: isinstance(value, str)),
    "rate_limit": (
        "[calls, seconds]",
        lambda value: isinstance(value, list | tuple) and [*map(type, value)] in ([int, int], [int, float]),
    ),
}
"""For each fact, a description of the valid values, and a check of a value."""
