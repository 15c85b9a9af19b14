"""What the other operations answer: trash, conversations, notes, metadata, leads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from ._pydantic import Record
from .attempts import Attempt


@attrs.frozen(kw_only=True)
class ActivityReceipt(Record):
    """The service's word that a note or a portal activity was added.

    A note is answered with the number of its ticket, a portal activity with an ``id`` of its own.
    ``possible_duplicate`` is True if an earlier attempt may have added it too.
    """

    ticket_number: str | None = None
    id: str | None = None
    message: str | None = None
    attempts: tuple[Attempt, ...] = ()
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    possible_duplicate: bool = False


@attrs.frozen(kw_only=True)
class TrashResult(Record):
    """Which tickets were trashed and which were not, by number. Some may fail where others succeed."""

    successful: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class Conversation(Record):
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
class FieldMetadata(Record):
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
class SubType(Record):
    """A value that the field SubType may have, and the text that people see for it."""

    text: str
    value: str
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class Lead(Record):
    """A person of the marketing side; ``id`` is what a ticket calls its lead. ``fields`` has everything that came."""

    id: str
    email: str | None = None
    phone: str | None = None
    fields: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen
class Problem(Record):
    """Why the account would not take a ticket: the schema name of the field, the rule, and a message for people.

    ``rule`` is one of "lead", "mandatory", "min_length", "max_length", "regex", "option" and "invalid". The message
    never repeats the value.
    """

    field: str
    rule: str
    message: str
