"""A pool of workers that pull items and process them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, TypeVar

from ..errors import LSQServiceError

Item = TypeVar("Item")
Result = TypeVar("Result")


class WorkerPool(Generic[Item, Result]):
    """Processes items in ``size`` tasks, until ``pull`` returns None, `stop` is called, or a task fails.

    Only one worker at a time pulls an item. The queue holds only one result, so the workers wait for a slow reader. If
    ``process`` returns None, the item has no result.
    """

    def __init__(
        self, pull: Callable[[], Awaitable[Item | None]], process: Callable[[Item], Awaitable[Result | None]], size: int
    ) -> None:
        self._pull = pull
        self._process = process
        self._pulling = asyncio.Lock()
        self._results: asyncio.Queue[Result | None] = asyncio.Queue(1)
        self._size = size
        self._is_stopping = False
        self._is_finished = True  # until the workers start
        self._protected: set[Any] = set()
        self._error: BaseException | None = None
        self._workers: set[asyncio.Task[None]] = set()
        self._finishing: asyncio.Task[None] | None = None

    async def results(self) -> AsyncIterator[Result]:
        """Start the workers, yield results in order of completion, and raise the first error. Call this only once."""
        self._is_finished = False
        self._workers |= {asyncio.create_task(self._work()) for _ in range(self._size)}
        self._finishing = asyncio.create_task(self._finish())
        while (result := await self._results.get()) is not None:
            yield result
        self._is_finished = True
        if isinstance(self._error, asyncio.CancelledError):
            text = "A task that the run waited for was cancelled, for example a task in the source of rows."
            raise LSQServiceError(f"{text} To continue, start another run with the same journal.") from self._error
        if self._error is not None:
            raise self._error

    def protect(self) -> None:
        """Let the current worker finish its item and deliver the result, even if the pool is stopped."""
        self._protected.add(asyncio.current_task())

    def stop(self) -> None:
        """Start no new item, and cancel every worker that is not protected."""
        self._is_stopping = True
        for worker in self._workers - self._protected:
            worker.cancel()

    async def aclose(self) -> None:
        """Stop the pool, and wait until all workers have ended."""
        self.stop()
        while not self._is_finished:
            self._is_finished = await self._results.get() is None

    async def _work(self) -> None:
        worker = asyncio.current_task()
        try:
            while True:
                async with self._pulling:
                    item = None if self._is_stopping else await self._pull()
                if item is None:
                    return
                result = await self._process(item)
                self._protected.add(worker)
                if result is not None:
                    await self._results.put(result)
                self._protected.discard(worker)
        except BaseException as error:
            if not (self._is_stopping and isinstance(error, asyncio.CancelledError)):
                self._error = self._error or error
                self.stop()
            raise

    async def _finish(self) -> None:
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._results.put(None)
