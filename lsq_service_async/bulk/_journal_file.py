"""The SQLite file of a journal: its format, its lock, and the checks that detect damage.

The file contains the account and, for each row, an `Entry`. It contains no ticket content and no secret. The ``sum`` is
a checksum of all rows. A wrong sum means that the file is damaged, or was copied during a commit without its
``-journal`` file. Opening such a file raises ConfigurationError, so that no row is sent twice.
"""

from __future__ import annotations

import enum
import os
import secrets
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from ctypes import c_int64
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import attrs

from .._logging import logger
from .._private_files import check_private_database, file_name, lock_private_file, open_private_file
from ..errors import ConfigurationError, LSQServiceError
from ..records import TicketReceipt

_APPLICATION_ID = 0x4C535142  # "LSQB", in the header of the file
_VERSION = 2
_ROWS = """CREATE TABLE rows (
    key TEXT PRIMARY KEY, digest TEXT NOT NULL, state TEXT NOT NULL, previous_digest TEXT, number TEXT, ticket_id TEXT,
    ticket_key TEXT, error TEXT, possible_duplicate INTEGER NOT NULL, reference TEXT, sent_at REAL, above INTEGER,
    ended_at REAL, marker TEXT
) WITHOUT ROWID"""
_HEADER = "CREATE TABLE journal (version INTEGER NOT NULL, operation TEXT NOT NULL, account TEXT, sum INTEGER NOT NULL)"
_TABLES = {("table", "rows", _ROWS), ("table", "journal", _HEADER)}
_WRONG_TABLES = "its tables are not those of a journal"
_NAMES_1 = {("table", "rows"), ("table", "journal"), ("index", "states")}
# On macOS, a plain fsync leaves data in the cache of the disk.
_DURABLE = "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON"
_ROW = "SELECT * FROM rows WHERE key = ?"
_SET_SUM = "UPDATE journal SET sum = ?"  # a signed 64-bit integer
# A random number. It changes if SQLite copies rows from the -journal file of another journal.
_SET_IDENTITY = "PRAGMA user_version = {}"
# The tables of version 1 with the columns of version 2.
_ROWS_1 = """SELECT key, digest, state, original AS previous_digest, number, ticket_id, ticket_key, error,
    0 AS possible_duplicate, NULL AS reference, NULL AS sent_at, NULL AS above, NULL AS ended_at, NULL AS marker
    FROM main.rows"""
_HEADER_1 = "SELECT 2 AS version, operation, NULL AS account, 0 AS sum FROM main.journal"
_READ_1 = (f"CREATE TEMP VIEW rows AS {_ROWS_1}", f"CREATE TEMP VIEW journal AS {_HEADER_1}")
_UPGRADE = (
    _SET_IDENTITY,
    f"CREATE TEMP TABLE rows_1 AS {_ROWS_1}",
    f"CREATE TEMP TABLE journal_1 AS {_HEADER_1}",
    "DROP TABLE rows",
    "DROP TABLE journal",
    _ROWS,
    _HEADER,
    "INSERT INTO rows SELECT * FROM rows_1",
    "INSERT INTO journal SELECT * FROM journal_1",
)
_FOREIGN = "a -journal or -wal file next to it belonged to another journal"
_FOREIGN_ERRORS = (sqlite3.Error, ValueError, TypeError)  # raised by a damaged file
PathLike = str | os.PathLike[str]
T = TypeVar("T")


class State(enum.Enum):
    """The state of a row in the journal."""

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


@attrs.frozen
class Entry:
    """A row as the journal stores it. The fields are the columns of the table.

    ``previous_digest`` is the first digest of a row that was edited. ``error`` is the class name of the last error; for
    a failed row, it is the result of `journal.summary_of`. ``reference``, ``sent_at`` and ``ended_at`` belong to the
    last send; times are seconds since 1970. ``marker`` is the field in which the reference was sent. ``ended_at`` is
    None while the row is in flight, and if the ticket number is not from an answer. ``above`` is the highest ticket
    number that was known before the first send that may have been applied.
    """

    key: str
    digest: str
    state: State = attrs.field(converter=State)
    previous_digest: str | None = None
    number: str | None = None
    ticket_id: str | None = None
    ticket_key: str | None = None
    error: str | None = None
    possible_duplicate: bool = attrs.field(default=False, converter=bool)
    reference: str | None = None
    sent_at: float | None = None
    above: int | None = None
    ended_at: float | None = None
    marker: str | None = None

    @property
    def receipt(self) -> TicketReceipt | None:
        """The receipt, or None if the ticket number is not known."""
        if self.number is None:
            return None
        doubled = self.possible_duplicate
        return TicketReceipt(
            number=self.number, ticket_id=self.ticket_id, key=self.ticket_key, possible_duplicate=doubled
        )

    def as_row(self) -> tuple[Any, ...]:
        return (self.key, self.digest, self.state.value, *attrs.astuple(self, recurse=False)[3:])


