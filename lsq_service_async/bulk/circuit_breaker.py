"""Pauses a run while the service does not work."""

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


class CircuitBreaker:
    """Opens after ``threshold`` consecutive failures that are not caused by the row, or after one that shows that the
    keys are wrong.

    While it is open no row begins. One worker at a time probes with a read: after ``first_pause`` seconds, and then
    after twice as long each time, up to ``longest_pause``.
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

    def record(self, error: LSQServiceError | None) -> None:
        """Count the result of a row; None is a success."""
        is_lost = isinstance(error, OutcomeUnknownError | NotSentError) and not isinstance(error, QueueTimeoutError)
        if isinstance(error, AuthenticationError | PermissionDeniedError):
            self._failures = self._threshold
        elif is_lost or (isinstance(error, ServerError) and error.exception_type is None):
            self._failures += 1
        else:
            self._failures = 0

    async def wait_until_closed(self) -> None:
        """Return as soon as rows may be sent. Raises AuthenticationError or PermissionDeniedError for wrong keys."""
        pause = 0.0
        while self._failures >= self._threshold:
            try:
                await self._probe()
            except (AuthenticationError, PermissionDeniedError):
                raise
            except (NotSentError, OutcomeUnknownError, MalformedResponseError, ServerError):
                if not pause:
                    _log.warning("The service does not work. The run pauses, and probes it from time to time.")
                pause = min(2 * pause, self._longest_pause) or self._first_pause
                await asyncio.sleep(pause)
                continue
            except APIStatusError:
                pass  # any other refusal is an answer: the ticket that the probe reads need not exist
            self._failures = 0
        if pause:
            _log.warning("The service works again. The run continues.")
