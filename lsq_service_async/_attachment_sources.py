"""The sources of attachments: bytes in memory, a path, an open file, or a stream that is copied to a file.

A source can be opened any number of times, even by several calls at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import os
import stat
import tempfile
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self, TypeVar, runtime_checkable

import attrs

from .errors import InvalidRequestError

T = TypeVar("T")
_CHUNK_SIZE = 1 << 20
_THREADS = 32


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    """Return the thread pool of a process. A fork does not copy threads, so each process has its own pool."""
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="lsq_service_async files")


def in_thread(function: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
    """Run a blocking function in a thread of this package, because asyncio's default executor may be busy."""
    return asyncio.get_running_loop().run_in_executor(_threads(os.getpid()), function, *arguments)


class Reader(Protocol):
    """Reads the bytes of a source from beginning to end. ``read`` blocks the thread."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


@runtime_checkable
class Source(Protocol):
    """The bytes of an attachment."""

    @property
    def length(self) -> int | None:
        """The number of bytes. It may be None until `prepare` is done."""
        ...

    async def prepare(self, check: Callable[[int], None]) -> None:
        """Make the source readable. ``check`` gets the number of bytes so far, and raises if there are too many."""
        check(self.length or 0)

    def open(self) -> Reader:
        """Return a reader. Blocks. Raises OSError or ValueError."""
        ...


def check_length(name: str, length: int, max_bytes: int | None) -> None:
    if max_bytes is not None and length > max_bytes:
        text = f"the attachment {name!r} has more than the {max_bytes:,} bytes that max_file_bytes allows"
        raise InvalidRequestError(text)


@attrs.frozen
class BytesSource(Source):
    data: bytes = attrs.field(repr=False)

    @property
    def length(self) -> int:
        return len(self.data)

    def open(self) -> Reader:
        return io.BytesIO(self.data)


@attrs.frozen
class PathSource(Source):
    """A regular file. Without ``follow``, the file must not be a symbolic link."""

    path: Path
    length: int
    follow: bool
    identity: tuple[int, int] | None = attrs.field(default=None, repr=False)
    """The device and the inode of the file that was checked."""

    @classmethod
    def of(cls, path: Path, *, follow: bool) -> Self:
        """Return a source. Raises InvalidRequestError if the path is not a readable regular file."""
        found = _stat(cls(path, 0, follow))
        return cls(path, found.st_size, follow, (found.st_dev, found.st_ino))

    def open(self) -> BinaryIO:
        file = _open_regular(self.path, follow=self.follow)
        found = os.fstat(file.fileno())
        if self.identity not in (None, (found.st_dev, found.st_ino)):
            file.close()
            raise ValueError("another file has replaced it")
        return file


@attrs.define(eq=False)
class FolderSource(Source):
    """A regular file below a folder. The path is untrusted text: `open` rejects a path that leads out of the folder."""

    folder: Path
    path: str
    max_bytes: int | None
    length: int | None = None

    async def prepare(self, check: Callable[[int], None]) -> None:
        self.length = (await in_thread(_stat, self)).st_size
        check_length(self.path, self.length, self.max_bytes)
        check(self.length)

    def open(self) -> BinaryIO:
        folder = os.path.realpath(self.folder)
        path = os.path.realpath(os.path.join(folder, self.path), strict=True)
        if os.path.commonpath([folder, path]) != folder:
            raise ValueError("it is not below this folder; move it there, or use another folder")
        if os.open not in os.supports_dir_fd:  # on Windows
            return _open_regular(path, follow=False)
        # A link may have replaced a folder just now, so the folders are opened one by one without following links.
        *folders, name = Path(path).relative_to(folder).parts or (".",)
        flags = os.O_DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)
        directory = os.open(folder, flags)
        try:
            for part in folders:
                outer, directory = directory, os.open(part, flags | os.O_NOFOLLOW, dir_fd=directory)
                os.close(outer)
            return _open_regular(name, follow=False, directory=directory)
        finally:
            os.close(directory)


def _stat(source: PathSource | FolderSource) -> os.stat_result:
    """Return the status of a file. Raises InvalidRequestError if it is not a readable regular file."""
    try:
        with source.open() as reader:
            return os.fstat(reader.fileno())
    except OSError as error:
        reason = str(error.strerror)
        if error.errno == errno.ELOOP and isinstance(source, PathSource) and not source.follow:
            reason = "it is a symbolic link, which follow_symlinks=False forbids"
        elif error.errno in (errno.ENXIO, errno.EISDIR):
            reason = "only regular files can be sent"
    except ValueError as error:
        reason = str(error)
    origin = f" from {os.path.realpath(source.folder)!r}" if isinstance(source, FolderSource) else ""
    raise InvalidRequestError(f"cannot attach {str(source.path)!r}{origin}: {reason}")


def _open_regular(path: str | Path, *, follow: bool, directory: int | None = None) -> BinaryIO:
    if directory is None and not hasattr(os, "O_NOFOLLOW"):  # on Windows
        if not follow and os.path.islink(path):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if os.path.isdir(path):
            raise ValueError("only regular files can be sent")
    # Without O_NONBLOCK, opening a FIFO would wait for a writer.
    flags = getattr(os, "O_NONBLOCK", 0) | (0 if follow else getattr(os, "O_NOFOLLOW", 0))
    descriptor = os.open(path, os.O_RDONLY | flags, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("only regular files can be sent")
    return open(descriptor, "rb", buffering=0)


@attrs.frozen(eq=False)
class FileSource(Source):
    """A seekable binary file that the caller has opened, from ``start`` to its end."""

    file: BinaryIO
    start: int
    length: int
    lock: Any = attrs.field(factory=threading.Lock, repr=False)

    @classmethod
    def of(cls, file: BinaryIO) -> Self:
        """Return a source that begins at the current position. Raises any error that a method of the file raises."""
        lock = _lock_of(file)
        with lock:
            start = file.tell()
            file.seek(0, os.SEEK_END)
            end = file.tell()
            file.seek(start)
            empty = file.read(0)
        if not isinstance(empty, bytes | bytearray | memoryview):
            kind = type(empty).__name__
            raise InvalidRequestError(f"the file returns {kind}, not bytes; open it with 'rb', not in text mode")
        if 0 < start >= end:
            raise InvalidRequestError("the file is at its end, so nothing would be sent; rewind it with file.seek(0)")
        return cls(file, start, end - start, lock)

    def open(self) -> Reader:
        return _FileReader(self, self.start)


_locks: weakref.WeakKeyDictionary[Any, threading.Lock] = weakref.WeakKeyDictionary()
_locks_lock = threading.Lock()


def _lock_of(file: BinaryIO) -> threading.Lock:
    """Return the lock that all sources of a file share."""
    with _locks_lock:
        try:
            return _locks.setdefault(file, threading.Lock())
        except TypeError:  # no hash or no weak references
            return threading.Lock()


@attrs.define(eq=False)
class _FileReader:
    """Reads a file that other readers may read at the same time. Each read restores the position of the file."""

    source: FileSource
    position: int

    def read(self, size: int, /) -> bytes:
        file = self.source.file
        with self.source.lock:
            before = file.tell()
            file.seek(self.position)
            try:
                data = bytes(file.read(size))
            finally:
                file.seek(before)
        self.position += len(data)
        return data

    def close(self) -> None:
        """Leave the caller's file open."""