class JournalFile:
    """The file of a journal. One process at a time can lock and write it; others may read it. All methods block."""

    def __init__(self, path: PathLike) -> None:
        self.path: str = checked_path(path)
        self.highest_number: int = 0
        """The highest ticket number in the answers of the service."""
        self._sum = 0
        self._unlock: Callable[[], None] | None = None
        self._database: sqlite3.Connection | None = None
        self._failure: str | None = None

    def open(
        self, operation: str | None = None, account: str | None = None, now: float | None = None
    ) -> dict[State, int]:
        """Lock the file, check all of it, and return how many rows are in each state.

        A run passes all three arguments. Then a missing file is created, and rows that the last run left in flight
        become unknown. Without the arguments, the file must exist, and can belong to any operation and account. Raises
        ConfigurationError if another run uses the file, or if the file is damaged or is not a journal of this operation
        and account.
        """
        try:
            with reading(self.path):
                self._acquire_lock()
                if operation is not None and not os.path.exists(self.path):
                    self._create(operation, account)
                if has_wal := _size_of(f"{self.path}-wal") > 0:
                    _connect(self.path, mode="ro").close()  # checks the file before SQLite merges the -wal file
                # Long enough for a reader that delays a commit, such as a backup.
                self._database = database = _connect(self.path, timeout=30.0)
                database.executescript(_DURABLE)
                if _value(database, "PRAGMA integrity_check(1)") != "ok":
                    raise _unusable(self.path, "it is damaged")
                self._check_format(database, operation, has_wal=has_wal)
                states = self._check_rows(database, account)
                if operation is not None and states.pop(State.IN_FLIGHT, 0):
                    left = database.execute("SELECT * FROM rows WHERE state = 'in_flight'").fetchall()
                    self.write([attrs.evolve(Entry(*row), state=State.UNKNOWN, ended_at=now) for row in left])
                    states[State.UNKNOWN] += len(left)
                return states
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the database and unlock the file."""
        database, self._database, unlock, self._unlock = self._database, None, self._unlock, None
        try:
            if database is not None:
                with closing(database), suppress(*_FOREIGN_ERRORS):  # after an error, the -journal file stays
                    if _value(database, "PRAGMA journal_mode") == "truncate":
                        database.execute("PRAGMA journal_mode = DELETE")  # removes the empty -journal file
        finally:
            if unlock is not None:
                unlock()

    def query(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return the result of ``function(database, *arguments)``. The function must not write."""
        with self._use() as database:
            return function(database, *arguments)

    def write(self, entries: Iterable[Entry]) -> None:
        """Insert or replace entries in one durable transaction. Raises if another process has changed the file."""
        with self._use() as database:
            total = self._sum
            with _transaction(database):
                for entry in entries:
                    old = database.execute(_ROW, (entry.key,)).fetchone()
                    database.execute(
                        "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", entry.as_row()
                    )
                    # The stored row is hashed, because SQLite converts some values.
                    new = database.execute(_ROW, (entry.key,)).fetchone()
                    total += _hash(new) - (_hash(old) if old else 0)
                if _value(database, "SELECT sum FROM journal") != c_int64(self._sum).value:
                    raise sqlite3.IntegrityError("another run has changed it")
                database.execute(_SET_SUM, (c_int64(total).value,))
            self._sum = total

    @contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        """Yield the open database. After an error, every use raises, because changes may be missing from the file."""
        if self._database is None or self._failure is not None:
            raise LSQServiceError(self._failure or f"The journal {self.path!r} is closed.")
        try:
            yield self._database
        except LSQServiceError:
            raise
        except _FOREIGN_ERRORS as error:
            self._failure = f"The journal {self.path!r} has failed, so no more rows are sent: {error}"
            raise LSQServiceError(self._failure) from error

    def _acquire_lock(self) -> None:
        # A separate file, because closing any descriptor of the journal would release the locks of SQLite.
        self._unlock = lock_private_file(f"{self.path}.lock")
        if self._unlock is None:
            raise ConfigurationError(f"Another run uses the journal {self.path!r}. Wait until it ends, or stop it.")

    def _create(self, operation: str, account: str | None) -> None:
        """Write the file under another name, then rename it. A crash then leaves no incomplete journal."""
        for path in (f"{self.path}-journal", f"{self.path}-wal"):
            if _size_of(path):
                text = f"The journal {self.path!r} is missing, but {path!r} exists."
                raise ConfigurationError(f"{text} Restore the journal, or delete that file.")
        new = f"{self.path}.new"
        with suppress(FileNotFoundError):
            os.unlink(new)
        os.close(open_private_file(new, os.O_RDWR | os.O_EXCL))
        with closing(_open_sqlite(new, "mode=rw")) as database:
            database.executescript(_DURABLE)
            database.execute("PRAGMA journal_mode = MEMORY")  # a crash must not leave a -journal file behind
            with _transaction(database):
                database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                database.execute(_SET_IDENTITY.format(secrets.randbelow(2**31 - 1) + 1))
                database.execute(_ROWS)
                database.execute(_HEADER)
                header = (_VERSION, operation, account)
                database.execute("INSERT INTO journal VALUES (?, ?, ?, ?)", (*header, c_int64(_hash(header)).value))
        os.rename(new, self.path)
        if hasattr(os, "O_DIRECTORY"):  # Windows cannot sync a folder
            folder = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _check_format(self, database: sqlite3.Connection, operation: str | None, *, has_wal: bool) -> None:
        """Check the tables, upgrade version 1, and set the journal mode in which every commit is durable."""
        tables = set(database.execute("SELECT type, name, sql FROM sqlite_master"))
        version = _value(database, "SELECT version FROM journal") if tables else 1
        check_version(self.path, version)
        if version == 1:
            # In version 1, the last commits are in the -wal file until the run closes the journal.
            if not tables or not (has_wal or _value(database, "SELECT total(state = 'in_flight') = 0 FROM rows")):
                raise _unusable(self.path, "its last run did not close it, and its -wal file is missing")
            if {table[:2] for table in tables} == _NAMES_1:
                with _transaction(database):
                    for statement in _UPGRADE:
                        database.execute(statement.format(secrets.randbelow(2**31 - 1) + 1))
                    header = database.execute("SELECT version, operation, account FROM journal").fetchone()
                    total = _hash(header) + sum(map(_hash, database.execute("SELECT * FROM rows")))
                    database.execute(_SET_SUM, (c_int64(total).value,))
                tables = _TABLES
        if tables != _TABLES:
            raise _unusable(self.path, _WRONG_TABLES)
        if operation not in (None, found := _value(database, "SELECT operation FROM journal")):
            text = f"The journal {self.path!r} belongs to a run in which tickets were {found}. Use another file."
            raise ConfigurationError(text)
        # With the mode DELETE, the end of a transaction would not be synced.
        if _value(database, "PRAGMA journal_mode = TRUNCATE") != "truncate":
            raise _unusable(self.path, "SQLite does not support a rollback journal here")

    def _check_rows(self, database: sqlite3.Connection, account: str | None) -> Counter[State]:
        """Check the account and the sum, and return how many rows are in each state."""
        [(*header, stored)] = database.execute("SELECT version, operation, account, sum FROM journal")
        total, states = _hash(header), Counter[State]()
        for row in database.execute("SELECT * FROM rows"):
            total += _hash(row)
            states[State(row[2])] += 1
            if row[12] is not None:  # only numbers from answers
                self.highest_number = max(self.highest_number, as_number(row[4]))
        if stored != c_int64(total).value:
            raise _unusable(self.path, "its rows do not match the sum that it stores")
        if account is not None:
            check_account(self.path, header[2], account)
            if header[2] is None:
                total += _hash((*header[:2], account)) - _hash(header)
                with _transaction(database):
                    database.execute("UPDATE journal SET account = ?", (account,))
                    database.execute(_SET_SUM, (c_int64(total).value,))
                text = "The journal %r had no account, because an earlier version wrote it. It now belongs to %s."
                logger.warning(text, self.path, account)
        self._sum = total
        return states


