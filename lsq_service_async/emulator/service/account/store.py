"""What the emulator remembers: its tickets with all that was said on them, and the leads."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType

from ..bodies import SeenFile
from ..drafts import LEAD_PREFIX, Draft, Value
from .conversations import ConversationType, StoredConversation
from .leads import LeadBook


def new_guid() -> str:
    return str(uuid.uuid4())


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class StoredTicket:
    """One ticket: its number ("34"), its GUID, its lead's GUID, everything that was ever set, and all its files.

    ``notes`` are the internal ones, which no documented call reads; ``conversations`` all others, oldest first.
    """

    number: str
    ticket_id: str
    lead_id: str
    fields: Mapping[str, Value] = field(default_factory=dict)
    files: tuple[SeenFile, ...] = ()
    notes: tuple[str, ...] = ()
    conversations: tuple[StoredConversation, ...] = ()

    @property
    def key(self) -> str:
        """The number as people see it, with at least three digits: "#034"."""
        return f"#{self.number.zfill(3)}"


class TicketStore:
    """Tickets by number, counted up from ``first_number``; every change replaces a ticket by a new value."""

    def __init__(
        self,
        *,
        first_number: int = 1,
        guid: Callable[[], str] = new_guid,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._next_number = first_number
        self._guid = guid
        self._now = now
        self._tickets: dict[str, StoredTicket] = {}
        self._trashed: dict[str, StoredTicket] = {}
        self._numbers: dict[str, str] = {}
        self._said = 0
        self.leads: LeadBook = LeadBook()
        self.changes: int = 0
        """How often anything was changed."""

    @property
    def tickets(self) -> Mapping[str, StoredTicket]:
        """A live view: number -> ticket, in the order of creation."""
        return MappingProxyType(self._tickets)

    @property
    def trashed(self) -> Mapping[str, StoredTicket]:
        """A live view of the tickets that were there: number -> ticket, in the order in which they went."""
        return MappingProxyType(self._trashed)

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

    def note(self, ticket: StoredTicket, text: str) -> StoredTicket:
        return self.put(replace(ticket, notes=(*ticket.notes, text)))

    def converse(
        self,
        ticket: StoredTicket,
        activity_type: ConversationType,
        *,
        text: str | None = None,
        html: str | None = None,
        attachments: Iterable[object] = (),
    ) -> StoredConversation:
        """Add a message to the ticket; they are numbered across all tickets, from 1 on."""
        self._said += 1
        said = StoredConversation(self._said, activity_type, self._now(), text, html, tuple(attachments))
        self.put(replace(ticket, conversations=(*ticket.conversations, said)))
        return said

    def trash(self, number: str) -> bool:
        """Take the ticket away; False where there is none of that number."""
        ticket = self._tickets.pop(number, None)
        if ticket is None:
            return False
        self._trashed[number] = ticket
        self.changes += 1
        return True

    def put(self, ticket: StoredTicket) -> StoredTicket:
        """Keep the ticket as it is, in place of the one with its number."""
        self._tickets[ticket.number] = ticket
        self._numbers[ticket.ticket_id.lower()] = ticket.number
        self.changes += 1
        return ticket

    def _lead_of(self, draft: Draft) -> str:
        details = {
            name.removeprefix(LEAD_PREFIX): None if value is None else str(value)
            for name, value in draft.fields.items()
            if name.startswith(LEAD_PREFIX)
        }
        return self.leads.described(details, self._guid())
