"""The protocol of the service: describes calls, and converts answers to results. Without clock, network and asyncio."""

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
