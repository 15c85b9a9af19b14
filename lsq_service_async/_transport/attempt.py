"""Makes one attempt: an HTTP request, its response, and the translation of failures. Only this module sends keys."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import formatdate
from functools import lru_cache
from typing import Any, cast

import attrs
import httpx

from .._wire import (
    MAX_ERROR,
    MAX_KEY,
    Api,
    AttemptResult,
    Idempotency,
    Outcome,
    Retry,
    TicketNumbers,
    parse_response,
)
from ..config import Config, is_loopback
from ..errors import (
    LSQServiceError,
    MalformedResponseError,
    NoAnswerError,
    NotSentError,
    OutcomeUnknownError,
    printable,
)
from ..events import AttemptStarted
from .context import CallContext
from .redact import Redactor
from .response_body import ResponseRejectedError, read_body, read_in_steps
from .upload import BodyFailedError

_log = logging.getLogger("lsq_service_async")
_url = lru_cache(maxsize=32)(httpx.URL)  # parsing a URL takes long, and most creates have the same one
_KEY_HEADERS = {
    Api.TENANT: ("X-LSQ-ACCESS-KEY", "X-LSQ-SECRET-KEY"),
    Api.METADATA: ("X-LSQ-ACCESS-KEY", "X-LSQ-SECRET-KEY"),
    Api.LEADS: ("x-LSQ-AccessKey", "x-LSQ-SecretKey"),
}
_NEVER_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# Refusals after which another attempt may succeed: the status of an HTTP proxy, and httpcore's text for a SOCKS proxy.
_PROXY_FAILURE = re.compile(r"(408|425|429|50[0234]) |Proxy Server could not connect(?!.*not (allowed|supported))")
_TLS_EOF = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)  # the next handshake may succeed


class LeaseEndedError(Exception):
    """The process was suspended until its slot for the attempt expired."""


class HttpSender:
    """Sends the requests of a client over httpx, one for each call of `send`.

    ``interruptible`` has the tasks that send a request or read its response. The others must not be cancelled: a task
    that is cancelled while it closes a response can leak its connection (httpx 0.28).
    """

    def __init__(
        self,
        config: Config,
        http: httpx.AsyncClient,
        user_agent: str,
        proxies: Mapping[str, httpx.Proxy],
        *,
        keeps_headers: bool,
    ) -> None:
        self.interruptible: set[asyncio.Task[Any]] = set()
        self._config = config
        self._redact = Redactor(config.access_key, config.secret_key)
        self._http = http
        self._keeps_headers = keeps_headers  # even those of a successful response, for the hooks
        self._numbers = TicketNumbers()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lsq_service_async decode")
        origins = {Api.TENANT: config.base_url, Api.METADATA: config.metadata_url, Api.LEADS: config.leads_url}
        self._urls = {api: origin + ("" if api is Api.LEADS else config.tenant_path) for api, origin in origins.items()}
        self._hosts = {api: httpx.URL(origin) for api, origin in origins.items()}
        common = [(b"User-Agent", user_agent.encode()), (b"Accept", b"application/json"), (b"Accept-Encoding", b"gzip")]
        self._common_headers = {api: [(b"Host", host.netloc), *common] for api, host in self._hosts.items()}
        # For messages, without the user and password. The proxies of a caller's own client are not known.
        self._proxies = {api: f" {proxies[origin].url}" for api, origin in origins.items() if origin in proxies}

    async def send(self, context: CallContext) -> AttemptResult[Any]:
        """Make one attempt. A failure of the network, TLS, a file or the service is returned, not raised."""
        try:
            result = await self._exchange(context)
        except LeaseEndedError:
            context.is_lease_ended = True
            reason = "The process was suspended before the request was sent, and its slot expired. Nothing was applied."
            return AttemptResult(outcome=Outcome.NOT_APPLIED, error=NotSentError(reason))
        except Exception as error:
            result = self._failure(context, error)
        except asyncio.CancelledError:
            return unfinished_result(context, "the client was closed")
        except BaseException as error:
            _drop_frames(error)
            raise
        if result.error is not None:
            result.error.headers = context.headers
        return result

    def started(self, context: CallContext, queued: float) -> AttemptStarted:
        """Return the event for an attempt that starts now."""
        call, url = context.call, self._hosts[context.call.api]
        template = call.template or (call.path if call.documented else None)
        if template is not None and call.api is not Api.LEADS:
            template = f"/api/tenants/{{org_id}}{template}"
        return AttemptStarted(
            reference=context.reference,
            operation=call.operation,
            number=context.number,
            queued=queued,
            method=call.method,
            host=url.host,
            port=url.port or (443 if url.scheme == "https" else 80),
            path_template=template,
        )

    async def _exchange(self, context: CallContext) -> AttemptResult[Any]:
        clock, timeout = context.clock, context.options.timeout
        timer = asyncio.timeout(None)
        request = self._request(context, timer)
        access, secret = _KEY_HEADERS[context.call.api]
        response, result, task = None, None, cast("asyncio.Task[Any]", asyncio.current_task())
        self.interruptible.add(task)
        try:
            try:
                request.headers[access] = self._config.access_key.reveal()
                request.headers[secret] = self._config.secret_key.reveal()
                _check_lease(context)  # here too, because some transports report no events
                async with timer:
                    response = await self._http.send(request, auth=None, follow_redirects=False, stream=True)
            except httpx.HTTPStatusError as error:
                response = error.response  # a response hook of the caller's client raised it
            except (httpx.ReadTimeout, httpx.WriteTimeout, TimeoutError):
                context.silence = clock() - context.sent_at
                raise
            finally:
                del request.headers[access], request.headers[secret]
            context.silence = None
            response.next_request = None  # httpx would copy the keys to the target of a redirect
            until = timer.when() or clock() + timeout
            # httpx reads this before the body: no single read may take longer than is left for the whole response.
            request.extensions["timeout"]["read"] = max(until - clock(), 0.001)
            result = await self._parse(context, response, await read_body(context, response, until))
            if result.must_close and response.http_version != "HTTP/2":  # HTTP/2: other calls use the connection too
                with suppress(Exception):
                    await response.extensions["network_stream"].aclose()
            return result
        finally:
            self.interruptible.discard(task)
            if context.call.attachments:
                await context.body.aclose()
            if response is not None:
                if self._keeps_headers or result is None or result.error is not None:
                    context.headers = self._headers(response)
                await response.aclose()

    def _headers(self, response: httpx.Response) -> Mapping[str, str]:
        """Return the headers of a response in a printable form, without API keys and cookies."""
        lines = []
        for name, value in response.headers.multi_items():
            shown = "***" if name.lower() == "set-cookie" else value
            lines.append(printable(f"{name}: {shown}"))
        parts = (line.partition(": ") for line in self._redact("\n".join(lines)).split("\n"))
        return httpx.Headers([(name.encode(), value.encode()) for name, _, value in parts if name])

    async def _parse(self, context: CallContext, response: httpx.Response, body: bytes) -> AttemptResult[Any]:
        """Return the result of a response. An answer that takes long to decode is decoded in a thread."""
        call, headers = context.call, dict(response.headers.items())
        if "retry-after" in headers:
            headers.setdefault("date", formatdate(usegmt=True))  # RFC 9110, 6.6.1: the time of arrival
        about = call, response.status_code, headers, body, self._redact
        if len(body) <= MAX_ERROR + MAX_KEY:
            result = parse_response(*about)
        else:
            result = await asyncio.get_running_loop().run_in_executor(self._thread, parse_response, *about)
        if call.create is None or result.record is None or self._numbers.add(result.record.number):
            return result
        # A proxy may have mixed up the answers.
        reason = (
            f"it was answered with the number of another ticket that this client created, {result.record.number:.40}"
        )
        if is_loopback(httpx.URL(self._config.base_url).host):
            reason += " (a likely cause is that the emulator was restarted: make a new client)"
        error = _unanswered(context, reason)
        return AttemptResult(outcome=Outcome.UNKNOWN, error=error, status=result.status, must_close=True)

    def _request(self, context: CallContext, timer: asyncio.Timeout) -> httpx.Request:
        """Build a request. `build_request` of the client would add the client's own headers, cookies and parameters."""
        call, body = context.call, context.body
        text = self._urls[call.api] + call.path
        url = httpx.URL(text, params=call.params) if call.params else _url(text)
        headers = self._common_headers[call.api].copy()
        if call.method != "GET" or body.length:
            headers.append((b"Content-Length", b"%d" % body.length))
        if body.content_type is not None:
            headers.append((b"Content-Type", body.content_type.encode()))
        stream = _Transmission(context, timer)
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), context.options.timeout)
        extensions = {"timeout": timeout, "trace": stream.trace}
        return httpx.Request(call.method, url, headers=headers, stream=stream, extensions=extensions)

    def _failure(self, context: CallContext, error: Exception) -> AttemptResult[Any]:
        """Translate an exception of httpx, h11, TLS or the file system into the result of the attempt."""
        call, links = context.call, _drop_frames(error)
        tls = next((link for link in links if isinstance(link, ssl.SSLError) and not isinstance(link, _TLS_EOF)), None)
        text = self._redact(str(tls or error))  # in full, because a key that was cut would not be found
        if isinstance(error, ResponseRejectedError):
            text = printable(text, 200)
        elif not isinstance(error, BodyFailedError):
            text = f"{type(tls or error).__name__}: {printable(text, 200)}".removesuffix(": ")
        is_rejected = isinstance(error, ResponseRejectedError) or "buffer too long" in text  # h11: 100 KB of headers
        failure: LSQServiceError
        if (not_sent := _not_sent(context, error, self._proxies.get(call.api), is_tls=tls is not None)) is not None:
            reason, retry = not_sent
            failure, outcome = NotSentError(f"{reason}: {text}. Nothing was applied."), Outcome.NOT_APPLIED
        else:
            retry, outcome = Retry.NEVER if is_rejected else Retry.ON_NO_RESPONSE, Outcome.UNKNOWN
            if not is_rejected and not isinstance(error, zlib.error | httpx.DecodingError):
                failure = _unanswered(context, f"no response arrived ({text})")
            elif call.repeatable:
                failure = MalformedResponseError(f"The response to {call.operation} cannot be used: {text}.")
            else:
                failure = _unanswered(context, f"its response cannot be used ({text})")
        shown = "".join(f"{link} {link!r} {vars(link)!r} " for link in links)
        # An exception is not kept as the cause if it, or one that it is linked to, quotes a key.
        failure.__cause__ = error if self._redact(shown) == shown else None
        return AttemptResult(outcome=outcome, error=failure, retry=retry)


