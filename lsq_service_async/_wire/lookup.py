"""Decides whether a *lost* create, whose outcome is unknown, was applied.

The service has no search. So a look-up reads every ticket whose number is above the highest number that was known when
the lost create was sent, and below the *fence*. The fence is a later ticket of this client. Its create was sent so late
that the lost create had been applied by then, or never will be.
"""

from __future__ import annotations

import math
import re
import sys
import unicodedata
from collections.abc import Generator, Iterable, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any, TypeVar

import attrs

from ..errors import InvalidRequestError, shown
from ..records import Absent, Found, NewTicket, Ticket, TicketReceipt, Unclear, Verdict
from .serialize import field_values

T = TypeVar("T")
Steps = Generator[Sequence[int], Mapping[int, Ticket | None], T]
"""Yields ticket numbers to read, receives the tickets (None for an unreadable ticket), and returns a result."""
_KEPT_NUMBERS = 10_000
_MAX = sys.float_info.max
_AT_ONCE = 10  # reads that wait for the rate limit at the same time
_SAMPLES = 4  # answered creates whose tickets show which fields the account changes
_LEAD = "LeadId"  # not a field of the ticket, but compared like a field
_TITLE = "Title"
_LONG = 50  # characters; the service does not cut shorter titles


@attrs.define(eq=False, kw_only=True)
class SentCreate:
    """A create that was sent. Times are times of the event loop's clock.

    ``marker`` is the field for the reference. ``doubts`` is the number of attempts that may have been applied. The
    first of these attempts was sent at ``sent_at``, and ``above`` is the highest ticket number that was known then. The
    last of these attempts ended at ``ended_at``, and ``samples`` are the latest creates that had been answered by then.
    """

    ticket: NewTicket
    reference: str
    marker: str | None = None
    attachments: tuple[Any, ...] = attrs.field(default=(), repr=False)
    above: int | None = None
    sent_at: float = -math.inf
    ended_at: float | None = None
    doubts: int = 0
    is_refused: bool = False
    receipt: TicketReceipt | None = None
    samples: tuple[SentCreate, ...] = ()

    @property
    def number(self) -> int:
        """The number of the ticket, or 0 if it is unknown or not numeric."""
        number = "" if self.receipt is None else self.receipt.number
        return int(number) if re.fullmatch("[0-9]{1,18}", number) else 0

    @cached_property
    def values(self) -> Mapping[str, Any]:
        values = {"Description": None, **field_values(self.ticket)}
        if self.ticket.lead_id is not None:
            values[_LEAD] = str(self.ticket.lead_id).lower()
        if self.marker is not None:
            values[self.marker] = self.reference
        return values


class OwnTickets:
    """The creates of a client that are in flight or lost, and the numbers of its last 10,000 tickets."""

    def __init__(self) -> None:
        self.highest: int = 0
        self.disorder: str | None = None
        """A message if the ticket numbers are not ascending, otherwise None."""
        self.in_flight: set[SentCreate] = set()
        self.sent_at: dict[int, float] = {}
        """The time when each create was sent, by ticket number. Minus infinity if a look-up found the ticket."""
        self.latest: float = -math.inf
        self.forgotten: int = 0
        """The highest ticket number that was removed from ``sent_at``."""
        self.lost: dict[SentCreate, None] = {}
        """Creates that may have been applied."""
        self.samples: tuple[SentCreate, ...] = ()

    def started(self, create: SentCreate, now: float) -> None:
        """Call this directly before an attempt is sent."""
        if create.ended_at is None:  # no earlier attempt can have been applied
            create.above, create.sent_at = self.highest, now
        create.is_refused = False
        self.in_flight.add(create)

    def ended(self, create: SentCreate, now: float, receipt: TicketReceipt | None, *, is_unknown: bool) -> None:
        """Call this when an attempt has ended, even if the caller has stopped waiting."""
        self.in_flight.discard(create)
        create.is_refused = receipt is None and not is_unknown and not create.doubts
        if receipt is not None:
            create.receipt = receipt
            self.lost.pop(create, None)
            if number := create.number:
                self.check_order(number, create.above)
                self.samples = (*self.samples, create)[-_SAMPLES:]
                self._keep(number, create.sent_at)
                self.highest = max(self.highest, number)
        elif is_unknown:
            create.ended_at, create.samples = now, self.samples
            create.doubts += 1
            self.add_lost(create)

    def check_order(self, number: int, above: int | None) -> None:
        """Set ``disorder`` if a new ticket has a number that is not higher than ``above``."""
        if above is not None and number <= above:
            self.disorder = f"ticket {number} was created after ticket {above}"

    def add_lost(self, create: SentCreate) -> None:
        self.lost[create] = None
        if len(self.lost) > _KEPT_NUMBERS:
            del self.lost[next(iter(self.lost))]

    def add_found(self, create: SentCreate, receipt: TicketReceipt) -> None:
        """Remember the ticket of a create, so that no look-up gives the ticket to another create."""
        create.receipt = receipt
        self.lost.pop(create, None)
        self._keep(create.number, -math.inf)  # never a fence: another program may have created the ticket

    def _keep(self, number: int, sent_at: float) -> None:
        self.sent_at[number] = sent_at
        self.latest = max(self.latest, sent_at)
        if len(self.sent_at) > _KEPT_NUMBERS:
            oldest = next(iter(self.sent_at))
            del self.sent_at[oldest]
            self.forgotten = max(self.forgotten, oldest)


