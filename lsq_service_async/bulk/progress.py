"""How far a run is, and what is left of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sized

from .journal_file import State
from .outcomes import Plan, RowOutcome, Summary
from .rows import Source


class Progress:
    """Counts rows. ``kept`` are the states in the journal of those that the run does not send; ``sending`` has the keys
    of those whose intent is on disk, and whose result is not."""

    def __init__(self, rows: Source, kept: set[State]) -> None:
        self._rows = rows
        self._kept = kept
        self._to_keep = 0
        self._counts: Counter[str] = Counter()
        self.sending: set[str] = set()
        self._sent = 0
        self._since: float | None = None
        self._until = 0.0

    def plan(self, states: Mapping[State, int], seconds_per_call: float) -> Plan:
        """What a run would cost that begins now."""
        done = states.get(State.DONE, 0)
        if not isinstance(self._rows, Sized):
            return Plan(None, None, done)
        calls = max(0, len(self._rows) - self._kept_of(states))
        return Plan(calls, calls * seconds_per_call, done)

    def begins(self, states: Mapping[State, int]) -> None:
        """The run begins with so many rows in each state."""
        self._to_keep = self._kept_of(states)

    def _kept_of(self, states: Mapping[State, int]) -> int:
        return sum(count for state, count in states.items() if state in self._kept)

    def leaves(self, key: str) -> None:
        """A row is about to be sent, perhaps once more."""
        if self._since is None:
            self._since = asyncio.get_running_loop().time()
        self.sending.add(key)

    def ended(self, key: str) -> None:
        """It has ended, somehow; it counts if it had left."""
        if key in self.sending:
            self.sending.discard(key)
            self._sent += 1
            self._until = asyncio.get_running_loop().time()

    def told(self, outcome: RowOutcome) -> None:
        """The user has it."""
        self._counts[outcome.state] += 1

    def summary(self) -> Summary:
        """How many rows ended how."""
        return Summary(**self._counts)

    def left(self) -> int | None:
        """How many rows are still to be sent; None where nobody knows how long the input is."""
        if not isinstance(self._rows, Sized):
            return None
        told = self.summary().total
        return max(0, len(self._rows) - told - max(0, self._to_keep - (told - self._sent)))

    def per_second(self) -> float:
        """Rows that were sent; 0.0 until there is one, and what the run came to from its end on."""
        return 0.0 if self._since is None else self._sent / max(self._until - self._since, 0.001)
