"""Decides whether a create without an answer was applied. Pure: the caller reads the tickets and has the clock.

The service has no search, so a look-up reads every ticket number that the create can have: from the highest number
that was known when it was sent, up to the *fence*, the number of an own ticket whose create was sent so late that the
unknown one was applied before it or never.
"""

from __future__ import annotations

import html
import math
import re
from collections import deque
from collections.abc import Generator
from typing import Any

import attrs

from ..errors import InvalidRequestError
from ..records import Absent, Found, NewTicket, Ticket, TicketReceipt, Unclear, Verdict
from .serialize import field_values

_KEPT_NUMBERS = 10_000
_SAMPLES = 4
_LEAD = "LeadId"  # not a field of the ticket, but compared like one
_TITLE = "Title"
_LONG = 50  # characters; shorter texts are not cut by the service


@attrs.define(eq=False, kw_only=True)
class SentCreate:
    """A create that was sent, with all that a look-up needs to know about it. Times are those of the event loop.

    ``marker`` is the field that carried the reference. ``above`` is the highest number that was known when the first
    attempt that may have been applied was sent, at ``sent_at``. ``ended_at`` is when the last such attempt ended.
    ``samples`` are own creates with an answer, sent before that.
    """

    ticket: NewTicket
    reference: str
    marker: str | None = None
    above: int | None = None
    sent_at: float = -math.inf
    ended_at: float | None = None
    receipt: TicketReceipt | None = None
    samples: tuple[SentCreate, ...] = ()

    @property
    def number(self) -> int:
        """The number of its ticket; 0 if it is not known, or not a number."""
        number = "" if self.receipt is None else self.receipt.number
        return int(number) if re.fullmatch("[0-9]{1,18}", number) else 0

    def values(self) -> dict[str, Any]:
        """The values that were sent, by schema name."""
        values = field_values(self.ticket)
        if self.ticket.lead_id is not None:
            values[_LEAD] = self.ticket.lead_id
        if self.marker is not None:
            values[self.marker] = self.reference
        return values


class OwnTickets:
    """The creates of a client: those in flight, and the numbers of the last 10,000 tickets."""

    def __init__(self) -> None:
        self.highest: int = 0
        self.disorder: str | None = None
        """Two numbers that show that the service does not assign ascending numbers."""
        self.in_flight: set[SentCreate] = set()
        self.sent_at: dict[int, float] = {}
        """When the create of each ticket was sent. A ticket that a look-up has found was sent at minus infinity."""
        self.forgotten: int = 0
        """The highest number that is not kept any more."""
        self.claims: dict[int, SentCreate] = {}
        self._samples: deque[SentCreate] = deque(maxlen=_SAMPLES)

    @property
    def samples(self) -> tuple[SentCreate, ...]:
        """The latest creates that were answered."""
        return tuple(self._samples)

    def started(self, create: SentCreate, now: float) -> None:
        """Call this directly before an attempt is sent."""
        if create.ended_at is None:  # no earlier attempt may have been applied
            create.above, create.sent_at = self.highest, now
        self.in_flight.add(create)

    def ended(self, create: SentCreate, now: float, receipt: TicketReceipt | None, *, is_unknown: bool) -> None:
        """Call this when an attempt has ended, even if its caller does not wait for it any more."""
        self.in_flight.discard(create)
        if receipt is not None:
            create.receipt = receipt
            self.add(create)
        elif is_unknown:
            create.ended_at, create.samples = now, self.samples

    def add(self, create: SentCreate) -> None:
        """Remember a ticket that was created."""
        if not (number := create.number):
            return
        if number <= (create.above or 0):
            self.disorder = f"ticket {number} was created after ticket {create.above}"
        self._samples.append(create)
        self._keep(number, create.sent_at)
        self.highest = max(self.highest, number)

    def claim(self, number: int, create: SentCreate) -> None:
        """Remember that a ticket answers for a create, and for no other one."""
        self.claims[number] = create
        self._keep(number, -math.inf)  # it may have been created by another program, so it is never a fence

    def _keep(self, number: int, sent_at: float) -> None:
        self.sent_at[number] = sent_at
        if len(self.sent_at) > _KEPT_NUMBERS:
            oldest = next(iter(self.sent_at))
            del self.sent_at[oldest]
            self.claims.pop(oldest, None)
            self.forgotten = max(self.forgotten, oldest)


