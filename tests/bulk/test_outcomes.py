"""What is known of a row by the error that its send ended in."""

import pytest

from lsq_service_async import (
    AuthenticationError,
    BadRequestError,
    InvalidRequestError,
    LSQServiceError,
    MalformedResponseError,
    NotSentError,
    OutcomeUnknownError,
    PermissionDeniedError,
    QueueTimeoutError,
    RateLimitError,
    ServerError,
)
from lsq_service_async.bulk import State
from lsq_service_async.bulk.progress import state_for_error
from lsq_service_async.records import Attempt, Outcome


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (NotSentError("x"), State.PENDING),
        (QueueTimeoutError("x"), State.PENDING),
        (BadRequestError("x"), State.FAILED),
        (AuthenticationError("x"), State.PENDING),
        (RateLimitError("x"), State.PENDING),
        (PermissionDeniedError("x"), State.FAILED),
        (ServerError("x", exception_type="MXException"), State.FAILED),
        (InvalidRequestError("x"), State.FAILED),
        (ServerError("x"), State.UNKNOWN),
        (OutcomeUnknownError("x"), State.UNKNOWN),
        (MalformedResponseError("x"), State.UNKNOWN),
        (LSQServiceError("x"), State.UNKNOWN),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.value,
)
def test_an_error_says_whether_the_row_was_applied(error, state):
    """Pending: certainly not sent; failed: refused; all else is in doubt."""
    assert state_for_error(error) is state


@pytest.mark.parametrize("kind", [NotSentError, BadRequestError, InvalidRequestError])
def test_one_attempt_in_doubt_leaves_the_row_in_doubt(kind):
    """Whatever became of those after it."""
    attempts = [
        Attempt(number=1, outcome=Outcome.UNKNOWN, status=500, seconds=0.1),
        Attempt(number=2, outcome=Outcome.NOT_APPLIED, status=None, seconds=0.1),
    ]
    assert state_for_error(kind("x", attempts=tuple(attempts))) is State.UNKNOWN
