"""What an answer means. The body's own words decide before the status does: a refusal may come as 200, 403 or 500.

Page: apidocs.leadsquared.com/create-tickets lists the codes. No page shows an error body for this API; the words
looked for here are those of the vendor's other APIs, and anything else is read by its status.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, TypeVar

import attrs

from ..errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    LSQServiceError,
    MalformedResponseError,
    NotFoundError,
    OperationFailedError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)
from ..records import Outcome
from .call import AttemptResult, Call, Retry

T = TypeVar("T")

_BY_STATUS = {400: BadRequestError, 401: AuthenticationError, 403: PermissionDeniedError, 404: NotFoundError}
_TRANSIENT = {500, 502, 503, 504}
_LIMIT_TYPE = "MXAPIRateLimitExceededException"
# The sentence of the limit counts at the beginning of a message only: further on, it may be quoted from a ticket.
_LIMIT = re.compile(r"\s*(?:API\s+calls\s+)?exceeded the limit of (.{1,40}?) in (.{1,40}?) second", re.IGNORECASE)
_COUNT = re.compile(r"[0-9][0-9,]{0,11}")
_DAY = 86_400  # s; a limit with such a window is a quota, and to try again in a minute is of no use
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# A refusal of these kinds may quote a ticket, and with it the limit's words.
_NEVER_THE_LIMIT = {400, 401, 404, 409, 413, 422}
_REASONS = ("ReasonForFailure", "ExceptionMessage", "Message", "message", "error")
_WORDS = {*_REASONS, "Status", "ExceptionType"}
_SHOWN = 300
_MAX_DEPTH = 64  # of a JSON answer; what is nested deeper is treated as text
_MALFORMED = object()


def parse_response(
    call: Call[T], status: int, headers: Mapping[str, str], body: bytes, redact: Callable[[str], str] = str
) -> AttemptResult[T]:
    """The record that an answer holds, or the error that it is. ``headers`` has lower-case names.

    ``redact`` takes the API keys out of a text. It is applied to every text that an error quotes, before it is cut.
    """
    said = _Said.of(body, redact)
    if status == 429 or said.refuses_for_speed(status):
        return _too_fast(status, headers, said)
    if said.exception_type:
        return _refused(_error_class(status), status, headers, said)
    if 200 <= status < 300:
        failed = call.documented and said.failed
        return _refused(OperationFailedError, status, headers, said) if failed else _done(call, status, said)
    if status >= 500:
        return _server_failed(status, headers, said)
    return _refused(_error_class(status), status, headers, said)


def _decoded(text: str) -> Any:
    """Decode JSON. ValueError or RecursionError if it is not JSON, nested deeper than 64, or has an infinite number."""
    value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    if _is_nested_deeper(value, _MAX_DEPTH):
        raise ValueError(f"nested deeper than {_MAX_DEPTH}")
    if not _SURROGATE.search(text):
        return value
    # Text that was cut in the middle of an emoji holds half of one, which no file, socket or database would take.
    whole = json.dumps(value, ensure_ascii=False).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return json.loads(whole)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text:.40} is larger than any number")
    return value


def _is_nested_deeper(value: Any, depth: int) -> bool:
    """Whether lists and objects are nested deeper than this. Level by level, because recursion has a limit itself."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(depth):
        children = (child for parent in level for child in (parent.values() if isinstance(parent, dict) else parent))
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True


@attrs.frozen
class _Said:
    """The body of an answer: decoded JSON (or ``_MALFORMED``) and its text."""

    json: Any
    text: str
    redact: Callable[[str], str]

    @classmethod
    def of(cls, body: bytes, redact: Callable[[str], str]) -> _Said:
        text = body.decode("utf-8-sig", errors="replace")
        try:
            body.decode("utf-8-sig")
            return cls(_decoded(text), text, redact)
        except Exception:  # also RecursionError and MemoryError
            return cls(_MALFORMED, text, redact)

    def redacted(self) -> _Said:
        """A copy for error messages, with `redact` applied to every text; names in objects are texts too."""
        root = [self.json]
        parents: list[Any] = [root]
        while parents:
            parent = parents.pop()
            for place, entry in list(parent.items() if isinstance(parent, dict) else enumerate(parent)):
                if isinstance(place, str):
                    del parent[place]
                    place = self.redact(place)
                if isinstance(entry, dict | list):
                    entry = entry.copy()
                    parents.append(entry)
                parent[place] = self.redact(entry) if isinstance(entry, str) else entry
        return _Said(root[0], self.redact(self.text), self.redact)

    @property
    def body(self) -> Any:
        return self.text if self.json is _MALFORMED else self.json

    def word(self, name: str) -> str | None:
        value = self.json.get(name) if isinstance(self.json, dict) else None
        return value if isinstance(value, str) and value else None

    @property
    def exception_type(self) -> str | None:
        return self.word("ExceptionType")

    @property
    def reason(self) -> str | None:
        if isinstance(self.json, str):
            return self.json.strip() or None
        first = next((word for name in _REASONS if (word := self.word(name))), None)
        return first if first or self.json is not _MALFORMED else self.text.strip() or None

    @property
    def failed(self) -> bool:
        """Status is present and says anything but Success."""
        status = self.json.get("Status") if isinstance(self.json, dict) else None
        return status not in (None, "") and str(status).casefold() != "success"

    @property
    def is_words(self) -> bool:
        """There is nothing but words, so it is no record."""
        return isinstance(self.json, str) or (isinstance(self.json, dict) and self.json.keys() <= _WORDS)

    @property
    def is_limit_type(self) -> bool:
        return (self.exception_type or "").casefold() == _LIMIT_TYPE.casefold()

    @property
    def limit_sentence(self) -> re.Match[str] | None:
        find = _LIMIT.search if self.is_limit_type else _LIMIT.match
        return find((self.reason or "")[:4096])

    def limit(self) -> tuple[int, int] | None:
        """The calls and seconds that the sentence names."""
        sentence = self.limit_sentence
        if sentence is None or not all(_COUNT.fullmatch(count) for count in sentence.groups()):
            return None
        calls, seconds = (int(count.replace(",", "")) for count in sentence.groups())
        return calls, seconds

    def refuses_for_speed(self, status: int) -> bool:
        # A ticket may begin with the sentence, too: in a 200 it counts only in a body that does not look like a record.
        if self.is_limit_type:
            return True
        is_error = status >= 400 or self.json is _MALFORMED or self.failed or self.is_words
        return is_error and status not in _NEVER_THE_LIMIT and self.limit_sentence is not None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _error_class(status: int) -> type[APIStatusError]:
    if 200 <= status < 300:
        return OperationFailedError
    return ServerError if status >= 500 else _BY_STATUS.get(status, APIStatusError)


