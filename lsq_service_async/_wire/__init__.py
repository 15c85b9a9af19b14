"""The protocol of the service: calls as values, answers as results. Pure: no clock, no network, no asyncio."""

from ..records import Attempt, Found, Outcome, Unclear
from .call import Api, AttemptResult, Call, Idempotency, Retry
from .lookup import OwnTickets
from .responses import parse_response, retry_after

__all__ = [
    "Api",
    "Attempt",
    "AttemptResult",
    "Call",
    "Found",
    "Idempotency",
    "Outcome",
    "OwnTickets",
    "Retry",
    "Unclear",
    "parse_response",
    "retry_after",
]
