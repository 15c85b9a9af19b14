"""When a run is to pause, and how it finds out that it may go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ..errors import (
    APIStatusError,
    AuthenticationError,
    LSQServiceError,
    MalformedResponseError,
    NotSentError,
    OutcomeUnknownError,
    PermissionDeniedError,
    QueueTimeoutError,
    ServerError,
)

_log = logging.getLogger("lsq_service_async")
_IN_A_ROW = 5
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 60.0  # s


class Breaker:
    """Opens after five failures in a row that say nothing of the row, or one that says the keys are wrong. One asks at
    a time.

    While it is open no row begins; one worker probes with a read, after 5 s and then ever longer, up to 60 s.
    """

    def __init__(self, probe: Callable[[], Awaitable[object]]) -> None:
        self._probe = probe
        self._failures = 0

    def note(self, error: LSQServiceError | None) -> None:
        """What came of a row; None is a good end."""
        if isinstance(error, AuthenticationError | PermissionDeniedError):
            self._failures = _IN_A_ROW
        elif _says_nothing_of_the_row(error):
            self._failures += 1
        else:
            self._failures = 0

    async def passable(self) -> None:
        """Return when rows may be sent. AuthenticationError or PermissionDeniedError where the keys will not do."""
        if self._failures >= _IN_A_ROW:
            await self._wait_until_alive()
            self._failures = 0

    async def _wait_until_alive(self) -> None:
        if await self._alive():
            return
        _log.warning("the service does not answer as it should; the run pauses, and looks again every now and then")
        pause = _FIRST_PAUSE
        await asyncio.sleep(pause)
        while not await self._alive():
            pause = min(2 * pause, _LONGEST_PAUSE)
            await asyncio.sleep(pause)
        _log.warning("the service answers again; the run goes on")

    async def _alive(self) -> bool:
        try:
            await self._probe()
        except (AuthenticationError, PermissionDeniedError):
            raise
        except (NotSentError, OutcomeUnknownError, MalformedResponseError, ServerError):
            return False
        except APIStatusError:
            pass  # any other refusal is an answer: the probe asks for a ticket that need not exist
        return True


def _says_nothing_of_the_row(error: LSQServiceError | None) -> bool:
    lost = isinstance(error, OutcomeUnknownError | NotSentError) and not isinstance(error, QueueTimeoutError)
    return lost or (isinstance(error, ServerError) and error.exception_type is None)
