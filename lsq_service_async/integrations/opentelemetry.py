"""Traces and metrics of a client, according to OpenTelemetry's semantic conventions for HTTP::

    ServiceClient(config, hooks=[OpenTelemetryHook()])

Spans and metrics do not contain API keys, bodies, or addresses of leads. Needs the extra ``otel``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from threading import Lock
from typing import Any
from weakref import WeakSet

import attrs

from .. import LSQServiceError, RateLimitError, ServiceClient, __version__
from ..events import AttemptEnded, AttemptStarted, CallEnded, CallStarted, Event
from ..limits import Limiter, LimiterStats

try:
    from opentelemetry import context as otel_context
    from opentelemetry import metrics, trace
    from opentelemetry.metrics import CallbackOptions, Observation
except ImportError as _error:
    raise ImportError(
        "integrations.opentelemetry needs OpenTelemetry: pip install 'lsq-service-async[otel]'"
    ) from _error

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_STATS_TIMEOUT = 0.2  # seconds that the thread of a metric reader waits for an event loop


@attrs.define(eq=False)
class _TracedCall:
    """The state of one call. ``ended_at``: when the last attempt ended."""

    span: trace.Span
    context: otel_context.Context
    attempt: trace.Span | None = None
    limit_wait: float = 0.0
    ended_at: float | None = None


class OpenTelemetryHook:
    """A hook that makes spans and metrics. One hook can serve several clients.

    Each call has an INTERNAL span such as ``lsq tickets.create``. Each attempt has a CLIENT span such as ``POST
    /api/tenants/{org_id}/tickets``. If ``opentelemetry-instrumentation-httpx`` is active, the CLIENT spans of that
    library are children of the span of the call, and this hook makes no CLIENT spans.

    Histograms, in seconds: ``lsq.limit.wait`` (how long an attempt waited for the rate limit), ``lsq.send.duration``
    (from the start of a request to the end of its response), and ``lsq.backoff.wait`` (between two attempts, without
    the wait for the rate limit). Gauges: ``lsq.limit.slots.used`` and ``lsq.limit.slots.free``. Counters:
    ``lsq.refusals`` (attempts that the service refused because of its rate limit), ``lsq.retries``,
    ``lsq.unknown_outcomes`` and ``lsq.possible_duplicates``.

    By default, the global providers of OpenTelemetry are used.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer("lsq_service_async", __version__, tracer_provider)
        meter = metrics.get_meter("lsq_service_async", __version__, meter_provider)
        self._limit_wait, self._send_duration, self._backoff_wait = (
            meter.create_histogram(name, "s", text, explicit_bucket_boundaries_advisory=_SECONDS)
            for name, text in (
                ("lsq.limit.wait", "Time that an attempt waited for the rate limit"),
                ("lsq.send.duration", "Time from the start of a request to the end of its response"),
                ("lsq.backoff.wait", "Time between two attempts of a call, without the wait for the rate limit"),
            )
        )
        self._refusals, self._retries, self._unknown, self._duplicates = (
            meter.create_counter(name, unit, text)
            for name, unit, text in (
                ("lsq.refusals", "{attempt}", "Attempts that the service refused because of its rate limit"),
                ("lsq.retries", "{attempt}", "Attempts after the first one of a call"),
                ("lsq.unknown_outcomes", "{call}", "Calls that may or may not have been applied"),
                ("lsq.possible_duplicates", "{call}", "Calls that may have been applied twice"),
            )
        )
        for name, text in (("used", "Slots of the rate limit in use"), ("free", "Slots of the rate limit not in use")):
            meter.create_observable_gauge(f"lsq.limit.slots.{name}", [partial(self._observe, name)], "{slot}", text)
        self._call: ContextVar[_TracedCall] = ContextVar("lsq_service_async.call")
        self._clients: WeakSet[ServiceClient] = WeakSet()
        self._lock = Lock()  # protects _clients
        self._loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()

    def attach(self, client: ServiceClient) -> None:
        """Include the rate limit of a client in the gauges. `ServiceClient` calls this method."""
        with self._lock:
            self._clients.add(client)

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, CallStarted):
            self._start_call(event)
        elif isinstance(event, AttemptStarted):
            self._start_attempt(event)
        elif isinstance(event, AttemptEnded):
            self._end_attempt(event)
        elif isinstance(event, CallEnded):
            self._end_call(event)

    def _start_call(self, event: CallStarted) -> None:
        self._loops.add(asyncio.get_running_loop())
        attributes = {"lsq.operation": _operation(event), "lsq.reference": event.reference}
        span = self._tracer.start_span(f"lsq {_operation(event)}", attributes=attributes)
        call = _TracedCall(span, trace.set_span_in_context(span))
        self._call.set(call)
        otel_context.attach(call.context)  # not detached, because the hooks of each call run in a separate context

    def _start_attempt(self, event: AttemptStarted) -> None:
        call, labels = self._call.get(), {"lsq.operation": _operation(event)}
        call.limit_wait += event.queued
        self._limit_wait.record(event.queued, labels)
        if call.ended_at is not None:
            self._backoff_wait.record(max(0.0, time.perf_counter() - call.ended_at - event.queued), labels)
            self._retries.add(1, labels)
        if self._makes_client_spans():
            attributes: dict[str, Any] = {
                "http.request.method": event.method,
                "server.address": event.host,
                "server.port": event.port,
            }
            if event.path_template is not None:
                attributes["url.template"] = event.path_template
            if event.number > 1:
                attributes["http.request.resend_count"] = event.number - 1
            name = f"{event.method} {event.path_template or ''}".rstrip()
            span = self._tracer.start_span(name, call.context, trace.SpanKind.CLIENT, attributes)
            call.attempt = span
            otel_context.attach(trace.set_span_in_context(span, call.context))

    def _end_attempt(self, event: AttemptEnded) -> None:
        call, labels = self._call.get(), {"lsq.operation": _operation(event)}
        call.ended_at = time.perf_counter()
        self._send_duration.record(event.seconds, {**labels, "lsq.outcome": event.outcome})
        if isinstance(event.error, RateLimitError):
            self._refusals.add(1, labels)
        if call.attempt is not None:
            if event.status is not None:
                call.attempt.set_attribute("http.response.status_code", event.status)
            is_failed = event.status is not None and event.status >= 400
            _end(call.attempt, event.error, str(event.status) if is_failed else None)
            call.attempt = None
            otel_context.attach(call.context)

    def _end_call(self, event: CallEnded) -> None:
        call, labels = self._call.get(), {"lsq.operation": _operation(event)}
        if event.outcome == "unknown":
            self._unknown.add(1, labels)
        if event.possible_duplicate:
            self._duplicates.add(1, labels)
        call.span.set_attributes(
            {"lsq.attempts": event.attempts, "lsq.outcome": event.outcome, "lsq.limit.wait": call.limit_wait}
        )
        _end(call.span, event.error)

    def _makes_client_spans(self) -> bool:
        """Return False if httpx is instrumented, because its instrumentation makes these spans."""
        module = sys.modules.get("opentelemetry.instrumentation.httpx")
        if module is None:
            return True
        marked = [module.HTTPXClientInstrumentor(), *(client.http_client for client in self._clients)]
        return not any(getattr(one, "_is_instrumented_by_opentelemetry", False) for one in marked)

    def _observe(self, name: str, options: CallbackOptions) -> Iterator[Observation]:
        """Yield the used or free slots of all clients. A metric reader calls this method in its own thread."""
        with self._lock:
            limiters = {client.limiter for client in self._clients}
        found = [stats for limiter in limiters if (stats := self._stats(limiter))]
        if found:
            yield Observation(sum(getattr(stats, name) for stats in found))

    def _stats(self, limiter: Limiter) -> LimiterStats | None:
        """Return the stats of a limiter, or None. Only the limiter's event loop may read them, so try each loop."""

        async def read() -> LimiterStats:
            return limiter.stats()

        with suppress(RuntimeError, LSQServiceError):
            asyncio.get_running_loop()
            return limiter.stats()
        for loop in list(self._loops):
            if loop.is_running():
                with suppress(LSQServiceError, TimeoutError):
                    return asyncio.run_coroutine_threadsafe(read(), loop).result(_STATS_TIMEOUT)
        return None


def _operation(event: CallStarted | AttemptStarted | AttemptEnded | CallEnded) -> str:
    """Return the operation of an event, or "request" if the operation contains a path."""
    return "request" if " " in event.operation else event.operation


def _end(span: trace.Span, error: BaseException | None, error_type: str | None = None) -> None:
    """End a span. The message of an error may quote the service, so only the type of the error is set."""
    if error is not None:
        span.set_attribute("error.type", error_type or type(error).__qualname__)
        span.set_status(trace.StatusCode.ERROR)
    span.end()
