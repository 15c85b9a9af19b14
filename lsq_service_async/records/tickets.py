"""Tickets: new ones, changes to them, as the service shows them, and its word that they were stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import attrs

from ._pydantic import Record
from .attempts import Attempt
from .constants import UNSET, FieldValue, Unset
from .metadata import Lead


def _copied(fields: Any) -> Any:
    """A ticket does not change with the dict that it was made of; what is no mapping is refused when it is sent."""
    return dict(fields) if isinstance(fields, Mapping) else fields


@attrs.frozen(kw_only=True)
class NewTicket(Record):
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
    fields: Mapping[str, FieldValue] = attrs.field(factory=dict, converter=_copied)

    @property
    def names_lead(self) -> bool:
        """Whether a lead is named, by one of the three attributes or by schema name in `fields`."""
        by_schema = [self.fields.get(name) for name in ("LeadDetail.EmailAddress", "LeadDetail.Phone")]
        return any([self.lead_id, self.lead_email, self.lead_phone, *by_schema])

    @classmethod
    def for_lead(cls, lead: Lead, **about: Any) -> Self:
        """A ticket of a lead that ``client.leads`` found; takes what the class takes, but for the lead."""
        return cls(lead_id=lead.id, **about)


@attrs.frozen(kw_only=True)
class TicketUpdate(Record):
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
    fields: Mapping[str, FieldValue] = attrs.field(factory=dict, converter=_copied)


@attrs.frozen(kw_only=True)
class Permission(Record):
    """What the caller may do with a ticket, and in which scopes."""

    allowed: bool | None = None
    scope_filters: Sequence[str] | None = None
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class Ticket(Record):
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
class TicketReceipt(Record):
    """The service's word that a ticket was created or updated.

    ``ticket_id`` is None after an update; ``message`` is None after a create without files. ``attempts`` has one
    `Attempt` for every send. ``possible_duplicate`` is True if an earlier attempt may have created the ticket, or
    added the files, too: it was answered with 500, 502, 503 or 504, and the call was sent again.
    """

    number: str
    ticket_id: str | None = None
    key: str | None = None
    message: str | None = None
    attempts: tuple[Attempt, ...] = ()
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    possible_duplicate: bool = False


TicketRef = Ticket | TicketReceipt | str | int | UUID
"""What stands for a ticket: a record, its number, or (where a page allows it) its GUID."""
