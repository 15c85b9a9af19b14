"""Pauses a run while the service fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .._logging import logger
from ..errors import (
    APIStatusError,
    AuthenticationError,
    LSQServiceError,
    MalformedResponseError,
    NoAnswerError,
    NotSentError,
    OutcomeUnknownError,
    PermissionDeniedError,
    QueueTimeoutError,
    RateLimitError,
    ServerError,
)


class CircuitBreaker:
    """Opens after ``threshold`` consecutive failures that the rows did not cause, or after one 401 or 403.

    While the circuit breaker is open, no row is started, and one worker probes the service with a read. The second
    probe is sent ``first_pause`` seconds after the first. Each further pause is twice as long, up to ``longest_pause``
    seconds. If a daily quota is used up, no more rows are started, and no probe is sent.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[object]],
        *,
        threshold: int = 5,
        first_pause: float = 5.0,
        longest_pause: float = 60.0,
    ) -> None:
        self._probe = probe
        self._threshold = threshold
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._failures = 0
        self._quota: RateLimitError | None = None
        self._probing = asyncio.Lock()

    def record(self, error: LSQServiceError | None) -> None:
        """Count the result of a row. After a success, ``error`` is None."""
        if isinstance(error, RateLimitError) and error.is_quota:
            self._quota = error
        # A QueueTimeoutError has a ``__cause__`` only if the backend of the limiter was unavailable.
        is_late = isinstance(error, QueueTimeoutError) and error.__cause__ is None
        is_lost = isinstance(error, OutcomeUnknownError | NotSentError) and not is_late
        if isinstance(error, AuthenticationError | PermissionDeniedError):
            self._failures = self._threshold
        elif is_lost or (isinstance(error, ServerError) and error.exception_type is None):
            self._failures += 1
        else:
            self._failures = 0

    async def wait_until_closed(self) -> None:
        """Wait until rows may be sent. Raises the error if the service rejects the keys, or if a quota is used up."""
        async with self._probing:
            pause = 0.0
            if self._quota is not None:
                raise self._quota
            while self._failures >= self._threshold:
                try:
                    await self._probe()
                except (AuthenticationError, PermissionDeniedError):
                    raise
                except (NotSentError, NoAnswerError, MalformedResponseError, ServerError) as error:
                    if not pause:
                        text = "The service is failing (%s). The run pauses until a probe succeeds. Next probe in %g s."
                        logger.warning(text, error, self._first_pause)
                    pause = min(2 * pause, self._longest_pause) or self._first_pause
                    await asyncio.sleep(pause)
                    continue
                except APIStatusError:
                    pass  # the service works, even if it has no ticket 1
                self._failures = 0
            if pause:
                logger.warning("The service works again. The run continues.")
