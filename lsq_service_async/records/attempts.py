"""The attempts of a call and their outcomes."""

from __future__ import annotations

import enum

import attrs

from ._pydantic import NOT_IN_JSON, Record


class Outcome(enum.StrEnum):
    """The effect of an attempt, or of a call, on the service."""

    APPLIED = "applied"
    REFUSED = "refused"
    NOT_APPLIED = "not applied"
    UNKNOWN = "unknown"


@attrs.frozen(kw_only=True)
class Attempt(Record):
    """One HTTP request of a call. ``number`` starts at 1. ``status`` is the HTTP status, or None without a response.

    ``digests`` has the SHA-256 of each attachment that this attempt sent completely, as hexadecimal text, in the order
    of the attachments. It is empty with ``Config(attachment_digests=False)``.
    """

    number: int
    outcome: Outcome
    status: int | None
    seconds: float
    reason: str | None = attrs.field(default=None, metadata=NOT_IN_JSON)
    """The error message. pydantic and FastAPI leave this attribute out, because it may quote the service."""
    digests: tuple[str, ...] = ()
