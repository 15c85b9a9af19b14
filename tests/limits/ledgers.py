"""Shared stores for tests in virtual time: real ledgers, asked on the spot, with the loop's clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from limits.opened import NAME, RATE
from lsq_service_async.config import RateLimit
from lsq_service_async.limits import Gate
from lsq_service_async.limits.decision.ask import Ask
from lsq_service_async.limits.decision.exchange import exchange
from lsq_service_async.limits.decision.state import State
from lsq_service_async.limits.decision.text import state_from_text, state_to_text
from lsq_service_async.limits.host_file import HostFile
from lsq_service_async.limits.ledger import LedgerDownError, Reply
from lsq_service_async.limits.shared import SharedStore


def loop_time() -> float:
    return asyncio.get_running_loop().time()


class OnTheSpot:
    """A ledger without threads or sockets of the loop, neither of which a virtual loop can have.

    ``asks`` are those that it has had. While it is ``down`` it says so; while it ``loses_replies``, too, but decides.
    """

    down = loses_replies = False

    def __init__(self) -> None:
        self.asks: list[Ask] = []

    async def open(self, name: str) -> None:
        self.begin(name)

    async def exchange(self, ask: Ask) -> Reply:
        self.asks.append(ask)
        if self.down:
            raise LedgerDownError("it is down")
        reply = self.decide(ask)
        if self.loses_replies:
            raise LedgerDownError("its reply was lost")
        return reply

    async def aclose(self) -> None:
        self.end()

    def begin(self, name: str) -> None: ...

    def decide(self, ask: Ask) -> Reply: ...

    def end(self) -> None: ...


class FileOnTheSpot(OnTheSpot):
    """A `HostFile` without its thread."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = HostFile(path, clock=loop_time)
        self.begin, self.decide, self.end = self._file.open, self._file.exchange, self._file.close


class Server:
    """A state in memory, with a clock of its own that may be set: ``ahead`` seconds before the loop's."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.ahead = 0.0


class ServerOnTheSpot(OnTheSpot):
    """One of those who ask a `Server`."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def decide(self, ask: Ask) -> Reply:
        state, verdict = exchange(self._server.state, loop_time() + self._server.ahead, ask)
        self._server.state = state
        return Reply(state_from_text(state_to_text(state)), state.seen, verdict)


class FakeRedis:
    """A Redis server with one key, in virtual time: a request takes ``delay`` seconds each way, less ``jitter``."""

    def __init__(self, delay: float = 0.0, jitter: float = 0.0) -> None:
        self.text, self.ahead, self.requests = "", 1e9, 0
        self.is_contended = False  # another process is faster each time
        self._delay, self._jitter, self._random = delay, jitter, Random(1)

    def register_script(self, script: str) -> Callable[..., Any]:
        return self._swap if "SET" in script else self._read

    async def _travel(self) -> None:
        await asyncio.sleep(self._delay - self._random.uniform(0, self._jitter))

    def _time(self) -> tuple[int, int]:
        microseconds = int((loop_time() + self.ahead) * 1e6)
        return microseconds // 10**6, microseconds % 10**6

    async def _read(self, keys: list[str], args: list[Any]) -> Any:
        self.requests += 1
        await self._travel()
        reply = [self.text, self._time()]
        await self._travel()
        return reply

    async def _swap(self, keys: list[str], args: list[Any]) -> Any:
        self.requests += 1
        await self._travel()
        seconds, microseconds = self._time()
        self.text += " " if self.is_contended else ""
        if args[0] == self.text and 0 <= seconds + microseconds / 1e6 - float(args[2]) <= 1:
            self.text, reply = args[1], [1, "", (seconds, microseconds)]
        else:
            reply = [0, self.text, (seconds, microseconds)]
        await self._travel()
        return reply


def asking_redis(server: FakeRedis) -> Any:
    """A ledger that asks it, and remembers what."""
    from lsq_service_async.limits.redis import RedisLedger

    ledger = RedisLedger(server, "fake")  # type: ignore[arg-type] -- it is no real one
    ledger.asks = []
    exchange = ledger.exchange

    async def noted(ask: Ask) -> Reply:
        ledger.asks.append(ask)
        return await exchange(ask)

    ledger.exchange = noted
    return ledger


@asynccontextmanager
async def processes(
    count: int, ledger: Callable[[], OnTheSpot], *, rate: RateLimit = RATE, waits: bool = False
) -> AsyncIterator[list[Gate]]:
    """So many limiters that share what ``ledger`` makes, each as if in a process of its own.

    ``gate.ledger`` is the ledger of each. At the end all are closed, and no task of them may be left.
    """
    before = asyncio.all_tasks()
    async with AsyncExitStack() as stack:
        gates = []
        for _ in range(count):
            made = ledger()
            gate = Gate(SharedStore(made, waits=waits))
            gate.ledger = made
            await gate.open(rate, NAME)
            stack.push_async_callback(gate.aclose)
            gates.append(gate)
        yield gates
    assert [task for task in asyncio.all_tasks() - before if "limit" in task.get_name()] == []
