"""The problems that validation finds, and the results of all operations except ``create``, ``get`` and ``update``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from ._pydantic import Record
from .attempts import Attempt


@attrs.frozen(kw_only=True)
class ActivityReceipt(Record):
    """Confirms that a note or a portal activity was added.

    For a note, ``ticket_number`` is set and ``id`` is None. For a portal activity, ``id`` is set and ``ticket_number``
    is None. ``possible_duplicate`` is True if an earlier attempt may also have added the note or activity.
    """

    ticket_number: str | None = None
    id: str | None = None
    message: str | None = None
    attempts: tuple[Attempt, ...] = ()
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    possible_duplicate: bool = False


@attrs.frozen(kw_only=True)
class TrashResult(Record):
    """The result of ``trash``: the numbers of the trashed tickets (``successful``) and of the others (``failed``)."""

    successful: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class Conversation(Record):
    """An e-mail or a portal message of a ticket.

    ``created_on`` is in ``Config.time_zone``. ``attachments`` contains unchanged JSON values of the service, because
    the vendor does not document their shape.
    """

    id: str
    activity_type: str | None = None
    text: str | None = None
    html: str | None = attrs.field(default=None, repr=False)
    attachments: tuple[Any, ...] = ()
    created_by: str | None = None
    created_on: datetime | None = None
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class FieldMetadata(Record):
    """A ticket field of the account.

    ``min_length``, ``max_length`` and ``regex`` apply to text values. ``validation`` has the service's rules for the
    field, by name. Some of these rules are default bounds for numbers, which ``client.metadata.validate`` does not
    check.
    """

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
class SubType(Record):
    """A sub-type. ``value`` is a value of the field SubType, and ``text`` is the text that users see for it."""

    text: str
    value: str
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class Lead(Record):
    """A lead of the marketing API. ``id`` is the GUID for a ticket's ``lead_id``. ``fields`` has all fields."""

    id: str
    email: str | None = None
    phone: str | None = None
    fields: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen
class Problem(Record):
    """A reason why the account would reject a ticket.

    ``field`` is a schema name, or "" if the ticket cannot be sent at all. ``rule`` is "lead", "mandatory",
    "min_length", "max_length", "regex", "option" or "invalid". ``message`` is text for users. Only the message of an
    "invalid" problem quotes a value.
    """

    field: str
    rule: str
    message: str
