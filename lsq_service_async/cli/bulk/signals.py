"""How a signal ends a run: the first by asking, the second at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ..endings import INTERRUPTED, RESUMABLE

_ENDINGS = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: RESUMABLE}


class Signals:
    """Hears Ctrl-C and SIGTERM. ``ask`` is called at the first, ``leave`` before the second ends the process."""

    def __init__(self) -> None:
        self.ask: Callable[[], None] = lambda: None
        self.leave: Callable[[], None] = lambda: None
        self.code: int | None = None
        """What a process that was asked to stop ends with; None while it was not."""

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in _ENDINGS:
            loop.add_signal_handler(number, self._hear, number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in _ENDINGS:
            loop.remove_signal_handler(number)
            if self.code is not None:
                # All is done, and the process about to say so: another signal must not make its exit code a lie.
                signal.signal(number, signal.SIG_IGN)

    def _hear(self, number: signal.Signals) -> None:
        if self.code is None:
            self.code = _ENDINGS[number]
            self.ask()
        else:
            self.leave()
            os._exit(_ENDINGS[number])
