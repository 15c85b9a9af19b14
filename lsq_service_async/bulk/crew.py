"""The workers of one run: they share the input, which one of them pulls at a time, and the breaker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

from .breaker import Breaker
from .outcomes import RowOutcome
from .rows import Row


class Work(Protocol):
    """What the workers do."""

    @property
    def stopping(self) -> bool: ...

    def stop(self) -> None: ...

    def source(self) -> AsyncIterator[Row]: ...

    async def outcome_of(self, row: Row, crew: Crew) -> RowOutcome: ...


class Crew:
    """Pulls rows and does them until there are none, the work is stopping, or one of the workers fails."""

    def __init__(self, work: Work, breaker: Breaker, workers: int) -> None:
        self._work = work
        self._breaker = breaker
        self._source = work.source()
        self._pulling = asyncio.Lock()
        # A queue of one, so that a slow reader slows the workers down.
        self._done: asyncio.Queue[RowOutcome | None] = asyncio.Queue(1)
        self._over = False
        self._busy: set[asyncio.Task[Any] | None] = set()
        self._workers = [asyncio.create_task(self._labour()) for _ in range(workers)]
        self._ended = asyncio.create_task(self._say_when_ended())

    async def outcomes(self) -> AsyncIterator[RowOutcome]:
        """What comes of each row, in order of completion."""
        while (outcome := await self._done.get()) is not None:
            yield outcome
        self._over = True

    def begins_to_send(self) -> None:
        """The current worker's row is about to leave; until its outcome was told, it is not dismissed."""
        self._busy.add(asyncio.current_task())

    def dismiss_idle(self) -> None:
        """Send away those who have nothing on its way: who wait for a row, for the limit, or in a pause."""
        for worker in self._workers:
            if worker not in self._busy:
                worker.cancel()

    async def end(self) -> None:
        """Wait until all have ended, although nobody reads outcomes any more."""
        if not self._over:
            await self._drain()

    def raise_what_stopped_it(self) -> None:
        """The first error that ended a worker, if one did."""
        errors = [error for worker in self._workers if not worker.cancelled() and (error := worker.exception())]
        if errors:
            raise errors[0]

    async def _labour(self) -> None:
        try:
            while (row := await self._next()) is not None:
                outcome = await self._work.outcome_of(row, self)
                self._busy.add(asyncio.current_task())
                self._breaker.note(outcome.error)
                await self._done.put(outcome)
                self._busy.discard(asyncio.current_task())
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._work.stop()
            raise

    async def _next(self) -> Row | None:
        async with self._pulling:
            await self._breaker.passable()
            return None if self._work.stopping else await anext(self._source, None)

    async def _drain(self) -> None:
        async for _ in self.outcomes():
            pass  # pragma: no cover -- what came in the moment in which the reader left

    async def _say_when_ended(self) -> None:
        await asyncio.wait(self._workers)
        await self._done.put(None)
