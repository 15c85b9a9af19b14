"""What an exception of httpx, h11, TLS or the file system says of an attempt: the one place that translates them."""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Iterator
from typing import Any

import httpx

from .._wire import Call, Kind, Outcome, Repeat, Verdict
from ..errors import LSQServiceError, MalformedResponseError, NotSentError, OutcomeUnknownError
from .exchange import UntrustworthyAnswerError
from .reading import BodyFailedError

_NEVER_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class ClientClosedError(Exception):
    """The client was closed while a send was under way."""


def verdict_of(error: Exception, call: Call[Any], *, handed_over: bool) -> Verdict[Any]:
    """Before its last byte was handed over, a request cannot have been applied; after that, nobody knows."""
    if isinstance(error, BodyFailedError):
        return _not_sent(f"nothing was applied, as the request was not sent whole: {error}", error, Repeat.NEVER)
    if isinstance(error, ClientClosedError) and not handed_over:
        return _not_sent("the client was closed before the request was sent", error, Repeat.NEVER)
    tls = next((link for link in _chain(error) if _is_refusal_of_tls(link)), None)
    if tls is not None and isinstance(error, httpx.ConnectError):
        return _not_sent(f"TLS failed, so nothing was sent: {_words(tls)}", error, Repeat.NEVER)
    if isinstance(error, httpx.UnsupportedProtocol) or (isinstance(error, RuntimeError) and not handed_over):
        return _not_sent(f"nothing was sent: {_words(error)}", error, Repeat.NEVER)
    if isinstance(error, _NEVER_CONNECTED):
        return _not_sent(f"no connection to the service, so nothing was sent: {_words(error)}", error, Repeat.ALWAYS)
    if not handed_over:
        what = "perhaps the request is too large: " if call.attachments else ""
        return _not_sent(f"the connection broke before the whole request was sent; {what}{_words(error)}", error)
    return _unanswered(error, call)


def overdue(call: Call[Any], *, handed_over: bool) -> Verdict[Any]:
    """The verdict of a send whose caller's deadline passed: a body that was not handed over whole never will be."""
    if handed_over:
        return Verdict(outcome=Outcome.UNKNOWN, error=unanswered(call, "the deadline passed before its answer came"))
    early = NotSentError("the deadline passed before the request was sent whole; nothing was applied")
    return Verdict(outcome=Outcome.NOT_APPLIED, error=early)


def unanswered(call: Call[Any], why: str) -> LSQServiceError:
    """The error of a call that was sent whole and whose answer nobody has."""
    safe = call.kind is not Kind.CREATE
    what = "a repeat changes nothing" if safe else "it may have been applied; look before you repeat it"
    return OutcomeUnknownError(f"{call.operation} was sent, but {why}: {what}", safe_to_repeat=safe)


def _is_refusal_of_tls(error: BaseException) -> bool:
    """A failed check; a connection that merely ended in the middle of a handshake may be made the next time."""
    ended = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
    return isinstance(error, ssl.SSLError) and not isinstance(error, ended)


def _not_sent(message: str, error: Exception, repeat: Repeat = Repeat.ALWAYS) -> Verdict[Any]:
    return Verdict(outcome=Outcome.NOT_APPLIED, error=_caused(NotSentError(message), error), repeat=repeat)


def _unanswered(error: Exception, call: Call[Any]) -> Verdict[Any]:
    unreadable = isinstance(error, UntrustworthyAnswerError | zlib.error | httpx.DecodingError)
    why = f"its answer could not be used ({_words(error)})" if unreadable else f"no answer came ({_words(error)})"
    result = unanswered(call, why)
    if unreadable and call.kind is not Kind.CREATE:
        result = MalformedResponseError(f"the answer to {call.operation} could not be used: {_words(error)}")
    final = isinstance(error, UntrustworthyAnswerError | ClientClosedError)
    repeat = Repeat.NEVER if final else Repeat.UNANSWERED
    return Verdict(outcome=Outcome.UNKNOWN, error=_caused(result, error), repeat=repeat)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {ascii(str(error))[1:-1][:200]}" if str(error) else type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while error is not None and (seen := seen + 1) < 20:
        yield error
        error = error.__cause__ or error.__context__


def _caused(result: LSQServiceError, error: Exception) -> LSQServiceError:
    """Keep the foreign error as the cause, without its frames: their locals hold the request's headers."""
    for link in _chain(error):
        link.__traceback__ = None
    result.__cause__ = error
    return result
