"""What is known of each row of a bulk run, in a SQLite file of its own.

It holds keys, digests, states and the numbers of tickets: no payload, no secret. A row is ``in_flight`` on disk before
the first byte of it is sent, so that a run that dies leaves at most what was in flight in doubt:

    pending    -> in_flight -> done | failed | unknown, or pending again where it was certainly not sent
    in_flight  -> unknown, when the next run opens the file
    unknown    -> in_flight or done, by the user's word only
"""

from __future__ import annotations

import asyncio
import enum
import fcntl
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import attrs

from ..errors import ConfigurationError, InvalidRequestError, LSQServiceError
from ..records import TicketReceipt
from .rows import Row

T = TypeVar("T")
_VERSION = 1
_APPLICATION = 0x4C535142  # "LSQB": what SQLite keeps in a file's head to tell one application's files from another's
_SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    key TEXT PRIMARY KEY, digest TEXT NOT NULL, state TEXT NOT NULL, run INTEGER NOT NULL,
    number TEXT, ticket_id TEXT, ticket_key TEXT, error TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS states ON rows (state);
CREATE TABLE IF NOT EXISTS journal (version INTEGER NOT NULL, operation TEXT NOT NULL, run INTEGER NOT NULL);
"""


class State(enum.Enum):
    """What is known of a row."""

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


@attrs.frozen
class Entry:
    """A row as the journal knows it; ``error`` is the class of what failed."""

    key: str
    state: State
    receipt: TicketReceipt | None = None
    error: str | None = None


class Journal:
    """One open journal, exclusive to one run. All of it happens in one worker thread, off the event loop."""

    def __init__(self, path: str | os.PathLike[str], operation: str) -> None:
        self.path: Path = Path(path)
        self._operation = operation
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lsq-journal")
        self._database: sqlite3.Connection | None = None
        self._file: int | None = None
        self._has_content = False
        self._repeats: dict[str, int] = {}
        self._run = 0

    async def open(self) -> bool:
        """Take the file for this run; True where an earlier run has left something in it.

        ConfigurationError where another run has it, where it belongs to another operation, or is no journal.
        """
        return await self._in_thread(self._open)

    async def aclose(self) -> None:
        """Let go of the file. What was committed stays."""
        await self._in_thread(self._close)
        self._thread.shutdown(wait=False)

    async def meet(self, row: Row) -> Entry:
        """The entry of a row of the input, made where there is none.

        InvalidRequestError where the same key came with other content, or twice in one input.
        """
        return await self._in_thread(self._meet, row)

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
        try:
            return act(*given)
        except sqlite3.Error as error:
            message = f"the journal {str(self.path)!r} cannot be used, so nothing more is sent: {error}"
            raise LSQServiceError(message) from error

    def _open(self) -> bool:
        self._lock()
        self._database = sqlite3.connect(self.path, timeout=1, isolation_level=None, check_same_thread=False)
        try:
            return self._prepare(self._database)
        except BaseException as error:
            self._close()
            if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
                raise ConfigurationError(f"{str(self.path)!r} is no journal of a bulk run") from None
            raise

    def _lock(self) -> None:
        # Made 0600 beforehand: SQLite would make it 0644, and -wal and -shm follow the mode of the file. The lock is
        # not SQLite's own, so that others may read how far the run is, and it ends with the process, however that ends.
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._has_content = os.fstat(self._file).st_size > 0
        except BlockingIOError:
            self._close()
            raise ConfigurationError(f"another run uses the journal {str(self.path)!r}; wait for its end") from None
        except OSError as error:
            raise ConfigurationError(f"the journal {str(self.path)!r} cannot be written: {error.strerror}") from None

    def _prepare(self, database: sqlite3.Connection) -> bool:
        if self._has_content and database.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
            raise ConfigurationError(f"{str(self.path)!r} is no journal of a bulk run")
        database.execute(f"PRAGMA application_id = {_APPLICATION}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";"):
            database.execute(statement)
        found = database.execute("SELECT version, operation, run FROM journal").fetchone()
        version, operation, run = found or (_VERSION, self._operation, 0)
        if (version, operation) != (_VERSION, self._operation):
            raise ConfigurationError(f"the journal {str(self.path)!r} is one of {operation} (version {version})")
        self._run = run + 1
        database.execute("DELETE FROM journal")
        database.execute("INSERT INTO journal VALUES (?, ?, ?)", (version, operation, self._run))
        database.execute("UPDATE rows SET state = 'unknown' WHERE state = 'in_flight'")
        known = database.execute("SELECT 1 FROM rows LIMIT 1").fetchone() is not None
        database.execute("COMMIT")
        return known

    def _close(self) -> None:
        database, self._database, file, self._file = self._database, None, self._file, None
        if database is not None:
            if database.in_transaction:
                database.execute("COMMIT")
            database.close()
        # After SQLite's own: closing any descriptor of a file ends all POSIX locks of the process on it.
        if file is not None:
            os.close(file)

    @property
    def _open_database(self) -> sqlite3.Connection:
        if self._database is None:
            raise LSQServiceError(f"the journal {str(self.path)!r} is closed")
        return self._database

    def _meet(self, row: Row) -> Entry:
        # Not durable by itself, and need not be: a row that was only met is met again. The next intent commits it.
        if not self._open_database.in_transaction:
            self._open_database.execute("BEGIN IMMEDIATE")
        key = row.key if row.key is not None else self._key_of_occurrence(row.digest)
        found = self._find(key)
        if found is None:
            insert = "INSERT INTO rows (key, digest, state, run) VALUES (?, ?, 'pending', ?)"
            self._open_database.execute(insert, (key, row.digest, self._run))
            return Entry(key, State.PENDING)
        digest, state, run, number, ticket_id, ticket_key, error = found
        self._check(key, same_content=digest == row.digest, met_before=run == self._run)
        self._open_database.execute("UPDATE rows SET run = ? WHERE key = ?", (self._run, key))
        receipt = TicketReceipt(number=number, ticket_id=ticket_id, key=ticket_key) if number else None
        return Entry(key, State(state), receipt, error)

    def _check(self, key: str, *, same_content: bool, met_before: bool) -> None:
        if not same_content:
            raise InvalidRequestError(f"the row {key!r} is not what it was in an earlier run; use another key for it")
        if met_before:
            raise InvalidRequestError(f"the key {key!r} comes twice in this input; each row needs its own")

    def _find(self, key: str) -> Any:
        select = "SELECT digest, state, run, number, ticket_id, ticket_key, error FROM rows WHERE key = ?"
        return self._open_database.execute(select, (key,)).fetchone()

    def _key_of_occurrence(self, digest: str) -> str:
        """The digest, and from the second occurrence in this run on a number behind it. Only repeats are remembered."""
        found = self._find(digest)
        if found is None or found[2] != self._run:
            return digest
        self._repeats[digest] = self._repeats.get(digest, 1) + 1
        return f"{digest}-{self._repeats[digest]}"

    def _set(self, key: str, state: State, receipt: TicketReceipt | None = None, error: str | None = None) -> None:
        told = (receipt.number, receipt.ticket_id, receipt.key) if receipt else (None, None, None)
        update = "UPDATE rows SET state = ?, number = ?, ticket_id = ?, ticket_key = ?, error = ? WHERE key = ?"
        self._open_database.execute(update, (state.value, *told, error, key))
        if self._open_database.in_transaction:
            self._open_database.execute("COMMIT")


def states_in(path: str | os.PathLike[str]) -> dict[State, int]:
    """How many rows of a journal are in which state; none where there is no such file. Blocks."""
    found = _selected(path, "SELECT state, count(*) FROM rows GROUP BY state")
    return {State(state): count for state, count in found}


def unknown_in(path: str | os.PathLike[str]) -> dict[str, str | None]:
    """Keys of the rows that may have been applied, each with the class of its error. Those that a run has in flight
    are among them, as they would be if it died. Blocks."""
    return dict(_selected(path, "SELECT key, error FROM rows WHERE state IN ('unknown', 'in_flight')"))


def _selected(path: str | os.PathLike[str], select: str) -> list[Any]:
    if not Path(path).exists():
        return []
    database = sqlite3.connect(f"file:{Path(path)}?mode=ro", uri=True, timeout=1)
    try:
        return database.execute(select).fetchall()
    except sqlite3.Error as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read as a journal: {error}") from None
    finally:
        database.close()
