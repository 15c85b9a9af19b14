"""Answers of all operations but create, get and update: trash, conversations, notes, metadata and leads."""

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

    The receipt of a note has the number of its ticket, that of a portal activity an ``id``. ``possible_duplicate`` is
    True if an earlier attempt may have added it too.
    """

    ticket_number: str | None = None
    id: str | None = None
    message: str | None = None
    attempts: tuple[Attempt, ...] = ()
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    possible_duplicate: bool = False


@attrs.frozen(kw_only=True)
class TrashResult(Record):
    """The numbers of the tickets that were trashed, and of those that were not. A call may have both."""

    successful: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class Conversation(Record):
    """An e-mail or a portal message of a ticket. ``attachments`` are unchanged: their shape is not documented."""

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
    """A ticket field of the account. ``validation`` has all its rules, including the generic bounds."""

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
    """A ``value`` of the field SubType and the ``text`` that users see for it."""

    text: str
    value: str
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class Lead(Record):
    """A person on the marketing side. ``id`` is the ``lead_id`` of tickets; ``fields`` has the whole answer."""

    id: str
    email: str | None = None
    phone: str | None = None
    fields: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen
class Problem(Record):
    """A reason for which the account would not accept a ticket: the schema name, the rule, and a message for users.

    ``rule`` is "lead", "mandatory", "min_length", "max_length", "regex", "option" or "invalid". The message does not
    repeat the value.
    """

    field: str
    rule: str
    message: str
