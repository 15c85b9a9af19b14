"""Converts an HTTP response to a record or an error. The body is examined first: a refusal can have status 200.

The status codes are documented on apidocs.leadsquared.com/create-tickets. No page shows the body of an error, so the
field names and the text of the rate limit below are those of the vendor's other APIs. If a body has none of them, the
status alone decides.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import attrs

from ..errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    MalformedResponseError,
    NotFoundError,
    OperationFailedError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    printable,
)
from ..records import Outcome
from .call import AttemptResult, Call, Retry

T = TypeVar("T")
E = TypeVar("E", bound=APIStatusError)

_BY_STATUS = {400: BadRequestError, 401: AuthenticationError, 403: PermissionDeniedError, 404: NotFoundError}
_TRANSIENT = {500, 502, 503, 504}
_REASONS = ("ReasonForFailure", "ExceptionMessage", "Message", "message", "error")
_ERROR_FIELDS = {*_REASONS, "Status", "ExceptionType"}
_MAX_DEPTH = 64
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

_LIMIT_TYPE = "MXAPIRateLimitExceededException".casefold()
# Matched at the beginning of a message only: further on, the service may quote a ticket that contains this text.
_LIMIT = re.compile(r"(?:API\s{1,9}calls\s{1,9})?exceeded the limit of (.{1,40}?) in (.{1,40}?) second", re.IGNORECASE)
_COUNT = re.compile(r"[0-9][0-9,]{0,11}")
_NOT_THE_LIMIT = {400, 401, 404, 409, 413, 422}  # these reject the content of a request, and may quote it


def parse_response(
    call: Call[T], status: int, headers: Mapping[str, str], body: bytes, redact: Callable[[str], str] = str
) -> AttemptResult[T]:
    """Return the record of an answer, or its error. ``headers`` has lower-case names.

    ``redact`` removes the API keys from a text. It is applied to every text in an error, before the text is cut.
    """
    answer = _Body.of(body)
    if status == 429 or answer.is_rate_limited(status):
        wait, limit = retry_after(headers), answer.limit()
        refusal = _status_error(RateLimitError, status, headers, answer, redact, retry_after=wait, limit=limit)
        retry = Retry.NEVER if refusal.is_quota else Retry.ALWAYS
        return AttemptResult(outcome=Outcome.NOT_APPLIED, error=refusal, retry=retry, status=status, retry_after=wait)
    is_success = 200 <= status < 300
    if is_success and not answer.exception_type and not (call.documented and answer.reports_failure):
        return _parse_success(call, status, answer, redact)
    if status >= 500 and not answer.exception_type:
        failure = _status_error(ServerError, status, headers, answer, redact)
        wait, retry = retry_after(headers), Retry.ON_SERVER_ERROR if status in _TRANSIENT else Retry.NEVER
        return AttemptResult(outcome=Outcome.UNKNOWN, error=failure, retry=retry, status=status, retry_after=wait)
    default = OperationFailedError if is_success else ServerError if status >= 500 else APIStatusError
    error = _status_error(_BY_STATUS.get(status, default), status, headers, answer, redact)
    return AttemptResult(outcome=Outcome.REFUSED, error=error, status=status)


def _parse_success(call: Call[T], status: int, answer: _Body, redact: Callable[[str], str]) -> AttemptResult[T]:
    is_readable = answer.is_json or (not call.documented and not answer.text.strip())
    retry = Retry.ON_NO_RESPONSE
    if is_readable:
        try:
            return AttemptResult(outcome=Outcome.APPLIED, record=call.parse(answer.json), status=status)
        except Exception:  # of any kind: the service has confirmed the call, so its error must be OutcomeUnknownError
            retry = Retry.ON_NO_RESPONSE if call.repeatable else Retry.NEVER
    redacted = answer.redacted(redact)
    problem = "is not as documented" if is_readable else "is not JSON"
    message = f"the answer to {call.operation} {problem}; it begins with {_quoted(redacted.text, 80)}"
    error: MalformedResponseError | OutcomeUnknownError
    if call.repeatable:
        error = MalformedResponseError(message, body=redacted.content)
    else:
        error = OutcomeUnknownError(message, likely="applied" if is_readable else None, body=redacted.content)
    return AttemptResult(outcome=Outcome.UNKNOWN, error=error, retry=retry, status=status)


def _status_error(
    kind: type[E],
    status: int,
    headers: Mapping[str, str],
    answer: _Body,
    redact: Callable[[str], str],
    **about: Any,
) -> E:
    answer = answer.redacted(redact)
    message = f"the service answered {status}"
    if 300 <= status < 400:
        location = redact(headers.get("location", ""))
        found = re.match(r"[a-z]+://(?:[^/?#@]*@)?([A-Za-z0-9.:-]{1,100})", location)
        host = found[1] if found else "another path"
        message += f": it redirects to {host}, and redirects are not followed. Check base_url"
    elif answer.reason:
        message += f": {_quoted(answer.reason)}"
    if status == 401:
        message += ". Check the access key and the secret key"
    if answer.exception_type:
        message += f" ({_quoted(answer.exception_type)})"
    return kind(
        message,
        status_code=status,
        reason=answer.reason,
        exception_type=answer.exception_type,
        body=answer.content,
        **about,
    )


def _quoted(text: str, limit: int = 300) -> str:
    return f"'{printable(text, limit)}'"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header (digits or an HTTP date), at most 60.

    Returns None without a valid header, and for more than an hour. A date is compared with the Date header of the same
    response, so the clock of this machine does not matter.
    """
    text = headers.get("retry-after", "").strip(" \t")
    if re.fullmatch(r"[0-9]{1,9}", text):
        seconds = float(text)
    else:
        try:
            moments = parsedate_to_datetime(text), parsedate_to_datetime(headers.get("date", ""))
            seconds = (moments[0] - moments[1]).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(seconds, 60.0) if 0 <= seconds <= 3600 else None


