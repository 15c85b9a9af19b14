"""The state of the account: tickets with their conversations, and leads."""

from __future__ import annotations

import json
import re
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal, get_args

from starlette.exceptions import HTTPException

from .multipart import ReceivedFile

Value = str | int | float | None
"""The value of a field."""

LEAD_PREFIX = "LeadDetail."
"""Fields with this prefix describe the lead, not the ticket."""

ConversationType = Literal["InboundEmail", "OutboundEmail", "PortalInbound", "PortalOutbound"]
CONVERSATION_TYPES: tuple[str, ...] = get_args(ConversationType)

HISTORY = 20
"""The history of a ticket contains at most this many changes."""

CONTENTS_LIMIT = 16 << 20
"""At most this many bytes of files are stored for the page."""

USER_ID = "5f0c1a52-7d1e-4b8a-9a5e-2f6f1c0d3b77"
"""The id of the invented user to whom the keys belong."""

Lead = Mapping[str, str | None]
"""A lead as the marketing API returns it: a flat object whose values are strings or null."""


def load_data(name: str) -> Any:
    return json.loads(files(__package__).joinpath("data", f"{name}.json").read_text(encoding="utf-8"))


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text. NaN, infinite numbers, lone surrogates and deep nesting raise ValueError."""
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError(str(error)) from error
    return value


@dataclass(frozen=True)
class StoredConversation:
    """One message on a ticket. ``attachments`` are JSON values, which are returned unchanged."""

    id: int
    activity_type: ConversationType
    created_on: datetime
    text: str | None = None
    html: str | None = None
    attachments: tuple[object, ...] = ()
    created_by: str = USER_ID


@dataclass(frozen=True)
class StoredTicket:
    """A ticket: its number ("34"), its GUID, the GUID of its lead, all fields that were ever set, and all files.

    ``notes`` are internal notes, which no documented call returns. ``conversations`` begins with the oldest message.
    ``by_others``: whether another user created the ticket.
    """

    number: str
    ticket_id: str
    lead_id: str
    fields: Mapping[str, Value] = field(default_factory=dict)
    files: tuple[ReceivedFile, ...] = ()
    notes: tuple[str, ...] = ()
    conversations: tuple[StoredConversation, ...] = ()
    by_others: bool = False

    @property
    def key(self) -> str:
        """The ticket number as users see it, with at least three digits: "#034"."""
        return f"#{self.number.zfill(3)}"


class TicketStore:
    """Tickets by number. The first ticket gets ``first_number``. A change replaces the stored ticket with a new object.

    ``limit``: the maximum number of characters of all tickets, including the trash. A change beyond it is refused.
    """

    def __init__(
        self,
        *,
        first_number: int = 1,
        guid: Callable[[], str] = lambda: str(uuid.uuid4()),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        limit: int = 1 << 27,
    ) -> None:
        self._limit = limit
        self._size = self._contents_size = 0
        self._first_free = first_number
        self._drawn: list[int] = []
        self._guid = guid
        self._now = now
        self._tickets: dict[str, StoredTicket] = {}
        self._trashed: dict[str, StoredTicket] = {}
        self._numbers: dict[str, str] = {}
        self._messages = 0
        self.tickets: Mapping[str, StoredTicket] = MappingProxyType(self._tickets)
        """A live view of the tickets by their number. New tickets come last."""
        self.trashed: Mapping[str, StoredTicket] = MappingProxyType(self._trashed)
        """A live view of the tickets in the trash by their number, in the order in which they were trashed."""
        self.leads: LeadStore = LeadStore()
        self.changes: int = 0
        """The number of changes so far."""
        self.history: dict[str, list[tuple[datetime, str]]] = {}
        """The times and descriptions of the last changes of each ticket, by ticket number."""
        self.contents: OrderedDict[str, bytes] = OrderedDict()
        """The contents of the most recent small files, by their SHA-256."""
        self.draw: Callable[[int], list[int]] = lambda first: [first]
        """Returns ticket numbers, starting at the given number. The last number of the list is assigned first."""

    def find(self, name: str) -> StoredTicket | None:
        """Return the ticket with this number or GUID; None if it does not exist."""
        return self._tickets.get(self._numbers.get(name.lower(), name))

    def create(
        self,
        lead_id: str | None,
        fields: Mapping[str, Value],
        files: tuple[ReceivedFile, ...] = (),
        *,
        number: int | None = None,
        ticket_id: str | None = None,
        by_others: bool = False,
    ) -> StoredTicket:
        """Store a new ticket, by default with the next number and a new GUID.

        If ``lead_id`` is None, the LeadDetail fields identify the lead, which is created if it does not exist.
        """
        if number is None:
            if not self._drawn:
                self._drawn = self.draw(self._first_free)
            number = self._drawn.pop()
        self._first_free = max(self._first_free, number + 1, *(drawn + 1 for drawn in self._drawn))
        ticket_id = ticket_id or self._guid()
        ticket = self.put(StoredTicket(str(number), ticket_id, lead_id or "", fields, files, by_others=by_others))
        # Create the lead last, so that no lead is created if the store is full.
        if lead_id is None:
            ticket = self.put(replace(ticket, lead_id=self.leads.find_or_create(lead_details(fields), self._guid())))
        return ticket

    def add_message(self, ticket: StoredTicket, activity_type: ConversationType, **content: Any) -> StoredConversation:
        """Add a message to the ticket. ``content``: the text, html and attachments of the message."""
        self._messages += 1
        message = StoredConversation(self._messages, activity_type, self._now(), **content)
        self.put(replace(ticket, conversations=(*ticket.conversations, message)))
        return message

    def trash(self, number: str) -> bool:
        """Move the ticket to the trash, and return True; False if the ticket does not exist."""
        if number not in self._tickets:
            return False
        self._trashed[number] = self._tickets.pop(number)
        self._log_change(number, "trashed")
        return True

    def clear(self) -> None:
        """Delete all tickets, and the leads that were created from them. Ticket numbers are not used again."""
        self._tickets.clear()
        self._trashed.clear()
        self._numbers.clear()
        self.history.clear()
        self.contents.clear()
        self._size = self._contents_size = 0
        self.leads = LeadStore()
        self.changes += 1

    def put(self, ticket: StoredTicket) -> StoredTicket:
        """Store the ticket. It replaces a ticket with the same number."""
        old = self._tickets.get(ticket.number)
        size = self._size + _size(ticket) - _size(old)
        if size > self._limit:
            text = f"The emulator is full: its tickets would have more than {self._limit} characters. Reset it."
            raise HTTPException(507, text)
        self._size = size
        self._tickets[ticket.number] = ticket
        self._numbers[ticket.ticket_id.lower()] = ticket.number
        self._log_change(ticket.number, "; ".join(_differences(old, ticket)) if old else "created")
        return ticket

    def keep_contents(self, contents: Mapping[str, bytes]) -> None:
        """Store the contents of files by their SHA-256. If the total exceeds 16 MiB, drop the oldest contents."""
        for digest in contents.keys() - self.contents.keys():
            self.contents[digest] = contents[digest]
            self._contents_size += len(contents[digest]) + 200
        while self._contents_size > CONTENTS_LIMIT:
            self._contents_size -= len(self.contents.popitem(last=False)[1]) + 200

    def _log_change(self, number: str, change: str) -> None:
        self.changes += 1
        if change:
            self.history[number] = [*self.history.get(number, ()), (self._now(), change[:300])][-HISTORY:]


def _differences(old: StoredTicket, new: StoredTicket) -> Iterator[str]:
    for name, value in new.fields.items():
        before = old.fields.get(name)
        if value != before:
            old_text, text = ("empty" if each is None or each == "" else str(each)[:100] for each in (before, value))
            yield f"{name}: {old_text} \N{RIGHTWARDS ARROW} {text}"
    if old.lead_id and new.lead_id != old.lead_id:
        yield f"lead: {new.lead_id}"
    yield from (f"file {file.name} added" for file in new.files[len(old.files) :])
    yield from ("note added" for _ in new.notes[len(old.notes) :])
    yield from (f"{message.activity_type} added" for message in new.conversations[len(old.conversations) :])


def lead_details(fields: Mapping[str, Value]) -> Lead:
    """Return the fields that describe the lead of a ticket, by their names without the prefix."""
    details = {name: value for name, value in fields.items() if name.startswith(LEAD_PREFIX)}
    return {name[len(LEAD_PREFIX) :]: None if value is None else str(value) for name, value in details.items()}


def _size(ticket: StoredTicket | None) -> int:
    """Return the approximate number of characters of a ticket."""
    if ticket is None:
        return 0
    texts = [*ticket.fields, *ticket.fields.values(), *ticket.notes, *ticket.files, *ticket.conversations]
    return 200 + sum(len(str(text)) for text in texts)


class LeadStore:
    """Leads by e-mail address and phone number. At first, there are only the invented leads."""

    def __init__(self) -> None:
        self._by_email: dict[str, Lead] = {}
        self._by_phone: dict[str, Lead] = {}
        self._count = 0
        data = load_data("leads")
        self._template: Lead = data["template"]
        for lead in data["leads"]:
            self.find_or_create(lead, lead["ProspectID"])

    def by_email(self, email: str) -> Lead | None:
        """Find a lead by its e-mail address, ignoring case (an inference)."""
        return self._by_email.get(email.lower())

    def by_phone(self, phone: str) -> Lead | None:
        """Find a lead by its Phone or Mobile, written as it is stored or as digits."""
        return self._by_phone.get(phone)

    def find_or_create(self, details: Lead, new_id: str) -> str:
        """Return the GUID of the lead with this e-mail address or phone number. A new lead gets ``new_id``.

        A known lead gets only the values that it lacks (an inference).
        """
        known = self.by_email(details.get("EmailAddress") or "") or self.by_phone(details.get("Phone") or "")
        if known is None:
            self._count += 1
            known = {"ProspectID": new_id, "ProspectAutoId": str(self._count)}
        kept = {name: value for name, value in known.items() if value is not None}
        lead = {**self._template, **details, **kept}
        if lead["EmailAddress"]:
            self._by_email[lead["EmailAddress"].lower()] = lead
        # "+91-5550100001" is found by this text, and by "+915550100001", "915550100001" and "5550100001".
        for phone in filter(None, (lead["Phone"], lead["Mobile"])):
            country, hyphen, number = phone.partition("-")
            digits = re.sub("[^0-9]", "", phone)
            self._by_phone |= dict.fromkeys((phone, digits, f"+{digits}"), lead)
            if country.startswith("+") and hyphen:
                self._by_phone[re.sub("[^0-9]", "", number)] = lead
        return kept["ProspectID"]
