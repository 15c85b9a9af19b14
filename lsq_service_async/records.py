"""What the service stores and answers, as frozen attrs classes with Python names.

The pages are named in ``_wire/shapes.py``. Only what identifies a record is sure to be there; anything else may be
None, and what this version does not know is kept in ``extra``.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Self

import attrs

FieldValue = str | int | float | bool | datetime | None
"""What a ticket field may hold. A datetime must know its zone; the service gets it in UTC."""


class Unset(enum.Enum):
    """The type of `UNSET`."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""In a `TicketUpdate`: leave this field as it is. None is different: it is sent as null."""


class Status(enum.StrEnum):
    """Statuses that the vendor's pages show; an account may have others, and any text passes."""

    OPEN = "Open"
    ON_HOLD = "On Hold"


class Priority(enum.StrEnum):
    """Priorities that the vendor's pages show; any text passes."""

    LOW = "Low"
    MEDIUM = "Medium"


class Channel(enum.StrEnum):
    """Channels that the vendor's pages show; any text passes."""

    CHAT = "Chat"
    EMAIL = "Email"


class ActivityType(enum.StrEnum):
    """Kinds of conversations; any text passes."""

    INBOUND_EMAIL = "InboundEmail"
    OUTBOUND_EMAIL = "OutboundEmail"
    PORTAL_INBOUND = "PortalInbound"
    PORTAL_OUTBOUND = "PortalOutbound"


class Outcome(enum.Enum):
    """How one attempt of a call ended, as far as the service's state goes."""

    APPLIED = "applied"
    REFUSED = "refused"
    NOT_APPLIED = "not applied"
    UNKNOWN = "unknown"


@attrs.frozen(kw_only=True)
class Attempt:
    """One send of a call: ``number`` from 1, ``status`` the HTTP status if there was one, ``seconds`` it took.

    ``digests`` has the SHA-256 (hexadecimal) of each attachment that was sent whole in this attempt, in order; none
    where ``Config(attachment_digests=False)``.
    """

    number: int
    outcome: Outcome
    status: int | None
    seconds: float
    reason: str | None = None
    digests: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class NewTicket:
    """A ticket to create. One of ``lead_id``, ``lead_email`` and ``lead_phone`` is mandatory, and so are the fields
    that the account has made mandatory.

    ``fields`` takes everything else by schema name, custom fields too: ``{"CustomData.SRC_CS_2": "Online"}``. A
    field given both ways is an error.
    """

    lead_id: str | None = None
    lead_email: str | None = None
    lead_phone: str | None = None
    title: str | None = None
    customer_id: str | None = None
    description: str | None = None
    type: str | None = None
    sub_type: str | None = None
    status: str | None = None
    priority: str | None = None
    channel: str | None = None
    cc_emails: str | None = None
    tags: str | None = None
    due_date: datetime | None = None
    agent_id: str | None = None
    fields: Mapping[str, FieldValue] = attrs.field(factory=dict)

    @classmethod
    def for_lead(cls, lead: Lead, **about: Any) -> Self:
        """A ticket of a lead that ``client.leads`` found; takes what the class takes, but for the lead."""
        return cls(lead_id=lead.id, **about)


@attrs.frozen(kw_only=True)
class TicketUpdate:
    """What changes in a ticket. What is not given stays as it is; None is sent as null.

    ``lead_id`` is sent along when it is given, or when the ticket to update is a record that knows it.
    """

    lead_id: str | Unset = UNSET
    title: str | Unset | None = UNSET
    customer_id: str | Unset | None = UNSET
    description: str | Unset | None = UNSET
    type: str | Unset | None = UNSET
    sub_type: str | Unset | None = UNSET
    status: str | Unset | None = UNSET
    priority: str | Unset | None = UNSET
    channel: str | Unset | None = UNSET
    cc_emails: str | Unset | None = UNSET
    tags: str | Unset | None = UNSET
    due_date: datetime | Unset | None = UNSET
    agent_id: str | Unset | None = UNSET
    fields: Mapping[str, FieldValue] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Permission:
    """What the caller may do with a ticket, and in which scopes."""

    allowed: bool | None = None
    scope_filters: Sequence[str] | None = None
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class Ticket:
    """A ticket as the service shows it.

    ``number`` is what people call it ("143"), ``ticket_id`` its GUID, ``key`` its text form ("#143"). ``fields``
    has every field by schema name in the service's order, the system fields too; ``sub_fields`` those that have
    any. Dates are aware. ``permissions`` describes the user of the keys, not the ticket.
    """

    number: str
    ticket_id: str | None = None
    lead_id: str | None = None
    opportunity_id: str | None = None
    type_id: str | None = None
    key: str | None = None
    title: str | None = None
    description: str | None = None
    type: str | None = None
    sub_type: str | None = None
    status: str | None = None
    priority: str | None = None
    channel: str | None = None
    cc_emails: str | None = None
    tags: str | None = None
    due_date: datetime | None = None
    customer_id: str | None = None
    agent_id: str | None = None
    category_id: str | int | None = None
    service_group_id: str | int | None = None
    stage_id: str | int | None = None
    requester: str | None = None
    fields: Mapping[str, Any] = attrs.field(factory=dict)
    sub_fields: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    permissions: Mapping[str, Permission] = attrs.field(factory=dict, repr=False)
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class TicketReceipt:
    """The service's word that a ticket was created or updated.

    ``ticket_id`` is None after an update; ``message`` is None after a create without files. ``attempts`` has one
    `Attempt` for every send.
    """

    number: str
    ticket_id: str | None = None
    key: str | None = None
    message: str | None = None
    attempts: tuple[Attempt, ...] = ()
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class ActivityReceipt:
    """The service's word that a note or a portal activity was added.

    A note is answered with the number of its ticket, a portal activity with an ``id`` of its own.
    """

    ticket_number: str | None = None
    id: str | None = None
    message: str | None = None
    attempts: tuple[Attempt, ...] = ()
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class TrashResult:
    """Which tickets were trashed and which were not, by number. Some may fail where others succeed."""

    successful: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class Conversation:
    """One e-mail or portal message of a ticket. No page describes an attachment's shape, so they come as they are."""

    id: str
    activity_type: str | None = None
    text: str | None = None
    html: str | None = attrs.field(default=None, repr=False)
    attachments: tuple[Any, ...] = ()
    created_by: str | None = None
    created_on: datetime | None = None
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class FieldMetadata:
    """What the account says of a ticket field. ``validation`` has all of its rules, the generic bounds too."""

    schema_name: str
    id: int | None = None
    display_name: str | None = None
    description: str | None = None
    data_type: str | None = None
    field_type: str | None = None
    mandatory: bool = False
    min_length: int | None = None
    max_length: int | None = None
    regex: str | None = None
    active: bool | None = None
    deleted: bool = False
    validation: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class SubType:
    """A value that the field SubType may have, and the text that people see for it."""

    text: str
    value: str
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class Lead:
    """A person of the marketing side; ``id`` is what a ticket calls its lead. ``fields`` has everything that came."""

    id: str
    email: str | None = None
    phone: str | None = None
    fields: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen
class Problem:
    """Why the account would not take a ticket: the schema name of the field, the rule, and a message for people.

    ``rule`` is one of "lead", "mandatory", "min_length", "max_length", "regex", "option" and "invalid". The message
    never repeats the value.
    """

    field: str
    rule: str
    message: str


TicketRef = Ticket | TicketReceipt | str | int
"""What stands for a ticket: a record, its number, or (where a page allows it) its GUID."""
