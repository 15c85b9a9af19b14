"""What is said: calls as values and answers as records or errors. Pure: no clock, no network, no asyncio."""

from ..records import Attempt, Outcome
from .call import Api, AttemptResult, Call, Idempotency, Retry
from .responses import parse_response, retry_after

__all__ = [
    "Api",
    "Attempt",
    "AttemptResult",
    "Call",
    "Idempotency",
    "Outcome",
    "Retry",
    "parse_response",
    "retry_after",
]
