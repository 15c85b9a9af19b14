"""Look-ups of creates that got no answer: the options, the range of ticket numbers, and the possible results."""

from __future__ import annotations

from datetime import datetime

import attrs

from ._pydantic import Record
from .tickets import TicketReceipt


@attrs.frozen(kw_only=True)
class Lookup(Record):
    """How a bulk run looks up rows that may have been applied.

    ``quiet`` is the number of seconds after which a create without a response is assumed not to be applied any more.
    ``max_reads`` is the largest number of tickets that a run reads for its look-ups.

    A look-up of a row needs a later ticket. With ``fence=True``, a run holds back its last four rows to create this
    ticket. If the outcome of a row is unknown, the run waits until ``quiet`` seconds after that row ended. Then it
    sends the four rows.
    """

    quiet: float = 60.0
    max_reads: int = 200
    fence: bool = False


@attrs.frozen
class NumberRange(Record):
    """The ticket numbers that an unknown create can have: all numbers higher than ``above`` and lower than ``below``.

    ``above`` is the highest number that was known when the create was sent, at the time ``sent_at``. ``below`` is the
    number of a later ticket: it was created so late that the unknown create must have a lower number. ``below`` is None
    as long as no such ticket exists. All attributes except ``reference`` are None if they were not recorded.
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
    """The create was not applied: every ticket that it could have created was read, and no ticket matches."""


@attrs.frozen
class Unclear(Record):
    """It is not certain whether the create was applied. ``reason`` explains why."""

    reason: str


Verdict = Found | Absent | Unclear
"""The result of a look-up."""
