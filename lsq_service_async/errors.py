"""One tree of errors, named by what the caller may do next.

    LSQServiceError
      ConfigurationError (ValueError)    nothing was attempted: settings are missing or wrong
      InvalidRequestError (ValueError)   nothing was sent: the call itself cannot be right
      NotSentError                       nothing was applied; safe to repeat
        QueueTimeoutError                waiting for the limit would outlast the deadline
      OutcomeUnknownError                it was sent and no trustworthy answer came; it may have been applied
      APIStatusError                     the service answered with an error
        BadRequestError                  400
        AuthenticationError              401
        PermissionDeniedError            403
        NotFoundError                    404
        RateLimitError                   429, or the limit's own words under another status
        ServerError                      5xx
        OperationFailedError             a 200 that says it failed
      MalformedResponseError             an answer to a repeatable call that is not what is documented

Every error that belongs to one call carries its ``reference`` (the random id that events and log lines of that
call carry too) and its ``attempts``, the `lsq_service_async.records.Attempt` of every send.
"""

from __future__ import annotations

from typing import Any, Literal


class LSQServiceError(Exception):
    """The root of everything that this package raises on purpose.

    Raised itself where a client is misused: after it was closed, or from a second event loop, thread or process.
    """

    def __init__(self, message: str, *, reference: str | None = None, attempts: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.reference = reference
        # Any, because this module stands below the records and may not name `Attempt`.
        self.attempts = attempts


class ConfigurationError(LSQServiceError, ValueError):
    """Nothing was attempted: settings are missing or wrong. Correct them; the message names each."""


class InvalidRequestError(LSQServiceError, ValueError):
    """Nothing was sent: the call itself cannot be right. Correct the argument that the message names."""


class NotSentError(LSQServiceError):
    """Nothing was applied: the service never had the whole request. It is safe to repeat the call."""


class QueueTimeoutError(NotSentError):
    """Waiting for the limit would outlast the deadline, so the call was not sent.

    ``retry_after``: seconds after which a call has a fair chance; good for a Retry-After header.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0, **about: Any) -> None:
        super().__init__(message, **about)
        self.retry_after = retry_after


class OutcomeUnknownError(LSQServiceError):
    """It was sent and no trustworthy answer came: it may have been applied. Look before you repeat.

    ``likely`` is "applied" where an answer came that was not readable as documented, else None.
    ``safe_to_repeat`` is True where a repeat changes nothing (reads, and updates without files).
    ``body`` is what the service said, if it said anything.
    """

    def __init__(
        self,
        message: str,
        *,
        likely: Literal["applied"] | None = None,
        safe_to_repeat: bool = False,
        body: Any = None,
        **about: Any,
    ) -> None:
        super().__init__(message, **about)
        self.likely = likely
        self.safe_to_repeat = safe_to_repeat
        self.body = body


class APIStatusError(LSQServiceError):
    """The service answered with an error.

    ``status_code`` is the HTTP status, ``reason`` the service's own words, ``exception_type`` its name for the
    failure (both None where it gave none), ``body`` the decoded JSON, or the text where it was not JSON.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int = 0,
        reason: str | None = None,
        exception_type: str | None = None,
        body: Any = None,
        **about: Any,
    ) -> None:
        super().__init__(message, **about)
        self.status_code = status_code
        self.reason = reason
        self.exception_type = exception_type
        self.body = body


class BadRequestError(APIStatusError):
    """400: the body is not what the service specifies, or a mandatory field is missing."""


class AuthenticationError(APIStatusError):
    """401: the access key or the secret key is wrong."""


class PermissionDeniedError(APIStatusError):
    """403: the keys are right and their user may not do this."""


class NotFoundError(APIStatusError):
    """404: no such ticket, or no such API on this host."""


class RateLimitError(APIStatusError):
    """The service refused the call for speed, in every attempt; nothing was applied.

    ``retry_after``: seconds the service asked to wait, or None. ``limit``: the (calls, seconds) that its text
    named, or None.
    """

    def __init__(
        self, message: str, *, retry_after: float | None = None, limit: tuple[int, int] | None = None, **about: Any
    ) -> None:
        super().__init__(message, **about)
        self.retry_after = retry_after
        self.limit = limit


class ServerError(APIStatusError):
    """5xx: the service failed. With an ``exception_type`` it refused and will refuse again."""


class OperationFailedError(APIStatusError):
    """A 200 whose body says that the operation failed."""


class MalformedResponseError(LSQServiceError):
    """An answer to a call that may be repeated is not what the service documents; ``body`` is what came."""

    def __init__(self, message: str, *, body: Any = None, **about: Any) -> None:
        super().__init__(message, **about)
        self.body = body
