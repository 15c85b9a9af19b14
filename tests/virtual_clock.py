"""An event loop whose clock jumps: hours of waiting pass in milliseconds, and always in the same order."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

_START = 1000.0
_TICK = 1e-9  # a clock that stood still would make aiolimiter spin


class _NoWaiting(selectors.DefaultSelector):
    """Never blocks: the time that the loop would have slept is added to its clock instead."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("everything waits and no timer is set, so the loop would wait permanently")
        self.skipped += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop for tests without sockets or threads. ``time()`` starts at 1000 s, and each reading of it takes 1 ns.

    Calls for a thread run in the loop, ``thread_seconds`` later: the timers of this clock would overtake a thread.
    """

    def __init__(self, thread_seconds: float = 0.0) -> None:
        self._clock = _NoWaiting()
        self._ticks = 0
        self._thread_seconds = thread_seconds
        super().__init__(self._clock)

    def time(self) -> float:
        """Seconds of virtual time."""
        self._ticks += 1
        return _START + self._clock.skipped + self._ticks * _TICK

    def run_in_executor(self, executor: Any, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override] -- a plain future
        """Call ``function`` in the loop."""
        future: asyncio.Future[T] = self.create_future()

        def call() -> None:
            try:
                future.set_result(function(*args))
            except Exception as error:
                future.set_exception(error)

        if self._thread_seconds:
            self.call_later(self._thread_seconds, call)
        else:
            call()
        return future


def run_virtual(coroutine: Coroutine[Any, Any, T], *, thread_seconds: float = 0.0) -> T:
    """Run ``coroutine`` to its end in a new `VirtualLoop`."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(thread_seconds)) as runner:
        return runner.run(coroutine)


def virtual(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an async test one that runs in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtual(test(*args, **kwargs))

    return run
