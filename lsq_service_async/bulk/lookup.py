"""The queue of a run, with the rows that wait for a look-up. A look-up finds out whether a row was applied."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Protocol

import attrs

from ..errors import InvalidRequestError, LSQServiceError, shown
from ..records import Absent, Found, Lookup, NewTicket, NumberRange, TicketReceipt, Unclear, Verdict
from ._journal_file import Entry, State
from .rows import BulkRow, Row

Reconcile = Callable[[BulkRow], Awaitable[TicketReceipt | None]] | Callable[[BulkRow, NumberRange], Awaitable[Verdict]]
"""A function of the caller that looks up a row."""
_HELD = 4  # rows sent last as fences: their ticket numbers end the ranges of unknown creates
_SAMPLES = 4  # answered creates; their tickets show which fields the account changes after a create
_FIRST = 5  # first rows, sent one by one if no ticket number is known


class RowLookUps(Protocol):
    """The look-ups of one run, which the client implements. A create is an object that `recall` returns."""

    @property
    def highest(self) -> int:
        """The highest ticket number that is known."""

    def remember(self, highest: int, numbers: Iterable[tuple[int, float | None, int | None]]) -> None:
        """Remember the result of `Journal.numbers`."""

    def recall(self, ticket: NewTicket, *, sent_at: float | None, ended_at: float | None, **sent: Any) -> Any:
        """Return the create of a row from its entry in the journal."""

    def number_range(self, create: Any) -> NumberRange:
        """Return the ticket numbers that the create can have."""

    def is_ready(self, create: Any) -> bool:
        """Return whether a look-up of the create can decide now."""

    def seconds_left(self, create: Any) -> float:
        """Return for how many seconds the service may still apply the create."""

    def reads_for(self, create: Any) -> float:
        """Return how many reads a look-up of the create would take."""

    async def decide(self, create: Any) -> Verdict:
        """Find out whether the create was applied."""


@attrs.frozen
class UnknownRow:
    """A row that may have been applied. ``create`` is None for an update.

    ``is_earlier`` is True for a create of an earlier run. If a look-up has shown that the row was not applied,
    ``entry`` is pending.
    """

    row: Row
    entry: Entry
    error: LSQServiceError
    create: Any
    is_earlier: bool


def is_look_up(value: object) -> bool:
    """Return whether a value is a `Lookup` or a function. A class, such as `Lookup` itself, is neither."""
    return isinstance(value, Lookup) or (callable(value) and not isinstance(value, type))


class RowQueue:
    """The rows of a run in the order in which they are processed. Rows that can be looked up come first."""

    def __init__(
        self, rows: AsyncIterator[Row], on_unknown: Lookup | Reconcile, look_ups: Callable[[float, float], RowLookUps]
    ) -> None:
        lookup = on_unknown if isinstance(on_unknown, Lookup) else Lookup()
        if not isinstance(lookup.fence, bool):
            raise InvalidRequestError(f"fence must be True or False, not {shown(lookup.fence)}.")
        self.look_ups: RowLookUps = look_ups(lookup.quiet, lookup.max_reads)
        self.waiting: list[UnknownRow] = []
        self._rows = rows
        self._reconcile = None if isinstance(on_unknown, Lookup) else on_unknown
        self._hold = _HELD if lookup.fence else 0
        self._held: deque[Row | UnknownRow] = deque()
        self._samples: deque[Any] = deque(maxlen=_SAMPLES)
        self._is_exhausted = False
        self._active = self._finished = 0
        self._changed = asyncio.Event()
        self._deciding = asyncio.Lock()

    async def pull(self) -> Row | UnknownRow | None:
        """Return the next row to process, or None at the end. Only one worker at a time may call this."""
        item: Row | UnknownRow | None
        while (item := self._pop_ready()) is None:
            is_alone = not self.look_ups.highest and self._active and self._finished < _FIRST
            if not is_alone and (item := await self._read()) is not None:
                break
            if not self._active:
                item = await self._pop_last()
                break
            self._changed.clear()
            await self._changed.wait()
        self._active += item is not None
        return item

    def finished(self) -> None:
        """Call this when a pulled row has been processed."""
        self._active -= 1
        self._finished += 1
        self._changed.set()

    def skipped(self, row: Row, entry: Entry) -> None:
        """Add the create of a skipped row to the samples, if its ticket number is from an answer of the service."""
        if entry.receipt is None or not isinstance(row.given.ticket, NewTicket):
            return
        sample = self._recall(row, entry)
        if entry.ended_at is not None:
            self._samples.append(sample)
            for unknown in self.waiting:
                if unknown.is_earlier and len(unknown.create.samples) < _SAMPLES:
                    unknown.create.samples = (*unknown.create.samples, sample)

    def add(self, row: Row, entry: Entry, error: LSQServiceError, *, is_earlier: bool = False) -> None:
        """Add a row that may have been applied."""
        create = getattr(error, "lost", None)
        if create is None and isinstance(row.given.ticket, NewTicket):
            create = self._recall(row, entry, samples=tuple(self._samples))
        self.waiting.append(UnknownRow(row, entry, error, create, is_earlier and create is not None))

    def left(self) -> list[UnknownRow]:
        """Return the rows that still wait when the run is stopped."""
        return [*self.waiting, *(held for held in self._held if isinstance(held, UnknownRow))]

    def hold(self, unknown: UnknownRow) -> bool:
        """Try to hold back a row that was not applied, to send it last as a fence. Return whether it is held back."""
        if self._hold and self._is_exhausted and unknown.entry.state is State.UNKNOWN:
            self._held.append(attrs.evolve(unknown, entry=attrs.evolve(unknown.entry, state=State.PENDING)))
            return True
        return False

    async def decide(self, unknown: UnknownRow) -> Verdict:
        """Look a row up. If the look-up fails, the verdict is unclear."""
        if unknown.entry.state is State.PENDING:
            return Absent()
        try:
            if self._reconcile is not None:
                return await self._ask(self._reconcile, unknown)
            async with self._deciding:  # one at a time, because two look-ups may need the same tickets
                return await self.look_ups.decide(unknown.create)
        except (Exception, asyncio.CancelledError) as error:
            worker: Any = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and worker.cancelling():  # the run was stopped
                raise
            return Unclear(f"the look-up failed with {type(error).__name__}: {error}")

    async def _ask(self, reconcile: Any, unknown: UnknownRow) -> Verdict:
        """Look a row up with the function of the caller."""
        arguments: list[Any] = [attrs.evolve(unknown.row.given, key=unknown.entry.key)]
        if _takes_range(reconcile):
            arguments.append(self._range_of(unknown))
        result = await reconcile(*arguments)
        if isinstance(result, Found | TicketReceipt):
            return Found(_checked(result.receipt if isinstance(result, Found) else result))
        if not isinstance(result, Absent | Unclear | None):
            raise InvalidRequestError(f"the function must return Found, Absent or Unclear, not {type(result).__name__}")
        return result or Absent()

    def reads(self) -> float:
        """Return how many reads the look-ups of the waiting rows will take."""
        if self._reconcile is not None:
            return 0
        return sum(self.look_ups.reads_for(unknown.create) for unknown in self.waiting)

    def _pop_ready(self) -> UnknownRow | None:
        """Remove and return a row that can be looked up now, or return None.

        Rows of an earlier run wait until all rows are read, because a look-up must know the tickets of all other rows.
        """
        for unknown in self.waiting:
            is_complete = self._is_exhausted or not unknown.is_earlier
            if unknown.create is not None and is_complete and self.look_ups.is_ready(unknown.create):
                self.waiting.remove(unknown)
                return unknown
        return None

    async def _read(self) -> Row | UnknownRow | None:
        """Return the next row of the input, or None. The last rows are held back as fences."""
        while not self._is_exhausted and len(self._held) <= self._hold:
            row = await anext(self._rows, None)
            if row is None:
                self._is_exhausted = True
            else:
                self._held.append(row)
        return self._held.popleft() if len(self._held) > self._hold else None

    async def _pop_last(self) -> Row | UnknownRow | None:
        """Return a row that was held back or is still waiting. Call this only when no other row is being processed."""
        if self._held:
            await asyncio.sleep(
                max([self.look_ups.seconds_left(unknown.create) for unknown in self.waiting], default=0)
            )
            return self._held.popleft()
        return self.waiting.pop(0) if self.waiting else None

    def _recall(self, row: Row, entry: Entry, **about: Any) -> Any:
        ticket: Any = row.given.ticket
        about |= {"reference": entry.reference or "", "marker": entry.marker, "receipt": entry.receipt}
        about |= {"attachments": row.given.attachments, "doubts": 1 + entry.possible_duplicate}
        about["above"] = None if entry.sent_at is None else entry.above or 0
        return self.look_ups.recall(ticket, sent_at=entry.sent_at, ended_at=entry.ended_at, **about)

    def _range_of(self, unknown: UnknownRow) -> NumberRange:
        if unknown.create is not None:
            return self.look_ups.number_range(unknown.create)
        sent_at = unknown.entry.sent_at
        when = None if sent_at is None else datetime.fromtimestamp(sent_at, UTC)
        return NumberRange(None, None, when, unknown.entry.reference)


def _checked(receipt: TicketReceipt) -> TicketReceipt:
    """Check a receipt that the function of the caller returned, and convert its number to text."""
    if isinstance(receipt, TicketReceipt):
        number: Any = receipt.number
        number = str(number) if type(number) is int else number
        texts = (number, receipt.ticket_id or "", receipt.key or "")
        if number and all(isinstance(text, str) for text in texts):
            return attrs.evolve(receipt, number=number)
    raise InvalidRequestError(f"the function must return a TicketReceipt with the ticket number, not {shown(receipt)}")


def _takes_range(function: Callable[..., Any]) -> bool:
    """Return whether a function takes a row and a number range. Functions for earlier versions take only the row."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return sum(p.kind in kinds and p.default is p.empty for p in parameters) > 1 or any(
        p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters
    )
