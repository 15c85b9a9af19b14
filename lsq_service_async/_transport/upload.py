"""Attachments in request bodies. Files are read in threads."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator

from ..attachments import Attachable, Attachment, Reader, as_attachments, check_length, in_thread
from ..config import Config
from ..errors import InvalidRequestError, LSQServiceError, NotSentError

CHUNK_SIZE = 1 << 20  # bytes per read of a file
WRITE_SIZE = 1 << 16  # bytes of JSON per write. Small, because the outcome is unknown if the last write fails


class BodyFailedError(Exception):
    """The body could not be completed, so the service did not receive the whole request."""


async def prepare(given: tuple[Attachable, ...], config: Config, deadline: float | None) -> tuple[Attachment, ...]:
    """Open attachments, and make each readable any number of times. Raises InvalidRequestError or NotSentError."""
    name, total = "", 0

    def check(length: int) -> None:
        check_length(name, length, config.max_file_bytes)
        if config.max_upload_bytes is not None and total + length > config.max_upload_bytes:
            size = f"at least {total + length:,} bytes in total"
            raise InvalidRequestError(
                f"The attachments have {size}, more than max_upload_bytes={config.max_upload_bytes:,}."
            )

    try:
        async with asyncio.timeout_at(deadline) as bound:
            attachments = await in_thread(as_attachments, given)
            for attachment in attachments:
                name = attachment.name
                await attachment.source.prepare(check)
                total += attachment.length or 0
    except LSQServiceError:
        raise
    except Exception as error:  # an iterable of the caller may raise anything
        if bound.expired():
            raise NotSentError("The deadline passed while attachments were prepared. Nothing was sent.") from None
        what = f"Attachment {name!r} could not be copied to a temporary file" if name else "An attachment is unusable"
        raise NotSentError(f"{what}: {error!r}.") from error
    return attachments


def multipart(dto: bytes, attachments: tuple[Attachment, ...], boundary: str) -> list[bytes | Attachment]:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="ticketDTO"\r\n\r\n'
    parts: list[bytes | Attachment] = [head.encode() + dto + b"\r\n"]
    for attachment in attachments:
        # Escaped as in httpx. Attachment rejects control characters.
        name = attachment.name.replace("\\", "\\\\").replace('"', "%22")
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
            f"Content-Type: {attachment.content_type}\r\n\r\n"
        )
        parts += [head.encode(), attachment, b"\r\n"]
    return [*parts, f"--{boundary}--\r\n".encode()]


class FileReader:
    """Reads an attachment once. The next chunk is read while the current chunk is sent."""

    def __init__(self, attachment: Attachment, *, hash_file: bool, timeout: float) -> None:
        self._attachment = attachment
        self._remaining = attachment.length or 0
        self._hash = hashlib.sha256() if hash_file else None
        self._timeout = timeout
        self._file: Reader | None = None
        self._next: asyncio.Future[bytes] | None = None
        # A thread cannot be stopped, and may end after the event loop. So the thread closes the file.
        self._lock = threading.Lock()
        self._is_reading = self._is_closed = False

    @property
    def digest(self) -> str | None:
        return None if self._hash is None else self._hash.hexdigest()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes. Raises BodyFailedError if the file cannot be read, changes its size, or is too slow."""
        self._read_ahead()
        while self._next is not None:
            # asyncio.wait does not cancel the future if this task is cancelled.
            done, _ = await asyncio.wait([self._next], timeout=self._timeout)
            if not done:
                raise BodyFailedError(f"attachment {self._attachment.name!r} returned no bytes for {self._timeout:g} s")
            chunk, self._next = self._next.result(), None
            if self._remaining:
                self._read_ahead()
            if chunk:
                yield chunk

    async def aclose(self) -> None:
        """Close the file. If a thread is still reading it, the thread closes the file later."""
        with self._lock:
            self._is_closed, is_reading = True, self._is_reading
        if self._next is not None:
            self._next.add_done_callback(asyncio.Future.exception)  # so that asyncio does not log an unread error
        if not is_reading and self._file is not None:
            await in_thread(self._file.close)

    def _read_ahead(self) -> None:
        self._is_reading = True
        self._next = in_thread(self._read_in_thread)

    def _read_in_thread(self) -> bytes:
        try:
            return self._read()
        finally:
            with self._lock:
                self._is_reading, is_closed = False, self._is_closed
            if is_closed and self._file is not None:
                self._file.close()

    def _read(self) -> bytes:
        name, remaining = self._attachment.name, self._remaining
        try:
            if self._file is None:
                self._file = self._attachment.source.open()
            # The last read requests one byte more, so that a file that grew is noticed before its end is sent.
            chunk = self._file.read(remaining + 1 if remaining <= CHUNK_SIZE else CHUNK_SIZE)
            if not isinstance(chunk, bytes):
                raise TypeError(f"read() returned {type(chunk).__name__}, not bytes")
        except Exception as error:  # a file of the caller may raise anything, even StopIteration
            raise BodyFailedError(f"attachment {name!r} cannot be read: {error!r}") from error
        if len(chunk) > remaining or (not chunk and remaining):
            raise BodyFailedError(f"attachment {name!r} {'grew' if chunk else 'shrank'} while it was sent")
        self._remaining -= len(chunk)
        if self._hash is not None:
            self._hash.update(chunk)
        return chunk
