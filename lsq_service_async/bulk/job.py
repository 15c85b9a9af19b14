"""A bulk run: workers pull rows, send them, and return outcomes. The journal stores each row before it is sent."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Literal

import attrs

from .._logging import logger
from ..config import RateLimit
from ..errors import InvalidRequestError, LSQServiceError, NotSentError, printable, shown
from ..records import Absent, Found, Lookup, Outcome, TicketReceipt
from ._journal_file import Entry, PathLike, State, check_account
from .circuit_breaker import CircuitBreaker
from .journal import Journal, account_in, states_in
from .lookup import Reconcile, RowLookUps, RowQueue, UnknownRow, is_look_up
from .progress import Plan, Progress, RowOutcome, Summary, previous_error, state_for_error
from .rows import BulkRow, Row, Source, rows_of
from .workers import WorkerPool

Verb = Literal["created", "updated"]
OnUnknown = Literal["skip", "stop", "resend"] | Lookup | Reconcile
Operation = Callable[[BulkRow, Callable[[str, bool], Awaitable[None]], str | None], Awaitable[TicketReceipt]]
"""Sends one row.

The second argument is called before each attempt, with the reference of the call and with True if an earlier attempt
may have been applied. The third argument is the reference of the call, or None for a new reference.
"""
_MOST_WORKERS = 100  # more workers would not be faster


@attrs.frozen(kw_only=True)
class Setup:
    """The parts of a client that a job uses.

    ``marker`` is the field in which creates send their reference, or None. ``now`` returns the seconds since 1970, and
    does not jump if the system clock is set. The functions in ``before_closing`` are awaited before the client closes.
    """

    verb: Verb
    account: str
    send: Operation
    marker: str | None
    look_ups: Callable[[float, float], RowLookUps]
    now: Callable[[], float]
    probe: Callable[[], Awaitable[object]]
    rate_limit: RateLimit
    estimated_wait: Callable[[], float]
    before_closing: set[Callable[[], Awaitable[None]]]


class BulkJob:
    """One bulk run. ``async for outcome in job`` yields one `RowOutcome` for each row, in order of completion.

    If you leave the loop early or call `stop`, no new row is started. Rows in flight are completed, and their results
    are stored. A job can be iterated only once. To continue, make another job with the same journal.

    After a ``break`` or an exception, the journal stays locked until Python closes the iterator a little later. To
    unlock the journal at once, iterate over ``outcomes`` in ``async with contextlib.aclosing(aiter(job)) as outcomes``.
    """

    def __init__(
        self,
        rows: Source,
        journal: PathLike,
        setup: Setup,
        *,
        on_unknown: OnUnknown = "skip",
        retry_failed: bool = False,
        only_look_up: bool = False,
    ) -> None:
        if not (is_look_up(on_unknown) or on_unknown in ("skip", "stop", "resend")):
            text = f'on_unknown must be "skip", "stop", "resend", a Lookup or a function, not {shown(on_unknown)}.'
            raise InvalidRequestError(text)
        if isinstance(on_unknown, Lookup) and setup.verb == "updated":
            raise InvalidRequestError("A Lookup can find only creates. For updates, set on_unknown to a function.")
        if not isinstance(retry_failed, bool):
            raise InvalidRequestError(f"retry_failed must be True or False, not {shown(retry_failed)}.")
        if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable | AsyncIterable):
            raise InvalidRequestError(f"rows must be an iterable of NewTicket or BulkRow, not {type(rows).__name__}.")
        kept = {State.DONE} if retry_failed else {State.DONE, State.FAILED}
        if on_unknown in ("skip", "stop"):
            kept |= {State.UNKNOWN, State.IN_FLIGHT}
        self._rows = rows_of(rows)
        self._queue = None if isinstance(on_unknown, str) else RowQueue(self._rows, on_unknown, setup.look_ups)
        self._journal = Journal(journal, setup.verb, setup.account, setup.now)
        self._setup = setup
        self._on_unknown = on_unknown
        self._retry_failed = retry_failed
        self._only_look_up = only_look_up
        self._seconds_per_call = setup.rate_limit.per / setup.rate_limit.calls
        self._progress = Progress(rows, kept)
        self._breaker = CircuitBreaker(setup.probe)
        size = min(setup.rate_limit.calls, _MOST_WORKERS)
        self._pool: WorkerPool[Row | UnknownRow, RowOutcome] = WorkerPool(self._pull, self._process, size)
        self._sends_from = -math.inf
        self._has_begun = False
        self._ending: asyncio.Task[None] | None = None
        self._recorded = asyncio.Event()

    def plan(self, states: Mapping[State, int] | None = None) -> Plan:
        """Return the plan of a run that begins now. Blocks while it reads the journal.

        ``states`` is the number of rows of the input in each state. By default, all rows of the journal are counted.
        Raises ConfigurationError if the journal cannot be read or belongs to another account.
        """
        path = self._journal.path
        check_account(path, account_in(path), self._setup.account)
        states = states_in(path) if states is None else states
        has_unknown = bool(states.keys() & {State.UNKNOWN, State.IN_FLIGHT})
        reads = self._on_unknown.max_reads if has_unknown and isinstance(self._on_unknown, Lookup) else 0
        if self._only_look_up:
            return Plan(reads, reads * self._seconds_per_call, states.get(State.DONE, 0))
        return self._progress.plan(states, self._seconds_per_call, reads)

    def summary(self) -> Summary:
        """Return the number of rows in each state so far."""
        return self._progress.summary()

    def eta(self) -> float | None:
        """Return the seconds until the run sends its last call, if calls are sent as fast as the rate limit allows.

        Returns None if the length of the input is not known. Call this in the event loop of the client.
        """
        left: float | None = 0 if self._only_look_up else self._progress.remaining()
        if left is None or not (left := left + (self._queue.reads() if self._queue is not None else 0)):
            return left
        first = max(self._setup.estimated_wait(), self._sends_from - asyncio.get_running_loop().time())
        return first + (left - 1) * self._seconds_per_call

    def rate(self) -> float:
        """Return the average number of rows sent per second, or 0.0 before the first result."""
        return self._progress.per_second()

    def stop(self) -> None:
        """Start no new row. The ``async for`` loop over the job ends when all rows in flight have been completed.

        Call this in the event loop of the run. From another thread, use ``loop.call_soon_threadsafe(job.stop)``.
        """
        self._pool.stop()

    async def __aiter__(self) -> AsyncIterator[RowOutcome]:
        if self._has_begun:
            raise LSQServiceError(
                "This bulk job was iterated before. To continue, make another job with the same journal."
            )
        self._has_begun = True
        self._setup.before_closing.add(self._wait_until_recorded)
        try:
            states = await self._journal.open()
            self._progress.run_started(states)
            if states:  # the calls of an earlier run may still count against the rate limit
                self._sends_from = asyncio.get_running_loop().time() + self._setup.rate_limit.per
            if self._queue is not None:
                self._queue.look_ups.remember(*await self._journal.numbers())
            async for outcome in self._pool.results():
                self._progress.outcome_delivered(outcome)
                yield outcome
            for unknown in self._queue.left() if self._queue is not None else ():  # the run was stopped
                outcome = RowOutcome(unknown.entry.key, "unknown", None, unknown.error, unknown.row.given)
                self._progress.outcome_delivered(outcome)
                yield outcome
        finally:
            self._ending = asyncio.create_task(self._end())
            await asyncio.shield(self._ending)

    async def _end(self) -> None:
        """Complete the rows in flight and close the journal."""
        await self._pool.aclose()
        await self._journal.aclose()
        self._setup.before_closing.discard(self._wait_until_recorded)

    async def _wait_until_recorded(self) -> None:
        """Wait until all results are stored and, if the loop over the job has ended, until the journal is closed."""
        while self._progress.in_flight:
            self._recorded.clear()
            await self._recorded.wait()
        if self._ending is not None:
            await asyncio.wait([self._ending])

    async def _pull(self) -> Row | UnknownRow | None:
        await self._breaker.wait_until_closed()
        return await (anext(self._rows, None) if self._queue is None else self._queue.pull())

    async def _process(self, item: Row | UnknownRow) -> RowOutcome | None:
        """Return the outcome. Return None if the row waits, or if `Bulk.look_up` has nothing to do for it."""
        try:
            if isinstance(item, UnknownRow):
                outcome, row = await self._look_up(item), item.row
            else:
                outcome, row = await self._process_row(item), item
            return outcome and attrs.evolve(outcome, row=row.given)
        finally:
            if self._queue is not None:
                self._queue.finished()

    async def _process_row(self, row: Row) -> RowOutcome | None:
        """Send a row of the input, unless its entry in the journal forbids this."""
        entry, changed = await self._journal.register(row, edited=self._retry_failed)
        is_unknown, is_failed = entry.state is State.UNKNOWN, entry.state is State.FAILED
        if changed is not None and not (is_unknown and self._on_unknown == "stop"):
            error: LSQServiceError = InvalidRequestError(changed, reference=entry.reference, safe_to_repeat=is_failed)
            return RowOutcome(entry.key, "unknown" if is_unknown else "failed", entry.receipt, error)
        if is_unknown and self._on_unknown != "resend":
            return self._leave(row, entry, previous_error(entry), is_earlier=True)
        if entry.state is State.DONE and self._queue is not None:
            self._queue.skipped(row, entry)
        if self._only_look_up:
            return None
        if entry.state is State.DONE:
            return RowOutcome(entry.key, "skipped", entry.receipt, possible_duplicate=entry.possible_duplicate)
        if is_failed and not self._retry_failed:
            return RowOutcome(entry.key, "failed", None, previous_error(entry))
        return await self._send(row, entry)

    def _leave(self, row: Row, entry: Entry, error: LSQServiceError, *, is_earlier: bool = False) -> RowOutcome | None:
        """Return the outcome of a row that may have been applied, or None if the row now waits for a look-up."""
        if self._queue is not None:
            self._queue.add(row, entry, error, is_earlier=is_earlier)
            return None
        if self._on_unknown == "stop":
            if is_earlier:
                text = f"Row {entry.key!r} may have been applied by an earlier run."
                text += " Use resolve() or `bulk unknown` to decide whether it was applied."
                raise LSQServiceError(text, reference=entry.reference, safe_to_repeat=False)
            logger.warning("The run stops, because row %r may have been applied (on_unknown is stop).", entry.key)
            self.stop()
        return RowOutcome(entry.key, "unknown", None, error)

    async def _look_up(self, unknown: UnknownRow) -> RowOutcome | None:
        """Look up a row that may have been applied, and send the row if it was not applied."""
        assert self._queue is not None  # noqa: S101 -- the row comes from this queue
        row, entry = unknown.row, unknown.entry
        pending = attrs.evolve(entry, state=State.PENDING, possible_duplicate=False)
        try:
            await self._wait_for_earlier_calls()
            verdict = await self._queue.decide(unknown)
            if isinstance(verdict, Absent) and not self._only_look_up:
                return None if self._queue.hold(unknown) else await self._send(row, pending)
        except asyncio.CancelledError:  # stopped before the row was sent
            self._queue.waiting.append(unknown)
            raise
        self._pool.protect()
        if isinstance(verdict, Found):
            doubled = verdict.receipt.possible_duplicate or entry.possible_duplicate
            receipt = attrs.evolve(verdict.receipt, possible_duplicate=doubled)
            await self._journal.record(entry, State.DONE, receipt=receipt, is_answer=False)
            return RowOutcome(entry.key, self._setup.verb, receipt, possible_duplicate=doubled)
        if isinstance(verdict, Absent):
            await self._journal.record(pending, State.PENDING, is_answer=False)
            text = f"Row {entry.key!r} was not applied. The next run sends it."
            return RowOutcome(entry.key, "failed", None, NotSentError(text, reference=entry.reference))
        text = f"{unknown.error} A look-up was inconclusive: {verdict.reason}."
        unknown.error.args = (printable(text, 4000),)
        return RowOutcome(entry.key, "unknown", None, unknown.error)

    async def _send(self, row: Row, entry: Entry) -> RowOutcome | None:
        outcome, stored = await self._send_once(row, entry)
        if stored.state is not State.UNKNOWN or outcome.error is None:
            return outcome
        if self._on_unknown == "resend" and entry.state is not State.UNKNOWN:
            await self._breaker.wait_until_closed()
            return (await self._send_once(row, stored))[0]
        return self._leave(row, stored, outcome.error)

    async def _send_once(self, row: Row, entry: Entry) -> tuple[RowOutcome, Entry]:
        """Send a row once, and return its outcome and its new entry."""
        key, verb, sent = entry.key, self._setup.verb, entry

        async def before_send(reference: str, is_doubtful: bool) -> None:
            nonlocal sent
            if sent is entry:  # the first attempt of the call
                self._pool.protect()
                sent = await self._journal.mark_in_flight(entry, reference, self._setup.marker)
                self._progress.row_started(key)
            elif is_doubtful and not sent.possible_duplicate:  # stored now, in case the program is killed
                doubled = attrs.evolve(sent, possible_duplicate=True)
                sent = await self._journal.record(doubled, State.IN_FLIGHT, is_answer=False)

        await self._wait_for_earlier_calls()
        try:
            # With a marker field, all sends share one reference, so that a look-up recognizes the ticket of any send.
            reference = entry.reference if self._setup.marker is not None else None
            receipt = await self._setup.send(row.given, before_send, reference)
        except LSQServiceError as error:
            if sent is entry and not isinstance(error, NotSentError | InvalidRequestError):
                raise  # the row is not the cause; for example, the client is closed
            # An earlier send may have been applied, even if this send was not.
            state = State.UNKNOWN if entry.state is State.UNKNOWN else state_for_error(error)
            doubts = sum(attempt.outcome is Outcome.UNKNOWN for attempt in error.attempts)
            doubts += 1 + entry.possible_duplicate if entry.state is State.UNKNOWN else 0
            sent = attrs.evolve(sent, possible_duplicate=doubts > 1)
            stored = await self._journal.record(sent, state, error=error, ticket=row.given.ticket)
            self._breaker.record(error)
            return RowOutcome(key, "unknown" if state is State.UNKNOWN else "failed", None, error), stored
        else:
            if entry.state is State.UNKNOWN and (verb == "created" or row.given.attachments):
                receipt = attrs.evolve(receipt, possible_duplicate=True)
                text = "Row %r was sent again (reference %s, ticket %s). Its earlier send (reference %s) may have been "
                text += "applied too: look for a duplicate."
                logger.warning(
                    text, key, sent.reference, printable(receipt.number, 64), printable(str(entry.reference), 64)
                )
            is_answer = receipt.attempts[-1].status in range(200, 300)  # otherwise, a look-up found the ticket
            stored = await self._journal.record(sent, State.DONE, receipt=receipt, is_answer=is_answer)
            self._breaker.record(None)
            return RowOutcome(key, verb, receipt, possible_duplicate=receipt.possible_duplicate), stored
        finally:
            self._progress.row_finished(key)
            self._recorded.set()

    async def _wait_for_earlier_calls(self) -> None:
        if (seconds := self._sends_from - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(seconds)


class Bulk:
    """The bulk runs of a client, available as ``client.bulk``."""

    def __init__(self, setup_for: Callable[[Verb], Setup]) -> None:
        self._setup_for = setup_for

    def create(
        self, rows: Source, *, journal: PathLike, on_unknown: OnUnknown = "skip", retry_failed: bool = False
    ) -> BulkJob:
        """Return a job that creates a ticket for each row, as fast as the rate limit allows.

        Iterating over the job starts the run. Its calls use the bulk lane. ``rows`` is an iterable or async iterable of
        `NewTicket` or `BulkRow`. ``journal`` is the path of a file, which is created if it does not exist. A later run
        with the same journal skips rows that are done, and sends rows that were not sent before.

        ``on_unknown`` sets how the run treats a row that may have been applied, in this run or in an earlier run:

        - "skip" reports the row as unknown.
        - "stop" ends the run. If the row is from an earlier run, iterating over the job raises LSQServiceError.
        - "resend" sends the row once more.
        - With a `Lookup`, the run looks the row up, and sends the row if it was certainly not applied.
        - With an ``async`` function, your code looks the row up. The function takes the row and its `NumberRange`, and
          returns `Found`, `Absent` or `Unclear`. A function that takes only the row can also return a receipt, or None
          if the row was not applied.

        If a look-up fails, the row stays unknown.

        A row that the service refused is reported as failed. With ``retry_failed=True``, a row that failed in an
        earlier run is sent again. If such a row has a key, it is sent again even if its content has changed.

        If a row was applied and its content has changed since then, the row is not sent. It is reported as failed, with
        the receipt of its ticket. A changed row that may have been applied is not sent either, and is reported as
        unknown.

        Iterating over the job raises:

        - ConfigurationError if the journal is damaged or in use, or belongs to another operation or account
        - LSQServiceError if the journal cannot be written, if the client is closed, if the job was iterated before, or
          if the source of rows raises asyncio.CancelledError
        - InvalidRequestError if two rows have the same key, or if an item is not a row
        - AuthenticationError or PermissionDeniedError if the service rejects the access keys
        - RateLimitError if a daily quota is used up
        - every error that the source of rows raises, unchanged

        Every other error is part of the outcome of a row.
        """
        return BulkJob(rows, journal, self._setup_for("created"), on_unknown=on_unknown, retry_failed=retry_failed)

    def look_up(self, rows: Source, *, journal: PathLike, lookup: Lookup | Reconcile) -> BulkJob:
        """Return a job that looks up the rows that a run of `create` may have applied. The job sends no rows.

        Each of these rows gets an outcome: created, unknown, or failed with NotSentError. The next run of `create`
        sends the rows that failed with NotSentError. Rows with changed content are reported as unknown or failed.
        """
        if not is_look_up(lookup):
            raise InvalidRequestError(f"lookup must be a Lookup or a function, not {shown(lookup)}.")
        return BulkJob(rows, journal, self._setup_for("created"), on_unknown=lookup, only_look_up=True)

    def update(
        self, rows: Source, *, journal: PathLike, on_unknown: OnUnknown = "skip", retry_failed: bool = False
    ) -> BulkJob:
        """Return a job that updates tickets. Each row is a ``BulkRow(key, TicketUpdate(...), target="143")``.

        The arguments and errors are those of `create`, but ``on_unknown`` cannot be a `Lookup`.
        """
        return BulkJob(rows, journal, self._setup_for("updated"), on_unknown=on_unknown, retry_failed=retry_failed)
