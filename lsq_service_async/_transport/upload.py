"""The body of one attempt, made anew for each, with an exact length and never chunked."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx

from .._wire import Call
from ..attachments import Attachment
from ..config import Config
from ..errors import InvalidRequestError, LSQServiceError, NotSentError
from .reading import BodyFailedError, Reading

_log = logging.getLogger("lsq_service_async")
WRITE_SIZE = 1 << 16  # of bytes in memory; the smaller the last write, the less a broken one leaves in doubt
_ESCAPED = re.compile(r'["\\]')


def _file_head(attachment: Attachment, boundary: str) -> bytes:
    # The escapes are those of the HTML standard, as browsers and httpx write them; controls never come so far.
    name = _ESCAPED.sub(lambda found: "%22" if found[0] == '"' else "\\\\", attachment.name)
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        f"Content-Type: {attachment.content_type}\r\n\r\n"
    ).encode()


def _form(dto: bytes, attachments: tuple[Attachment, ...], boundary: str) -> Iterator[bytes | Attachment]:
    yield f'--{boundary}\r\nContent-Disposition: form-data; name="ticketDTO"\r\n\r\n'.encode() + dto + b"\r\n"
    for attachment in attachments:
        yield _file_head(attachment, boundary)
        yield attachment
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _size(part: bytes | Attachment) -> int:
    return len(part) if isinstance(part, bytes) else part.length or 0


async def prepare(attachments: tuple[Attachment, ...], config: Config) -> None:
    """Make all of them ready to be sent again and again.

    InvalidRequestError where they are larger than allowed, NotSentError where a copy cannot be written or read.
    """
    for attachment in attachments:
        try:
            await attachment.source.prepare(config.max_file_bytes)
        except LSQServiceError:
            raise
        except Exception as error:  # whatever a caller's iterable raises
            message = f"the attachment {attachment.name!r} could not be copied to a temporary file: {error!r}"
            raise NotSentError(message) from error
    total = sum(map(_size, attachments))
    if config.max_upload_bytes is not None and total > config.max_upload_bytes:
        allowed = f"the {config.max_upload_bytes:,} that max_upload_bytes allows"
        raise InvalidRequestError(f"the attachments have {total:,} bytes together, more than {allowed}")


class Progress:
    """Tells a caller how far an upload came; never runs backwards, also when a retry begins anew."""

    def __init__(self, callback: Callable[[int, int], None] | None) -> None:
        self._callback = callback
        self._furthest = 0

    def at(self, sent: int, total: int) -> None:
        """``sent`` of ``total`` bytes were handed over. What the callback raises is logged, and ends its calls."""
        if self._callback is None or sent <= self._furthest:
            return
        self._furthest = sent
        try:
            self._callback(sent, total)
        except (Exception, asyncio.CancelledError) as error:
            self._callback = None
            _log.error("a progress callback raised %r; it is not called again for this call", error)


class Body(httpx.AsyncByteStream):
    """One attempt's body: parts in order, with what the pipeline must know of how far it came.

    ``handed_over`` turns true just before the last bytes go to the connection: until then the service cannot have
    the whole request, because Content-Length promised more.
    """

    def __init__(
        self, call: Call[Any], boundary: str, progress: Progress, *, digests: bool = True, patience: float = 30.0
    ) -> None:
        self.content_type: str | None = None
        self._parts: list[bytes | Attachment] = []
        if call.dto is not None:
            self.content_type = f"multipart/form-data; boundary={boundary}"
            self._parts = list(_form(call.dto, call.attachments, boundary))
        elif call.json is not None:
            self.content_type = "application/json"
            self._parts = [call.json]
        self.length = sum(map(_size, self._parts))
        self.started = False
        # Without a body, the head alone is the whole request, and nobody sees it leave.
        self.handed_over = not self.length
        self.digests: list[str] = []
        self._hashing = digests
        self._patience = patience
        self.on_handed_over: Callable[[], None] = lambda: None
        self._progress = progress
        self._sent = 0
        self._ended = False
        self._reading: Reading | None = None

    def fail(self) -> None:
        """End the upload at its next read, and the connection with it; nothing then counts as sent."""
        self._ended = True

    async def aclose(self) -> None:
        """Close what is open of the attachments."""
        reading, self._reading = self._reading, None
        if reading is not None:
            await reading.aclose()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.started = True
        if self.handed_over:
            self._hand_over()
        async for chunk in self._chunks():
            if self._ended:
                raise BodyFailedError("its caller left before that")
            self._sent += len(chunk)
            if self._sent == self.length:
                self._hand_over()
            yield chunk
            self._progress.at(self._sent, self.length)

    def _hand_over(self) -> None:
        self.handed_over = True
        self.on_handed_over()

    async def _chunks(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            if isinstance(part, bytes):
                for start in range(0, len(part), WRITE_SIZE):
                    yield part[start : start + WRITE_SIZE]
            else:
                async for chunk in self._file(part):
                    yield chunk

    async def _file(self, attachment: Attachment) -> AsyncIterator[bytes]:
        self._reading = reading = Reading(attachment, hashing=self._hashing, patience=self._patience)
        async for piece in reading.pieces():
            yield piece
        await self.aclose()
        if reading.digest is not None:
            self.digests.append(reading.digest)
