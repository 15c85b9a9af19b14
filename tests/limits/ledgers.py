"""Shared stores for tests in virtual time: real ledgers, asked on the spot, with the loop's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from lsq_service_async.limits import Gate
from lsq_service_async.limits.decision.ask import Ask
from lsq_service_async.limits.host_file import HostFile
from lsq_service_async.limits.shared import Reply, SharedStore


class OnTheSpot:
    """A `HostFile` without its thread, which a virtual loop cannot have."""

    def __init__(self, path: Path) -> None:
        self._file = HostFile(path, clock=lambda: asyncio.get_running_loop().time())
        self.exchanges = 0

    async def open(self, name: str) -> None:
        self._file.open(name)

    async def exchange(self, ask: Ask) -> Reply:
        self.exchanges += 1
        return self._file.exchange(ask)

    async def aclose(self) -> None:
        self._file.close()


def host_limiters(path: Path) -> Callable[[], Gate]:
    """Makes limiters that share one file, each as if it were a process of its own."""
    return lambda: Gate(SharedStore(OnTheSpot(path), waits=False))
