"""A bulk run: workers pull rows, one outcome comes for each, and nothing is sent that is not in the journal."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Literal

import attrs

from ..errors import InvalidRequestError, LSQServiceError, NotSentError
from ..records import TicketReceipt
from .breaker import Breaker
from .crew import Crew
from .journal import Entry, Journal
from .journal_file import State
from .outcomes import Plan, RowOutcome, Summary, earlier, state_after
from .progress import Progress
from .review import states_in
from .rows import BulkRow, Row, Source, rows_of

Reconcile = Callable[[BulkRow], Awaitable[TicketReceipt | None]]
OnUnknown = Literal["skip", "stop", "resend"] | Reconcile
Operation = Callable[[BulkRow, Callable[[], Awaitable[None]]], Awaitable[TicketReceipt]]
"""Sends one row; awaits the second argument right before each send."""


@attrs.frozen(kw_only=True)
class Setup:
    """How a run is made; the client fills this in."""

    verb: Literal["created", "updated"]
    send: Operation
    probe: Callable[[], Awaitable[object]]
    workers: int
    seconds_per_call: float
    window: float
    estimated_wait: Callable[[], float]
    before_closing: set[Callable[[], Awaitable[None]]]
    """What the client awaits before it is closed, once all that was sent has ended."""


def _kept(on_unknown: OnUnknown, *, retry_failed: bool) -> set[State]:
    """The states of rows that are done, or wait for a retry or for the user's word."""
    kept = {State.DONE} if retry_failed else {State.DONE, State.FAILED}
    return kept if on_unknown == "resend" or callable(on_unknown) else kept | {State.UNKNOWN, State.IN_FLIGHT}


class BulkJob:
    """One run, iterated once: ``async for outcome in job``. A `RowOutcome` comes for each row, in order of completion.

    Leave the loop early, or call `stop`, and no new row begins; what is in flight ends and is journaled. The next
    run with the same journal goes on from there.
    """

    def __init__(
        self,
        rows: Source,
        journal: str | os.PathLike[str],
        setup: Setup,
        *,
        on_unknown: OnUnknown = "skip",
        retry_failed: bool = False,
    ) -> None:
        if on_unknown not in ("skip", "stop", "resend") and not callable(on_unknown):
            raise InvalidRequestError(f'on_unknown is "skip", "stop", "resend" or a function, not {on_unknown!r:.80}')
        if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable | AsyncIterable):
            raise InvalidRequestError(f"rows are an iterable of NewTicket or BulkRow, not {type(rows).__name__}")
        self._rows = rows
        self._journal = Journal(journal, setup.verb)
        self._setup = setup
        self._on_unknown = on_unknown
        self._retry_failed = retry_failed
        self._progress = Progress(rows, _kept(on_unknown, retry_failed=retry_failed))
        self._sends_from = -math.inf
        self._stopping = False
        self._begun = False
        self._crew: Crew | None = None
        self._ending: asyncio.Task[None] | None = None
        self._all_written = asyncio.Event()

    def plan(self) -> Plan:
        """Calls and seconds of a run that begins now. Blocks for a moment: it looks into the journal."""
        return self._progress.plan(states_in(self._journal.path), self._setup.seconds_per_call)

    def summary(self) -> Summary:
        """How many rows ended how, so far."""
        return self._progress.summary()

    def eta(self) -> float | None:
        """Seconds until the last row, from what the limiter allows; None where nobody knows how long the input is."""
        left = self._progress.left()
        if not left:
            return None if left is None else 0.0
        first = max(self._setup.estimated_wait(), self._seconds_for_earlier_calls())
        return first + (left - 1) * self._setup.seconds_per_call

    def rate(self) -> float:
        """Rows per second, from the first one that was sent on; 0.0 until then. Skipped ones do not count."""
        return self._progress.per_second()

    def stop(self) -> None:
        """Begin no new row. The loop over the job ends when what is in flight has ended."""
        self._stopping = True
        if self._crew is not None:
            self._crew.dismiss_idle()

    def __aiter__(self) -> AsyncIterator[RowOutcome]:
        if self._begun:
            raise LSQServiceError("a bulk job is iterated once; make another one to go on")
        self._begun = True
        return self._run()

    async def _run(self) -> AsyncIterator[RowOutcome]:
        self._setup.before_closing.add(self._is_wound_up)
        try:
            known = await self._journal.open()
            self._progress.begins(known)
            if known:
                self._sends_from = asyncio.get_running_loop().time() + self._setup.window
            crew = self._crew = Crew(self, Breaker(self._setup.probe), self._setup.workers)
            async for outcome in crew.outcomes():
                self._progress.told(outcome)
                yield outcome
        finally:
            self._ending = asyncio.create_task(self._end())
            await asyncio.shield(self._ending)
        crew.raise_what_stopped_it()

    async def _end(self) -> None:
        """What is in flight ends, and is journaled, also when the caller is cancelled once more."""
        if self._crew is not None:
            self.stop()
            await self._crew.end()
        await self._journal.aclose()
        self._setup.before_closing.discard(self._is_wound_up)

    async def _is_wound_up(self) -> None:
        """What was sent is written, and a loop that was left has closed the journal: the client is closed next."""
        while self._progress.sending:
            self._all_written.clear()
            await self._all_written.wait()
        if self._ending is not None:
            await asyncio.wait([self._ending])

    # --- what the workers ask -----------------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Whether no new row may begin."""
        return self._stopping

    def source(self) -> AsyncIterator[Row]:
        """The input, row by row."""
        return rows_of(self._rows)

    async def outcome_of(self, row: Row, crew: Crew) -> RowOutcome:
        """Do what is still to be done for a row."""
        return attrs.evolve(await self._settled(row, crew), row=row.given)

    async def _settled(self, row: Row, crew: Crew) -> RowOutcome:
        entry = await self._journal.meet(row, mended=self._retry_failed)
        match entry.state:
            case State.DONE:
                return RowOutcome(entry.key, "skipped", entry.receipt)
            case State.FAILED if not self._retry_failed:
                return RowOutcome(entry.key, "failed", None, earlier(entry))
            case State.UNKNOWN:
                return await self._unknown(row, entry, crew)
            case _:
                return await self._send(row, entry, crew)

    async def _unknown(self, row: Row, entry: Entry, crew: Crew) -> RowOutcome:
        """By the user's word only: an unknown row is never sent again by itself."""
        if self._on_unknown == "resend":
            return await self._send(row, entry, crew)
        if callable(self._on_unknown):
            await self._let_earlier_calls_pass()
            receipt = await self._on_unknown(attrs.evolve(row.given, key=entry.key))
            if receipt is None:
                return await self._send(row, attrs.evolve(entry, state=State.PENDING), crew)
            await self._journal.finish(entry.key, State.DONE, receipt, None)
            return RowOutcome(entry.key, self._setup.verb, receipt)
        if self._on_unknown == "stop":
            raise LSQServiceError(
                f"the row {entry.key!r} may have been applied by an earlier run; look before you go on"
            )
        return RowOutcome(entry.key, "unknown", None, earlier(entry))

    async def _send(self, row: Row, entry: Entry, crew: Crew) -> RowOutcome:
        key = entry.key

        async def before_send() -> None:
            crew.begins_to_send()
            await self._journal.intend(key)
            self._progress.leaves(key)

        await self._let_earlier_calls_pass()
        try:
            return await self._send_and_write(row, entry, before_send)
        finally:
            self._progress.ended(key)
            self._all_written.set()

    async def _send_and_write(self, row: Row, entry: Entry, before_send: Callable[[], Awaitable[None]]) -> RowOutcome:
        try:
            receipt = await self._setup.send(row.given, before_send)
        except LSQServiceError as error:
            if entry.key not in self._progress.sending and not isinstance(error, NotSentError | InvalidRequestError):
                raise  # it says nothing of the row: the client is closed, or its limit cannot be used
            return await self._failed(entry, error)
        await self._journal.finish(entry.key, State.DONE, receipt, None)
        return RowOutcome(entry.key, self._setup.verb, receipt)

    async def _let_earlier_calls_pass(self) -> None:
        """Those of the run before this one may still count against the limit. Who is told to stop is cancelled here."""
        if (seconds := self._seconds_for_earlier_calls()) > 0:
            await asyncio.sleep(seconds)

    def _seconds_for_earlier_calls(self) -> float:
        return self._sends_from - asyncio.get_running_loop().time()

    async def _failed(self, entry: Entry, error: LSQServiceError) -> RowOutcome:
        # That this send was not applied says nothing of an earlier one.
        state = State.UNKNOWN if entry.state is State.UNKNOWN else state_after(error)
        await self._journal.finish(entry.key, state, None, type(error).__name__)
        return RowOutcome(entry.key, "unknown" if state is State.UNKNOWN else "failed", None, error)


