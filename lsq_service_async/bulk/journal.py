"""The journal of a bulk run: the state of each row.

A row is stored as ``in_flight`` before its first byte is sent. If the program is killed, only the results of rows in
this state are unknown. The changes of state:

    pending    -> in_flight -> done | failed | unknown, or pending again if the row is not the cause of the failure
    pending    -> failed, if the row cannot be sent, for example because its files are too large
    in_flight  -> unknown, when the next run opens the file
    in_flight  -> pending or done, if the user resolves the row before the next run
    failed     -> in_flight, if the user retries failed rows
    unknown    -> in_flight, pending or done, only if the user permits a resend or a look-up, or resolves the row
"""

from __future__ import annotations

import asyncio
import math
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, TypeVar

import attrs

from ..errors import APIStatusError, InvalidRequestError, LSQServiceError, shown
from ..records import NewTicket, NumberRange, TicketReceipt, TicketUpdate
from ..records.tickets import number_of
from ._journal_file import (
    Entry,
    JournalFile,
    PathLike,
    State,
    as_number,
    checked_path,
    entry_of,
    open_for_reading,
    reading,
)
from .rows import BulkRow, Row, is_key, row_of

T = TypeVar("T")
AnyRow = TypeVar("AnyRow", bound=BulkRow)
_NOT_APPLIED = (State.PENDING, State.FAILED)
_IN_DOUBT = (State.UNKNOWN, State.IN_FLIGHT)  # a run that died leaves rows in flight


class Journal:
    """The journal of one run. It locks the file, and makes all SQLite calls in one worker thread."""

    def __init__(self, path: PathLike, operation: str, account: str, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._file = JournalFile(path)
        self.path: str = self._file.path
        self._operation = operation
        self._account = account
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lsq-journal")
        self._matcher = RowMatcher()
        self._changes: list[Entry] = []
        self._next_commit: asyncio.Task[LSQServiceError | None] | None = None
        self._committing = asyncio.Lock()

    async def open(self) -> Mapping[State, int]:
        """Lock the file, and return how many rows are in each state. Raises the errors of `JournalFile.open`."""
        return await self._in_thread(self._file.open, self._operation, self._account, self._now())

    async def aclose(self) -> None:
        """Wait for the last commit, then close and unlock the file."""
        async with self._committing:
            await self._in_thread(self._file.close)
        self._thread.shutdown(wait=False)

    async def register(self, row: Row, *, edited: bool = False) -> tuple[Entry, str | None]:
        """Return the result of `RowMatcher.match`. The entry of a new row is not stored yet."""
        return await self._in_thread(self._file.query, self._matcher.match, row, edited)

    async def numbers(self) -> tuple[int, list[tuple[int, float | None, int | None]]]:
        """Return the highest ticket number, and the tickets of earlier runs that matter for look-ups.

        Each ticket is a tuple: its number, the time when its create was sent, and the highest ticket number that was
        known at that time. The time and the second number are None if the create got no answer.
        """
        return self._file.highest_number, await self._in_thread(self._file.query, _numbers)

    async def mark_in_flight(self, entry: Entry, reference: str | None = None, marker: str | None = None) -> Entry:
        """Store that a row is about to be sent. When this returns, the row may be sent."""
        above = entry.above if entry.state is State.UNKNOWN else self._file.highest_number or None
        entry = attrs.evolve(entry, possible_duplicate=entry.state is State.UNKNOWN, reference=reference, marker=marker)
        sent = attrs.evolve(entry, state=State.IN_FLIGHT, sent_at=self._now(), ended_at=None, above=above)
        return await self._store(sent)

    async def record(
        self,
        entry: Entry,
        state: State,
        *,
        receipt: TicketReceipt | None = None,
        error: LSQServiceError | None = None,
        ticket: NewTicket | TicketUpdate | None = None,
        is_answer: bool = True,
    ) -> Entry:
        """Store the state of a row. When this returns, the state is durable.

        ``ticket`` is used only to find the field that the error names. ``is_answer`` is False while the row is in
        flight, and after a look-up, because the ticket number from a look-up may be wrong.
        """
        changes: dict[str, Any] = {"state": state, "error": None, "ended_at": self._now() if is_answer else None}
        if receipt is not None:
            if is_answer:
                self._file.highest_number = max(self._file.highest_number, as_number(receipt.number))
            changes["possible_duplicate"] = receipt.possible_duplicate
            texts = {"number": receipt.number, "ticket_id": receipt.ticket_id, "ticket_key": receipt.key}
            # SQLite cannot store unpaired surrogates.
            changes |= {name: text and text.encode(errors="replace").decode() for name, text in texts.items()}
        if error is not None:
            summary = type(error).__name__ if state is not State.FAILED else summary_of(error, ticket)
            changes |= {"error": summary, "reference": error.reference or entry.reference}
        return await self._store(attrs.evolve(entry, **changes))

    async def _store(self, entry: Entry) -> Entry:
        """Write an entry. All waiting entries share one commit. If the commit fails, every caller gets an error."""
        self._changes.append(entry)
        if self._next_commit is None:
            self._next_commit = asyncio.create_task(self._commit())
        if error := await asyncio.shield(self._next_commit):
            raise LSQServiceError(str(error)) from error.__cause__  # a new exception for each caller
        return entry

    async def _commit(self) -> LSQServiceError | None:
        async with self._committing:  # until the previous commit ends, `_store` adds changes
            changes, self._changes, self._next_commit = self._changes, [], None
            try:
                await self._in_thread(self._file.write, changes)
            except LSQServiceError as error:
                return error
        return None

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        # Shielded, so that a commit continues even if the caller is cancelled.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments))


def _numbers(database: sqlite3.Connection) -> list[tuple[int, float | None, int | None]]:
    [(lowest,)] = database.execute("SELECT min(ifnull(above, 0)) FROM rows WHERE state = 'unknown'")
    rows = database.execute("SELECT number, sent_at, above, ended_at FROM rows WHERE state = 'done'")
    known = [(as_number(number), *(row[:2] if row[2] else (None, None))) for number, *row in rows]
    return [entry for entry in known if lowest is not None and entry[0] > lowest]


def summary_of(error: LSQServiceError, ticket: NewTicket | TicketUpdate | None = None) -> str:
    """Return the class of an error, the HTTP status, the service's exception type, and the field that the error names.

    Other text of the service is left out, because it may contain the data of a customer.
    """
    words, text = [type(error).__name__], str(error)
    names = {field.name for field in attrs.fields(type(ticket))} if ticket is not None else set()
    if isinstance(error, APIStatusError):
        words.append(f"status {error.status_code}")
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.]{0,99}", error.exception_type or ""):
            words.append(str(error.exception_type))
        text = error.reason or ""
        names = {name.replace("_", " ").title().replace(" ", "") for name in names}  # the service writes LeadEmail
    custom = re.search(r"\b(?:CustomData|LeadDetail)\.[A-Za-z0-9_]{1,100}\b", text)
    named = custom or next((found for found in re.finditer(r"\b[A-Za-z_]+\b", text) if found[0] in names), None)
    return ", ".join([*words, *([f"field {named[0]}"] if named else [])])