class Search:
    """One look-up, or all look-ups of a bulk run. They share ``max_reads`` and the tickets that were read."""

    def __init__(self, own: OwnTickets, *, quiet: float, max_reads: float) -> None:
        for name, value in (("quiet", quiet), ("max_reads", max_reads)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX:
                raise InvalidRequestError(f"{name} must be a number of at least 0, not {shown(value)}")
        self._earlier: dict[int, float] = {}
        self._latest = -math.inf
        self.reads_left: float = max_reads
        self._max_reads = max_reads
        self._quiet = quiet
        self._own = own
        self._tickets: dict[int, Ticket] = {}
        self._unchanged: set[str] = set()
        self._changed: set[str] = set()
        self._calibrated_for = math.inf

    def remember(self, number: int, sent_at: float, above: int | None) -> None:
        """Remember a ticket of an earlier run."""
        self._earlier[number] = sent_at
        self._latest = max(self._latest, sent_at)
        self._own.check_order(number, above)

    def fence(self, lost: SentCreate) -> int | None:
        """Return the number of the fence, or None."""
        if lost.above is None or lost.ended_at is None:
            return None
        after, numbers = lost.ended_at + self._quiet, []
        for latest, sent in ((self._own.latest, self._own.sent_at), (self._latest, self._earlier)):
            if latest >= after:
                numbers += [number for number, sent_at in sent.items() if sent_at >= after and number > lost.above]
        return min(numbers, default=None)

    def has_rival(self, lost: SentCreate, below: int) -> bool:
        """Whether a create in flight has the same title and may have made a ticket in the number range of ``lost``."""
        rivals = (other for other in self._own.in_flight if other.ticket.title == lost.ticket.title)
        return any((other.above or 0) < below for other in rivals)

    def decide(self, lost: SentCreate, now: float) -> Steps[Verdict]:
        if lost.receipt is not None:
            return Found(lost.receipt)
        if lost.is_refused:
            return Absent()
        below = self.fence(lost)
        if (reason := self._missing(lost, below, now)) is not None:
            return Unclear(reason)
        names = yield from self._names_to_compare(lost)
        if isinstance(names, Unclear):
            return names
        if lost.marker not in names and self.has_rival(lost, below or 0):
            return Unclear("another create with the same title is still in flight; look this one up again later")
        verdict: Verdict = Absent()
        equal, others = self._with_the_text(lost)
        if others:
            names = names.union(lost.values, *(other.values for other in others)) - self._changed
        for create, end in equal:
            verdict = yield from self._scan(create, range((create.above or 0) + 1, end), names)
        if lost.receipt is not None:  # another look-up may have found the ticket meanwhile
            return Found(lost.receipt)
        if isinstance(verdict, Absent):
            self._own.lost.pop(lost, None)
        return verdict

    def _missing(self, lost: SentCreate, below: int | None, now: float) -> str | None:
        """Return the reason why a look-up cannot begin, or None."""
        if lost.above is None:
            return "its number range was not recorded"
        if lost in self._own.in_flight or lost.ended_at is None:
            return "its request is still in flight"
        if self.seconds_left(lost, now):
            return f"it may still be applied; look it up no earlier than {self._quiet:g} s after it ended"
        if below is None:
            later = f" (sent at least {self._quiet:g} s after the lost create ended)" if self._quiet else ""
            text = "has been answered yet; look it up again after the next create"
            return f"no later create of this client{later} {text}"
        if self._own.disorder is not None:
            return f"this account does not assign ascending ticket numbers: {self._own.disorder}"
        if lost.above < self._own.forgotten:
            return f"this client has created more than {_KEPT_NUMBERS:,} tickets since this create was sent"
        return None

    def _sent(self, create: SentCreate) -> tuple[Any, ...]:
        """Return the sent values and attachments. The marker is None if the account changes this field."""
        values = create.values
        return values if create.marker not in self._changed else {**values, create.marker: None}, create.attachments

    def _text(self, create: SentCreate) -> str:
        """Return the reference if the account stores it unchanged, or else the title."""
        return create.reference if create.marker in self._unchanged else create.ticket.title or ""

    def _with_the_text(self, lost: SentCreate) -> tuple[list[tuple[SentCreate, int]], list[SentCreate]]:
        """Return the lost creates with the text of ``lost``: those with the same values, and the others.

        The first list has pairs (create, fence) in ascending order of fence, and ends with ``lost``. Tickets are
        assigned in this order, because it leaves the fewest creates without a ticket.
        """
        sent, equal, others = self._sent(lost), [], []
        for create in {**self._own.lost, lost: None}:
            if self._text(create) == self._text(lost):
                if self._sent(create) != sent:
                    others.append(create)
                elif (end := self.fence(create)) is not None:
                    equal.append((create, end))
        equal.sort(key=itemgetter(1))
        return equal[: [create for create, _ in equal].index(lost) + 1], others

    def _names_to_compare(self, lost: SentCreate) -> Steps[frozenset[str] | Unclear]:
        """Return the fields that identify a ticket: the marker, or else all fields that the account does not change.

        The tickets of answered creates (samples) show which fields the account changes. The samples of ``lost`` show
        the changes at that time, and the client's latest sample shows the changes now. If ``lost`` has fewer than two
        samples, the other latest samples of the client are used, too.
        """
        samples: tuple[SentCreate, ...] = ()
        latest = self._own.samples[-1:]
        if (ended_at := lost.ended_at or 0.0) < self._calibrated_for:
            samples = lost.samples if len(lost.samples) > 1 else (*lost.samples, *self._own.samples)
        both = dict.fromkeys((*samples, *latest))
        yield from self._read([sample.number for sample in both])
        for sample in both:
            if (ticket := self._tickets.get(sample.number)) is not None:
                values = sample.values
                kept = {name for name, value in values.items() if _is_same(ticket, name, value)}
                self._changed |= values.keys() - kept
                self._unchanged = (self._unchanged | kept) - self._changed
        if ended_at < self._calibrated_for:
            if (count := len(self._tickets.keys() & {sample.number for sample in samples})) < 2:
                text = "a look-up needs two other tickets of this client for comparison"
                return Unclear(f"{text}, but only {count} could be read by number")
            self._calibrated_for = ended_at
        if lost.marker in self._unchanged:
            return frozenset([lost.marker])
        if _TITLE in self._unchanged and lost.ticket.title:
            return frozenset(lost.values.keys() - self._changed)
        return Unclear("neither a title nor a marker is stored as it was sent, so the ticket cannot be recognized")

    def _scan(self, lost: SentCreate, numbers: range, names: frozenset[str]) -> Steps[Verdict]:
        """Give ``lost`` the lowest matching ticket in the range, so that equal creates get one ticket each."""
        if self._unread(numbers) > self.reads_left:
            left = f"{self.reads_left:g} of {self._max_reads:g} reads are left"
            return Unclear(f"its ticket may have any of {len(numbers):,} numbers, but only {left}")
        missing: list[int] = []
        similar = None
        for start in range(0, len(numbers), _AT_ONCE):
            batch = numbers[start : start + _AT_ONCE]
            yield from self._read([number for number in batch if not self._is_taken(number)])
            for number in batch:
                ticket = self._tickets.get(number)
                if self._is_taken(number):
                    continue
                if ticket is None:
                    missing.append(number)
                elif (is_its_own := self._belongs(ticket, lost, names, missing)) is None:
                    similar = number
                elif is_its_own:
                    receipt = TicketReceipt(number=ticket.number, ticket_id=ticket.ticket_id, key=ticket.key)
                    receipt = attrs.evolve(receipt, possible_duplicate=lost.doubts > 1)
                    self._own.add_found(lost, receipt)
                    return Found(receipt)
        if similar is not None:
            return Unclear(f"ticket {similar} resembles it, but it is not certain that this create made that ticket")
        if missing:
            return Unclear(
                f"{len(missing)} of {len(numbers)} tickets from {numbers[0]} to {numbers[-1]} cannot be read"
            )
        return Absent()

    def _belongs(self, ticket: Ticket, lost: SentCreate, names: frozenset[str], missing: list[int]) -> bool | None:
        """Whether a ticket belongs to a create; None if this is not certain.

        A ticket with another text or lead belongs to another program. The account may have changed the other fields. So
        a ticket that differs only in these fields may belong to the create, unless the ticket has the values of another
        lost create.

        If a ticket fits several equal creates, it usually does not matter which create gets the ticket. It does matter
        if a lower number in the range could not be read (``missing``): that ticket may belong to ``lost``, and
        ``ticket`` to an equal create that was sent later.
        """
        if lost.receipt is not None:
            return False
        values, name = lost.values, lost.marker if lost.marker in self._unchanged else _TITLE
        found, is_equal = str(_found(ticket, name) or ""), _has(ticket, values, names)
        if not is_equal:
            proof = {_LEAD} & self._unchanged & values.keys() if name == _TITLE else ()
            if not _has(ticket, values, proof) or not _resembles(found, self._text(lost), name == _TITLE):
                return False
        sent, number = self._sent(lost), int(ticket.number)
        fits_another = any(
            _has(ticket, other.values, names) and _has(ticket, other.values, other.values.keys() - self._changed)
            for other in self._own.lost
            if self._text(other) == found and (other.above or 0) < number and other is not lost
            if self._sent(other) != sent or (missing and missing[0] <= (other.above or 0))
        )
        return is_equal if is_equal != fits_another else None

    def _is_taken(self, number: int) -> bool:
        """Whether a ticket belongs to another create of this client."""
        return number in self._own.sent_at or number in self._earlier

    def _unread(self, numbers: range) -> int:
        """Return the number of reads that a range needs, or the length of a very long range."""
        if len(numbers) > 2 * _KEPT_NUMBERS + len(self._earlier):
            return len(numbers)
        return sum(number not in self._tickets and not self._is_taken(number) for number in numbers)

    def reads_for(self, lost: SentCreate) -> float:
        """The number of reads that a look-up would make now, at most ``reads_left``."""
        end = self.fence(lost) or self._own.highest + 1
        return min(self.reads_left, self._unread(range((lost.above or 0) + 1, end)))

    def seconds_left(self, lost: SentCreate, now: float) -> float:
        """The seconds until the service can no longer apply a create."""
        return 0.0 if lost.ended_at is None else max(0.0, lost.ended_at + self._quiet - now)

    def _read(self, numbers: Sequence[int]) -> Steps[None]:
        """Read tickets that were not read before. Missing tickets are read again: they may appear later."""
        unread = [number for number in numbers if number not in self._tickets][: int(self.reads_left)]
        if unread:
            self.reads_left -= len(unread)
            tickets = yield unread
            self._tickets |= {number: ticket for number, ticket in tickets.items() if ticket is not None}


def _found(ticket: Ticket, name: str) -> Any:
    return (ticket.lead_id or "").lower() if name == _LEAD else ticket.fields.get(name)


def _is_same(ticket: Ticket, name: str, sent: Any) -> bool:
    """Whether a field has the value that was sent. The service may store a number as text, and empty text as null."""
    found, empty = _found(ticket, name), (None, "")
    return str(found) == str(sent) or (found in empty and sent in empty)


def _has(ticket: Ticket, values: Mapping[str, Any], names: Iterable[str]) -> bool:
    return all(_is_same(ticket, name, values.get(name)) for name in names)


def _resembles(found: str, sent: str, is_title: bool) -> bool:
    """Whether ``found`` may be the text ``sent``, after the account has cut, escaped, cleaned or extended it."""
    if found == sent:
        return True
    import html  # imported here, because its table of names is large

    other = "[^0-9a-z]+" if found.isascii() else r"[\W_]+"  # the service may store "?" for a letter outside ASCII
    texts = (unicodedata.normalize("NFKC", re.sub("<[^<>]*>", " ", html.unescape(text))) for text in (found, sent))
    words, sent_words = (re.sub(other, " ", text.casefold()).strip() for text in texts)
    if not words or not sent_words:
        return words == sent_words and not sent.isascii()
    is_extended = f" {sent_words} " in f" {words} "
    is_cut = sent_words.startswith(words) and (len(words) >= _LONG or not is_title)
    return is_extended or is_cut or words.replace(" ", "") == sent_words.replace(" ", "")
