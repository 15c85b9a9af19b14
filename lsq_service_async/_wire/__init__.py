"""The protocol of the service: calls as values, answers as results. Pure: no clock, no network, no asyncio."""

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
