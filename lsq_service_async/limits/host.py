"""The limit of one host: all its processes share one allowance through a small file, without a daemon."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from .decision.ask import Ask
from .gate import Gate
from .host_file import HostFile
from .ledger import Reply
from .shared import SharedStore

T = TypeVar("T")


class HostLedger:
    """A `HostFile`, used in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_open = False

    async def open(self, name: str) -> None:
        """ConfigurationError if the file cannot be used."""
        if self._is_open:
            await self.aclose()  # a loop ended that had it open
        self._file = HostFile(self._path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lsq_service_async limit")
        try:
            await self._do(self._file.open, name)
        except asyncio.CancelledError:
            self._thread.submit(self._file.close)  # what a thread has begun, it ends
            self._thread.shutdown(wait=False)
            raise
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self._is_open = True

    async def exchange(self, ask: Ask) -> Reply:
        """One transaction."""
        return await self._do(self._file.exchange, ask)

    async def aclose(self) -> None:
        """Close the file and end the thread."""
        self._is_open = False
        await self._do(self._file.close)
        self._thread.shutdown(wait=False)

    async def _do(self, step: Callable[..., T], *about: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, step, *about)


class HostLimiter(Gate):
    """The limit of all processes of one host that name the same file.

    ``path`` is a file on a local disk (not on a network share); it is made when there is none, readable by its owner
    only, and may be deleted when nobody uses it. If it is deleted or replaced while it is used, the processes go over
    to the file that has the name then; if they have to make it, a whole allowance is taken for used up. A process that
    dies gives its slots back when their leases end, ten seconds later. When the limiter is opened, ConfigurationError
    if the file is not of this kind or cannot be written, if another process uses it at another rate, or on a platform
    that is neither Linux nor macOS.

    Where a server forks its workers, a limiter may be made before the fork, but is to be opened after it, in each
    worker; the process that forks has none open, for a file that is open at a fork loses its locks.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(SharedStore(HostLedger(Path(path)), waits=False))