@attrs.frozen(eq=False)
class _Transmission(httpx.AsyncByteStream):
    """Passes a body to the connection, and records the progress in the context.

    ``timer`` starts with the last bytes, and limits the wait for the response.
    """

    context: CallContext
    timer: asyncio.Timeout

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Check the lease and the caller just before the first byte, and make new connections read in small steps.

        If there is no body, start the timer after the headers: over HTTP/2, httpx does not iterate an empty body.
        """
        if event.endswith("send_request_headers.started"):
            _check_lease(self.context)
            if self.context.abandoned:
                raise BodyFailedError("the caller stopped waiting")
        elif event.endswith("send_request_headers.complete") and not self.context.body.length:
            self.context.is_started = True
            self.timer.reschedule(self.context.clock() + self.context.options.timeout)
        elif event.endswith(("connect_tcp.complete", "start_tls.complete")):
            with suppress(AttributeError):  # the stream of a caller's transport may have read-only attributes
                read_in_steps(info["return_value"])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        context, sent, timeout = self.context, 0, self.context.options.timeout
        context.is_started = True
        if context.fully_sent:  # there is no body
            self.timer.reschedule(context.clock() + timeout)
        async for chunk in context.body:
            if context.abandoned:
                raise BodyFailedError("the caller stopped waiting")
            sent += len(chunk)
            if sent == context.body.length:
                context.fully_sent = True
                self.timer.reschedule(context.clock() + timeout)
            yield chunk
            if context.call.progress is not None and sent > context.progress:
                context.progress = sent
                try:
                    context.call.progress(sent, context.body.length)
                except (Exception, asyncio.CancelledError) as error:
                    context.progress = context.body.length  # so that it is not called again
                    with suppress(Exception):
                        text = "A progress callback raised %s. It is not called again for this call."
                        _log.error(text, printable(repr(error), 300))


def _check_lease(context: CallContext) -> None:
    is_valid = getattr(context.slot, "is_valid", None)  # a slot that the caller has wrapped may have no such method
    if is_valid is not None and not is_valid():
        raise LeaseEndedError
    context.sent_at = context.clock()


def _not_sent(context: CallContext, error: Exception, proxy: str | None, *, is_tls: bool) -> tuple[str, Retry] | None:
    """Return the reason and the retry rule if the service cannot have received the whole request, else None.

    A request is not applied before its last byte was sent, because its Content-Length announces more bytes.
    """
    if isinstance(error, BodyFailedError):
        return "The request was not sent in full", Retry.NEVER
    if is_tls and isinstance(error, httpx.ConnectError):
        return "TLS failed", Retry.NEVER
    if isinstance(error, httpx.UnsupportedProtocol) or (isinstance(error, RuntimeError) and not context.fully_sent):
        return "The request could not be sent", Retry.NEVER
    if isinstance(error, httpx.ProxyError):
        retry = Retry.ALWAYS if _PROXY_FAILURE.match(str(error)) else Retry.NEVER
        return f"The proxy{proxy or ''} refused the connection", retry
    if isinstance(error, _NEVER_CONNECTED):
        return f"No connection to the service{(proxy and f' through the proxy{proxy}') or ''}", Retry.ALWAYS
    if context.fully_sent:
        return None
    hint = " (perhaps the request is too large)" if context.call.attachments else ""
    return f"The connection broke before the request was sent in full{hint}", Retry.ALWAYS


def unfinished_result(context: CallContext, reason: str) -> AttemptResult[Any]:
    """Return the final result of an attempt that ended, for this ``reason``, before its response was read."""
    outcome = Outcome.UNKNOWN if context.fully_sent else Outcome.NOT_APPLIED
    return AttemptResult(outcome=outcome, error=unfinished(context, reason))


def unfinished(context: CallContext, reason: str) -> LSQServiceError:
    """Return the error of an attempt that ended before its response was read."""
    if context.fully_sent:
        return _unanswered(context, f"{reason} before its response was read")
    return NotSentError(f"{reason[0].upper()}{reason[1:]} before the request was sent in full. Nothing was applied.")


def _unanswered(context: CallContext, reason: str) -> LSQServiceError:
    """Return the error of a request that was sent and has no usable response."""
    call, safe = context.call, context.call.repeatable
    advice = "It is safe to repeat." if safe else "It may have been applied: check before you repeat it."
    text = f"{call.operation} was sent, but {reason}. {advice}"
    is_read = call.idempotency is Idempotency.SAFE
    return NoAnswerError(text) if is_read else OutcomeUnknownError(text, safe_to_repeat=safe)


def _drop_frames(error: BaseException) -> list[BaseException]:
    """Drop the frames of an exception and of its linked exceptions: local variables may hold a request's headers.

    Return the exception, its causes, its contexts and the members of groups, each once.
    """
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and not any(link is known for known in found):
            link.__traceback__ = None
            found.append(link)
            waiting += [*getattr(link, "exceptions", ()), link.__context__, link.__cause__]
    return found
