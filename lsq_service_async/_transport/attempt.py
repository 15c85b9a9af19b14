"""Makes one attempt: an HTTP request and its response. Only this module adds the API keys to a request."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import formatdate
from functools import lru_cache
from typing import Any, cast

import httpx

from .._logging import logger
from .._wire import MAX_ERROR, MAX_KEY, Api, AttemptResult, Outcome, Retry, TicketNumbers, parse_response
from ..config import Config, is_loopback
from ..errors import NotSentError, printable
from ..events import AttemptStarted
from .context import CallContext
from .failures import drop_frames, failed_result, unanswered, unfinished_result
from .redact import Redactor
from .response_body import read_body, read_in_steps
from .upload import WRITE_SIZE, BodyFailedError, FileReader, multipart

_url = lru_cache(maxsize=32)(httpx.URL)  # parsing a URL is slow
_KEY_HEADERS = {
    Api.TENANT: ("X-LSQ-ACCESS-KEY", "X-LSQ-SECRET-KEY"),
    Api.METADATA: ("X-LSQ-ACCESS-KEY", "X-LSQ-SECRET-KEY"),
    Api.LEADS: ("x-LSQ-AccessKey", "x-LSQ-SecretKey"),
}


class LeaseEndedError(Exception):
    """The slot expired before the request was sent, because the process was suspended."""


class HttpSender:
    """Sends requests with httpx.

    Cancel only the tasks in ``interruptible``: with httpx 0.28, a task that is cancelled while it closes a response can
    leak the connection.
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
        self._keeps_headers = keeps_headers  # headers of successful responses, for the hooks
        self._numbers = TicketNumbers()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lsq_service_async decode")
        origins = {Api.TENANT: config.base_url, Api.METADATA: config.metadata_url, Api.LEADS: config.leads_url}
        self._urls = {api: origin + ("" if api is Api.LEADS else config.tenant_path) for api, origin in origins.items()}
        self._hosts = {api: httpx.URL(origin) for api, origin in origins.items()}
        common = [(b"User-Agent", user_agent.encode()), (b"Accept", b"application/json"), (b"Accept-Encoding", b"gzip")]
        self._common_headers = {api: [(b"Host", host.netloc), *common] for api, host in self._hosts.items()}
        # For error messages: the proxy URLs without user and password.
        self._proxies = {api: f" {proxies[origin].url}" for api, origin in origins.items() if origin in proxies}

    async def send(self, context: CallContext) -> AttemptResult[Any]:
        """Make one attempt. A failure of the network, TLS, a file or the service is returned, not raised."""
        try:
            result = await self._exchange(context)
        except LeaseEndedError:
            reason = "The process was suspended before the request was sent, and the slot expired. Nothing was applied."
            return AttemptResult(outcome=Outcome.NOT_APPLIED, error=NotSentError(reason), retry=Retry.AT_ONCE)
        except Exception as error:
            result = failed_result(context, error, self._redact, self._proxies.get(context.call.api, ""))
        except asyncio.CancelledError:
            return unfinished_result(context, "the client was closed")
        except BaseException as error:
            drop_frames(error)
            raise
        if result.error is not None:
            result.error.headers = context.headers
        return result

    def started(self, context: CallContext, queued: float) -> AttemptStarted:
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
        body = RequestBody(context, timer, hash_files=self._config.attachment_digests)
        request = self._request(context, body)
        access, secret = _KEY_HEADERS[context.call.api]
        response, result, task = None, None, cast("asyncio.Task[Any]", asyncio.current_task())
        self.interruptible.add(task)
        try:
            try:
                request.headers[access] = self._config.access_key.reveal()
                request.headers[secret] = self._config.secret_key.reveal()
                _check_lease(context)  # also here, because some transports do not call `trace`
                context.fully_sent = context.fully_sent and not self._http.is_closed
                async with timer:
                    response = await self._http.send(request, auth=None, follow_redirects=False, stream=True)
            except httpx.HTTPStatusError as error:
                if (error.request.method, error.request.url) != (request.method, request.url):
                    raise  # a hook of the caller's client made this other request
                response = error.response  # raised by a response hook of the caller's client
            except (httpx.ReadTimeout, httpx.WriteTimeout, TimeoutError):
                context.silence = clock() - context.sent_at
                raise
            finally:
                del request.headers[access], request.headers[secret]
            context.silence = None
            if getattr(response.extensions.get("network_stream"), "last_read", math.inf) < context.sent_at:
                raise httpx.RemoteProtocolError("the connection already held a response when the request was sent")
            response.next_request = None  # after a redirect, `next_request` has the keys
            until = timer.when() or clock() + timeout
            # The read timeout of httpx is disabled, because `read_body` has its own.
            request.extensions["timeout"]["read"] = None
            result = await self._parse(context, response, await read_body(context, response, until))
            if result.must_close and response.http_version != "HTTP/2":  # HTTP/2: other calls use the connection too
                with suppress(Exception):
                    await response.extensions["network_stream"].aclose()
            return result
        finally:
            self.interruptible.discard(task)
            if context.call.attachments:
                await body.aclose()
            if response is not None:
                if self._keeps_headers or result is None or result.error is not None:
                    context.headers = self._headers(response)
                await response.aclose()

    def _headers(self, response: httpx.Response) -> Mapping[str, str]:
        """Return the printable headers of a response, without API keys and cookies."""
        lines = []
        for name, value in response.headers.multi_items():
            shown = "***" if name.lower() == "set-cookie" else value
            lines.append(printable(f"{name}: {shown}"))
        parts = (line.partition(": ") for line in self._redact("\n".join(lines)).split("\n"))
        return httpx.Headers([(name.encode(), value.encode()) for name, _, value in parts if name])

    async def _parse(self, context: CallContext, response: httpx.Response, body: bytes) -> AttemptResult[Any]:
        """Return the result of a response. A long answer is decoded in a thread."""
        call, headers = context.call, dict(response.headers.items())
        if "retry-after" in headers:
            headers.setdefault("date", formatdate(usegmt=True))  # RFC 9110, 6.6.1
        about = call, response.status_code, headers, body, self._redact
        if len(body) <= MAX_ERROR + MAX_KEY:
            result = parse_response(*about)
        else:
            result = await asyncio.get_running_loop().run_in_executor(self._thread, parse_response, *about)
        if call.create is None or result.record is None or self._numbers.add(result.record.number):
            return result
        # A proxy may have mixed up two answers.
        reason = (
            f"it was answered with the number of another ticket that this client created, {result.record.number:.40}"
        )
        if is_loopback(httpx.URL(self._config.base_url).host):
            reason += " (a likely cause is that the emulator was restarted: make a new client)"
        error = unanswered(context, reason)
        return AttemptResult(outcome=Outcome.UNKNOWN, error=error, status=result.status, must_close=True)

    def _request(self, context: CallContext, body: RequestBody) -> httpx.Request:
        """Build a request without the headers, cookies and parameters that httpx would add."""
        call = context.call
        text = self._urls[call.api] + call.path
        url = httpx.URL(text, params=call.params) if call.params else _url(text)
        headers = self._common_headers[call.api].copy()
        if call.method != "GET" or body.length:
            headers.append((b"Content-Length", b"%d" % body.length))
        if body.content_type is not None:
            headers.append((b"Content-Type", body.content_type.encode()))
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), context.options.timeout)
        extensions = {"timeout": timeout, "trace": body.trace}
        return httpx.Request(call.method, url, headers=headers, stream=body, extensions=extensions)


