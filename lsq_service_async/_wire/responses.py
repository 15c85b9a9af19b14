"""Converts an HTTP response to a record or an error. The status alone is not enough: a refusal can have status 200.

The status codes are documented on apidocs.leadsquared.com/create-tickets. No page shows the body of an error, so the
field names and the text of the rate limit below are those of the vendor's other APIs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from json.scanner import py_make_scanner  # type: ignore[attr-defined]  # is not in typeshed
from typing import Any, Literal, TypeVar
from uuid import UUID

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
from ..records.tickets import number_of
from .call import AttemptResult, Call, Retry
from .serialize import finite, finite_int

T = TypeVar("T")

MAX_ERROR = 64 << 10
"""The maximum bytes of an error response. A larger response is cut, because the status is enough."""
MAX_RECEIPT = 1 << 20
MAX_ANSWER = 8 << 20
"""The maximum bytes of the answer to a read, or to a call that is not documented."""
MAX_VALUES = 200_000
"""The maximum number of commas and opening brackets in a body. Decoding more would block all threads for too long."""
MAX_KEY = 8 << 10
"""The maximum length of an API key in any encoding. Before a text is cut, this many characters beyond the cut are
redacted too, so that no part of a key is left."""

_BY_STATUS = {400: BadRequestError, 401: AuthenticationError, 403: PermissionDeniedError, 404: NotFoundError}
_TRANSIENT = {500, 502, 503, 504}
# By RFC 9110 and RFC 8470, these statuses mean that the request was not processed and can be sent again on another
# connection.
_NOT_PROCESSED = {408, 421, 425}
# The other registered 5xx statuses. They mean that the request was not executed.
_REFUSED = {501, 505, 506, 507, 508, 510, 511}
# Lower-case error fields of the vendor, RFC 9457 and common frameworks, the most useful first.
_MESSAGES = ("reasonforfailure", "exceptionmessage", "message", "errormessage", "msg", "detail", "error_description",
             "error")  # fmt: skip
_REASONS = (*_MESSAGES, "errors", "title")
_ERROR_FIELDS = {*_MESSAGES, "status", "exceptiontype"}
_MAX_DEPTH = 64
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")

_LIMIT_TYPE = "MXAPIRateLimitExceededException".casefold()
# Without this exception type, a message must begin with the pattern, because the rest may quote a ticket.
_LIMIT = re.compile(
    r"(?:API\s{1,9}calls\s{1,9})?exceeded the limit of (.{1,40}?)(?: calls)? in (.{1,40}?) (second|minute|hour|day)",
    re.IGNORECASE,
)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_COUNT = re.compile(r"[0-9][0-9,]{0,11}")
_NOT_THE_LIMIT = {400, 401, 404, 409, 413, 422}  # with these statuses, the message may quote the ticket


def parse_response(
    call: Call[T], status: int, headers: Mapping[str, str], body: bytes, redact: Callable[[str], str] = str
) -> AttemptResult[T]:
    """Return the record of an answer, or its error. ``headers`` has lower-case names.

    ``redact`` removes the API keys from each text of an error, before the text is cut. A body larger than ``MAX_ERROR``
    can take a second, but other threads run meanwhile.
    """
    is_success = 200 <= status < 300
    answer = _Body.of(body, is_error=not is_success)
    is_limit, is_named = status == 429 or answer.is_rate_limited(status), answer.exception_type is not None
    if is_success and not (is_limit or is_named or (call.documented and answer.reports_failure)):
        return _parse_success(call, status, answer, redact)
    default = OperationFailedError if is_success else ServerError if status >= 500 else APIStatusError
    kind: type[APIStatusError] = _BY_STATUS.get(status, default)
    outcome, retry, wait, about = Outcome.REFUSED, Retry.NEVER, retry_after(headers), dict[str, Any]()
    if is_limit:
        outcome, retry = Outcome.NOT_APPLIED, Retry.ALWAYS
        kind, about = RateLimitError, {"retry_after": wait, "limit": answer.limit()}
    elif status in _NOT_PROCESSED and not is_named:
        outcome, retry = Outcome.NOT_APPLIED, Retry.ALWAYS
    elif status >= 500 and status not in _REFUSED and not is_named:
        outcome, retry = Outcome.UNKNOWN, Retry.ON_SERVER_ERROR if status in _TRANSIENT else Retry.NEVER
        about = {"safe_to_repeat": call.repeatable}
    error = _status_error(kind, status, headers, answer, redact, **about)
    if isinstance(error, RateLimitError) and error.is_quota:
        retry = Retry.NEVER
    return AttemptResult(
        outcome=outcome,
        error=error,
        retry=retry,
        status=status,
        retry_after=wait,
        pause=(wait or 0.0) if status == 503 and outcome is Outcome.UNKNOWN else 0.0,
        must_close=status in _NOT_PROCESSED,
    )


def _parse_success(call: Call[T], status: int, answer: _Body, redact: Callable[[str], str]) -> AttemptResult[T]:
    is_readable = answer.is_json or (not call.documented and not (answer.is_long or answer.text.strip()))
    retry, is_foreign = Retry.ON_NO_RESPONSE, False
    likely: Literal["applied"] | None = None
    problem = "is not as documented" if is_readable else "is not JSON"
    if is_readable:
        try:
            record = call.parse(answer.json)
            if call.ticket is None or _is_about(record, call.ticket):
                return AttemptResult(outcome=Outcome.APPLIED, record=record, status=status)
            problem, is_foreign = f"is about another ticket than {call.ticket}", True
        except Exception:  # any exception: the call was probably applied
            retry, likely = Retry.ON_NO_RESPONSE if call.repeatable else Retry.NEVER, "applied"
    redacted = answer.redacted(redact)
    message = f"the answer to {call.operation} {problem}; it begins with {_quoted(redacted.text, 80)}"
    error: MalformedResponseError | OutcomeUnknownError
    if call.repeatable:
        error = MalformedResponseError(message, body=redacted.content)
    else:
        error = OutcomeUnknownError(message, likely=likely, body=redacted.content)
    return AttemptResult(outcome=Outcome.UNKNOWN, error=error, retry=retry, status=status, must_close=is_foreign)


def _is_about(record: Any, ticket: str) -> bool:
    """Whether a record is about the ticket. Without a number or GUID to compare, return True."""
    if ticket.isdecimal():
        number = number_of((record.ticket_number if hasattr(record, "ticket_number") else record.number) or "")
        return not number.isdecimal() or int(number) == int(ticket)
    try:
        return record.ticket_id is None or UUID(record.ticket_id) == UUID(ticket)
    except ValueError:
        return True


class TicketNumbers:
    """The numbers of the last ``kept`` tickets of a client."""

    def __init__(self, kept: int = 10_000) -> None:
        self._kept = kept
        self._numbers: dict[str, None] = {}  # oldest first

    def add(self, number: str) -> bool:
        """Add the number of a new ticket. Return False if another ticket has this number."""
        plain = number.lstrip("0")
        if plain in self._numbers:
            return False
        self._numbers[plain] = None
        if len(self._numbers) > self._kept:
            del self._numbers[next(iter(self._numbers))]
        return True


def _status_error(
    kind: type[APIStatusError],
    status: int,
    headers: Mapping[str, str],
    answer: _Body,
    redact: Callable[[str], str],
    **about: Any,
) -> APIStatusError:
    answer = answer.redacted(redact)
    message = f"the service answered {status}"
    if 300 <= status < 400:
        location = redact(headers.get("location", ""))
        found = re.match(r"[a-z]+://(?:[^/?#@]*@)?([A-Za-z0-9.:-]{1,100})", location)
        target = f" to {found[1]}" if found else ""
        message += f", a redirect{target}. Redirects are not followed. Check base_url"
    elif answer.reason:
        message += f": {_quoted(answer.reason)}"
    if answer.exception_type:
        message += f" ({_quoted(answer.exception_type)})"
    if status == 401:
        message += ". Check the access key and the secret key"
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
    """Return the seconds of a Retry-After header. A value above 60 becomes 60.

    Returns None if the header is missing, invalid, in the past or more than an hour. A date is compared with the Date
    header of the response, because the clock of this machine may be wrong.
    """
    text = headers.get("retry-after", "").strip(" \t")
    if re.fullmatch(r"[0-9]{1,9}", text):
        seconds = float(text)
    else:
        try:
            moments = [parsedate_to_datetime(date) for date in (text, headers.get("date", ""))]
            # A date in asctime format has no zone and means UTC (RFC 9110).
            then, now = (moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in moments)
            seconds = (then - now).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(seconds, 60.0) if 0 <= seconds <= 3600 else None


@attrs.frozen
class _Body:
    """The decoded body of an answer."""

    json: Any
    text: str
    is_json: bool = attrs.field(kw_only=True)
    is_long: bool = attrs.field(kw_only=True)
    exception_type: str | None = attrs.field(default=None, kw_only=True)
    reports_failure: bool = attrs.field(default=False, kw_only=True)
    """Whether the JSON has a Status other than Success."""

    @classmethod
    def of(cls, body: bytes, *, is_error: bool) -> _Body:
        is_long = len(body) > MAX_ERROR
        try:
            if is_error and is_long:
                raise ValueError("it is cut")
            text = body.decode("utf-8-sig")
            value = (_slow_decoder if is_long else _decoder).decode(text)
            if text.count("[") + text.count("{") > _MAX_DEPTH:
                _check_depth(value)
            if _ESCAPED_SURROGATE.search(text):
                value = _without_surrogates(value)
        except Exception:  # including RecursionError and MemoryError
            # Only a part is decoded, because decoding blocks all threads.
            text = body[: MAX_ERROR + MAX_KEY].decode("utf-8-sig", errors="replace")
            return cls(None, text, is_json=False, is_long=is_long)
        named, status = (value.get("ExceptionType"), value.get("Status")) if isinstance(value, dict) else (None, None)
        return cls(
            value,
            text,
            is_json=True,
            is_long=is_long,
            exception_type=named if isinstance(named, str) and named else None,
            reports_failure=status not in (None, "") and str(status).casefold() != "success",
        )

    def redacted(self, redact: Callable[[str], str]) -> _Body:
        """Return the body without API keys. Then a long body is cut to 64 KiB (see ``MAX_KEY``)."""
        text = redact(self.text[: MAX_ERROR + MAX_KEY])
        if self.is_long:
            return _Body(None, text[:-MAX_KEY][:MAX_ERROR], is_json=False, is_long=False)
        return self if text == self.text else _Body.of(text.encode(), is_error=True)

    @property
    def content(self) -> Any:
        return self.json if self.is_json else self.text

    @property
    def message(self) -> str | None:
        """The message of an error, without lists of errors and general titles."""
        if isinstance(self.json, dict):
            return _message_in(self.json, _MESSAGES) or None
        text = self.text if not self.is_json else self.json if isinstance(self.json, str) else ""
        return text.strip() or None

    @property
    def reason(self) -> str | None:
        """The messages of an error, or else its title."""
        return (_message_in(self.json, _REASONS) or None) if isinstance(self.json, dict | list) else self.message

    def is_rate_limited(self, status: int) -> bool:
        if (self.exception_type or "").casefold() == _LIMIT_TYPE:
            return True
        # A receipt may quote the text of the rate limit. So a status below 400 needs another sign of an error.
        only_error = isinstance(self.json, str) or (
            isinstance(self.json, dict) and _ERROR_FIELDS.issuperset(map(str.casefold, self.json))
        )
        is_error = status >= 400 or not self.is_json or self.reports_failure or only_error
        return is_error and status not in _NOT_THE_LIMIT and self._limit_sentence() is not None

    def limit(self) -> tuple[int, int] | None:
        """Return the calls and the seconds that the rate-limit message names, or None."""
        sentence = self._limit_sentence()
        if sentence is None or not all(_COUNT.fullmatch(count) for count in sentence.group(1, 2)):
            return None
        calls, time = (int(count.replace(",", "")) for count in sentence.group(1, 2))
        return calls, time * _SECONDS[sentence[3].lower()]

    def _limit_sentence(self) -> re.Match[str] | None:
        is_limit_type = (self.exception_type or "").casefold() == _LIMIT_TYPE
        return (_LIMIT.search if is_limit_type else _LIMIT.match)((self.message or "")[:4096])


def _message_in(value: Any, names: tuple[str, ...], *, by_field: bool = False) -> str:
    """Return the messages in a text, list or object of an error."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return "; ".join(filter(None, (_message_in(part, names) for part in value)))
    if not isinstance(value, dict):
        return ""
    if by_field:
        messages = {name: _message_in(part, names) for name, part in value.items()}
        return "; ".join(f"{name}: {message}" for name, message in messages.items() if message)
    parts = {name.casefold(): part for name, part in value.items()}
    found = (_message_in(parts.get(name), names, by_field=name == "errors") for name in names)
    return next(filter(None, found), "")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_MAX_DEPTH + 1):  # Python limits the depth of recursion
        parents = [parent for parent in level if isinstance(parent, dict | list)]
        if not parents:
            return
        level = [child for parent in parents for child in (parent.values() if isinstance(parent, dict) else parent)]
    raise ValueError(f"nested deeper than {_MAX_DEPTH} levels")


def _without_surrogates(value: Any) -> Any:
    """Replace lone surrogates, which files and databases reject."""
    if isinstance(value, str):
        # Other threads can run between the parts.
        parts = (value[start : start + MAX_ERROR] for start in range(0, len(value), MAX_ERROR))
        return "".join(_SURROGATE.sub("\ufffd", part) for part in parts)
    if isinstance(value, list):
        return [_without_surrogates(part) for part in value]
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(part) for name, part in value.items()}
    return value


# NaN and numbers that overflow raise ValueError, like text that is not JSON.
_decoder = json.JSONDecoder(parse_float=finite, parse_int=finite_int, parse_constant=finite)
# Unlike the scanner in C, the scanner in Python lets other threads run.
_slow_decoder = json.JSONDecoder(parse_float=finite, parse_int=finite_int, parse_constant=finite)
_slow_decoder.scan_once = py_make_scanner(_slow_decoder)  # type: ignore[attr-defined]  # is not in typeshed
