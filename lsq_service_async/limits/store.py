"""The seam between the gate and what it asks: stores differ only in where the state is kept that decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..config import Lane, RateLimit
from .decision.ask import Verdict, Want


class Usage(NamedTuple):
    """How much of the allowance is in use: ``used`` slots of those that ``rate`` gives us now."""

    rate: RateLimit
    used: int


class Store(Protocol):
    """Keeps what all who share one allowance must see alike.

    Only `open`, `aclose` and `take` may wait for something; the rest comes from memory, if need be as last known.
    """

    async def open(self, rate: RateLimit, name: str) -> None:
        """Be ready for ``name`` (host and org) at ``rate``, in the running loop."""
        ...

    async def aclose(self) -> None:
        """Let go of everything but the record of past calls."""
        ...

    def take_at_once(self, want: Want) -> int | None:
        """A slot, if that can be known without waiting."""
        ...

    async def take(self, wants: Sequence[Want], waiting: tuple[int, int]) -> tuple[int, Verdict]:
        """One slot, and for which of ``wants`` it is. Cancelled midway, it has taken none.

        ``wants`` are at most two of each line; ``waiting`` is how many there are in all, interactive and bulk. The
        verdict's ``wait`` is ``inf`` if only the end of a call can make a difference.
        """
        ...

    def holds(self, slot: int) -> bool:
        """The slot is still ours: this process was not stopped for so long that it was taken for dead."""
        ...

    def give_back(self, slot: int, *, used: bool) -> bool:
        """End a grant: ``per`` seconds from now if it was used, at once if nothing can have reached the service.

        True if that may let somebody go who waits here.
        """
        ...

    def pause(self, seconds: float) -> None:
        """Nobody is granted before ``seconds`` are over; a longer pause in force stays."""
        ...

    def refused(self, named: tuple[int, float] | None) -> RateLimit | None:
        """The service refused a call, and named a limit or not; the rate from now on, if it is lower than before."""
        ...

    def forecast(self, lane: Lane, place: int, other: int) -> float:
        """The loop time at which a call of ``lane`` will go that has ``place`` others of its lane before it.

        ``other`` is how many wait in the other lane; both are of this process.
        """
        ...

    def uploads_room(self) -> int:
        """How many more uploads may go now, as far as their half of the slots is concerned."""
        ...

    def usage(self) -> Usage:
        """How much is in use now."""
        ...
