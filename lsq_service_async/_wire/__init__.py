"""Describes calls to the service, and converts answers to results. Uses no clock, network or asyncio."""

from ..records import Attempt, Found, Outcome, Unclear
from .call import Api, AttemptResult, Call, Idempotency, Retry
from .lookup import OwnTickets
from .responses import (
    MAX_ANSWER,
    MAX_ERROR,
    MAX_KEY,
    MAX_RECEIPT,
    MAX_VALUES,
    TicketNumbers,
    parse_response,
    retry_after,
)

__all__ = [
    "MAX_ANSWER",
    "MAX_ERROR",
    "MAX_KEY",
    "MAX_RECEIPT",
    "MAX_VALUES",
    "Api",
    "Attempt",
    "AttemptResult",
    "Call",
    "Found",
    "Idempotency",
    "Outcome",
    "OwnTickets",
    "Retry",
    "TicketNumbers",
    "Unclear",
    "parse_response",
    "retry_after",
]
