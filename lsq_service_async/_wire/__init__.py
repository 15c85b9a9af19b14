"""What is said: calls as values and answers as records or errors. Pure: no clock, no network, no asyncio."""

from ..records import Attempt, Outcome
from .answers import read_answer, retry_after
from .calls import Api, Call, Kind, Repeat, Verdict, with_attempts

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