class Search:
    """One look-up, or all look-ups of a bulk run, which share the tickets that were read and the number of reads."""

    def __init__(self, own: OwnTickets, *, quiet: float, max_reads: float) -> None:
        for name, value in (("quiet", quiet), ("max_reads", max_reads)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise InvalidRequestError(f"{name} must be a number from 0 up, not {value!r:.80}")
        self.earlier: dict[int, float] = {}
        """Tickets of earlier runs: when the create of each was sent."""
        self.reads_left: float = max_reads
        self._max_reads = max_reads
        self._quiet = quiet
        self._own = own
        self._tickets: dict[int, Ticket] = {}
        self._unchanged: frozenset[str] = frozenset()
        self._calibrated_for = math.inf

    def fence(self, lost: SentCreate) -> int | None:
        """Return the number of the ticket that ends the range of a create; None if no ticket does yet."""
        if lost.above is None or lost.ended_at is None:
            return None
        after, sent = lost.ended_at + self._quiet, (self._own.sent_at, self.earlier)
        late = (number for known in sent for number, sent_at in known.items() if sent_at >= after)
        return min((number for number in late if number > lost.above), default=None)

    def has_rival(self, lost: SentCreate, below: int) -> bool:
        """Whether a create in flight may turn out to have made a ticket in the range with the same title."""
        rivals = (other for other in self._own.in_flight if other.ticket.title == lost.ticket.title)
        return any((other.above or 0) < below for other in rivals)

    def decide(self, lost: SentCreate, now: float) -> Generator[int, Ticket | None, Verdict]:
        """Yield the number of each ticket to read; take it, or None if it cannot be read; and return the verdict."""
        if lost.receipt is not None:  # its answer arrived after the caller had stopped waiting
            return Found(lost.receipt)
        if lost.above is None or lost.ended_at is None or lost in self._own.in_flight:
            in_flight = lost in self._own.in_flight
            return Unclear("its request is still in flight" if in_flight else "its number range was not recorded")
        if now < lost.ended_at + self._quiet:
            return Unclear(f"it may still be applied; look it up {self._quiet:g} s after it ended or later")
        below = self.fence(lost)
        if below is None:
            later = f"at least {self._quiet:g} s after it ended" if self._quiet else "after it ended"
            text = "has been answered yet; look it up again after the next create"
            return Unclear(f"no create of this client that was sent {later} {text}")
        if self._own.disorder is not None:
            return Unclear(f"this account does not assign ascending ticket numbers: {self._own.disorder}")
        if lost.above < self._own.forgotten:
            return Unclear(f"this client has created more than {_KEPT_NUMBERS:,} tickets since then")
        names = yield from self._names_to_compare(lost)
        if isinstance(names, Unclear):
            return names
        if lost.marker not in names and self.has_rival(lost, below):
            return Unclear("a create with the same title is still in flight; look it up again when that has ended")
        return (yield from self._scan(lost, range(lost.above + 1, below), names))

    def _names_to_compare(self, lost: SentCreate) -> Generator[int, Ticket | None, frozenset[str] | Unclear]:
        """Return the fields that identify a ticket: the marker alone, or else all that reach the service unchanged.

        To find these fields, up to four own tickets are compared with the values that were sent. They are as old as the
        lost one, so that every automation that may have changed the lost one has changed them too.
        """
        sent_before = lost.ended_at or 0.0
        if sent_before < self._calibrated_for:
            samples = lost.samples if len(lost.samples) > 1 else dict.fromkeys((*lost.samples, *self._own.samples))
            same: set[str] = set()
            changed: set[str] = set()
            count = 0
            for sample in samples:
                if (ticket := (yield from self._read(sample.number))) is not None:
                    count += 1
                    values = sample.values()
                    kept = {name for name, value in values.items() if _is_same(ticket, name, value)}
                    same, changed = same | kept, changed | (values.keys() - kept)
            if count < 2:
                return Unclear(f"only {count} own tickets could be read by number, and two are needed as samples")
            self._unchanged, self._calibrated_for = frozenset(same - changed), sent_before
        if lost.marker in self._unchanged:
            return frozenset([lost.marker])
        if _TITLE in self._unchanged and lost.ticket.title:
            return self._unchanged & lost.values().keys()
        return Unclear("neither a title nor a marker is stored as it was sent, so the ticket could not be recognised")

    def _scan(self, lost: SentCreate, numbers: range, names: frozenset[str]) -> Generator[int, Ticket | None, Verdict]:
        """Read the numbers in the range. The lowest match is taken, so that equal creates get one ticket each."""
        known = len(self._own.sent_at) + len(self.earlier) + len(self._tickets)
        is_long = len(numbers) - known > self.reads_left  # too long even to look at each number
        if is_long or sum(self._is_unread(number, lost) for number in numbers) > self.reads_left:
            left = f"{self.reads_left:g} of {self._max_reads:g} reads are left"
            return Unclear(f"{len(numbers):,} ticket numbers are in question, and {left}")
        values, missing = lost.values(), 0
        for number in numbers:
            ticket = None if self._is_taken(number, lost) else (yield from self._read(number))
            if self._is_taken(number, lost):
                continue
            if ticket is None:
                missing += 1
            elif all(_is_same(ticket, name, values[name]) for name in names):
                self._own.claim(number, lost)
                return Found(TicketReceipt(number=ticket.number, ticket_id=ticket.ticket_id, key=ticket.key))
            elif any(_resembles(ticket, name, values[name]) for name in names & {_TITLE, lost.marker}):
                return Unclear(f"ticket {number} resembles it, but is not equal")
        if missing:
            return Unclear(f"{missing} of {len(numbers)} tickets from {numbers[0]} to {numbers[-1]} cannot be read")
        return Absent()

    def _is_taken(self, number: int, lost: SentCreate) -> bool:
        """Whether a ticket answers for another create."""
        is_own = number in self._own.sent_at or number in self.earlier
        return is_own and self._own.claims.get(number) is not lost

    def _is_unread(self, number: int, lost: SentCreate) -> bool:
        return number not in self._tickets and not self._is_taken(number, lost)

    def _read(self, number: int) -> Generator[int, Ticket | None, Ticket | None]:
        """Read a ticket once. A number without a ticket is read again, because it may be assigned later."""
        if number not in self._tickets and self.reads_left > 0:
            self.reads_left -= 1
            if (ticket := (yield number)) is not None:
                self._tickets[number] = ticket
        return self._tickets.get(number)


def _found(ticket: Ticket, name: str) -> Any:
    return ticket.lead_id if name == _LEAD else ticket.fields.get(name)


def _is_same(ticket: Ticket, name: str, sent: Any) -> bool:
    """Whether a field has the value that was sent. A number may be returned as text, and an empty text as null."""
    found, empty = _found(ticket, name), (None, "")
    return str(found) == str(sent) or (found in empty and sent in empty)


def _resembles(ticket: Ticket, name: str, sent: Any) -> bool:
    """Whether a text may be the one that was sent, after the service has cut, escaped or cleaned it."""
    if _is_same(ticket, name, sent):
        return False
    texts = (html.unescape(str(text or "")).lower() for text in (_found(ticket, name), sent))
    found, sent = (re.sub("[^0-9a-z]", "", text) for text in texts)
    return bool(found) and (found == sent or (len(found) >= _LONG and sent.startswith(found)))
