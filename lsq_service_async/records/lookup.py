"""Look-ups of creates whose outcome is unknown: the options, the range of ticket numbers, and the possible results."""

from __future__ import annotations

from datetime import datetime

import attrs

from ._pydantic import Record
from .tickets import TicketReceipt


@attrs.frozen(kw_only=True)
class Lookup(Record):
    """How a bulk run looks up rows that may have been applied.

    A run assumes that the service applies a create no later than ``quiet`` seconds after its request ended.
    ``max_reads`` is the maximum number of tickets that a run reads for all its look-ups.

    A look-up needs a ticket that is created after the unknown row has ended. With ``fence=True``, a run provides this
    ticket: it sends its last four rows only after all other rows have ended. If one of the other rows is unknown, the
    run first waits until ``quiet`` seconds after that row ended.
    """

    quiet: float = 60.0
    max_reads: int = 200
    fence: bool = False


@attrs.frozen
class NumberRange(Record):
    """The ticket numbers that an unknown create may have: all that are higher than ``above`` and lower than ``below``.

    The create was sent at the time ``sent_at``. ``above`` is the highest ticket number that was known at that time.
    ``below`` is the number of a ticket that was created so much later that the unknown create must have a lower number.
    Until such a ticket exists, ``below`` is None. An attribute that was not recorded is None.
    """

    above: int | None
    below: int | None
    sent_at: datetime | None
    reference: str | None


@attrs.frozen
class Found(Record):
    """The create was applied. ``receipt`` has the number of the ticket."""

    receipt: TicketReceipt


@attrs.frozen
class Absent(Record):
    """The create was not applied. Every ticket that it could have created was read, and none of them matches."""


@attrs.frozen
class Unclear(Record):
    """It is not certain whether the create was applied. ``reason`` explains why."""

    reason: str


Verdict = Found | Absent | Unclear
"""The result of a look-up."""