class RowMatcher:
    """Finds the journal's entry for each row of one input. Pass the rows in the order of the input."""

    def __init__(self) -> None:
        self._has_met = self._has_named = False  # whether the temporary tables "met" and "named" exist

    def match(self, database: sqlite3.Connection, row: Row, edited: bool = False) -> tuple[Entry, str | None]:
        """Return the entry of a row, and the reason why the row must not be sent, or None. A new row gets a new entry.

        A row must not be sent if its content has changed since an earlier run, or if it has lost its key. With
        ``edited``, a changed row that was not applied may be sent. Raises InvalidRequestError if two rows have one key.
        """
        key = self._key_of(database, row)
        found = entry_of(database, key)
        if found is None:
            if row.key is None and (lost := self._with_lost_key(database, row.digest)):
                return lost, _reason(row, lost)
            return Entry(key, row.digest, State.PENDING), None
        # The user may have undone an edit. So for a row that this run will not send, the digest from before the edit is
        # accepted, too.
        is_sent = found.state is not State.DONE and (found.state is not State.FAILED or edited)
        if row.digest == found.digest or (row.digest == found.previous_digest and not is_sent):
            return found, None
        if edited and found.state in _NOT_APPLIED:
            first = found.previous_digest or found.digest
            return attrs.evolve(found, digest=row.digest, previous_digest=first, state=State.PENDING, error=None), None
        return found, _reason(row, found)

    def _key_of(self, database: sqlite3.Connection, row: Row) -> str:
        """Return the key of a row, or the digest of a row without a key.

        The second row with the same digest gets the suffix "-2", the third "-3", and so on.
        """
        key, query = row.key or row.digest, "SELECT times FROM met WHERE key = ?"
        if not self._has_met:
            self._has_met = True
            # In memory, because a temporary folder may be missing.
            database.execute("PRAGMA temp_store = MEMORY")
            database.execute("CREATE TEMP TABLE met (key TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID")
        met = database.execute(query, (key,)).fetchone()
        if met is not None and row.key is None:
            database.execute("UPDATE met SET times = times + 1 WHERE key = ?", (key,))
            key = f"{key}-{met[0] + 1}"
            met = database.execute(query, (key,)).fetchone()
        if met is not None:
            raise InvalidRequestError(f"The key {key!r} is in this input twice. Give each row its own key.")
        database.execute("INSERT INTO met VALUES (?, 1)", (key,))
        return key

    def _with_lost_key(self, database: sqlite3.Connection, digest: str) -> Entry | None:
        """Return an entry with this content and a key not in the input so far, or None.

        Each entry is returned only once.
        """
        if not self._has_named:
            self._has_named = True
            database.execute("CREATE TEMP TABLE named (digest, key, PRIMARY KEY (digest, key)) WITHOUT ROWID")
            database.execute("INSERT INTO named SELECT digest, key FROM rows WHERE substr(key, 1, 32) != digest")
        query = "SELECT key FROM named WHERE digest = ? AND key NOT IN (SELECT key FROM met) LIMIT 1"
        if (found := database.execute(query, (digest,)).fetchone()) is None:
            return None
        database.execute("DELETE FROM named WHERE digest = ? AND key = ?", (digest, *found))
        return entry_of(database, *found)


