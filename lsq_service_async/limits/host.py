"""The limit of one host. All processes of the host share a small SQLite file; no daemon is needed."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import attrs

from .._private_files import check_private_database, file_name, open_private_file
from ..errors import ConfigurationError
from ._backend import BackendUnavailableError, SharedLimiter
from ._engine.messages import SyncMessage
from ._engine.sync import SyncReply, restarted, state_from_json, state_to_json, sync

T = TypeVar("T")
_APPLICATION = 0x4C535131  # "LSQ1", the application id of the file
_SCHEMA = "CREATE TABLE limits (name TEXT PRIMARY KEY, boot TEXT, state TEXT) STRICT"
_RETRY = 0.01  # s


class HostLimiter(SharedLimiter):
    """The limit of all processes that use the same file on one host.

    ``path`` is a file on a local disk, not on a network share. The file is created if it does not exist, and only its
    owner can read it. Delete the file only while no process uses it. If the file is replaced while processes use it,
    they switch to the new file. If the file is deleted, they create it again and send no call for a window. If a
    process dies, its calls in flight count as answered when their leases expire, after at most ten seconds. While the
    file cannot be used, calls raise NotSentError. `open` raises ConfigurationError if the file is not a rate-limit
    file, if this process cannot write to it, or if another user owns it or can write to it. On Windows, this class
    raises ConfigurationError.

    If processes are configured with different rates, the limiter exceeds none of these rates and logs a warning.
    ``window="sliding"`` then has no effect.

    A limiter may be created before a web server forks its workers. Open it after the fork, in each worker, because a
    SQLite connection cannot be used after a fork.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not sys.platform.startswith(("linux", "darwin")) or importlib.util.find_spec("fcntl") is None:
            raise ConfigurationError(
                "HostLimiter needs a monotonic clock that all processes share, as on Linux and macOS. "
                f"On {sys.platform} use RedisLimiter, or LocalLimiter in a single process"
            )
        super().__init__(HostBackend(Path(file_name(path)).absolute()))


class HostBackend:
    """A SQLite file with one row for each limit, used in one thread."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic, busy_timeout: float = 5.0) -> None:
        self._path = path
        self._clock = clock
        self._busy_timeout = busy_timeout  # s
        self._db: sqlite3.Connection | None = None
        self._is_open = False

    def __str__(self) -> str:
        return str(self._path)

    async def open(self, name: str) -> None:
        """Create the file if it does not exist, and check it. Raises ConfigurationError as `HostLimiter` describes."""
        if self._is_open:
            await self.aclose()  # the event loop of the last `open` has closed
        self._name, self._thread = name, ThreadPoolExecutor(1, thread_name_prefix="lsq_service_async limit")
        try:
            await self._run(self._open)
        except BaseException as error:
            self._thread.submit(self._close)  # after a cancellation, the thread may still open the file
            self._thread.shutdown(wait=False)
            if isinstance(error, OSError | sqlite3.Error | ValueError) and not isinstance(error, ConfigurationError):
                raise ConfigurationError(f"{self} cannot be used for a rate limit: {error}") from error
            raise
        self._is_open = True

    async def sync(self, message: SyncMessage) -> SyncReply:
        """Apply a message in one transaction. If the file was deleted, create it again."""
        return await self._run(self._sync, message)

    async def aclose(self) -> None:
        """Close the file without deleting it, and end the thread."""
        self._is_open = False
        await self._run(self._close)
        self._thread.shutdown(wait=False)

    async def _run(self, step: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, step, *args)

    # These methods run in the thread.

    def _open(self) -> sqlite3.Connection:
        self._boot = boot_id()
        if not self._path.exists():
            with suppress(FileExistsError):
                # An existing file is not opened: closing it would release the locks of this process on it.
                os.close(open_private_file(self._path, os.O_RDWR | os.O_EXCL))
        self._opened = check_private_database(self._path)
        db = sqlite3.connect(self._path, timeout=self._busy_timeout, isolation_level=None)
        try:
            _is_empty(db)  # raises for another program's file, before it is changed
            self._write_ahead(db)
            db.execute("PRAGMA synchronous = NORMAL")  # lost commits do not matter after a power failure
            with db:
                db.execute("BEGIN IMMEDIATE")
                if _is_empty(db):
                    db.execute(f"PRAGMA application_id = {_APPLICATION}")
                    db.execute(_SCHEMA)
        except BaseException:
            db.close()
            raise
        self._db = db
        return db

    def _write_ahead(self, db: sqlite3.Connection) -> None:
        """Set the journal mode. Retry, because SQLite does not wait if another process is setting the mode."""
        give_up_at = time.monotonic() + self._busy_timeout
        while True:
            try:
                db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                    raise
                time.sleep(_RETRY)

    def _sync(self, message: SyncMessage) -> SyncReply:
        try:
            db = self._db
            if db is None or not self._is_in_place():
                self._close()
                db = self._open()
            with db:
                db.execute("BEGIN IMMEDIATE")
                # The clock is read after BEGIN, so that times never decrease. BEGIN may have to wait, so ``expected``
                # is not checked.
                now = self._clock()
                row = db.execute("SELECT boot, state FROM limits WHERE name = ?", (self._name,)).fetchone()
                state = state_from_json(row[1]) if row else None
                if state is not None and row[0] != self._boot:
                    state = restarted(state, now)
                reply = sync(state, now, attrs.evolve(message, expected=math.inf))
                row = self._name, self._boot, state_to_json(reply.state)
                db.execute("INSERT OR REPLACE INTO limits VALUES (?, ?, ?)", row)
                return reply
        except Exception as error:
            raise BackendUnavailableError(f"{self}: {error}") from error

    def _is_in_place(self) -> bool:
        """Return whether the path still leads to the file that was opened."""
        try:
            return os.path.samestat(os.stat(self._path), self._opened)
        except FileNotFoundError:
            return False

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()


def _is_empty(db: sqlite3.Connection) -> bool:
    """Return whether the file is new. Raises DatabaseError if it is not a rate-limit file."""
    # Read the schema first, because another process may set both between the reads.
    schema = db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    application = db.execute("PRAGMA application_id").fetchone()[0]
    if application not in (0, _APPLICATION) or (schema and application == 0):
        raise sqlite3.DatabaseError("it is another program's database")
    if schema not in ([], [(_SCHEMA,)]):
        raise sqlite3.DatabaseError("another program changed its tables, views or triggers")
    return not schema


def boot_id() -> str:
    """Return an id that changes each time this machine starts."""
    if sys.platform != "darwin":
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 -- a fixed command
    return done.stdout.strip()