def checked_path(path: PathLike) -> str:
    """Return the absolute path of a journal. Raises ConfigurationError if another user could have changed it."""
    name = file_name(path)
    if os.path.lexists(name):
        if not os.path.isfile(name):
            raise ConfigurationError(f"{name!r} is not a regular file, so it cannot be a journal. Use another file.")
        check_private_database(name)
    return os.path.realpath(name)


def _size_of(path: str) -> int:
    """Return the size of a file, or 0 if the file does not exist."""
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def _open_sqlite(path: str, options: str, timeout: float = 5.0) -> sqlite3.Connection:
    return sqlite3.connect(f"{Path(path).as_uri()}?{options}", uri=True, timeout=timeout, isolation_level=None)


def _connect(path: str, *, mode: str = "rw", timeout: float = 5.0) -> sqlite3.Connection:
    """Open a journal, and check that the -journal and -wal files next to it belong to it.

    The header is read without these files first, because SQLite may change the journal when it reads them.
    """
    if not check_private_database(path).st_size:
        raise _unusable(path, "it is empty")
    # With the built-in ``open``, closing the file would release the locks of SQLite.
    with closing(_open_sqlite(path, "mode=ro&immutable=1")) as header:
        try:
            application, identity = _value(header, "PRAGMA application_id"), _value(header, "PRAGMA user_version")
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            application = identity = None
    if application != _APPLICATION_ID:
        raise ConfigurationError(f"{path!r} is not a journal of a bulk run. Use another file.")
    database = _open_sqlite(path, f"mode={mode}", timeout)
    try:
        if identity:
            is_foreign = _value(database, "PRAGMA user_version") != identity
            if is_foreign and mode == "rw":
                # SQLite has copied rows of another journal into this file. Version 0 marks it as unusable.
                database.execute("UPDATE journal SET version = 0")
        else:
            is_foreign = _size_of(f"{path}-journal") > 0  # a journal of version 1 has no such file
        if is_foreign:
            raise _unusable(path, _FOREIGN)
        if _value(database, "SELECT count(*) FROM sqlite_master WHERE type NOT IN ('table', 'index')"):
            raise _unusable(path, _WRONG_TABLES)  # raised before a view or a trigger can run
    except BaseException:
        database.close()
        raise
    return database