def _reason(row: Row, entry: Entry) -> str:
    """Return the reason why a changed row is not sent, with advice."""
    is_update = isinstance(row.given.ticket, TicketUpdate)
    what, advice = "was not applied by an earlier run", "to send the new content, use retry_failed or `bulk retry`"
    if entry.state is State.DONE:
        what = f"ticket {entry.number}" if entry.number else "a ticket whose number is not known"
        what = f"was applied to {what}" if is_update else f"was created as {what}"
        advice = "restore the row, or add a new row"
        if not is_update:
            advice = "change the ticket with an update, or restore the row"
    elif entry.state in _IN_DOUBT:
        what = "may have been applied by an earlier run"
        advice = "restore the row, and decide with resolve() or `bulk unknown`"
    if row.digest == entry.digest:
        return f"Row {entry.key!r} {what}; the input has a row with this content, but without the key: restore the key."
    return f"Row {entry.key!r} {what}, and now has other content; {advice}."


def match_rows(path: PathLike, rows: Iterable[AnyRow]) -> Iterator[tuple[AnyRow, Entry, str | None]]:
    """Yield each row, its entry in a journal, and the reason why the row must not be sent, or None. Blocks."""
    name, matcher = checked_path(path), RowMatcher()
    with reading(name):
        database = open_for_reading(name)
    with closing(database):
        for row in rows:
            with reading(name):
                matched = matcher.match(database, row_of(row))
            yield row, *matched


def states_in(path: PathLike) -> dict[State, int]:
    """Return how many rows of a journal are in each state, or an empty dict if the file does not exist. Blocks."""
    query = "SELECT state, count(*) FROM rows GROUP BY state"
    return _read(path, query, lambda rows: {State(state): count for state, count in rows})


def unknown_in(path: PathLike) -> dict[str, str | None]:
    """Return the keys of rows that may have been applied, each with the class name of the last error. Blocks.

    Rows in flight are included, because they become unknown if their run is killed.
    """
    return _read(path, "SELECT key, error FROM rows WHERE state IN ('unknown', 'in_flight')", dict)


