"""Files that other users must not be able to change: journals, reports, and the file of a `HostLimiter`."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from .errors import ConfigurationError, shown

_FLAGS = ("O_CREAT", "O_NOFOLLOW", "O_NONBLOCK")  # O_NONBLOCK: opening a pipe must not block
_SIDES = ("-wal", "-shm", "-journal")  # suffixes of the files that SQLite keeps next to a database
PathLike = str | os.PathLike[str]


def file_name(path: object) -> str:
    """Return the path of a SQLite file as text. Raises ConfigurationError for other values, such as ``:memory:``."""
    name = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if isinstance(name, str) and name not in ("", ":memory:") and not name.startswith("file:"):
        with suppress(UnicodeEncodeError):  # raised for a lone surrogate
            if b"\0" not in os.fsencode(name):
                return name
    raise ConfigurationError(f"The path of a file is required, as text or Path, not {shown(name)}.")


def open_private_file(path: PathLike, flags: int) -> int:
    """Open a file, or create it with mode 0600, and return its descriptor.

    Raises ConfigurationError if the path is a symbolic link or not a regular file, or if another user owns the file or
    can write to it. ``flags`` must not contain ``O_TRUNC``, because the file would be emptied before it is checked.
    """
    if os.path.islink(path):
        raise ConfigurationError(
            f"{os.fspath(path)!r} is a symbolic link, which is not followed here. Name its target."
        )
    for flag in _FLAGS:
        flags |= getattr(os, flag, 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        _check(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def lock_private_file(path: str) -> Callable[[], None] | None:
    """Create and lock a file. Return the function that removes and unlocks it, or None if it is locked already."""
    try:
        import fcntl
    except ImportError:
        return _lock_on_windows(path)
    while True:
        lock, is_locked = open_private_file(path, os.O_RDWR), False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another process may have removed the file before it was locked here.
            is_locked = os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(lock))
        except BlockingIOError:
            return None
        finally:
            if not is_locked:
                os.close(lock)
        if is_locked:
            return partial(_unlock, path, lock)


def _unlock(path: str, lock: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
    os.close(lock)


def _lock_on_windows(path: str) -> Callable[[], None] | None:
    try:
        from filelock import FileLock, Timeout
    except ImportError:
        raise ConfigurationError("On this platform, a journal needs filelock. Run: pip install filelock") from None
    lock = FileLock(path, thread_local=False)  # several threads use a journal
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock.release


def check_private_database(path: PathLike) -> os.stat_result:
    """Check a SQLite file, and the files that SQLite keeps next to it, without opening them.

    Raises ConfigurationError like `open_private_file`, but accepts a symbolic link that belongs to this user.
    """
    status = os.stat(path)
    _check(path, status)
    _check_owner(path, os.lstat(path))
    real = os.path.realpath(path)
    for side in _SIDES:
        with suppress(FileNotFoundError):
            _check(f"{real}{side}", os.lstat(f"{real}{side}"))
    return status


def _check(path: PathLike, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{os.fspath(path)!r} is not a regular file. Name another file.")
    _check_owner(path, status)
    if hasattr(os, "geteuid") and status.st_mode & 0o022:  # not on Windows
        raise ConfigurationError(
            f"Other users can write to {os.fspath(path)!r}: its mode is {stat.S_IMODE(status.st_mode):04o}. "
            "Check its content, then run chmod go-w on it, or name another file."
        )


def _check_owner(path: PathLike, status: os.stat_result) -> None:
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise ConfigurationError(
            f"{os.fspath(path)!r} belongs to the user with the id {status.st_uid}, not to you. Name another file."
        )
