"""What is said: calls as values and answers as records or errors. Pure: no clock, no network, no asyncio."""

from ..records import Attempt, Outcome
from .call import Api, Call, Kind, Repeat, Verdict, with_attempts
from .responses import read_answer, retry_after

__all__ = [
    "Api",
    "Attempt",
    "Call",
    "Kind",
    "Outcome",
    "Repeat",
    "Verdict",
    "read_answer",
    "retry_after",
    "with_attempts",
]
