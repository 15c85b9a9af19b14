"""The state that the processes of one host share, in a small SQLite file: all that touches it, without asyncio."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import attrs

from ..errors import ConfigurationError
from .decision.ask import Ask
from .decision.exchange import exchange, restarted
from .decision.state import State
from .decision.text import state_from_text, state_to_text
from .ledger import LedgerDownError, Reply

_APPLICATION = 0x4C535131  # "LSQ1": how SQLite files say whose they are
_BUSY = 5.0  # s; an exchange takes well under a millisecond, so who waits longer waits for something else
_RETRY = 0.01  # s


def boot_id() -> str:
    """What is different after each start of this machine. ConfigurationError where there is no such thing.

    Beside it the monotonic clock is one for all processes; elsewhere it is not known to be.
    """
    if sys.platform.startswith("linux"):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if sys.platform == "darwin":
        asked = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        done = subprocess.run(asked, capture_output=True, text=True, check=True)  # noqa: S603 -- nothing of it is input
        return done.stdout.strip()
    raise ConfigurationError(
        f"HostLimiter needs one monotonic clock for all processes, as on Linux and macOS; on {sys.platform} use "
        "RedisLimiter, or one process"
    )


class HostFile:
    """One row per limit. It belongs to the thread that opened it."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._opened: tuple[int, int] | None = None

    def open(self, name: str) -> None:
        """Make the file if there is none (0600), and see that it is ours.

        ConfigurationError if it is something else, or cannot be read and written.
        """
        self._name, self._boot = name, boot_id()
        try:
            self._open()
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(f"{self._path} cannot be used for a limit: {error}") from error

    def _open(self) -> None:
        with suppress(FileExistsError):
            # -wal and -shm get the mode that the file has when they are made. One that is there is not touched: to
            # close it here would undo the locks of all its connections in this process.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        opened = self._named()
        self._db = sqlite3.connect(self._path, timeout=_BUSY, isolation_level=None)
        self._prepare()
        self._opened = opened

    def _named(self) -> tuple[int, int]:
        """Which file has the name now."""
        about = os.stat(self._path)
        return about.st_dev, about.st_ino

    def _follow(self) -> None:
        """Others share the file that has the name; who went on with one that was deleted or replaced would be alone."""
        with suppress(FileNotFoundError):
            if self._named() == self._opened:
                return
        self.close()
        self._open()

    def _prepare(self) -> None:
        try:
            self._write_ahead()
            # What a power cut may take with it means nothing after it.
            self._db.execute("PRAGMA synchronous = NORMAL")
            with _Transaction(self._db):
                self._claim()
        except BaseException:
            self._db.close()
            raise

    def _write_ahead(self) -> None:
        """SQLite waits for others in all but this, so of those who are the first at the same time some are refused."""
        give_up_at = time.monotonic() + _BUSY
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                    raise
                time.sleep(_RETRY)

    def _claim(self) -> None:
        if self._value("PRAGMA application_id") != _APPLICATION:
            if self._value("SELECT count(*) FROM sqlite_master"):
                raise sqlite3.DatabaseError("it is the database of something else")
            self._db.execute(f"PRAGMA application_id = {_APPLICATION}")
            self._db.execute("CREATE TABLE limits (name TEXT PRIMARY KEY, boot TEXT, state TEXT) STRICT")

    def _value(self, question: str) -> int:
        return int(self._db.execute(question).fetchone()[0])

    def exchange(self, ask: Ask) -> Reply:
        """One transaction. ConfigurationError as `decision.exchange`; LedgerDownError if the file fails.

        If the file is not there any more it is made anew.
        """
        try:
            self._follow()
            with _Transaction(self._db):
                # The clock is read when it is our turn, so that times never run backwards. Nobody can set it, and our
                # turn may come late: what the clock was expected to show means nothing.
                now = self._clock()
                state, verdict = exchange(self._read(now), now, attrs.evolve(ask, expected=math.inf))
                self._write(state)
                return Reply(state, state.seen, verdict)
        except ConfigurationError:
            raise
        except Exception as error:  # whatever somebody wrote into it
            raise LedgerDownError(f"{self._path}: {error}") from error

    def _read(self, now: float) -> State | None:
        row = self._db.execute("SELECT boot, state FROM limits WHERE name = ?", (self._name,)).fetchone()
        if row is None:
            return None
        try:
            state = state_from_text(row[1])
        except ConfigurationError as error:  # of the file, and not of whoever reads it
            raise ValueError(str(error)) from error
        return state if row[0] == self._boot else restarted(state, now)

    def _write(self, state: State) -> None:
        row = (self._name, self._boot, state_to_text(state))
        self._db.execute("INSERT OR REPLACE INTO limits VALUES (?, ?, ?)", row)

    def close(self) -> None:
        """The file stays."""
        self._opened = None
        self._db.close()


class _Transaction:
    """Alone with the file from the first reading on; undone if anything goes wrong."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
