"""SIGINT, SIGTERM and SIGHUP: the first signal stops a run gracefully, a later one exits at once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from typing import Any, Self

from ..shell import INTERRUPTED, RESUMABLE

_CODES = {"SIGINT": INTERRUPTED, "SIGTERM": RESUMABLE, "SIGHUP": RESUMABLE}  # Windows has no SIGHUP
_EXIT_CODES = {number: _CODES[number.name] for number in signal.Signals if number.name in _CODES}
_GRACE = 1.0  # s; a terminal that closes, or a key that is held, sends several signals within this time


class StopSignals:
    """Calls `stop` on the first signal. On one that arrives at least a second later, calls `close` and exits."""

    def __init__(self) -> None:
        self.stop: Callable[[], None] = lambda: None
        self.close: Callable[[], None] = lambda: None
        self.exit_code: int | None = None
        """The exit code of a run that was stopped by a signal or by the reader of stdout, or None."""
        self._first = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for number in _EXIT_CODES:
            is_ignored = signal.getsignal(number) is signal.SIG_IGN
            if not is_ignored or number in (signal.SIGINT, signal.SIGTERM):  # nohup ignores SIGHUP
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, before in self._before.items():
            # After a signal the process ends, and another one must not change its exit code.
            signal.signal(number, before if self.exit_code is None else signal.SIG_IGN)

    def _receive(self, number: int, frame: object) -> None:
        if self.exit_code is None:
            self.exit_code, self._first = _EXIT_CODES[signal.Signals(number)], time.monotonic()
            self._loop.call_soon_threadsafe(lambda: self.stop())
        elif time.monotonic() - self._first >= _GRACE:
            self.close()
            os._exit(self.exit_code)
