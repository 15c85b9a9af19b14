"""What the emulator remembers: its tickets, and their leads."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from .bodies import SeenFile
from .drafts import LEAD_FIELDS, Draft, Value


def new_guid() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True)
class StoredTicket:
    """One ticket: its number ("34"), its GUID, its lead's GUID, everything that was ever set, and all its files."""

    number: str
    ticket_id: str
    lead_id: str
    fields: Mapping[str, Value] = field(default_factory=dict)
    files: tuple[SeenFile, ...] = ()

    @property
    def key(self) -> str:
        """The number as people see it, with at least three digits: "#034"."""
        return f"#{self.number.zfill(3)}"


class TicketStore:
    """Tickets by number, counted up from ``first_number``; every change replaces a ticket by a new value."""

    def __init__(self, *, first_number: int = 1, guid: Callable[[], str] = new_guid) -> None:
        self._next_number = first_number
        self._guid = guid
        self._tickets: dict[str, StoredTicket] = {}
        self._numbers: dict[str, str] = {}
        self._leads: dict[tuple[str, Value], str] = {}
        self.changes = 0
        """How often anything was changed."""

    @property
    def tickets(self) -> Mapping[str, StoredTicket]:
        """A live view: number -> ticket, in the order of creation."""
        return MappingProxyType(self._tickets)

    def find(self, name: str) -> StoredTicket | None:
        """The ticket of that number or GUID."""
        return self._tickets.get(self._numbers.get(name.lower(), name))

    def create(self, draft: Draft, files: tuple[SeenFile, ...] = ()) -> StoredTicket:
        number = str(self._next_number)
        self._next_number += 1
        lead_id = draft.lead_id or self._lead_of(draft)
        return self.put(StoredTicket(number, self._guid(), lead_id, draft.fields, files))

    def update(self, ticket: StoredTicket, draft: Draft, files: tuple[SeenFile, ...] = ()) -> StoredTicket:
        """Set the fields of the draft and leave the others; add the files to those that are there."""
        return self.put(
            replace(
                ticket,
                lead_id=draft.lead_id or ticket.lead_id,
                fields={**ticket.fields, **draft.fields},
                files=ticket.files + files,
            )
        )

    def put(self, ticket: StoredTicket) -> StoredTicket:
        """Keep the ticket as it is, in place of the one with its number."""
        self._tickets[ticket.number] = ticket
        self._numbers[ticket.ticket_id.lower()] = ticket.number
        self.changes += 1
        return ticket

    def _lead_of(self, draft: Draft) -> str:
        # A lead that is only described becomes one, and is found again under the same e-mail or phone (an inference).
        names = [(name, draft.fields[name]) for name in LEAD_FIELDS if draft.fields.get(name)]
        known = next((self._leads[name] for name in names if name in self._leads), None)
        lead_id = known or self._guid()
        self._leads.update(dict.fromkeys(names, lead_id))
        return lead_id
