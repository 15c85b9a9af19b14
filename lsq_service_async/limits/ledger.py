"""The seam between those who share one allowance and the place where it is kept."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from .decision.ask import Ask, Verdict
from .decision.state import State


class LedgerDownError(Exception):
    """The ledger cannot be reached, for now. Whether it has heard the question is not known."""


class LedgerBusyError(Exception):
    """Other processes changed the state each time before this one could. Nothing of the question was heard."""


class Reply(NamedTuple):
    """What came of an exchange: the state after it, and the ledger's clock then."""

    state: State
    now: float
    verdict: Verdict


class Ledger(Protocol):
    """Where a shared state lives."""

    async def open(self, name: str) -> None:
        """Be ready for ``name``. ConfigurationError if that can never be."""
        ...

    async def exchange(self, ask: Ask) -> Reply:
        """Decide as `decision.exchange` does, at one go for all processes.

        ConfigurationError if others use another rate; LedgerDownError.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections and files."""
        ...
