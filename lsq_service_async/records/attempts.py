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
    """One HTTP request of a call. ``number`` counts from 1. Without a response, ``status`` is None.

    ``digests`` has the SHA-256, as hexadecimal text, of each attachment that this attempt sent completely, in the order
    of the attachments. With ``Config(attachment_digests=False)``, ``digests`` is empty.
    """

    number: int
    outcome: Outcome
    status: int | None
    seconds: float
    reason: str | None = attrs.field(default=None, metadata=NOT_IN_JSON)
    """The error message. It may quote the service, so it is not in the JSON of the attempt."""
    digests: tuple[str, ...] = ()
