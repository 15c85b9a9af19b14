"""The tree of errors. The class of an error shows whether the call was sent, and whether it was answered.

    LSQServiceError
      ConfigurationError (ValueError)    nothing was attempted: settings are missing or wrong
      InvalidRequestError (ValueError)   nothing was sent: the arguments cannot be valid
      NotSentError                       nothing was applied: the call can be repeated
        QueueTimeoutError                the deadline is too short for the queue of the rate limit
      OutcomeUnknownError                a call was sent, but got no usable answer: it may have been applied
      NoAnswerError                      a read was sent, but not answered: it can be repeated
      APIStatusError                     the service answered with an error
        BadRequestError                  400
        AuthenticationError              401
        PermissionDeniedError            403
        NotFoundError                    404
        RateLimitError                   429, or a rate-limit message with a status such as 200 or 500
        ServerError                      5xx
        OperationFailedError             2xx with a body that reports a failure
      MalformedResponseError             a read, or an update without attachments, got an undocumented response

Every error has the attributes of `LSQServiceError`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

# Emoji and Indic scripts need the joiners U+200C and U+200D and the variation selectors U+FE00 to U+FE0F, so the
# pattern does not match these.
INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def printable(text: str, limit: int | None = None) -> str:
    """Escape the invisible characters of a text, so that the text cannot control a terminal or add lines to a log.

    Each invisible character becomes a JSON escape, such as ``\\u001b``. A text of more than ``limit`` characters is cut
    first, and ends with "...".
    """
    if limit is not None and len(text) > limit:
        text = f"{text[:limit]}..."
    return INVISIBLE.sub(_escaped, text)


def shown(value: object, limit: int = 80) -> str:
    """Return the repr of an argument for a message, cut to ``limit`` characters. Never raises."""
    try:
        return repr(value)[:limit]
    except Exception:
        return f"an object of type {type(value).__name__}"


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


class LSQServiceError(Exception):
    """The base class of all errors of this package.

    ``reference`` is the id of the call in events, logs and errors, or None if no call had started. ``attempts`` has one
    `lsq_service_async.records.Attempt` for each request. ``safe_to_repeat`` is True if a repeat cannot apply the call
    twice. ``headers`` is a case-insensitive mapping of the HTTP headers of the response to the last attempt, without
    API keys and cookies. If no response arrived, ``headers`` is empty.

    A client that was closed, or is used in another event loop or process, raises LSQServiceError, not a subclass.
    """

    def __init__(
        self,
        message: str,
        *,
        reference: str | None = None,
        attempts: tuple[Any, ...] = (),
        safe_to_repeat: bool = True,
    ) -> None:
        super().__init__(printable(message, 4000))
        self.reference = reference
        self.attempts = attempts  # the type is Any, because `Attempt` is in a higher layer
        self.safe_to_repeat = safe_to_repeat
        self.headers: Mapping[str, str] = {}


class ConfigurationError(LSQServiceError, ValueError):
    """Nothing was attempted. The message names all settings that are missing, or the first setting that is wrong."""


class InvalidRequestError(LSQServiceError, ValueError):
    """Nothing was sent: an argument cannot be valid. The message names the argument."""


class NotSentError(LSQServiceError):
    """Nothing was applied: the service did not receive the whole request. The call can be repeated."""


class QueueTimeoutError(NotSentError):
    """The call was not sent, because the rate limit would have made it wait beyond its deadline.

    After ``retry_after`` seconds, a call with a deadline of the same length should be sent in time. If the file or the
    Redis server of a shared limit was unavailable, ``__cause__`` is the error of that file or server.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0, **about: Any) -> None:
        super().__init__(message, **about)
        self.retry_after = retry_after


class OutcomeUnknownError(LSQServiceError):
    """The call was sent and got no usable answer. It may have been applied: find out before you repeat the call.

    ``likely`` is "applied" if the service reported success in a form that is not documented. Otherwise it is None.
    ``safe_to_repeat`` is True for updates without attachments, because a repeat has no further effect. ``body`` is the
    decoded JSON of the response, the text of a response that is not JSON, or None if no response could be read.

    If the call was a create, ``ticket`` is the `NewTicket` of the caller, ``sent_at`` is the time when the create was
    sent, and ``above`` is the highest ticket number that the client knew at that time, or None.
    ``client.tickets.look_up(error)`` finds out whether the create was applied. A pickled error has no ``ticket`` and
    cannot be looked up.
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
        super().__init__(message, safe_to_repeat=safe_to_repeat, **about)
        self.likely = likely
        self.body = body
        self.ticket: Any = None
        self.sent_at: datetime | None = None
        self.above: int | None = None
        self.lost: Any = None  # the `SentCreate` for a look-up

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, {**vars(self), "ticket": None, "lost": None}


class NoAnswerError(LSQServiceError):
    """A read was sent, but no answer arrived, for example because the connection broke. The read can be repeated."""


class APIStatusError(LSQServiceError):
    """The service answered with an error.

    ``status_code`` is the HTTP status. ``reason`` is the message of the service, and ``exception_type`` is the name
    that the service gives the error. Both may be None. ``body`` is the decoded JSON of the response, or the text of a
    response that is not JSON.
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
    """400: the body is not as documented, or a mandatory field is missing."""


class AuthenticationError(APIStatusError):
    """401: the access key or the secret key is wrong."""


class PermissionDeniedError(APIStatusError):
    """403: the user of the API keys does not have the permission."""


class NotFoundError(APIStatusError):
    """404: the ticket does not exist, or this host does not have the API."""


class RateLimitError(APIStatusError):
    """The service refused the last attempt because of its rate limit. Nothing was applied.

    ``retry_after`` is the Retry-After header in seconds, or None if the header is missing, invalid or more than 3,600.
    A value above 60 becomes 60. ``limit`` is the limit that the message of the service names, as ``(calls, seconds)``,
    or None. ``is_quota`` is True if ``limit`` is a quota, such as 10,000 calls a day. The client does not retry a call
    that exceeds a quota.
    """

    def __init__(
        self, message: str, *, retry_after: float | None = None, limit: tuple[int, int] | None = None, **about: Any
    ) -> None:
        super().__init__(message, **about)
        self.retry_after = retry_after
        self.limit = limit

    @property
    def is_quota(self) -> bool:
        """Whether ``limit`` has a window of a day or more."""
        return self.limit is not None and self.limit[1] >= 86_400


class ServerError(APIStatusError):
    """5xx: the service failed.

    If ``exception_type`` is set, or if the status is 501, 505 to 508, 510 or 511, the service refused the call and
    would refuse it again. In all other cases, the call may have been applied. Reads and updates without attachments
    then raise ServerError, and other calls raise OutcomeUnknownError.
    """


class OperationFailedError(APIStatusError):
    """The status is 2xx, but the body reports a failure: a ``Status`` other than "Success", or an ``ExceptionType``."""


class MalformedResponseError(LSQServiceError):
    """The response to a read, or to an update without attachments, is not as documented. The call is safe to repeat.

    Other calls raise OutcomeUnknownError instead. ``body`` is the decoded JSON of the response, the text of a response
    that is not JSON, or None if the response could not be read.
    """

    def __init__(self, message: str, *, body: Any = None, **about: Any) -> None:
        super().__init__(message, **about)
        self.body = body
