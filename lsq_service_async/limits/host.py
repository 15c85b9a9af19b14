"""The limit of one host: its processes share a small SQLite file, without a daemon."""

from __future__ import annotations

import asyncio
import math
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import attrs

from ..errors import ConfigurationError
from ._backend import BackendUnavailableError, SharedLimiter
from ._engine.messages import SyncMessage
from ._engine.sync import SyncReply, restarted, state_from_json, state_to_json, sync

T = TypeVar("T")
_APPLICATION = 0x4C535131  # "LSQ1", the application id of the file
_RETRY = 0.01  # s


class HostLimiter(SharedLimiter):
    """The limit of all processes of one host that use the same file.

    ``path`` is a file on a local disk, not on a network share. It is created if it does not exist, readable by its
    owner only, and may be deleted while it is not in use. If it is deleted or replaced while it is in use, the
    processes change to the file that has the name then; a process that has to create it waits for a window first. The
    slots of a process that dies return when their leases end, ten seconds later. Opening raises ConfigurationError if
    the file is of another kind or cannot be written, if another process uses it at another rate, or on a platform other
    than Linux and macOS.

    A limiter may be created before a server forks its workers. It must be opened after the fork, in each worker, and
    not be open in the process that forks: a file that is open at a fork loses its locks.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(HostBackend(Path(path)))


class HostBackend:
    """A SQLite file with one row for each limit, used in one thread."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic, busy_timeout: float = 5.0) -> None:
        self._path = path
        self._clock = clock
        self._busy_timeout = busy_timeout  # s; a transaction takes under a millisecond
        self._db: sqlite3.Connection | None = None
        self._is_open = False

    async def open(self, name: str) -> None:
        """Create the file if it does not exist (0600), and check that it is a limit's.

        ConfigurationError if it is something else, or cannot be read and written.
        """
        if self._is_open:
            await self.aclose()  # a loop ended that had it open
        self._name, self._thread = name, ThreadPoolExecutor(1, thread_name_prefix="lsq_service_async limit")
        try:
            await self._run(self._open)
        except BaseException as error:
            self._thread.submit(self._close)  # what a cancelled step opens, after the thread has finished it
            self._thread.shutdown(wait=False)
            if isinstance(error, OSError | sqlite3.Error):
                raise ConfigurationError(f"{self._path} cannot be used for a rate limit: {error}") from error
            raise
        self._is_open = True

    async def sync(self, message: SyncMessage) -> SyncReply:
        """Apply a message in one transaction.

        A file that was deleted is created again, and one that was replaced is used from now on.
        """
        return await self._run(self._sync, message)

    async def aclose(self) -> None:
        """Close the file, which stays, and end the thread."""
        self._is_open = False
        await self._run(self._close)
        self._thread.shutdown(wait=False)

    async def _run(self, step: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, step, *args)

    # In the thread.

    def _open(self) -> sqlite3.Connection:
        self._boot = boot_id()
        with suppress(FileExistsError):
            # SQLite creates -wal and -shm with the mode of the file. A file that exists is not opened here: closing it
            # would release the locks of all other connections of this process.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self._opened = os.stat(self._path)
        db = sqlite3.connect(self._path, timeout=self._busy_timeout, isolation_level=None)
        try:
            self._write_ahead(db)
            db.execute("PRAGMA synchronous = NORMAL")  # what a power cut takes away does not matter after it
            with self._transaction(db):
                if db.execute("PRAGMA application_id").fetchone() != (_APPLICATION,):
                    if db.execute("SELECT * FROM sqlite_master").fetchone():
                        raise sqlite3.DatabaseError("it is another program's database")
                    db.execute(f"PRAGMA application_id = {_APPLICATION}")
                    db.execute("CREATE TABLE limits (name TEXT PRIMARY KEY, boot TEXT, state TEXT) STRICT")
        except BaseException:
            db.close()
            raise
        self._db = db
        return db

    def _write_ahead(self, db: sqlite3.Connection) -> None:
        """Set the journal mode. For this alone SQLite does not wait if several processes are the first at once."""
        give_up_at = time.monotonic() + self._busy_timeout
        while True:
            try:
                db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                    raise
                time.sleep(_RETRY)

    def _sync(self, message: SyncMessage) -> SyncReply:
        try:
            # Other processes share the file that has the name; one that was deleted or replaced must not be used on.
            db = self._db
            if db is None or not self._path.exists() or not os.path.samestat(os.stat(self._path), self._opened):
                self._close()
                db = self._open()
            with self._transaction(db):
                # The clock is read inside the transaction, so that times never run backwards. It cannot be set, and the
                # transaction may have waited, so the time that the process expected does not matter.
                now = self._clock()
                row = db.execute("SELECT boot, state FROM limits WHERE name = ?", (self._name,)).fetchone()
                state = state_from_json(row[1]) if row else None
                if state is not None and row[0] != self._boot:
                    state = restarted(state, now)
                reply = sync(state, now, attrs.evolve(message, expected=math.inf))
                row = self._name, self._boot, state_to_json(reply.state)
                db.execute("INSERT OR REPLACE INTO limits VALUES (?, ?, ?)", row)
                return reply
        except ConfigurationError:
            raise
        except Exception as error:  # whatever another program wrote into it
            raise BackendUnavailableError(f"{self._path}: {error}") from error

    @contextmanager
    def _transaction(self, db: sqlite3.Connection) -> Iterator[None]:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()


def boot_id() -> str:
    """An id that changes with each start of this machine. ConfigurationError on platforms without one.

    Where it exists, the monotonic clock is the same for all processes; elsewhere it may not be.
    """
    if sys.platform.startswith("linux"):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 -- a fixed command
        return done.stdout.strip()
    raise ConfigurationError(
        "HostLimiter needs a monotonic clock that all processes share, as on Linux and macOS. "
        f"On {sys.platform} use RedisLimiter, or one process"
    )
