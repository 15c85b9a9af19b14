"""Look-ups of creates without an answer: the options, the ticket numbers in question, and the possible results."""

from __future__ import annotations

from datetime import datetime

import attrs

from ._pydantic import Record
from .tickets import TicketReceipt


@attrs.frozen(kw_only=True)
class Lookup(Record):
    """How a bulk run looks up rows that may have been applied.

    ``quiet`` is the seconds after which a create without a response cannot be applied any more. A run makes at most
    ``max_reads`` reads. With ``fence=True``, a run holds back its last four rows. If the outcome of a row is unknown,
    the run sends them only ``quiet`` seconds after that row ended, so that the row can be looked up too.
    """

    quiet: float = 60.0
    max_reads: int = 200
    fence: bool = False


@attrs.frozen
class NumberRange(Record):
    """The ticket numbers that an unknown create can have: all that are higher than ``above`` and lower than ``below``.

    ``above`` is the highest number that was known when the create was sent. ``below`` is the number of a ticket that
    was created so late that the unknown create cannot have a higher one, and None as long as no such ticket exists.
    ``sent_at`` is when the create was sent. All but ``reference`` are None if they were not recorded.
    """

    above: int | None
    below: int | None
    sent_at: datetime | None
    reference: str | None


@attrs.frozen
class Found(Record):
    """The create was applied. ``receipt`` has the number of its ticket."""

    receipt: TicketReceipt


@attrs.frozen
class Absent(Record):
    """The create was not applied: every ticket that it could have created was read, and none matches."""


@attrs.frozen
class Unclear(Record):
    """It is not certain whether the create was applied. ``reason`` is a sentence for people."""

    reason: str


Verdict = Found | Absent | Unclear
"""The result of a look-up."""
