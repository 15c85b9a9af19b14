"""How fast a run sends: a rate for people to look at."""

from __future__ import annotations

import asyncio


class Speed:
    """Counts the rows that are really sent, from the first of them on: what was skipped before says nothing of the
    pace, nor does the wait at the start of a resumed run."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._sending: set[str] = set()
        self._sent = 0

    def begins(self, key: str) -> None:
        """A row is about to leave, perhaps once more."""
        self._since = self._since or asyncio.get_running_loop().time()
        self._sending.add(key)

    def ends(self, key: str) -> None:
        """It has ended, somehow; it counts if it had left."""
        self._sent += key in self._sending
        self._sending.discard(key)

    def per_second(self) -> float:
        """0.0 until something was sent."""
        if self._since is None:
            return 0.0
        return self._sent / max(asyncio.get_running_loop().time() - self._since, 0.001)
