"""What may go wrong with a call: frozen values, each of which plays one call to its end.

`Serve` is the course of a call that nothing happens to. A fault of your own is a frozen subclass of `Fault` with a
``play`` of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from .service.answers import JSON_TYPE, Answer, limit_exceeded, text_answer


class Exchange(Protocol):
    """What a fault may do with a call."""

    @property
    def limit(self) -> tuple[int, float]:
        """Calls and seconds of the rate limit."""
        ...

    async def read(self, *, at_most: float = math.inf, bytes_per_second: float = math.inf) -> None:
        """Read the body: whole, or until ``at_most`` bytes have come."""
        ...

    def apply(self) -> Answer:
        """Carry the call out, whose body was read whole; the answer that it deserves."""
        ...

    async def send(self, answer: Answer, *, at_most: int | None = None) -> None:
        """Send the answer, or only ``at_most`` bytes of its body under the length of all of it."""
        ...

    async def drop(self, *, reset: bool = True) -> None:
        """Close the connection: with a reset, or after what was sent."""
        ...

    async def pause(self, seconds: float) -> None: ...

    async def hang(self) -> None:
        """Do nothing, until the emulator closes."""
        ...


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Hits the next ``times`` calls of that ``method`` (any) whose path contains ``path`` (any)."""

    times: int = 1
    method: str | None = None
    path: str = ""

    def __post_init__(self) -> None:
        if self.times < 1:
            raise ValueError(f"a fault happens at least once, not {self.times} times")

    def hits(self, method: str, path: str) -> bool:
        """Whether it is meant for this call."""
        return self.method in (None, method) and self.path in path

    async def play(self, exchange: Exchange) -> None:
        """Answer one call, in its own way."""
        await exchange.read()
        await exchange.send(exchange.apply())


@dataclass(frozen=True)
class Serve(Fault):
    """No fault: the call is read, carried out and answered. In a script it lets calls pass by."""


@dataclass(frozen=True)
class Latency(Fault):
    """Carried out, and answered ``seconds`` later."""

    seconds: float

    async def play(self, exchange: Exchange) -> None:
        await exchange.read()
        answer = exchange.apply()
        await exchange.pause(self.seconds)
        await exchange.send(answer)


@dataclass(frozen=True)
class Status(Fault):
    """Answered with a status and any body; by default the words for that status, as plain text.

    ``applied``: the call is carried out all the same.
    """

    status: int
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    applied: bool = False

    async def play(self, exchange: Exchange) -> None:
        await exchange.read()
        if self.applied:
            exchange.apply()
        await exchange.send(text_answer(self.status, self.body, self.headers))


@dataclass(frozen=True)
class RateLimited(Fault):
    """429 with the vendor's text, whatever the window says; ``retry_after``, if any, goes into the header as it is."""

    retry_after: int | str | None = None

    async def play(self, exchange: Exchange) -> None:
        await exchange.read()
        await exchange.send(limit_exceeded(*exchange.limit, self._headers()))

    def _headers(self) -> Mapping[str, str]:
        return {} if self.retry_after is None else {"retry-after": str(self.retry_after)}


@dataclass(frozen=True)
class DropConnection(Fault):
    """Never answered and never applied: the connection is closed before the body was read, or after.

    ``reset=False`` closes it in order, as far as the system does: bytes that nobody read make a reset of it.
    """

    when: Literal["before_body", "after_body"] = "before_body"
    reset: bool = True

    async def play(self, exchange: Exchange) -> None:
        if self.when == "after_body":
            await exchange.read()
        await exchange.drop(reset=self.reset)


@dataclass(frozen=True)
class AnswerLost(Fault):
    """Carried out; then the connection is closed without an answer."""

    reset: bool = True

    async def play(self, exchange: Exchange) -> None:
        await exchange.read()
        exchange.apply()
        await exchange.drop(reset=self.reset)


@dataclass(frozen=True)
class BadJson(Fault):
    """A 200 of type JSON with this text in it; carried out, unless ``applied`` is False."""

    text: str = '{"Status": "Succ'
    applied: bool = True

    async def play(self, exchange: Exchange) -> None:
        await exchange.read()
        if self.applied:
            exchange.apply()
        await exchange.send(Answer(200, self.text.encode(), JSON_TYPE))


@dataclass(frozen=True)
class TruncatedAnswer(Fault):
    """Carried out; of the answer's body only ``keep`` bytes come (by default half of them), then the end."""

    keep: int | None = None

    async def play(self, exchange: Exchange) -> None:
        await exchange.read()
        answer = exchange.apply()
        keep = len(answer.body) // 2 if self.keep is None else self.keep
        await exchange.send(answer, at_most=keep)
        await exchange.drop(reset=False)


@dataclass(frozen=True)
class SlowRead(Fault):
    """The body is read at this speed; then all goes well."""

    bytes_per_second: float

    async def play(self, exchange: Exchange) -> None:
        await exchange.read(bytes_per_second=self.bytes_per_second)
        await exchange.send(exchange.apply())


@dataclass(frozen=True)
class StopReading(Fault):
    """The body is read until ``after_bytes`` have come, and then no more: no answer, no end."""

    after_bytes: int = 0

    async def play(self, exchange: Exchange) -> None:
        await exchange.read(at_most=self.after_bytes)
        await exchange.hang()


@dataclass(frozen=True)
class ResetMidway(Fault):
    """The connection is reset once ``after_bytes`` of the body have come."""

    after_bytes: int

    async def play(self, exchange: Exchange) -> None:
        await exchange.read(at_most=self.after_bytes)
        await exchange.drop()


@dataclass(frozen=True)
class EarlyStatus(Fault):
    """Answered before the body was read, as a gateway does with a body that is too large.

    ``close=True`` closes the connection behind the answer, and the caller may lose the answer to a reset;
    otherwise the body is taken in and thrown away.
    """

    status: int
    body: str | None = None
    close: bool = True

    async def play(self, exchange: Exchange) -> None:
        headers = {"connection": "close"} if self.close else {}
        await exchange.send(text_answer(self.status, self.body, headers))
