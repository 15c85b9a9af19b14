"""How a call was sent, and what became of it."""

from __future__ import annotations

import enum

import attrs

from ._pydantic import NOT_SHOWN, Record


class Outcome(enum.StrEnum):
    """How one attempt of a call ended, as far as the service's state goes."""

    APPLIED = "applied"
    REFUSED = "refused"
    NOT_APPLIED = "not applied"
    UNKNOWN = "unknown"


@attrs.frozen(kw_only=True)
class Attempt(Record):
    """One send of a call: ``number`` from 1, ``status`` the HTTP status if there was one, ``seconds`` it took.

    ``digests`` has the SHA-256 (hexadecimal) of each attachment that was sent whole in this attempt, in order; none
    where ``Config(attachment_digests=False)``.
    """

    number: int
    outcome: Outcome
    status: int | None
    seconds: float
    reason: str | None = attrs.field(default=None, metadata=NOT_SHOWN)
    """Why it failed. As it may repeat the service, it is not in the JSON that pydantic, and so FastAPI, makes."""
    digests: tuple[str, ...] = ()
