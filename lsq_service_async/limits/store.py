"""The seam between the gate and what it asks: stores differ only in where slots, pace, burst and pause are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..config import Lane, RateLimit


class Want(NamedTuple):
    """A call at the head of its line. ``heavy``: an upload so large that such may hold at most half of the slots."""

    lane: Lane
    heavy: bool


class Granted(NamedTuple):
    """The store has taken ``slot`` for the call that asked with ``want``."""

    slot: int
    want: Want


class Wait(NamedTuple):
    """Nothing for any of them; ask again after ``seconds``, or once a slot was given back (``inf``: only then)."""

    seconds: float


class Usage(NamedTuple):
    """How much of the allowance is in use: ``used`` slots of ``calls``."""

    calls: int
    per: float
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

    async def take(self, wants: Sequence[Want]) -> Granted | Wait:
        """One slot for the first of ``wants`` that may have one now. Cancelled midway, it has taken none."""
        ...

    def give_back(self, grant: Granted, *, used: bool) -> None:
        """End a grant: ``per`` seconds from now if it was used, at once if nothing can have reached the service."""
        ...

    def pause(self, seconds: float) -> None:
        """Nobody is granted before ``seconds`` are over; a longer pause in force stays."""
        ...

    def forecast(self, lane: Lane, ahead: int) -> float:
        """The loop time at which a call of ``lane`` will go that has ``ahead`` others before it."""
        ...

    def usage(self) -> Usage:
        """How much is in use now."""
        ...