@attrs.define(eq=False)
class SpooledSource(Source):
    """A stream that can be read only once. `prepare` copies it to a temporary file without a name."""

    chunks: AsyncGenerator[bytes, None] | None = attrs.field(repr=False)
    spool: FileSource | None = None
    _lock: asyncio.Lock = attrs.field(factory=asyncio.Lock, repr=False)

    @property
    def length(self) -> int | None:
        return None if self.spool is None else self.spool.length

    async def prepare(self, check: Callable[[int], None]) -> None:
        async with self._lock:
            spool = self.spool = self.spool or await self._copy(check)
        check(spool.length)

    async def _copy(self, check: Callable[[int], None]) -> FileSource:
        if self.chunks is None:
            raise InvalidRequestError("an earlier call read a part of this stream; make a new attachment")
        file = await _temporary_file()
        chunks, self.chunks = self.chunks, None
        length = 0
        try:
            async with contextlib.aclosing(chunks):
                async for chunk in chunks:
                    length += len(chunk)
                    check(length)
                    await in_thread(file.write, chunk)
                await in_thread(file.flush)
        except BaseException:
            # Closing a buffered file waits for a thread that is still writing to it.
            await asyncio.shield(in_thread(_discard, file))
            raise
        spool = FileSource(file, 0, length)
        weakref.finalize(spool, file.close)
        return spool

    def open(self) -> Reader:
        if self.spool is None:
            raise ValueError("the stream has not been copied to a file yet")
        return self.spool.open()


async def _temporary_file() -> BinaryIO:
    def close(creating: asyncio.Future[Any]) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):  # the file was not created
            creating.result().close()

    creating: asyncio.Future[Any] = in_thread(tempfile.TemporaryFile, "w+b")
    try:
        file: BinaryIO = await asyncio.shield(creating)
        return file
    except asyncio.CancelledError:
        creating.add_done_callback(close)
        raise


def _discard(file: BinaryIO) -> None:
    with contextlib.suppress(OSError):  # for example a full disk
        file.close()


async def chunks_of(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    """Yield the rest of a file that cannot be rewound, such as a pipe."""

    def read() -> bytes:
        try:
            return file.read(_CHUNK_SIZE)
        except ValueError as error:  # the file was closed meanwhile
            raise InvalidRequestError(f"the file cannot be read: {error}") from None

    # A read can block forever, so it must not take a thread of the shared pool.
    thread = ThreadPoolExecutor(1, thread_name_prefix="lsq_service_async pipe")
    try:
        while (chunk := await asyncio.get_running_loop().run_in_executor(thread, read)) != b"":
            yield chunk
    finally:
        thread.shutdown(wait=False)


async def checked(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the chunks. A chunk that is not bytes raises InvalidRequestError."""
    try:
        async for chunk in chunks:
            if not isinstance(chunk, bytes | bytearray | memoryview):
                raise InvalidRequestError(f"an attachment consists of bytes, not {type(chunk).__name__}")
            yield bytes(chunk)
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
