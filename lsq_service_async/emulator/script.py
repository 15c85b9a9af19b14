"""Which fault hits which call.

They happen in the order of the script: here the first create gets a 500, and the second one a slow answer::

    emulator.faults.add(Status(500, method="POST"), Latency(2.0, method="POST"))
"""

from __future__ import annotations

from dataclasses import replace

from .faults import Fault, Serve


class FaultScript:
    """Faults in the order in which they are to happen; each call takes the first one that hits it."""

    def __init__(self) -> None:
        self._pending: list[Fault] = []

    def __repr__(self) -> str:
        return f"<FaultScript {self._pending}>"

    @property
    def pending(self) -> tuple[Fault, ...]:
        """What has not happened yet, with the times that are left."""
        return tuple(self._pending)

    def add(self, *faults: Fault) -> None:
        """Play these too, after those that are there already."""
        self._pending.extend(faults)

    def clear(self) -> None:
        """Forget what has not been played yet."""
        self._pending.clear()

    def take(self, method: str, path: str) -> Fault:
        """The fault of this call, which then has happened once more; `Serve` when there is none."""
        for index, fault in enumerate(self._pending):
            if fault.hits(method, path):
                self._use(index, fault)
                return fault
        return Serve()

    def _use(self, index: int, fault: Fault) -> None:
        left = [replace(fault, times=fault.times - 1)] if fault.times > 1 else []
        self._pending[index : index + 1] = left
