"""One request and its whole answer, over httpx; the one place where a key is put on a request."""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

import attrs
import httpx

from .._wire import Api, Call
from ..config import Config
from .run import now
from .upload import Body

MAX_ANSWER = 8 << 20
MAX_HEADERS = 256
_KEY_HEADERS = {
    Api.TENANT: ("X-LSQ-ACCESS-KEY", "X-LSQ-SECRET-KEY"),
    Api.METADATA: ("X-LSQ-ACCESS-KEY", "X-LSQ-SECRET-KEY"),
    Api.LEADS: ("x-LSQ-AccessKey", "x-LSQ-SecretKey"),
}


class UntrustworthyAnswerError(Exception):
    """An answer that is too large, too slow or not in the encoding that was asked for."""


@attrs.frozen
class Answer:
    """A whole answer: header names in lower case, the body decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """Sends one request at a time as often as it is called; holds nothing of a call.

    ``cancellable`` are the tasks that may be cancelled: those that wait for an answer, and not those that close one,
    as httpx can then lose its connection for ever.
    """

    def __init__(self, config: Config, http: httpx.AsyncClient, user_agent: str) -> None:
        self._config = config
        self._urls = {
            Api.TENANT: f"{config.base_url}{config.tenant_path}",
            Api.METADATA: f"{config.metadata_url}{config.tenant_path}",
            Api.LEADS: config.leads_url,
        }
        self._http = http
        self._user_agent = user_agent
        self.cancellable: set[asyncio.Task[Any] | None] = set()

    async def __call__(self, call: Call[Any], body: Body, timeout: float) -> Answer:
        """The answer to one attempt. Raises whatever httpx, h11, the file system or TLS make of a failure."""
        request = self._request(call, body, timeout)
        try:
            with self._authorized(request, *_KEY_HEADERS[call.api]), self._wait():
                response, until = await self._head_of(request, body, timeout)
        finally:
            await body.aclose()
        try:
            # httpx reads it as the body begins: what is left of the whole time bounds each further silence.
            request.extensions["timeout"]["read"] = max(until - now(), 0.001)
            with self._wait():
                return await _read(response, until)
        finally:
            await response.aclose()

    @contextmanager
    def _wait(self) -> Iterator[None]:
        task = asyncio.current_task()
        self.cancellable.add(task)
        try:
            yield
        finally:
            self.cancellable.remove(task)

    async def _head_of(self, request: httpx.Request, body: Body, timeout: float) -> tuple[httpx.Response, float]:
        """The head of the answer, and when the rest must have come. The timer ends with the head."""
        until = math.inf

        def start_the_clock() -> None:
            nonlocal until
            until = now() + timeout
            silence.reschedule(until)

        async with asyncio.timeout(None) as silence:
            body.on_handed_over = start_the_clock
            try:
                response = await self._http.send(request, auth=None, follow_redirects=False, stream=True)
            except httpx.HTTPStatusError as error:
                # A hook of the caller's client raises for statuses; they are read here.
                response = error.response
            except httpx.RemoteProtocolError as error:
                if "buffer too long" in str(error):  # h11's word for more than 100 KB of headers
                    raise UntrustworthyAnswerError("the headers of the answer are too long") from error
                raise
        response.next_request = None  # it would carry the keys to wherever a redirect points
        return response, until

    def _request(self, call: Call[Any], body: Body, timeout: float) -> httpx.Request:
        """Built without the client, whose own headers, cookies and parameters must not come along."""
        url = httpx.URL(self._urls[call.api] + call.path, params=call.params or None)
        headers = {
            "Host": url.netloc.decode("ascii"),
            "User-Agent": self._user_agent,
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
        }
        if call.method != "GET" or body.length:
            headers["Content-Length"] = str(body.length)
        if body.content_type is not None:
            headers["Content-Type"] = body.content_type
        extensions = {"timeout": httpx.Timeout(timeout).as_dict()}
        return httpx.Request(call.method, url, headers=headers, stream=body, extensions=extensions)

    @contextmanager
    def _authorized(self, request: httpx.Request, access: str, secret: str) -> Iterator[None]:
        request.headers[access] = self._config.access_key.reveal()
        request.headers[secret] = self._config.secret_key.reveal()
        try:
            yield
        finally:
            del request.headers[access], request.headers[secret]


async def _read(response: httpx.Response, until: float) -> Answer:
    if len(response.headers.raw) > MAX_HEADERS:
        raise UntrustworthyAnswerError(f"the answer has more than {MAX_HEADERS} headers")
    # Transports for tests, and clients with response hooks, hand out answers that are read already.
    if response.is_stream_consumed or response.is_closed:
        body = getattr(response, "_content", b"")
    else:
        body = b"".join([chunk async for chunk in _decoded(response, until)])
    headers = {name.lower(): value for name, value in response.headers.items()}
    # RFC 9110, 6.6.1: an answer without a date gets the time of its arrival.
    headers.setdefault("date", formatdate(usegmt=True))
    return Answer(response.status_code, headers, body)


async def _decoded(response: httpx.Response, until: float) -> AsyncIterator[bytes]:
    """Bounds both the raw and the decoded bytes: a few KB of gzip can hold gigabytes."""
    inflate = _inflater(response.headers.get("content-encoding", "identity").strip().lower())
    room = raw_room = MAX_ANSWER
    # Not aiter_raw(), which closes the response as it ends: that could be cancelled here.
    async for raw in response.stream:  # type: ignore[union-attr]  # an AsyncClient has checked that
        chunk = inflate(raw, room + 1)
        room -= len(chunk)
        raw_room -= len(raw)
        if now() > until:
            raise TimeoutError("the answer took too long")
        if room < 0 or raw_room < 0:
            raise UntrustworthyAnswerError(f"the answer is larger than {MAX_ANSWER >> 20} MiB")
        yield chunk


def _inflater(encoding: str) -> Any:
    if encoding in ("identity", ""):
        return lambda raw, _: raw
    if encoding in ("gzip", "x-gzip"):
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress
    raise UntrustworthyAnswerError(f"the answer is encoded as {encoding[:40]!r}, which was not asked for")
