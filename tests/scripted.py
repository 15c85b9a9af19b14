"""A transport that plays a list of responses and failures."""

import asyncio
import itertools
from collections.abc import Mapping
from typing import NamedTuple

import httpx

LIMIT_TEXT = "API calls exceeded the limit of 25 in 5 second(s)"
CREATED = {"Status": "Success", "ReasonForFailure": None, "Id": "34", "Message": None, "TicketId": "g", "Key": "#034"}


class Seen(NamedTuple):
    """One request as the service received it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    time: float
    timeout: Mapping[str, float]


class BeforeBody(NamedTuple):
    """Fail with this error before the body is read."""

    error: BaseException


class DuringBody(NamedTuple):
    """Read the first chunk of the body, then fail with this error."""

    error: BaseException


class AfterBody(NamedTuple):
    """Read the whole body, then fail with this error."""

    error: BaseException


class Slow(NamedTuple):
    """Read the body, wait, then respond."""

    seconds: float
    answer: httpx.Response


def created(number: int = 34) -> httpx.Response:
    return httpx.Response(200, json=CREATED | {"Id": str(number)})


class Script(httpx.AsyncBaseTransport):
    """Plays its steps in order. The last step is repeated; each ticket that it creates has the next number from 34."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self._numbers = itertools.count(34)
        self.seen: list[Seen] = []

    @property
    def times(self) -> list[float]:
        return [seen.time for seen in self.seen]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        step = self.steps[0] if len(self.steps) == 1 else self.steps.pop(0)
        time = asyncio.get_running_loop().time()
        if isinstance(step, BeforeBody):
            body = b""
        elif isinstance(step, DuringBody):
            body = await anext(aiter(request.stream))
        else:
            body = b"".join([chunk async for chunk in request.stream])
        timeout = request.extensions["timeout"]
        self.seen.append(Seen(request.method, str(request.url), httpx.Headers(request.headers), body, time, timeout))
        return await self._play(step)

    async def _play(self, step) -> httpx.Response:
        match step:
            case BeforeBody(error) | DuringBody(error) | AfterBody(error):
                raise error
            case Slow(seconds, answer):
                await asyncio.sleep(seconds)
                return self._again(answer)
            case httpx.Response():
                return self._again(step)
            case status:
                return httpx.Response(status)

    def _again(self, answer: httpx.Response) -> httpx.Response:
        """Copy a response, because a response can be read once and a step is played often."""
        content = answer.content
        if content == created().content:
            content = content.replace(b'"34"', b'"%d"' % next(self._numbers))
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)
