"""The SQLite file of a journal: what stands in it, and who may have it.

It holds keys, digests, states and the numbers of tickets: no payload, no secret.
"""

from __future__ import annotations

import enum
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ConfigurationError, LSQServiceError

_APPLICATION = 0x4C535142  # "LSQB": what SQLite keeps in a file's head to tell one application's files from another's
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS rows (
    key TEXT PRIMARY KEY, digest TEXT NOT NULL, state TEXT NOT NULL, run INTEGER NOT NULL,
    times INTEGER NOT NULL DEFAULT 1, number TEXT, ticket_id TEXT, ticket_key TEXT, error TEXT, original TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS states ON rows (state);
CREATE TABLE IF NOT EXISTS journal (version INTEGER NOT NULL, operation TEXT NOT NULL, run INTEGER NOT NULL);
COMMIT;
"""


class State(enum.Enum):
    """What is known of a row."""

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


class JournalFile:
    """A journal that one holder writes at a time, in whichever process; others may read it meanwhile."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        self._database: sqlite3.Connection | None = None
        self._held: int | None = None
        self._broken: str | None = None

    @property
    def database(self) -> sqlite3.Connection:
        """The open database. LSQServiceError where it is closed, or has failed once."""
        if self._broken is not None:
            raise LSQServiceError(self._broken)
        if self._database is None:
            raise LSQServiceError(f"the journal {str(self.path)!r} is closed")
        return self._database

    def open(self, *, make: bool) -> None:
        """Take the file; ``make`` one where there is none. ConfigurationError where another holder has it, where it
        cannot be written, or is no journal."""
        is_new = self._lock(os.O_CREAT if make else 0) and make
        try:
            self._database = sqlite3.connect(self.path, timeout=1, isolation_level=None, check_same_thread=False)
            self._prepare(self._database, is_new=is_new)
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
                raise self._no_journal() from None
            raise

    def close(self) -> None:
        """Let go of the file. What was not committed is; again does nothing."""
        database, self._database, held, self._held = self._database, None, self._held, None
        try:
            if database is not None:
                _commit_and_close(database)
        finally:
            # After SQLite's own: closing any descriptor of a file ends all POSIX locks of the process on it.
            if held is not None:
                os.close(held)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Errors of SQLite as the package's own. After the first, the file can only be closed: where a commit failed,
        SQLite took back all that was not committed, which others rely on."""
        try:
            yield
        except sqlite3.Error as error:
            self._broken = f"the journal {str(self.path)!r} cannot be used, so nothing more is done: {error}"
            raise LSQServiceError(self._broken) from error

    def _lock(self, flags: int) -> bool:
        """True where the file is empty."""
        # Made 0600 beforehand: SQLite would make it 0644, and -wal and -shm follow the mode of the file. The lock is
        # not SQLite's own, so that others may read how far the run is, and it ends with the process, however that ends.
        try:
            self._held = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.fstat(self._held).st_size == 0
        except BlockingIOError:
            self.close()
            raise ConfigurationError(f"another run uses the journal {str(self.path)!r}; wait for its end") from None
        except OSError as error:
            raise ConfigurationError(f"the journal {str(self.path)!r} cannot be written: {error.strerror}") from None

    def _prepare(self, database: sqlite3.Connection, *, is_new: bool) -> None:
        if is_new:
            database.execute(f"PRAGMA application_id = {_APPLICATION}")
        elif database.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
            raise self._no_journal()
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.executescript(_SCHEMA)

    def _no_journal(self) -> ConfigurationError:
        return ConfigurationError(f"{str(self.path)!r} is no journal of a bulk run")


def _commit_and_close(database: sqlite3.Connection) -> None:
    try:
        if database.in_transaction:
            database.execute("COMMIT")
    finally:
        database.close()
