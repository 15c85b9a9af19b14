"""How fast a run sends: a rate for people to look at."""

from __future__ import annotations

import asyncio


class Speed:
    """Counts the rows that are really sent, from the first of them on: what was skipped before says nothing of the
    pace, nor does the wait at the start of a resumed run."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._until = 0.0
        self._sending: set[str] = set()
        self.sent: int = 0

    def begins(self, key: str) -> None:
        """A row is about to leave, perhaps once more."""
        if self._since is None:
            self._since = asyncio.get_running_loop().time()
        self._sending.add(key)

    def ends(self, key: str) -> None:
        """It has ended, somehow; it counts if it had left."""
        if key in self._sending:
            self._sending.discard(key)
            self.sent += 1
            self._until = asyncio.get_running_loop().time()

    def per_second(self) -> float:
        """0.0 until something was sent; what a run came to, from its end on."""
        return 0.0 if self._since is None else self.sent / max(self._until - self._since, 0.001)
