"""SIGINT and SIGTERM: the first signal stops a run gracefully, the second one exits at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Self

from ..exit_codes import INTERRUPTED, RESUMABLE

_EXIT_CODES = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: RESUMABLE}


class StopSignals:
    """Calls `stop` on the first signal; on the second, calls `close` and exits."""

    def __init__(self) -> None:
        self.stop: Callable[[], None] = lambda: None
        self.close: Callable[[], None] = lambda: None
        self.exit_code: int | None = None
        """The exit code of the signal that was received, or None."""

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in _EXIT_CODES:
            loop.add_signal_handler(number, self._receive, number)
        return self

    def __exit__(self, *exc_info: object) -> None:
        loop = asyncio.get_running_loop()
        for number in _EXIT_CODES:
            loop.remove_signal_handler(number)
            if self.exit_code is not None:
                # The run has ended; another signal must not change the exit code.
                signal.signal(number, signal.SIG_IGN)

    def _receive(self, number: signal.Signals) -> None:
        if self.exit_code is None:
            self.exit_code = _EXIT_CODES[number]
            self.stop()
        else:
            self.close()
            os._exit(_EXIT_CODES[number])
