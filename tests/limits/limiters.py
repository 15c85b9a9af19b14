"""Limiters to test with, alone and several on one state, and short ways to use them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.limits import Limiter, LocalLimiter, Slot
from lsq_service_async.limits._backend import BackendUnavailableError, SharedLimiter
from lsq_service_async.limits._engine.messages import SyncMessage
from lsq_service_async.limits._engine.state import LimitState
from lsq_service_async.limits._engine.sync import SyncReply, state_from_json, state_to_json, sync
from lsq_service_async.limits.host import HostBackend

RATE = RateLimit(25, per=5.0)
NAME = "host/22824"
TOKEN = 0.2


def time() -> float:
    """The time of the loop."""
    return asyncio.get_running_loop().time()


async def ticks(count: int = 10) -> None:
    """Let the loop run for a number of turns."""
    for _ in range(count):
        await asyncio.sleep(0)


async def take(limiter: Limiter, calls: int, lane: Lane = Lane.INTERACTIVE) -> list[Slot]:
    """Acquire a number of slots, one after the other."""
    return [await limiter.acquire(lane) for _ in range(calls)]


async def spend(limiter: Limiter, calls: int = 25) -> None:
    """Make a number of calls that are answered at once."""
    for slot in await take(limiter, calls):
        slot.release()


async def call(
    limiter: Limiter, lane: Lane, name: str, order: list[str], *, seconds: float = 0.0, **about: bool
) -> None:
    """Make a call, and append its name when it is granted."""
    slot = await limiter.acquire(lane, **about)
    order.append(name)
    if seconds:
        await asyncio.sleep(seconds)
    slot.release()


@asynccontextmanager
async def opened(rate: RateLimit = RATE) -> AsyncIterator[LocalLimiter]:
    """Open a local limiter, and close it at the end. Then no task may be left."""
    limiter = LocalLimiter()
    await limiter.open(rate, NAME)
    yield limiter
    await limiter.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Server:
    """A state in memory. Its clock is ``ahead`` of the loop's."""

    def __init__(self) -> None:
        self.text: str | None = None
        self.ahead = 0.0

    @property
    def state(self) -> LimitState:
        assert self.text is not None
        return state_from_json(self.text)

    def sync(self, message: SyncMessage) -> SyncReply:
        reply = sync(self.state if self.text else None, time() + self.ahead, message)
        self.text = state_to_json(reply.state)
        return reply


class FakeBackend:
    """A backend without threads or sockets, which do not work in a virtual loop.

    ``messages``: those that it received. If it is ``down`` it raises, if it ``loses_replies`` it raises after it has
    decided, and a reply takes ``delay`` seconds.
    """

    def __init__(self, decide: Callable[[SyncMessage], SyncReply | Awaitable[SyncReply]]) -> None:
        self.messages: list[SyncMessage] = []
        self.down = self.loses_replies = False
        self.delay = 0.0
        self.decide = decide

    def __str__(self) -> str:
        return "Fake"

    async def open(self, name: str) -> None:
        pass

    async def sync(self, message: SyncMessage) -> SyncReply:
        self.messages.append(message)
        if self.down:
            raise BackendUnavailableError(f"{self}: it is down")
        reply = self.decide(message)
        if isinstance(reply, Awaitable):
            reply = await reply
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.loses_replies:
            raise BackendUnavailableError(f"{self}: its reply was lost")
        return reply

    async def aclose(self) -> None:
        pass


class File(HostBackend):
    """A real file, used in the loop instead of a thread, by the loop's clock."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, clock=time)

    async def _run(self, step: Callable[..., Any], *args: Any) -> Any:
        return step(*args)


class FileBackend(FakeBackend):
    """A file that can be down."""

    def __init__(self, path: Path) -> None:
        self.file = File(path)
        super().__init__(self.file.sync)
        self.open, self.aclose = self.file.open, self.file.aclose


class FakeRedis:
    """A Redis server with one key, in virtual time. A request takes up to ``there`` seconds, a reply up to ``back``.

    If it ``is_contended``, another process is faster each time.
    """

    def __init__(self, there: float = 0.0, back: float = 0.0, jitter: float = 0.0) -> None:
        self.text, self.requests, self.is_contended = "", 0, False
        self._there, self._back, self._jitter, self._random = there, back, jitter, Random(1)

    def backend(self) -> Any:
        from lsq_service_async.limits.redis import RedisBackend

        redis = RedisBackend(self, "fake")
        backend = FakeBackend(redis.sync)
        backend.open, backend.aclose = redis.open, redis.aclose
        return backend

    def register_script(self, script: str) -> Callable[..., Any]:
        return self._swap if "SET" in script else self._read

    async def script_load(self, script: str) -> None:
        pass

    async def _travel(self, seconds: float) -> None:
        await asyncio.sleep(seconds * (1 - self._random.uniform(0, self._jitter)))

    def _time(self) -> tuple[int, int]:
        return divmod(int((time() + 1e9) * 1e6), 10**6)

    async def _read(self, keys: list[str], args: tuple[Any, ...]) -> Any:
        self.requests += 1
        await self._travel(self._there)
        reply = [self.text, self._time()]
        await self._travel(self._back)
        return reply

    async def _swap(self, keys: list[str], args: tuple[Any, ...]) -> Any:
        self.requests += 1
        await self._travel(self._there)
        seconds, microseconds = self._time()
        self.text += " " if self.is_contended else ""
        if args[0] == self.text and 0 <= seconds + microseconds / 1e6 - float(args[2]) <= 1:
            self.text, reply = args[1], [1, "", (seconds, microseconds)]
        else:
            reply = [0, self.text, (seconds, microseconds)]
        await self._travel(self._back)
        return reply


class Process(SharedLimiter):
    """A limiter that acts as if it were in a separate process."""

    def __init__(self, backend: Any, *, waits: bool) -> None:
        super().__init__(backend, waits=waits)
        self.backend = backend


@asynccontextmanager
async def processes(
    count: int, backend: Callable[[], Any] | None = None, *, rate: RateLimit = RATE, waits: bool = False
) -> AsyncIterator[list[Process]]:
    """Open limiters that share a state in memory or use ``backend``. At the end, none of their tasks may be left."""
    before, server = asyncio.all_tasks(), Server()
    async with AsyncExitStack() as stack:
        limiters = []
        for _ in range(count):
            limiter = Process(backend() if backend else FakeBackend(server.sync), waits=waits)
            await limiter.open(rate, NAME)
            stack.push_async_callback(limiter.aclose)
            limiters.append(limiter)
        yield limiters
    assert [task for task in asyncio.all_tasks() - before if "limit" in task.get_name()] == []


@asynccontextmanager
async def in_one_process() -> AsyncIterator[tuple[Limiter, Limiter]]:
    """The same local limiter twice."""
    async with opened() as limiter:
        yield limiter, limiter


@asynccontextmanager
async def in_two_processes() -> AsyncIterator[tuple[Limiter, Limiter]]:
    """Two limiters that share a state in memory."""
    async with processes(2) as (one, other):
        yield one, other


both_kinds = pytest.mark.parametrize("pair", [in_one_process, in_two_processes])
