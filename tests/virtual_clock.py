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
    """Never blocks: what the loop would have slept is added to its clock instead."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("everything waits and no timer is set: under a virtual clock that is for ever")
        self.skipped += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop for tests without sockets or threads. ``time()`` starts at 1000 s, and each reading of it takes 1 ns."""

    def __init__(self) -> None:
        self._clock = _NoWaiting()
        self._ticks = 0
        super().__init__(self._clock)

    def time(self) -> float:
        """Seconds of virtual time."""
        self._ticks += 1
        return _START + self._clock.skipped + self._ticks * _TICK


def run_virtual(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` to its end in a `VirtualLoop` of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


def virtual(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an async test one that runs in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtual(test(*args, **kwargs))

    return run
