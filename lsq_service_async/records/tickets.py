"""The records of tickets: new tickets, updates, tickets as read from the service, and receipts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import attrs

from ._pydantic import Record
from .attempts import Attempt
from .constants import UNSET, FieldValue, Unset
from .metadata import Lead


def _copied(fields: Any) -> Any:
    """Copy a mapping, so that later changes do not affect the ticket."""
    return dict(fields) if isinstance(fields, Mapping) else fields


def _date(given: Any) -> Any:
    """Convert ISO text with a time zone to a datetime. Return any other value unchanged."""
    if isinstance(given, str):
        with suppress(ValueError):
            date = datetime.fromisoformat(given)
            return date if date.tzinfo else given
    return given


@attrs.frozen(kw_only=True)
class NewTicket(Record):
    """A ticket to create. It needs the id, email or phone of its lead, and the account's mandatory fields.

    ``lead_id`` is the GUID of the lead. ``due_date`` is a datetime with a time zone, or ISO text with a time zone, such
    as "2026-01-31T09:00:00+05:30". ``fields`` takes all other fields by schema name, including custom fields:
    ``{"CustomData.SRC_CS_2": "Online"}``. If a ticket has a field both as an attribute and in ``fields``, sending the
    ticket raises InvalidRequestError.

    Page: apidocs.leadsquared.com/create-tickets
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
    due_date: datetime | None = attrs.field(default=None, converter=_date)
    agent_id: str | None = None
    fields: Mapping[str, FieldValue] = attrs.field(factory=dict, converter=_copied)

    @property
    def names_lead(self) -> bool:
        """Whether the ticket names its lead, in ``lead_id``, ``lead_email``, ``lead_phone`` or ``fields``."""
        fields = self.fields if isinstance(self.fields, Mapping) else {}
        email, phone = fields.get("LeadDetail.EmailAddress"), fields.get("LeadDetail.Phone")
        return bool(self.lead_id or self.lead_email or self.lead_phone or email or phone)

    @classmethod
    def for_lead(cls, lead: Lead, **about: Any) -> Self:
        """Make a ticket for a lead that ``client.leads`` found. The other arguments are those of `NewTicket`.

        Raises TypeError if ``lead`` is not a `Lead`, for example if it is None because no lead was found.
        """
        if not isinstance(lead, Lead):
            raise TypeError(f"for_lead takes a Lead, not {lead!r:.80}")
        return cls(lead_id=lead.id, **about)


@attrs.frozen(kw_only=True)
class TicketUpdate(Record):
    """Changes to a ticket. Only the fields that you pass are sent.

    A field that is None is sent as null, but ``lead_id`` must not be None. If ``lead_id`` is not given and you pass a
    `Ticket` to `update`, the ``lead_id`` of that ticket is sent.

    Page: apidocs.leadsquared.com/update-a-ticket-with-attachments
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
    due_date: datetime | Unset | None = attrs.field(default=UNSET, converter=_date)
    agent_id: str | Unset | None = UNSET
    fields: Mapping[str, FieldValue] = attrs.field(factory=dict, converter=_copied)


@attrs.frozen(kw_only=True)
class Permission(Record):
    """A permission that the user of the API keys may have for a ticket, and the scopes that limit the permission."""

    allowed: bool | None = None
    scope_filters: Sequence[str] | None = None
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class Ticket(Record):
    """A ticket as read from the service.

    ``number`` is "143", ``key`` is "#143" and ``ticket_id`` is the GUID. ``fields`` maps the schema name of every field
    to its value, in the order of the service. System fields are included. ``sub_fields`` maps the schema name of a
    field to its sub-fields. ``due_date`` is in ``Config.time_zone``. ``permissions`` has the permissions of the user of
    the API keys, by name.

    Page: apidocs.leadsquared.com/get-a-tickets-details-by-id
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
class TicketReceipt(Record):
    """Confirms that a ticket was created or updated.

    ``number`` is "143" and ``key`` is "#143". ``ticket_id`` is the GUID, or None after an update. ``message`` is
    None after a create without attachments. ``attempts`` has one `Attempt` for each request. ``possible_duplicate`` is
    True if an earlier attempt, such as one that got a 500, may also have created a ticket or added the attachments.
    """

    number: str
    ticket_id: str | None = None
    key: str | None = None
    message: str | None = None
    attempts: tuple[Attempt, ...] = ()
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    possible_duplicate: bool = False


TicketRef = Ticket | TicketReceipt | str | int | UUID
"""An argument that names a ticket: its record, its number, its key, or, for some operations, its GUID."""


def number_of(key: str) -> str:
    """Return the ticket number "34" for the key "#034", and any other text unchanged."""
    return re.sub("^#0*([1-9][0-9]*)$", r"\1", key)