def ranges_in(path: PathLike, quiet: float = 60.0) -> dict[str, NumberRange]:
    """Return, by key, the range of ticket numbers that each unknown row can have. Blocks.

    The ranges assume that a create is applied no later than ``quiet`` seconds after its request ended.
    """
    if isinstance(quiet, bool) or not isinstance(quiet, int | float) or not 0 <= quiet <= sys.float_info.max:
        raise InvalidRequestError(f"quiet must be a number of seconds, 0 or more, not {shown(quiet)}.")
    done = "SELECT number, sent_at FROM rows WHERE state = 'done' AND ended_at IS NOT NULL"
    own = _read(path, done, lambda rows: [(as_number(number), sent_at) for number, sent_at in rows])
    query = "SELECT key, above, sent_at, ended_at, reference FROM rows WHERE state IN ('unknown', 'in_flight')"
    ranges = {}
    for key, above, sent_at, ended_at, reference in _read(path, query, list):
        after = math.inf if ended_at is None else ended_at + quiet
        below = min((number for number, sent in own if sent >= after and number > (above or 0)), default=None)
        when = None if sent_at is None else datetime.fromtimestamp(sent_at, UTC)
        ranges[key] = NumberRange(above, below, when, reference)
    return ranges


def possible_duplicates_in(path: PathLike) -> dict[str, str | None]:
    """Return the keys of rows that may have been applied twice, each with a known ticket number or None. Blocks."""
    return _read(path, "SELECT key, number FROM rows WHERE possible_duplicate AND state = 'done'", dict)


def account_in(path: PathLike) -> str | None:
    """Return the account of a journal (origin of the service, org id), or None if it has none. Blocks."""
    return _read(path, "SELECT account FROM journal", _first_text)


def operation_in(path: PathLike) -> str | None:
    """Return the operation of a journal, "created" or "updated", or None if the journal does not exist. Blocks."""
    return _read(path, "SELECT operation FROM journal", _first_text)


def _first_text(rows: Iterable[Any]) -> str | None:
    text: str | None = next(iter(rows), (None,))[0]
    return text


def _read(path: PathLike, query: str, parse: Callable[[Iterable[Any]], T]) -> T:
    name = checked_path(path)
    with reading(name), closing(open_for_reading(name)) as database:
        return parse(database.execute(query))


def resolve(
    path: PathLike, *, applied: Mapping[str, str | int | None] | None = None, not_applied: Iterable[str] = ()
) -> None:
    """Store your decisions about unknown rows. Either all decisions are stored or none. Blocks.

    ``applied`` contains the rows that were applied: the key of each row, with its ticket number, or None if the number
    is not known. These rows become done, and later runs skip them. They no longer count as possible duplicates.
    ``applied`` may also contain a possible duplicate that is done, with its ticket number. ``not_applied`` contains the
    keys of rows that were not applied. The next run sends these rows.

    Raises InvalidRequestError for any other row or key, and for text that is neither a ticket number nor a ticket key.
    Raises ConfigurationError while a run uses the journal.
    """
    if not isinstance(applied, Mapping | None):
        text = f"applied must map keys to ticket numbers, not {shown(applied)}. Nothing was changed."
        raise InvalidRequestError(text)
    if isinstance(not_applied, str | bytes) or not isinstance(not_applied, Iterable):
        text = f"not_applied must be a list of keys, even for one row, not {shown(not_applied)}. Nothing was changed."
        raise InvalidRequestError(text)
    file = JournalFile(path)
    file.open()
    try:
        decided: dict[str, Entry] = {}
        decisions = [(key, State.DONE, number) for key, number in (applied or {}).items()]
        for key, state, number in [*decisions, *((key, State.PENDING, None) for key in not_applied)]:
            entry = (decided.get(key) or file.query(entry_of, key)) if is_key(key) else None
            decided[key] = _decide(key, entry, state, number)
        file.write(decided.values())
    finally:
        file.close()


def _decide(key: str, entry: Entry | None, state: State, number: str | int | None) -> Entry:
    if entry is None:
        raise InvalidRequestError(f"There is no row {shown(key, 300)} in the journal. Nothing was changed.")
    text = None if number is None else number_of(number if isinstance(number, str) else shown(number))
    if text is not None and not re.fullmatch(r"[0-9]{1,64}", text):
        raise InvalidRequestError(f"A ticket number must be digits, not {shown(number, 40)}. Nothing was changed.")
    is_doubled = entry.possible_duplicate and entry.state is State.DONE and text is not None
    if entry.state not in _IN_DOUBT and not is_doubled:
        raise InvalidRequestError(f"Row {key!r} is {entry.state.value}, not unknown. Nothing was changed.")
    if state is State.PENDING:
        return attrs.evolve(entry, state=state, error=None)
    if text is None or text != entry.number:
        entry = attrs.evolve(entry, number=text, ticket_id=None, ticket_key=None)
    return attrs.evolve(entry, state=state, error=None, possible_duplicate=False, ended_at=None)
