"""Reads and decodes the body of a response without blocking the event loop."""

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
_LONGEST_TURN = 0.01  # seconds; then other tasks get a turn
_PIECE = 64 << 10  # bytes that are decoded at once
_STEP = 8 << 10  # bytes that are read from a connection at once
_UNREADABLE = {"br", "zstd", "deflate", "compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip", "aes128gcm"}


class ResponseRejectedError(Exception):
    """The response is too large, has too many values or headers, or has an unsupported encoding."""


def read_in_steps(stream: Any, clock: Callable[[], float]) -> None:
    """Limit each read of a network stream of httpcore to 8 KiB, because parsing the bytes blocks all other tasks.

    httpcore would read up to 64 KiB, which can hold thousands of interim responses. A read returns all TLS records that
    have arrived, up to 8 KiB. ``last_read`` is the time of the last read: `attempt` rejects a response that was read
    before its request was sent.
    """
    read, tls = stream.read, stream.get_extra_info("ssl_object")

    async def read_a_step(max_bytes: int, timeout: float | None = None) -> bytes:
        data: bytes = await read(min(max_bytes, _STEP), timeout)
        with suppress(ssl.SSLError):  # no other TLS record has arrived
            while tls and 0 < len(data) < _STEP and (more := tls.read(_STEP - len(data))):
                data += more
        stream.last_read = clock()
        return data

    stream.read = read_a_step


async def read_body(context: CallContext, response: httpx.Response, until: float) -> bytes:
    """Read and decode a body. Its size and the number of its values are limited: a few MB of gzip can hold gigabytes.

    If the body of an error response is too large or unreadable, the first part is returned, because the status is
    enough.
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
    """Yield the decoded body in pieces, each with the number of undecoded bytes received so far."""
    if response.is_stream_consumed or response.is_closed:
        yield getattr(response, "_content", b""), 0  # a test transport or a response hook has decoded it
        return
    codings = "".join(response.headers.get("content-encoding", "").split()).lower().split(",")
    raw_size, decoders = 0, []
    for coding in codings:
        if coding in _UNREADABLE:  # unknown codings are ignored
            raise ResponseRejectedError(f"it is encoded as {coding}; only gzip is accepted")
        if coding in ("gzip", "x-gzip"):
            decoders.append(_Gunzip())
    # aiter_raw() would close the response, and a cancellation at that moment could leak the connection.
    async for chunk in response.stream:  # type: ignore[union-attr]  # AsyncClient has checked its type
        raw_size += len(chunk)
        pieces: Iterable[bytes] = [chunk]
        for decoder in decoders:
            pieces = decoder.decode(pieces)
        for piece in itertools.chain(pieces, [b""]):  # yields the size even if a chunk decodes to nothing
            yield piece, raw_size


class _Gunzip:
    """Decodes gzip with any number of members (RFC 1952), and skips zeros between members.

    A body that does not begin like gzip is left unchanged: some proxies decode a body but keep its Content-Encoding.
    """

    def __init__(self) -> None:
        self._member: Any = None
        self._is_gzip: bool | None = None

    def decode(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
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
