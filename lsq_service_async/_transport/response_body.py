"""Reads the body of a response: decoded, bounded in size and in values, and without blocking the event loop."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import httpx

from .._wire import MAX_ANSWER, MAX_ERROR, MAX_KEY, MAX_RECEIPT, MAX_VALUES, Idempotency
from .context import CallContext

MAX_HEADERS = 256
_LONGEST_TURN = 0.01  # s; reading a body of tiny chunks may never wait, so it yields to the event loop this often
_PIECE = 64 << 10  # bytes that are decoded at once
_STEP = 8 << 10  # bytes that are read from a connection at once
_UNREADABLE = {"br", "zstd", "deflate", "compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip", "aes128gcm"}


class ResponseRejectedError(Exception):
    """The response is too large, has too many values or headers, or an encoding that the request does not accept."""


def read_in_steps(stream: Any, clock: Callable[[], float]) -> None:
    """Limit how much a network stream of httpcore reads at once, because no other task runs until all of it is parsed.

    The 64 KiB that httpcore requests can hold thousands of interim responses, such as 102. A step includes the records
    of TLS that have arrived, and ``last_read`` of the stream is the time of the last one. So a second response that
    arrived with the first one is recognized when the next request gets it, but not one that arrives later.
    """
    read, tls = stream.read, stream.get_extra_info("ssl_object")

    async def read_a_step(max_bytes: int, timeout: float | None = None) -> bytes:
        data: bytes = await read(min(max_bytes, _STEP), timeout)
        with suppress(ssl.SSLError):  # no more has arrived
            while tls and 0 < len(data) < _STEP and (more := tls.read(_STEP - len(data))):
                data += more
        stream.last_read = clock()
        return data

    stream.read = read_a_step


async def read_body(context: CallContext, response: httpx.Response, until: float) -> bytes:
    """Read and decode a body. Its size and the number of its values are bounded: a few MB of gzip can hold gigabytes.

    An error is known by its status, so its body is cut where it becomes too large or cannot be read.
    """
    is_success = response.is_success
    is_read = context.call.idempotency is Idempotency.SAFE or not context.call.documented
    limit = MAX_ERROR + MAX_KEY if not is_success else MAX_ANSWER if is_read else MAX_RECEIPT
    content, values, turn = bytearray(), 0, context.clock()
    try:
        if len(response.headers.raw) > MAX_HEADERS:
            raise ResponseRejectedError(f"it has more than {MAX_HEADERS} headers")
        async with asyncio.timeout_at(until):  # httpx's own timeout would end all calls of an HTTP/2 connection
            async for piece, raw_size in _pieces(response):
                content += piece
                if max(raw_size, len(content)) > limit:
                    raise ResponseRejectedError(f"it is larger than {limit >> 20} MiB")
                values += sum(map(piece.count, b",[{"))
                if values > MAX_VALUES:
                    raise ResponseRejectedError(f"it has more than {MAX_VALUES:,} values")
                if context.clock() > turn + _LONGEST_TURN:
                    await asyncio.sleep(0)
                    turn = context.clock()
    except Exception:
        if is_success:
            raise
    return bytes(content[:limit])


async def _pieces(response: httpx.Response) -> AsyncIterator[tuple[bytes, int]]:
    """Yield the decoded body in pieces, each with the number of bytes received so far, before decoding."""
    if response.is_stream_consumed or response.is_closed:
        yield getattr(response, "_content", b""), 0  # test transports and response hooks read and decode it
        return
    codings = "".join(response.headers.get("content-encoding", "").split()).lower().split(",")
    raw_size, decoders = 0, []
    for coding in codings:
        if coding in _UNREADABLE:  # unknown codings are ignored
            raise ResponseRejectedError(f"it is encoded as {coding}; only gzip is accepted")
        if coding in ("gzip", "x-gzip"):
            decoders.append(_Gunzip())
    # Not aiter_raw(): it closes the response at the end, where a cancellation could leak the connection.
    async for chunk in response.stream:  # type: ignore[union-attr]  # an AsyncClient has checked that
        raw_size += len(chunk)
        pieces: Iterable[bytes] = [chunk]
        for decoder in decoders:
            pieces = decoder.decode(pieces)
        for piece in itertools.chain(pieces, [b""]):  # a chunk that decodes to nothing counts too
            yield piece, raw_size


class _Gunzip:
    """Decodes gzip: one member after the other (RFC 1952). Zeros between members are skipped, as in Python's gzip.

    A body that does not begin like gzip is left unchanged: some proxies decode it and keep the header.
    """

    def __init__(self) -> None:
        self._member: Any = None
        self._is_gzip: bool | None = None

    def decode(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the decoded bytes in pieces of at most 64 KiB."""
        for data in chunks:
            if self._is_gzip is None and data:
                self._is_gzip = data.startswith(b"\x1f")
            if not self._is_gzip:
                yield data
                continue
            while data := data if self._member else data.lstrip(b"\0"):
                self._member = self._member or zlib.decompressobj(16 + zlib.MAX_WBITS)
                while piece := self._member.decompress(data, _PIECE):
                    data = self._member.unconsumed_tail
                    yield piece
                data = self._member.unused_data
                if self._member.eof:
                    self._member = None
