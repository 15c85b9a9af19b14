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
    """A `LimitFile` in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: LimitFile | None = None

    async def open(self, name: str) -> None:
        """ConfigurationError if the file cannot be used."""
        if self._file is not None:
            await self.aclose()  # a loop ended that had it open
        file, self._thread = LimitFile(self._path), ThreadPoolExecutor(1, thread_name_prefix="lsq_service_async limit")
        try:
            await self._run(file.open, name)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                self._thread.submit(file.close)  # the thread finishes what it has begun
            self._thread.shutdown(wait=False)
            raise
        self._file = file

    async def sync(self, message: SyncMessage) -> SyncReply:
        """One transaction."""
        assert self._file is not None  # noqa: S101 -- the limiter opens it first
        return await self._run(self._file.sync, message)

    async def aclose(self) -> None:
        """Close the file and end the thread."""
        file, self._file = self._file, None
        if file is not None:
            await self._run(file.close)
            self._thread.shutdown(wait=False)

    async def _run(self, step: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, step, *args)


class LimitFile:
    """A SQLite file with one row for each limit. It belongs to the thread that opened it."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic, busy_timeout: float = 5.0) -> None:
        self._path = path
        self._clock = clock
        self._busy_timeout = busy_timeout  # s; a transaction takes under a millisecond
        self._opened: tuple[int, int] | None = None

    def open(self, name: str) -> None:
        """Create the file if there is none (0600), and check that it is a limit's.

        ConfigurationError if it is something else, or cannot be read and written.
        """
        self._name, self._boot = name, boot_id()
        try:
            self._open()
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(f"{self._path} cannot be used for a rate limit: {error}") from error

    def sync(self, message: SyncMessage) -> SyncReply:
        """Apply a message in one transaction; ConfigurationError, or BackendUnavailableError if the file fails.

        A file that was deleted is created again, and one that was replaced is used from now on.
        """
        try:
            self._follow_the_name()
            with self._transaction():
                # The clock is read inside the transaction, so that times never run backwards. It cannot be set, and the
                # transaction may have waited, so the time that the process expected does not matter.
                now = self._clock()
                row = self._db.execute("SELECT boot, state FROM limits WHERE name = ?", (self._name,)).fetchone()
                state = state_from_json(row[1]) if row else None
                if state is not None and row[0] != self._boot:
                    state = restarted(state, now)
                reply = sync(state, now, attrs.evolve(message, expected=math.inf))
                row = self._name, self._boot, state_to_json(reply.state)
                self._db.execute("INSERT OR REPLACE INTO limits VALUES (?, ?, ?)", row)
                return reply
        except ConfigurationError:
            raise
        except Exception as error:  # whatever another program wrote into it
            raise BackendUnavailableError(f"{self._path}: {error}") from error

    def close(self) -> None:
        """Close the file; it stays."""
        if self._opened is not None:
            self._opened = None
            self._db.close()

    def _open(self) -> None:
        with suppress(FileExistsError):
            # SQLite creates -wal and -shm with the mode of the file. A file that exists is not opened here: closing it
            # would release the locks of all other connections of this process.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        opened = self._identity()
        self._db = sqlite3.connect(self._path, timeout=self._busy_timeout, isolation_level=None)
        try:
            self._write_ahead()
            self._db.execute("PRAGMA synchronous = NORMAL")  # what a power cut takes away does not matter after it
            with self._transaction():
                if self._value("PRAGMA application_id") != _APPLICATION:
                    if self._value("SELECT count(*) FROM sqlite_master"):
                        raise sqlite3.DatabaseError("it is another program's database")
                    self._db.execute(f"PRAGMA application_id = {_APPLICATION}")
                    self._db.execute("CREATE TABLE limits (name TEXT PRIMARY KEY, boot TEXT, state TEXT) STRICT")
        except BaseException:
            self._db.close()
            raise
        self._opened = opened

    def _write_ahead(self) -> None:
        """Set the journal mode. For this alone SQLite does not wait if several processes are the first at once."""
        give_up_at = time.monotonic() + self._busy_timeout
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                    raise
                time.sleep(_RETRY)

    def _follow_the_name(self) -> None:
        """Other processes share the file that has the name; one that was deleted or replaced must not be used on."""
        with suppress(FileNotFoundError):
            if self._identity() == self._opened:
                return
        self.close()
        self._open()

    def _identity(self) -> tuple[int, int]:
        status = os.stat(self._path)
        return status.st_dev, status.st_ino

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _value(self, question: str) -> int:
        return int(self._db.execute(question).fetchone()[0])


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
