"""What the emulator saw: one frozen `Call` per request, in the order of their arrival."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .faults import Fault
from .service.bodies import SeenFile


@dataclass(frozen=True)
class Call:
    """One request and what became of it, so far.

    ``time``: its arrival on the emulator's clock. ``refused``: by the rate window (a scripted 429 is a fault).
    ``status``: what was answered, None while it is open and when it was dropped. ``size``, ``sha256``, ``files``: its
    whole body, None and empty while that was not read to its end. ``applied``: it changed the store.
    """

    method: str
    path: str
    time: float
    fault: Fault
    refused: bool
    status: int | None = None
    size: int | None = None
    sha256: str | None = None
    files: tuple[SeenFile, ...] = ()
    applied: bool = False


class CallLog:
    """Every call, by the place that it got on its arrival."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    @property
    def calls(self) -> tuple[Call, ...]:
        return tuple(self._calls)

    @property
    def refused(self) -> int:
        return sum(call.refused for call in self._calls)

    def arrived(self, call: Call) -> int:
        """Keep the call; its place."""
        self._calls.append(call)
        return len(self._calls) - 1

    def learned(self, place: int, **facts: Any) -> None:
        self._calls[place] = replace(self._calls[place], **facts)