def open_for_reading(path: str) -> sqlite3.Connection:
    """Open a journal that a run may be writing. If the file does not exist, return an empty journal."""
    if not os.path.exists(path):
        database = sqlite3.connect(":memory:")
        database.executescript(f"{_ROWS}; {_HEADER}")
        return database
    # In read-only mode, SQLite keeps the -wal file, which the next run needs to check that no rows are missing.
    database = _connect(path, mode="ro" if os.path.exists(f"{path}-wal") else "rw")
    try:
        version = _value(database, "SELECT version FROM journal")
        check_version(path, version)
        for statement in _READ_1 if version == 1 else ():
            database.execute(statement)
        return database
    except BaseException:
        database.close()
        raise


def entry_of(database: sqlite3.Connection, key: str) -> Entry | None:
    row = database.execute(_ROW, (key,)).fetchone()
    return Entry(*row) if row else None


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Convert the errors of a damaged or missing file to ConfigurationError."""
    try:
        yield
    except LSQServiceError:
        raise
    except OSError as error:
        raise _unusable(path, str(error.strerror)) from None
    except _FOREIGN_ERRORS as error:
        raise _unusable(path, str(error)) from None


def check_version(path: str, version: object) -> None:
    """Raise ConfigurationError for a journal of a newer version, or with rows of another journal."""
    if version == 0:
        raise _unusable(path, _FOREIGN)
    if version not in (1, _VERSION):
        text = f"The journal {path!r} has format {version!r}. This package reads only formats 1 and {_VERSION}."
        raise ConfigurationError(f"{text} Upgrade lsq-service-async.")


def check_account(path: str, found: str | None, account: str) -> None:
    if found not in (None, account):
        text = f"The journal {path!r} belongs to {found}, and this run uses {account}."
        raise ConfigurationError(f"{text} Use another journal, or the settings of the journal's account.")


def as_number(number: str | None) -> int:
    """Return a ticket number as an int, or 0 for any other text and for None."""
    return int(number) if number is not None and number.isdecimal() and len(number) <= 18 else 0


def _unusable(path: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"The journal {path!r} cannot be used: {reason}. Nothing was sent. If the file is damaged, restore a copy that "
        "was made after the last run, together with the -journal file that was copied with it, if any. With an older "
        "copy, rows would be sent twice. If there is no such copy, find out which rows were applied, and run the other "
        "rows with a new journal."
    )


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite may already have rolled back
            database.execute("ROLLBACK")
        raise


def _value(database: sqlite3.Connection, query: str) -> Any:
    [(value,)] = database.execute(query)
    return value


def _hash(row: Iterable[Any]) -> int:
    """Return a 64-bit hash of a row. `ascii` is used, because `repr` depends on the Unicode version of Python."""
    return int.from_bytes(blake2b(ascii(tuple(row)).encode(), digest_size=8).digest(), "big")