class RequestBody(httpx.AsyncByteStream):
    """The body of one attempt. ``timer`` limits the wait for the response after the last byte was sent."""

    def __init__(self, context: CallContext, timer: asyncio.Timeout, *, hash_files: bool) -> None:
        self._context = context
        self._timer = timer
        self._hash_files = hash_files
        self._reader: FileReader | None = None
        body = context.call.body or b""
        if context.call.is_multipart:
            self.content_type: str | None = f"multipart/form-data; boundary={context.boundary}"
            self._parts = multipart(body, context.attachments, context.boundary)
            self.length = sum(len(part) if isinstance(part, bytes) else part.length or 0 for part in self._parts)
        else:
            self.content_type = "application/json" if body else None
            self._parts = [body]
            self.length = len(body)

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Check before the first byte that the lease is valid and the caller still waits.

        When sending the body begins, `fully_sent` becomes True, in case a transport of the caller has replaced this
        body. With this body, `__aiter__` then sets `fully_sent` to False until the last chunk. Over HTTP/2, httpx does
        not send an empty body, so a request without a body counts as sent with its headers.
        """
        context = self._context
        if getattr(info.get("request"), "method", None) == b"CONNECT":  # opens a tunnel through a proxy
            return
        if event.endswith("send_request_headers.started"):
            _check_lease(context)
            if context.abandoned:
                raise BodyFailedError("the caller stopped waiting")
            context.fully_sent = not self.length
        elif event.endswith(("connect_tcp.started", "start_tls.started")):
            context.fully_sent = False
            self._timer.reschedule(None)
        elif event.endswith("send_request_body.started"):
            context.is_started = context.fully_sent = True
            self._timer.reschedule(context.clock() + context.options.timeout)
        elif event.endswith(("connect_tcp.complete", "start_tls.complete")):
            with suppress(AttributeError):  # a caller's transport may have read-only attributes
                read_in_steps(info["return_value"], context.clock)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        context, sent = self._context, 0
        context.is_started, context.fully_sent = True, not self.length
        self._timer.reschedule(None if self.length else context.clock() + context.options.timeout)
        async for chunk in self._chunks():
            if context.abandoned:
                raise BodyFailedError("the caller stopped waiting")
            sent += len(chunk)
            if sent == self.length:
                context.fully_sent = True
                self._timer.reschedule(context.clock() + context.options.timeout)
            yield chunk
            if context.call.progress is not None and sent > context.progress:
                context.progress = sent
                try:
                    context.call.progress(sent, self.length)
                except (Exception, asyncio.CancelledError) as error:
                    context.progress = self.length
                    with suppress(Exception):
                        text = "A progress callback raised %s. It is not called again for this call."
                        logger.error(text, printable(repr(error), 300))

    async def _chunks(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            if isinstance(part, bytes):
                for start in range(0, len(part), WRITE_SIZE):
                    yield part[start : start + WRITE_SIZE]
                continue
            timeout = self._context.options.timeout
            self._reader = reader = FileReader(part, hash_file=self._hash_files, timeout=timeout)
            async for chunk in reader.chunks():
                yield chunk
            await self.aclose()
            if reader.digest is not None:
                self._context.digests.append(reader.digest)

    async def aclose(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.aclose()


def _check_lease(context: CallContext) -> None:
    is_valid = getattr(context.slot, "is_valid", None)  # a caller's own limiter may have no such method
    if is_valid is not None and not is_valid():
        raise LeaseEndedError
    context.sent_at = context.clock()