class Bulk:
    """Bulk runs of a client; reached as ``client.bulk``."""

    def __init__(self, setup_for: Callable[[Literal["created", "updated"]], Setup]) -> None:
        self._setup_for = setup_for

    def create(
        self,
        rows: Source,
        *,
        journal: str | os.PathLike[str],
        on_unknown: OnUnknown = "skip",
        retry_failed: bool = False,
    ) -> BulkJob:
        """Create a ticket for each row, in the bulk lane, as fast as the limit allows.

        ``rows`` is an iterable or async iterable of any length, of `NewTicket` or `BulkRow`. ``journal`` is a file,
        made where there is none; a second run with it skips what is done, and sends again what was certainly not
        sent. Rows that may have been applied are never sent again by themselves: ``on_unknown`` "skip" reports them,
        "stop" raises, "resend" sends them, and a function ``async (row) -> receipt | None`` looks whether they were
        (None: they were not, send them). Failed rows are sent again with ``retry_failed=True``; they may have been
        mended, that is, come with other content under the same key.

        While iterated it raises LSQServiceError where the journal cannot be written, InvalidRequestError for a row
        that is none or whose content else changed under its key, and AuthenticationError or PermissionDeniedError where
        the keys will not do; everything else is the outcome of a row.
        """
        return BulkJob(rows, journal, self._setup_for("created"), on_unknown=on_unknown, retry_failed=retry_failed)

    def update(
        self,
        rows: Source,
        *,
        journal: str | os.PathLike[str],
        on_unknown: OnUnknown = "skip",
        retry_failed: bool = False,
    ) -> BulkJob:
        """Change tickets by ``BulkRow(key, TicketUpdate(...), target="143")``; the rest is as in `create`."""
        return BulkJob(rows, journal, self._setup_for("updated"), on_unknown=on_unknown, retry_failed=retry_failed)
