"""What an exception of httpx, h11, TLS or the file system says of an attempt: the one place that translates them."""

from __future__ import annotations

import ssl
import zlib
from typing import Any

import httpx

from .._wire import AttemptResult, Call, Outcome, Retry
from ..config import Config
from ..errors import LSQServiceError, MalformedResponseError, NotSentError, OutcomeUnknownError
from .exchange import UntrustworthyAnswerError
from .reading import BodyFailedError
from .scrub import as_cause, links, redact

_NEVER_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class ClientClosedError(Exception):
    """The client was closed while a send was under way."""


def verdict_of(error: Exception, call: Call[Any], config: Config, *, handed_over: bool) -> AttemptResult[Any]:
    """Before its last byte was handed over, a request cannot have been applied; after that, nobody knows."""
    tls = next((link for link in links(error) if _is_refusal_of_tls(link)), None)
    why = _words(error, config) if tls is None else _words(tls, config)
    verdict = _verdict_of(error, call, why, tls_failed=tls is not None, handed_over=handed_over)
    assert verdict.error is not None  # noqa: S101 -- for mypy: a failure has an error
    verdict.error.__cause__ = as_cause(config, error)
    return verdict


def _verdict_of(
    error: Exception, call: Call[Any], why: str, *, tls_failed: bool, handed_over: bool
) -> AttemptResult[Any]:
    if isinstance(error, BodyFailedError):
        return _not_sent(f"nothing was applied, as the request was not sent whole: {why}", Retry.NEVER)
    if isinstance(error, ClientClosedError) and not handed_over:
        return _not_sent("the client was closed before the request was sent", Retry.NEVER)
    if tls_failed and isinstance(error, httpx.ConnectError):
        return _not_sent(f"TLS failed, so nothing was sent: {why}", Retry.NEVER)
    if isinstance(error, httpx.UnsupportedProtocol) or (isinstance(error, RuntimeError) and not handed_over):
        return _not_sent(f"nothing was sent: {why}", Retry.NEVER)
    if isinstance(error, _NEVER_CONNECTED):
        return _not_sent(f"no connection to the service, so nothing was sent: {why}", Retry.ALWAYS)
    if not handed_over:
        what = "perhaps the request is too large: " if call.attachments else ""
        return _not_sent(f"the connection broke before the whole request was sent; {what}{why}", Retry.ALWAYS)
    return _unanswered(error, call, why)


def broken(error: Exception, call: Call[Any], *, handed_over: bool) -> AttemptResult[Any]:
    """The verdict of an attempt in which something failed besides the network: this package, a limiter or a hook of
    the caller. The error is only named: its text and its frames may hold anything."""
    name = type(error).__name__
    if handed_over:
        return AttemptResult(outcome=Outcome.UNKNOWN, error=unanswered(call, f"this client failed with {name}"))
    return _not_sent(f"this client failed with {name}; nothing was applied", Retry.NEVER)


def overdue(call: Call[Any], *, handed_over: bool) -> AttemptResult[Any]:
    """The verdict of a send whose caller's deadline passed: a body that was not handed over whole never will be."""
    if handed_over:
        return AttemptResult(
            outcome=Outcome.UNKNOWN, error=unanswered(call, "the deadline passed before its answer came")
        )
    early = NotSentError("the deadline passed before the request was sent whole; nothing was applied")
    return AttemptResult(outcome=Outcome.NOT_APPLIED, error=early)


def unanswered(call: Call[Any], why: str) -> LSQServiceError:
    """The error of a call that was sent whole and whose answer nobody has."""
    safe = call.repeatable
    what = "a repeat changes nothing" if safe else "it may have been applied; look before you repeat it"
    return OutcomeUnknownError(f"{call.operation} was sent, but {why}: {what}", safe_to_repeat=safe)


def _is_refusal_of_tls(error: BaseException) -> bool:
    """A failed check; a connection that merely ended in the middle of a handshake may be made the next time."""
    ended = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
    return isinstance(error, ssl.SSLError) and not isinstance(error, ended)


def _not_sent(message: str, retry: Retry) -> AttemptResult[Any]:
    return AttemptResult(outcome=Outcome.NOT_APPLIED, error=NotSentError(message), retry=retry)


def _unanswered(error: Exception, call: Call[Any], why: str) -> AttemptResult[Any]:
    unreadable = isinstance(error, UntrustworthyAnswerError | zlib.error | httpx.DecodingError)
    result = unanswered(call, f"its answer could not be used ({why})" if unreadable else f"no answer came ({why})")
    if unreadable and call.repeatable:
        result = MalformedResponseError(f"the answer to {call.operation} could not be used: {why}")
    final = isinstance(error, UntrustworthyAnswerError | ClientClosedError)
    retry = Retry.NEVER if final else Retry.ON_NO_RESPONSE
    return AttemptResult(outcome=Outcome.UNKNOWN, error=result, retry=retry)


def _words(error: BaseException, config: Config) -> str:
    """Class and text of an exception: redacted first, then escaped and cut."""
    text = redact(config, str(error))
    if isinstance(error, BodyFailedError):
        return text
    text = ascii(text)[1:-1][:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
