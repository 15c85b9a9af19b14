"""The journal of a bulk run: the state of each row.

A row is stored as ``in_flight`` before its first byte is sent. If a run dies, only the results of these rows are not
known:

    pending    -> in_flight -> done | failed | unknown, or pending again if it was certainly not applied
    in_flight  -> unknown, when the next run opens the file
    failed     -> in_flight, by a retry
    unknown    -> in_flight, pending or done, by a decision of the user only
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, TypeVar

import attrs

from ..errors import InvalidRequestError, LSQServiceError
from ..records import TicketReceipt
from ._journal_file import Entry, JournalFile, PathLike, State, as_number, check_version, checked_path, connect, reading
from .rows import Row, RowKeys

T = TypeVar("T")
_EDITABLE = (State.PENDING, State.FAILED)
_IN_DOUBT = (State.UNKNOWN, State.IN_FLIGHT)  # a row is left in flight by a run that died


class Journal:
    """The journal of one run, which locks the file. SQLite is used in one worker thread."""

    def __init__(self, path: PathLike, operation: str, account: str) -> None:
        self._file = JournalFile(path)
        self.path: str = self._file.path
        self._operation = operation
        self._account = account
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lsq-journal")
        self._keys = RowKeys()
        self._highest_number = 0
        self._changes: list[Entry] = []
        self._next_commit: asyncio.Task[LSQServiceError | None] | None = None
        self._committing = asyncio.Lock()

    async def open(self) -> Mapping[State, int]:
        """Lock the file for this run, and return how many rows of earlier runs are in each state.

        Raises ConfigurationError if another run uses the file, if it is damaged or not a journal, or if it belongs to
        another operation or account.
        """
        states = await self._in_thread(self._file.open, self._operation, self._account)
        self._highest_number = self._file.highest_number
        return states

    async def aclose(self) -> None:
        """Release the file after the last commit."""
        async with self._committing:
            await self._in_thread(self._file.close)
        self._thread.shutdown(wait=False)

    async def register(self, row: Row, *, edited: bool = False) -> Entry:
        """Return the entry of a row. If there is none, return a new one, which `mark_in_flight` stores.

        With ``edited``, the content of a row that was certainly not applied may differ from that in the journal. Raises
        InvalidRequestError for any other change, and for a key that the input has twice.
        """
        key = self._keys.key_of(row)
        found = await self._in_thread(self._file.find, key)
        if found is None:
            return Entry(key, row.digest, State.PENDING)
        # The original input may run again after a row was edited. So the first content of an edited row is accepted
        # too, unless this run sends the row.
        is_sent = found.state is not State.DONE and (found.state is not State.FAILED or edited)
        if row.digest == found.digest or (row.digest == found.previous_digest and not is_sent):
            return found
        if edited and found.state in _EDITABLE:
            first = found.previous_digest or found.digest
            return attrs.evolve(found, digest=row.digest, previous_digest=first, state=State.PENDING, error=None)
        text = f"The content of row {key!r} has changed since an earlier run"
        if found.state in _EDITABLE:
            text += ", in which it was not applied. To send the new content, use retry_failed (bulk retry)."
        else:
            text += f", in which it {'was' if found.state is State.DONE else 'may have been'} applied. Use another key."
        raise InvalidRequestError(text)

    async def mark_in_flight(self, entry: Entry, reference: str | None = None) -> Entry:
        """Store the intent to send a row. It is durable when this returns: from now on the row may be applied."""
        above = entry.above if entry.state is State.UNKNOWN else self._highest_number or None
        now = time.time()
        marked = attrs.evolve(entry, state=State.IN_FLIGHT, reference=reference, sent_at=now, above=above)
        await self._store(marked)
        return marked

    async def record(
        self, entry: Entry, state: State, *, receipt: TicketReceipt | None = None, error: LSQServiceError | None = None
    ) -> None:
        """Store the result of a row. It is durable when this returns."""
        changes: dict[str, Any] = {"state": state, "error": None}
        if receipt is not None:
            self._highest_number = max(self._highest_number, as_number(receipt.number))
            changes["possible_duplicate"] = receipt.possible_duplicate
            for name in ("number", "ticket_id", "key"):
                # An unpaired surrogate cannot be stored, and must not stop the run after the ticket was created.
                text = getattr(receipt, name)
                changes["ticket_key" if name == "key" else name] = text and text.encode(errors="replace").decode()
        if error is not None:
            changes |= {"error": type(error).__name__, "reference": error.reference or entry.reference}
        await self._store(attrs.evolve(entry, **changes))

    async def _store(self, entry: Entry) -> None:
        """Write an entry in one commit with all others that wait. If the commit fails, it fails for all of them."""
        self._changes.append(entry)
        if self._next_commit is None:
            self._next_commit = asyncio.create_task(self._commit())
        if error := await asyncio.shield(self._next_commit):
            raise LSQServiceError(str(error)) from error.__cause__  # a new error for each call

    async def _commit(self) -> LSQServiceError | None:
        async with self._committing:  # while the previous commit runs, changes are added to this one
            changes, self._changes, self._next_commit = self._changes, [], None
            try:
                await self._in_thread(self._file.write, changes)
            except LSQServiceError as error:
                return error
        return None

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        # Shielded: a cancelled caller does not stop a commit.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments))


def states_in(path: PathLike) -> dict[State, int]:
    """Return how many rows of a journal are in each state; an empty dict if the file does not exist. Blocks."""
    query = "SELECT state, count(*) FROM rows GROUP BY state"
    return _read(path, query, lambda rows: {State(state): count for state, count in rows})


def unknown_in(path: PathLike) -> dict[str, str | None]:
    """Return the keys of rows that may have been applied, each with the class of its error. Blocks.

    Rows that a run has in flight are among them, because they would be unknown if it died.
    """
    return _read(path, "SELECT key, error FROM rows WHERE state IN ('unknown', 'in_flight')", dict)


def possible_duplicates_in(path: PathLike) -> dict[str, str | None]:
    """Return the keys of rows that may have been applied twice, each with the ticket number that is known. Blocks."""
    return _read(path, "SELECT key, number FROM rows WHERE possible_duplicate", dict, since=2)


def account_in(path: PathLike) -> str | None:
    """Return the origin and the org that a journal belongs to; None if neither is recorded. Blocks."""
    return _read(path, "SELECT account FROM journal", lambda rows: next(iter(rows), (None,))[0], since=2)


def _read(path: PathLike, query: str, parse: Callable[[Iterable[Any]], T], *, since: int = 1) -> T:
    """Read a journal that a run may be writing. The result is empty if its format is older than ``since``."""
    file = checked_path(path)
    if not os.path.exists(file):
        return parse(())
    # Opened read-only, so that the -wal file of version 1 stays: it proves to the next run that no rows are missing.
    mode = "ro" if os.path.exists(f"{file}-wal") else "rw"
    with reading(file), closing(connect(file, mode=mode)) as database:
        [(version,)] = database.execute("SELECT version FROM journal")
        check_version(file, version)
        return parse(database.execute(query) if version >= since else ())


def resolve(
    path: PathLike, *, applied: Mapping[str, str | None] | None = None, not_applied: Iterable[str] = ()
) -> None:
    """Decide whether unknown rows, given by their keys, were applied. Either all decisions are stored or none. Blocks.

    ``applied`` has the ticket number of each row, or None if it is not known: the row is done, and is skipped from now
    on. With a number it also clears the mark of a possible duplicate. The next run sends the rows in ``not_applied``.

    Raises InvalidRequestError for a row that is not in doubt and for a wrong ticket number, and ConfigurationError
    while a run uses the journal.
    """
    file = JournalFile(path)
    file.open()
    try:
        decided: dict[str, Entry] = {}
        decisions = [*(applied or {}).items(), *((key, State.PENDING) for key in not_applied)]
        for key, decision in decisions:
            decided[key] = _decide(key, decided.get(key) or file.find(key), decision)
        file.write(decided.values())
    finally:
        file.close()


def _decide(key: str, entry: Entry | None, decision: str | State | None) -> Entry:
    if entry is None:
        raise InvalidRequestError(f"There is no row {key!r} in the journal. Nothing was changed.")
    if isinstance(decision, str) and not re.fullmatch(r"[0-9]{1,64}", decision):
        raise InvalidRequestError(f"A ticket number is digits, such as 143, not {decision!r:.40}. Nothing was changed.")
    is_doubled = entry.possible_duplicate and isinstance(decision, str)
    if entry.state not in _IN_DOUBT and not is_doubled:
        raise InvalidRequestError(f"Row {key!r} is {entry.state.value}, not unknown. Nothing was changed.")
    if isinstance(decision, State):
        return attrs.evolve(entry, state=decision, error=None)
    if decision is None or decision != entry.number:
        entry = attrs.evolve(entry, number=decision, ticket_id=None, ticket_key=None)
    return attrs.evolve(entry, state=State.DONE, error=None, possible_duplicate=False)