def _shown(text: str) -> str:
    """Text of the service for a message: escaped, so that it cannot forge log lines, and cut."""
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return ascii(cut)


def _status_error(
    kind: type[APIStatusError], status: int, headers: Mapping[str, str], said: _Said, **about: Any
) -> APIStatusError:
    said = said.redacted()
    message = f"the service answered {status}"
    if 300 <= status < 400:
        host = _host(said.redact(headers.get("location", "")))
        message += f": it redirects to {host}, which is never followed; check base_url"
    elif said.reason:
        message += f"; it says: {_shown(said.reason)}"
    if status == 401:
        message += ". Check the access key and the secret key"
    if said.exception_type:
        message += f" ({_shown(said.exception_type)})"
    return kind(
        message,
        status_code=status,
        reason=said.reason,
        exception_type=said.exception_type,
        body=said.body,
        **about,
    )


def _host(location: str) -> str:
    match = re.match(r"[a-z]+://(?:[^/?#@]*@)?([A-Za-z0-9.:-]{1,100})", location)
    return match[1] if match else "another path"


def _refused(kind: type[APIStatusError], status: int, headers: Mapping[str, str], said: _Said) -> AttemptResult[Any]:
    return AttemptResult(outcome=Outcome.REFUSED, error=_status_error(kind, status, headers, said), status=status)


def _too_fast(status: int, headers: Mapping[str, str], said: _Said) -> AttemptResult[Any]:
    wait, limit = retry_after(headers), said.limit()
    error = _status_error(RateLimitError, status, headers, said, retry_after=wait, limit=limit)
    retry = Retry.NEVER if limit is not None and limit[1] >= _DAY else Retry.ALWAYS
    return AttemptResult(outcome=Outcome.NOT_APPLIED, error=error, retry=retry, status=status, retry_after=wait)


def _server_failed(status: int, headers: Mapping[str, str], said: _Said) -> AttemptResult[Any]:
    retry = Retry.ON_SERVER_ERROR if status in _TRANSIENT else Retry.NEVER
    error = _status_error(ServerError, status, headers, said)
    wait = retry_after(headers)
    return AttemptResult(outcome=Outcome.UNKNOWN, error=error, retry=retry, status=status, retry_after=wait)


def _done(call: Call[T], status: int, said: _Said) -> AttemptResult[T]:
    if not call.documented and not said.text.strip():
        return AttemptResult(outcome=Outcome.APPLIED, record=call.parse(None), status=status)
    if said.json is _MALFORMED:
        error = _unreadable(call, "is not JSON", said, likely=None)
        return AttemptResult(outcome=Outcome.UNKNOWN, error=error, retry=Retry.ON_NO_RESPONSE, status=status)
    try:
        return AttemptResult(outcome=Outcome.APPLIED, record=call.parse(said.json), status=status)
    except Exception:
        # Whatever reading it raises, the service has answered that the call is done.
        error = _unreadable(call, "is not what is documented", said, likely="applied")
        retry = Retry.NEVER if not call.repeatable else Retry.ON_NO_RESPONSE
        return AttemptResult(outcome=Outcome.UNKNOWN, error=error, retry=retry, status=status)


def _unreadable(call: Call[Any], what: str, said: _Said, likely: Any) -> LSQServiceError:
    said = said.redacted()
    message = f"the answer to {call.operation} {what}; it begins: {_shown(said.text[:80])}"
    if not call.repeatable:
        return OutcomeUnknownError(message, likely=likely, body=said.body)
    return MalformedResponseError(message, body=said.body)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After that is ASCII digits or an HTTP date, at most 60; None where it is not credible."""
    text = headers.get("retry-after", "").strip(" \t")
    seconds = float(text) if re.fullmatch(r"[0-9]{1,9}", text) else _seconds_until(text, headers.get("date", ""))
    return min(seconds, 60.0) if seconds is not None and 0 <= seconds <= 3600 else None


def _seconds_until(text: str, now: str) -> float | None:
    """An HTTP date is read against the answer's own Date, so that this machine's clock does not matter."""
    try:
        return (parsedate_to_datetime(text) - parsedate_to_datetime(now)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
