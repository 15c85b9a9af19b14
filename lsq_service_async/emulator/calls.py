"""The requests that the emulator received, with their results, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any

from .faults import Fault
from .multipart import ReceivedFile

TEXTS_KEPT = 1000
"""The number of calls whose texts are kept."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request and its result so far.

    ``time``: when it arrived, on the emulator's clock. ``refused``: the rate window refused it; False for a 429 that a
    fault sent. ``status``: of the response; None before it is sent, and if the connection was dropped. ``size``,
    ``sha256`` and ``files`` describe a body that was read to its end; else they are None and empty. ``applied``: the
    call changed the store. ``seconds``: from the arrival to the end of the response. ``text`` and ``answer``: the JSON
    of the request and the body of the response, up to 16 KiB each; None for all but the last 1,000 calls.
    """

    method: str
    path: str
    time: float
    fault: Fault
    refused: bool
    status: int | None = None
    size: int | None = None
    sha256: str | None = None
    files: tuple[ReceivedFile, ...] = ()
    applied: bool = False
    seconds: float | None = None
    text: str | None = field(default=None, repr=False)
    answer: str | None = field(default=None, repr=False)


class CallLog:
    """The last calls by their number. Beyond ``keep`` calls and files together, the oldest calls are dropped."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._next = self._files = 0
        self.kept: OrderedDict[int, Call] = OrderedDict()
        self.total: int = 0
        self.refused: int = 0

    def clear(self) -> None:
        """Forget all calls. Numbers are not used again, because some calls may still be open."""
        self.kept.clear()
        self.total = self.refused = self._files = 0

    def add(self, call: Call) -> int:
        """Add a call and return its number."""
        number, self._next = self._next, self._next + 1
        self.total += 1
        self.refused += call.refused
        self.kept[number] = call
        self.change(number)
        if old := self.kept.get(number - TEXTS_KEPT):
            self.kept[number - TEXTS_KEPT] = replace(old, text=None, answer=None)
        return number

    def change(self, number: int, **changes: Any) -> None:
        """Replace attributes of a call, unless it was dropped."""
        if call := self.kept.get(number):
            self.kept[number] = replace(call, **changes)
            self._files += len(self.kept[number].files) - len(call.files)
            while len(self.kept) + self._files > self._keep:
                self._files -= len(self.kept.popitem(last=False)[1].files)
