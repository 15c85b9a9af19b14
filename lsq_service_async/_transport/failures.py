"""The result of an attempt that has no usable response, or whose request was not sent in full."""

from __future__ import annotations

import re
import ssl
import zlib
from typing import Any

import httpx

from .._wire import AttemptResult, Idempotency, Outcome, Retry
from ..errors import (
    LSQServiceError,
    MalformedResponseError,
    NoAnswerError,
    NotSentError,
    OutcomeUnknownError,
    printable,
)
from .context import CallContext
from .redact import Redactor
from .response_body import ResponseRejectedError
from .upload import BodyFailedError

_NEVER_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# Another attempt may succeed after these errors of an HTTP proxy (the text begins with the status) or a SOCKS proxy.
_PROXY_FAILURE = re.compile(r"(408|425|429|50[0234]) |Proxy Server could not connect(?!.*not (allowed|supported))")
# These errors mean that the connection failed, not TLS. The next handshake may succeed.
_NO_TLS_FAILURE = (
    ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError, ssl.SSLWantReadError, ssl.SSLWantWriteError
)  # fmt: skip


def failed_result(context: CallContext, error: Exception, redact: Redactor, proxy: str) -> AttemptResult[Any]:
    """Convert an exception of httpx, h11, TLS or the file system to the result of the attempt."""
    call, links = context.call, drop_frames(error)
    in_tls = (link for link in links if isinstance(link, ssl.SSLError))
    tls = next((link for link in in_tls if not isinstance(link, _NO_TLS_FAILURE)), None)
    text = redact(str(tls or error))  # not cut yet: the redactor does not find a part of a key
    if isinstance(error, ResponseRejectedError):
        text = printable(text, 200)
    elif not isinstance(error, BodyFailedError):
        text = f"{type(tls or error).__name__}: {printable(text, 200)}".removesuffix(": ")
    is_rejected = isinstance(error, ResponseRejectedError) or "buffer too long" in text  # h11: headers over 100 KB
    failure: LSQServiceError
    if (not_sent := _not_sent(context, error, proxy, is_tls=tls is not None)) is not None:
        reason, retry = not_sent
        failure, outcome = NotSentError(f"{reason}: {text}. Nothing was applied."), Outcome.NOT_APPLIED
    else:
        retry, outcome = Retry.NEVER if is_rejected else Retry.ON_NO_RESPONSE, Outcome.UNKNOWN
        if not is_rejected and not isinstance(error, zlib.error | httpx.DecodingError):
            failure = unanswered(context, f"no response arrived ({text})")
        elif call.repeatable:
            failure = MalformedResponseError(f"The response to {call.operation} cannot be used: {text}.")
        else:
            failure = unanswered(context, f"its response cannot be used ({text})")
    shown = "".join(f"{link} {link!r} {vars(link)!r} " for link in links)
    # An exception with an API key must not become the cause.
    failure.__cause__ = error if redact(shown) == shown else None
    return AttemptResult(outcome=outcome, error=failure, retry=retry)


def _not_sent(context: CallContext, error: Exception, proxy: str, *, is_tls: bool) -> tuple[str, Retry] | None:
    """Return the reason and the retry rule of a request that was not sent in full, or None.

    The service cannot apply a request before the last byte arrives, because Content-Length announces the length.
    """
    if isinstance(error, BodyFailedError):
        return "The request was not sent in full", Retry.NEVER
    if is_tls and isinstance(error, httpx.ConnectError):
        return "TLS failed", Retry.NEVER
    if isinstance(error, httpx.UnsupportedProtocol) or (isinstance(error, RuntimeError) and not context.fully_sent):
        return "The request could not be sent", Retry.NEVER
    if isinstance(error, httpx.ProxyError):
        retry = Retry.ALWAYS if _PROXY_FAILURE.match(str(error)) else Retry.NEVER
        return f"The proxy{proxy} refused the connection", retry
    if isinstance(error, _NEVER_CONNECTED):
        return f"No connection to the service{proxy and f' through the proxy{proxy}'}", Retry.ALWAYS
    if context.fully_sent:
        return None
    hint = " (perhaps the request is too large)" if context.call.attachments else ""
    return f"The connection broke before the request was sent in full{hint}", Retry.ALWAYS


def unfinished_result(context: CallContext, reason: str) -> AttemptResult[Any]:
    """Return the result of an attempt that ended before its response was read."""
    outcome = Outcome.UNKNOWN if context.fully_sent else Outcome.NOT_APPLIED
    return AttemptResult(outcome=outcome, error=unfinished(context, reason))


def unfinished(context: CallContext, reason: str) -> LSQServiceError:
    """Return the error of an attempt without a complete response. ``reason`` is a clause: "the deadline passed"."""
    if context.fully_sent:
        return unanswered(context, f"{reason} before its response was read")
    return NotSentError(f"{reason[0].upper()}{reason[1:]} before the request was sent in full. Nothing was applied.")


def unanswered(context: CallContext, reason: str) -> LSQServiceError:
    """Return the error of a request that was sent and has no usable response."""
    call, safe = context.call, context.call.repeatable
    advice = "It is safe to repeat." if safe else "It may have been applied: check before you repeat it."
    text = f"{call.operation} was sent, but {reason}. {advice}"
    is_read = call.idempotency is Idempotency.SAFE
    return NoAnswerError(text) if is_read else OutcomeUnknownError(text, safe_to_repeat=safe)


def drop_frames(error: BaseException) -> list[BaseException]:
    """Return an exception and all linked exceptions without their frames, which may hold the API keys."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and not any(link is known for known in found):
            link.__traceback__ = None
            found.append(link)
            waiting += [*getattr(link, "exceptions", ()), link.__context__, link.__cause__]
    return found
