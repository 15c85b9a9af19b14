"""Sends requests with httpx2. Its classes have the names and meanings of httpx, but do not inherit from httpx."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import httpx
import httpx2


@attrs.frozen(eq=False)
class Httpx2Client:
    """An httpx2.AsyncClient with the interface of httpx.AsyncClient."""

    client: httpx2.AsyncClient

    @property
    def is_closed(self) -> bool:
        return self.client.is_closed

    async def send(self, request: httpx.Request, *, auth: None, follow_redirects: bool, stream: bool) -> httpx.Response:
        """Send a copy of the request, then remove the keys from the copy. Raises the exceptions of httpx."""
        copy = httpx2.Request(
            request.method,
            str(request.url),
            headers=request.headers.raw,
            stream=_RequestBody(request.stream),
            extensions=request.extensions,
        )
        versions = f"httpx/{httpx.__version__}", f"httpx2/{httpx2.__version__}"
        copy.headers["User-Agent"] = copy.headers["User-Agent"].replace(*versions)
        try:
            with _errors_of_httpx():
                answer = await self.client.send(copy, auth=auth, follow_redirects=follow_redirects, stream=stream)
        except httpx2.HTTPStatusError as error:
            if (error.request.method, error.request.url) != (copy.method, copy.url):
                raise  # a hook of the caller's client made this other request
            answer = error.response
        finally:
            for name in [name for name in copy.headers if name.startswith("x-lsq-")]:
                del copy.headers[name]
        answer.next_request = None  # after a redirect, `next_request` has the keys
        response = httpx.Response(
            answer.status_code, headers=answer.headers.raw, stream=_ResponseBody(answer), extensions=answer.extensions
        )
        if answer.is_stream_consumed or answer.is_closed:  # a test transport or a response hook has read the body
            response._content = getattr(answer, "_content", b"")
            response.is_stream_consumed, response.is_closed = True, answer.is_closed
        return response


@attrs.frozen(eq=False)
class _RequestBody(httpx2.AsyncByteStream):
    body: Any  # an httpx.AsyncByteStream

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self.body)


@attrs.frozen(eq=False)
class _ResponseBody(httpx.AsyncByteStream):
    answer: httpx2.Response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _errors_of_httpx():
            async for chunk in self.answer.stream:  # type: ignore[union-attr]  # AsyncClient has checked its type
                yield chunk

    async def aclose(self) -> None:
        with _errors_of_httpx():
            await self.answer.aclose()


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    """Convert exceptions of httpx2 to the exceptions of httpx with the same name."""
    try:
        yield
    except httpx2.RequestError as error:
        kinds = (getattr(httpx, kind.__name__, None) for kind in type(error).__mro__)
        raise next(filter(None, kinds))(str(error)) from error
