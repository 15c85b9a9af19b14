"""Where bytes come from: memory, a path, an open file, or something that can be read only once.

Every source can be opened again and again, also twice at the same time, and each pass begins at the beginning.
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
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

import attrs

from .errors import InvalidRequestError

_PIECE = 1 << 20


class Reader(Protocol):
    """One pass over the bytes of a source. Reading blocks."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class Source(Protocol):
    """What an attachment reads from."""

    @property
    def length(self) -> int | None:
        """Bytes from beginning to end; None until that is known."""
        ...

    async def prepare(self, most: int | None) -> None:
        """Get ready to be read any number of times; InvalidRequestError where there are more than ``most`` bytes."""
        ...

    def open(self) -> Reader:
        """A new pass from the beginning. Blocks; OSError or ValueError where it can no longer be read."""
        ...


class _Ready:
    """A source that needs no preparation."""

    async def prepare(self: Source, most: int | None) -> None:
        check_length(self.length or 0, most)


def check_length(length: int, most: int | None) -> None:
    """InvalidRequestError where a file is longer than the setting allows."""
    if most is not None and length > most:
        raise InvalidRequestError(f"the attachment has more than the {most:,} bytes that max_file_bytes allows")


@attrs.frozen
class BytesSource(_Ready):
    """Bytes in memory."""

    data: bytes = attrs.field(repr=False)

    @property
    def length(self) -> int:
        return len(self.data)

    def open(self) -> Reader:
        return io.BytesIO(self.data)


@attrs.frozen
class PathSource(_Ready):
    """A regular file, opened anew for each pass; not through a last symbolic link unless ``follow`` says so."""

    path: Path
    length: int
    follow: bool

    @classmethod
    def of(cls, path: Path, *, follow: bool) -> Self:
        """Raises InvalidRequestError for what is no regular file that may be read."""
        source = cls(path, 0, follow)
        try:
            with source.open() as reader:
                return cls(path, os.fstat(reader.fileno()).st_size, follow)
        except OSError as error:
            raise InvalidRequestError(f"cannot attach {str(path)!r}: {_why(error)}") from None
        except ValueError as error:
            raise InvalidRequestError(f"cannot attach {str(path)!r}: {error}") from None

    def open(self) -> BinaryIO:
        # Non-blocking, because opening a FIFO would wait for somebody to write to it.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if self.follow else os.O_NOFOLLOW)
        descriptor = os.open(self.path, flags)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ValueError("only regular files are sent")
        return open(descriptor, "rb", buffering=0)


def _why(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "it is a symbolic link, which follow_symlinks=False forbids"
    return "only regular files are sent" if error.errno in (errno.ENXIO, errno.EISDIR) else str(error.strerror)


@attrs.frozen(eq=False)
class FileSource(_Ready):
    """An open, seekable binary file, from where it stood. The caller keeps it, and closes it afterwards."""

    file: BinaryIO
    start: int
    length: int
    lock: Any = attrs.field(factory=threading.Lock, repr=False)

    @classmethod
    def of(cls, file: BinaryIO) -> Self:
        """Raises InvalidRequestError for a file that cannot tell where it stands."""
        try:
            start = file.tell()
            file.seek(0, os.SEEK_END)
            end = file.tell()
            file.seek(start)
            text = isinstance(file.read(0), str)
        except (OSError, ValueError) as error:
            raise InvalidRequestError(f"the file cannot be read from where it stands: {error}") from None
        if text:
            raise InvalidRequestError("the file is open in text mode; open it with 'rb'")
        if 0 < start == end:
            raise InvalidRequestError("the file stands at its end, so nothing would be sent; rewind it: file.seek(0)")
        return cls(file, start, end - start)

    def open(self) -> Reader:
        return _FilePass(self, self.start)


@attrs.define(eq=False)
class _FilePass:
    """Keeps its own position, so that one file object can be in two uploads at once."""

    source: FileSource
    position: int

    def read(self, size: int, /) -> bytes:
        with self.source.lock:
            self.source.file.seek(self.position)
            data = self.source.file.read(size)
        self.position += len(data)
        return data

    def close(self) -> None:
        """The file is the caller's to close."""


@attrs.define(eq=False)
class OnceSource:
    """Something that can be read only once: written to a temporary file before it is sent.

    The file is 0600 and has no name, so that it is gone with the last who uses it, also when the process dies.
    """

    chunks: AsyncGenerator[bytes, None] | None = attrs.field(repr=False)
    spool: FileSource | None = None
    _lock: asyncio.Lock = attrs.field(factory=asyncio.Lock, repr=False)

    @property
    def length(self) -> int | None:
        return None if self.spool is None else self.spool.length

    async def prepare(self, most: int | None) -> None:
        async with self._lock:
            spool = self.spool = self.spool or await self._spooled(most)
        check_length(spool.length, most)

    async def _spooled(self, most: int | None) -> FileSource:
        if self.chunks is None:
            raise InvalidRequestError("an earlier call has read a part of this attachment; what is left is not whole")
        file = await _temporary_file()
        chunks, self.chunks = self.chunks, None
        try:
            async with contextlib.aclosing(chunks):
                length = await _copy(chunks, file, most)
        except BaseException:
            # Buffered files have a lock, so that this waits for a thread that is still writing.
            await asyncio.shield(asyncio.to_thread(_discard, file))
            raise
        spool = FileSource(file, 0, length)
        weakref.finalize(spool, file.close)
        return spool

    def open(self) -> Reader:
        if self.spool is None:
            raise ValueError("it was never prepared")
        return self.spool.open()


async def _temporary_file() -> BinaryIO:
    making = asyncio.create_task(asyncio.to_thread(tempfile.TemporaryFile, "w+b"))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        making.add_done_callback(_close_made)
        raise


def _close_made(making: asyncio.Task[BinaryIO]) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError):  # it was not made
        making.result().close()


async def _copy(chunks: AsyncIterator[bytes], file: BinaryIO, most: int | None) -> int:
    length = 0
    async for chunk in chunks:
        length += len(chunk)
        check_length(length, most)
        await asyncio.to_thread(file.write, chunk)
    await asyncio.to_thread(file.flush)
    return length


def _discard(file: BinaryIO) -> None:
    # What is still in the buffer may not fit on the disk, and is not wanted.
    with contextlib.suppress(OSError):
        file.close()


async def pieces_of(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    """What is left of a file that cannot be rewound, such as a pipe."""
    # It may keep its reader waiting for ever: in a thread of its own, so that nobody else waits for that.
    thread = ThreadPoolExecutor(1, thread_name_prefix="lsq_service_async pipe")
    try:
        while (piece := await asyncio.get_running_loop().run_in_executor(thread, _piece_of, file)) != b"":
            yield piece
    finally:
        thread.shutdown(wait=False)


def _piece_of(file: BinaryIO) -> bytes:
    try:
        return file.read(_PIECE)
    except ValueError as error:  # it was closed meanwhile
        raise InvalidRequestError(f"the file cannot be read: {error}") from None


async def checked(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """The chunks of a caller, each of them bytes."""
    try:
        async for chunk in chunks:
            if not isinstance(chunk, bytes | bytearray | memoryview):
                raise InvalidRequestError(f"an attachment is made of bytes, not {type(chunk).__name__}")
            yield bytes(chunk)
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
