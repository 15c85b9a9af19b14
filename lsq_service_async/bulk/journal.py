"""What is known of each row of a bulk run: the rules by which a run reads and writes its journal.

A row is ``in_flight`` on disk before the first byte of it is sent, so that a run that dies leaves at most what was in
flight in doubt:

    pending    -> in_flight -> done | failed | unknown, or pending again where it was certainly not sent
    in_flight  -> unknown, when the next run opens the file
    failed     -> in_flight, by a retry; first pending, where it was mended
    unknown    -> in_flight, pending or done, by the user's word only
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import attrs

from ..errors import ConfigurationError, InvalidRequestError, LSQServiceError
from ..records import TicketReceipt
from .journal_file import JournalFile, State
from .rows import Row

T = TypeVar("T")
_VERSION = 1
_MENDABLE = (State.PENDING, State.FAILED)


@attrs.frozen
class Entry:
    """A row as the journal knows it; ``error`` is the class of what failed. ``receipt`` is there for rows that are
    done, but for those of which the user said so without a number."""

    key: str
    state: State
    receipt: TicketReceipt | None = None
    error: str | None = None


@attrs.frozen
class _Found:
    """A row as it stands in the file. ``run`` is the last one that met it, and ``times`` how often its content came in
    that run without a key; ``original`` is the digest that it first came with, where it was mended."""

    digest: str
    state: State = attrs.field(converter=State)
    run: int
    times: int
    number: str | None
    ticket_id: str | None
    ticket_key: str | None
    error: str | None
    original: str | None

    def speaks_for(self, row: Row, *, mended: bool) -> bool:
        """Whether a row of this content is told what became of this one. So is the original of a mended row, as long as
        nothing is sent for that: the input that it came from may run again."""
        is_settled = self.state is State.DONE or (self.state is State.FAILED and not mended)
        return row.digest == self.digest or (is_settled and row.digest == self.original)

    def entry(self, key: str) -> Entry:
        number = self.number
        receipt = TicketReceipt(number=number, ticket_id=self.ticket_id, key=self.ticket_key) if number else None
        return Entry(key, self.state, receipt, self.error)


class Journal:
    """One open journal, exclusive to one run. All of it happens in one worker thread, off the event loop."""

    def __init__(self, path: str | os.PathLike[str], operation: str) -> None:
        self._file = JournalFile(path)
        self._operation = operation
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lsq-journal")
        self._run = 0

    @property
    def path(self) -> Path:
        return self._file.path

    async def open(self) -> Mapping[State, int]:
        """Take the file for this run; how many rows earlier runs have left in which state.

        ConfigurationError where another run has it, where it belongs to another operation, or is no journal.
        """
        return await self._in_thread(self._open)

    async def aclose(self) -> None:
        """Let go of the file. What was committed stays."""
        await self._in_thread(self._file.close)
        self._thread.shutdown(wait=False)

    async def meet(self, row: Row, *, mended: bool = False) -> Entry:
        """The entry of a row of the input, made where there is none. With ``mended`` one that was certainly not applied
        may come with other content under its key; it is pending then, durable with its intent.

        InvalidRequestError where else the same key came with other content, or twice in one input.
        """
        return await self._in_thread(self._meet, row, mended)

    async def intend(self, key: str) -> None:
        """Durable before it returns: from here on the row may have been sent."""
        await self._in_thread(self._set, key, State.IN_FLIGHT)

    async def finish(self, key: str, state: State, receipt: TicketReceipt | None, error: str | None) -> None:
        """Durable before it returns: what came of the row."""
        await self._in_thread(self._set, key, state, receipt, error)

    async def _in_thread(self, act: Callable[..., T], *given: Any) -> T:
        loop = asyncio.get_running_loop()
        # Shielded: a commit that has begun ends, whoever waits for it.
        return await asyncio.shield(loop.run_in_executor(self._thread, self._guarded, act, *given))

    def _guarded(self, act: Callable[..., T], *given: Any) -> T:
        with self._file.translated():
            return act(*given)

    def _open(self) -> Mapping[State, int]:
        self._file.open(make=True)
        try:
            return self._begin_run()
        except BaseException:
            self._file.close()
            raise

    def _begin_run(self) -> Mapping[State, int]:
        database = self._file.database
        found = database.execute("SELECT version, operation, run FROM journal").fetchone()
        version, operation, run = found or (_VERSION, self._operation, 0)
        if version != _VERSION:
            raise ConfigurationError(f"the journal {str(self.path)!r} is of version {version}; this one is {_VERSION}")
        if operation != self._operation:
            raise ConfigurationError(
                f"the journal {str(self.path)!r} is of a run by which tickets were {operation}; "
                "give this run a journal of its own"
            )
        self._run = run + 1
        database.execute("BEGIN IMMEDIATE")
        database.execute("DELETE FROM journal")
        database.execute("INSERT INTO journal VALUES (?, ?, ?)", (version, operation, self._run))
        database.execute("UPDATE rows SET state = 'unknown' WHERE state = 'in_flight'")
        states = database.execute("SELECT state, count(*) FROM rows GROUP BY state").fetchall()
        database.execute("COMMIT")
        return {State(state): count for state, count in states}

    def _meet(self, row: Row, mended: bool) -> Entry:
        # Not durable by itself, and need not be: a row that was only met is met again. The next intent commits it.
        database = self._file.database
        if not database.in_transaction:
            database.execute("BEGIN IMMEDIATE")
        key = row.key if row.key is not None else self._key_of_occurrence(row.digest)
        found = self._find(key)
        if found is None:
            insert = "INSERT INTO rows (key, digest, state, run) VALUES (?, ?, 'pending', ?)"
            database.execute(insert, (key, row.digest, self._run))
            return Entry(key, State.PENDING)
        if found.run == self._run:
            raise InvalidRequestError(f"the key {key!r} comes twice in this input; each row needs its own")
        database.execute("UPDATE rows SET run = ?, times = 1 WHERE key = ?", (self._run, key))
        return found.entry(key) if found.speaks_for(row, mended=mended) else self._mend(key, row, found, mended)

    def _mend(self, key: str, row: Row, found: _Found, mended: bool) -> Entry:
        if not mended or found.state not in _MENDABLE:
            raise InvalidRequestError(_is_another(key, found.state))
        update = "UPDATE rows SET digest = ?, original = ?, state = 'pending', error = NULL WHERE key = ?"
        self._file.database.execute(update, (row.digest, found.original or found.digest, key))
        return Entry(key, State.PENDING)

    def _find(self, key: str) -> _Found | None:
        columns = "digest, state, run, times, number, ticket_id, ticket_key, error, original"
        select = f"SELECT {columns} FROM rows WHERE key = ?"  # noqa: S608 -- names of columns, and nothing else
        found = self._file.database.execute(select, (key,)).fetchone()
        return _Found(*found) if found else None

    def _key_of_occurrence(self, digest: str) -> str:
        """The digest, and from the second occurrence in this run on a number behind it. They are counted in the file,
        because there may be as many as rows."""
        found = self._find(digest)
        if found is None or found.run != self._run:
            return digest
        self._file.database.execute("UPDATE rows SET times = ? WHERE key = ?", (found.times + 1, digest))
        return f"{digest}-{found.times + 1}"

    def _set(self, key: str, state: State, receipt: TicketReceipt | None = None, error: str | None = None) -> None:
        told = (receipt.number, receipt.ticket_id, receipt.key) if receipt else (None, None, None)
        update = "UPDATE rows SET state = ?, number = ?, ticket_id = ?, ticket_key = ?, error = ? WHERE key = ?"
        database = self._file.database
        if database.execute(update, (state.value, *told, error, key)).rowcount != 1:
            raise LSQServiceError(f"the row {key!r} is not in the journal {str(self.path)!r} any more; nothing is sent")
        if database.in_transaction:
            database.execute("COMMIT")


def _is_another(key: str, state: State) -> str:
    words = f"the row {key!r} is not what it was in an earlier run, which"
    if state in _MENDABLE:
        return f"{words} did not apply it; use another key for it, or retry_failed (bulk retry) to send it as it is now"
    became = "applied it" if state is State.DONE else "may have applied it"
    return f"{words} {became}; use another key for it"