@attrs.frozen
class _Body:
    """The body of an answer: its text, its decoded JSON if it is JSON, and the vendor's name for an error."""

    json: Any
    text: str
    is_json: bool = attrs.field(kw_only=True)
    exception_type: str | None = attrs.field(default=None, kw_only=True)

    @classmethod
    def of(cls, body: bytes) -> _Body:
        try:
            text = body.decode("utf-8-sig")
            value = _decode(text)
        except Exception:  # also RecursionError and MemoryError
            return cls(None, body.decode("utf-8-sig", errors="replace"), is_json=False)
        named = value.get("ExceptionType") if isinstance(value, dict) else None
        return cls(value, text, is_json=True, exception_type=named if isinstance(named, str) and named else None)

    def redacted(self, redact: Callable[[str], str]) -> _Body:
        """Return a copy with ``redact`` applied to every text, including the names in objects."""
        root = [self.json]
        parents: list[Any] = [root]
        while parents:
            parent = parents.pop()
            for key, value in list(parent.items() if isinstance(parent, dict) else enumerate(parent)):
                if isinstance(key, str):
                    del parent[key]
                    key = redact(key)
                if isinstance(value, dict | list):
                    value = value.copy()
                    parents.append(value)
                parent[key] = redact(value) if isinstance(value, str) else value
        exception_type = redact(self.exception_type) if self.exception_type else None
        return _Body(root[0], redact(self.text), is_json=self.is_json, exception_type=exception_type)

    @property
    def content(self) -> Any:
        """The decoded JSON, or the text."""
        return self.json if self.is_json else self.text

    @property
    def reason(self) -> str | None:
        """The message of an error."""
        if isinstance(self.json, dict):
            texts = (self.json.get(name) for name in _REASONS)
            return next((text for text in texts if isinstance(text, str) and text), None)
        text = self.text if not self.is_json else self.json if isinstance(self.json, str) else ""
        return text.strip() or None

    @property
    def reports_failure(self) -> bool:
        """Whether there is a Status other than Success."""
        status = self.json.get("Status") if isinstance(self.json, dict) else None
        return status not in (None, "") and str(status).casefold() != "success"

    def is_rate_limited(self, status: int) -> bool:
        """Whether the exception type or the message is that of the rate limit."""
        if (self.exception_type or "").casefold() == _LIMIT_TYPE:
            return True
        # A receipt may contain this text as its message. So a 200 counts as a refusal only if all its fields are those
        # of an error.
        only_error = isinstance(self.json, str) or (isinstance(self.json, dict) and self.json.keys() <= _ERROR_FIELDS)
        is_error = status >= 400 or not self.is_json or self.reports_failure or only_error
        return is_error and status not in _NOT_THE_LIMIT and self._limit_sentence() is not None

    def limit(self) -> tuple[int, int] | None:
        """Return the calls and the seconds in the message of the rate limit."""
        sentence = self._limit_sentence()
        if sentence is None or not all(_COUNT.fullmatch(count) for count in sentence.groups()):
            return None
        calls, seconds = (int(count.replace(",", "")) for count in sentence.groups())
        return calls, seconds

    def _limit_sentence(self) -> re.Match[str] | None:
        is_limit_type = (self.exception_type or "").casefold() == _LIMIT_TYPE
        return (_LIMIT.search if is_limit_type else _LIMIT.match)((self.reason or "").lstrip()[:4096])


def _decode(text: str) -> Any:
    """Decode JSON. More than 64 levels, NaN and numbers that overflow raise ValueError like text that is not JSON."""
    value = json.loads(text, parse_constant=_finite, parse_float=_finite)
    level = [value]
    for _ in range(_MAX_DEPTH + 1):  # level by level, because recursion has a limit of its own
        parents = [parent for parent in level if isinstance(parent, dict | list)]
        level = [child for parent in parents for child in (parent.values() if isinstance(parent, dict) else parent)]
        if not parents:
            break
    else:
        raise ValueError(f"nested deeper than {_MAX_DEPTH} levels")
    if not _SURROGATE.search(text):
        return value
    # Text that was cut inside an emoji ends with a lone surrogate, which files, sockets and databases reject.
    whole = json.dumps(value, ensure_ascii=False).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return json.loads(whole)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.40} is not a finite number")
    return value
