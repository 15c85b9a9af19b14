"""One pass over an attachment, in worker threads and one piece ahead of the network."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator

from ..attachments import Attachment, Reader
from ..errors import LSQServiceError

PIECE = 1 << 20  # large enough that a hop to a thread costs little, small enough for many uploads at once


class BodyFailedError(LSQServiceError):
    """The body could not be completed, so the service never had the whole request."""


class Reading:
    """Reads the next piece while the last one is written: a disk and a network that take turns waste both."""

    def __init__(self, attachment: Attachment, *, hashing: bool, patience: float) -> None:
        self._attachment = attachment
        self._left = attachment.length or 0
        self._hash = hashlib.sha256() if hashing else None
        self._patience = patience
        self._reader: Reader | None = None
        self._ahead: asyncio.Future[bytes] | None = None
        # Whoever is the last to use the file closes it: a thread cannot be stopped, and its loop may end before it.
        self._users = threading.Lock()
        self._in_thread = self._given_up = False

    @property
    def digest(self) -> str | None:
        """SHA-256 of what was read so far, in hexadecimal; None where nobody wants it."""
        return None if self._hash is None else self._hash.hexdigest()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The bytes in order; BodyFailedError where they are not as many as the attachment said, or do not come."""
        self._read_ahead()
        while self._ahead is not None:
            piece = await self._read_before(self._ahead)
            self._ahead = None
            if self._left:
                self._read_ahead()
            if piece:
                yield piece

    async def _read_before(self, ahead: asyncio.Future[bytes]) -> bytes:
        # Waited for, not awaited: a thread cannot be stopped, so its future is never cancelled.
        done, _ = await asyncio.wait([ahead], timeout=self._patience)
        if not done:
            raise BodyFailedError(f"the attachment {self._attachment.name!r} gave no byte for {self._patience:g} s")
        return ahead.result()

    async def aclose(self) -> None:
        """Close the file; where a thread is still reading it, as soon as that has ended, and without waiting."""
        with self._users:
            self._given_up, in_thread = True, self._in_thread
        if self._ahead is not None:
            self._ahead.add_done_callback(asyncio.Future.exception)  # nobody else asks for it
        if not in_thread:
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _read_ahead(self) -> None:
        self._in_thread = True
        self._ahead = asyncio.get_running_loop().run_in_executor(None, self._read_in_thread)

    def _read_in_thread(self) -> bytes:
        try:
            return self._read()
        finally:
            with self._users:
                self._in_thread, given_up = False, self._given_up
            if given_up:
                self._close()

    def _read(self) -> bytes:
        try:
            if self._reader is None:
                self._reader = self._attachment.source.open()
            # The last read asks for one byte more, so that a file that grew is found before its end is sent.
            piece = self._reader.read(self._left + 1 if self._left <= PIECE else PIECE)
            if not isinstance(piece, bytes):
                raise TypeError(f"it reads {type(piece).__name__}, not bytes")
        except Exception as error:
            # Whatever a caller's file raises; a StopIteration would be lost on its way out of a thread.
            raise BodyFailedError(f"the attachment {self._attachment.name!r} cannot be read: {error!r}") from error
        if len(piece) > self._left or (not piece and self._left):
            how = "grew" if piece else "shrank"
            raise BodyFailedError(f"the attachment {self._attachment.name!r} {how} while it was sent")
        self._left -= len(piece)
        if self._hash is not None:
            self._hash.update(piece)
        return piece
