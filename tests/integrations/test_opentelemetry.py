"""Spans and metrics: one INTERNAL span for each call, one CLIENT span for each attempt, and separate waits."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import httpx
import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from lsq_service_async import (
    APIStatusError,
    Config,
    NewTicket,
    OutcomeUnknownError,
    RateLimit,
    RetryPolicy,
    ServiceClient,
)
from lsq_service_async.emulator import AnswerLost, Emulator, Latency, RateLimited, Status
from lsq_service_async.events import AttemptStarted, CallStarted, Event
from lsq_service_async.integrations.opentelemetry import OpenTelemetryHook

TICKET = NewTicket(lead_email="wim@example.com", title="Router down", status="Open")


class Telemetry:
    """A hook with exporters in memory, and the emulator of its clients."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meter_provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.hook = OpenTelemetryHook(self.tracer_provider, self.meter_provider)

    def client(self, *, per: float = 0.1, **options: Any) -> ServiceClient:
        config = Config(
            **self.emulator.settings, rate_limit=RateLimit(100, per=per), retry=RetryPolicy(attempts=3, backoff=0.01)
        )
        return ServiceClient(config, hooks=[self.hook], **options)

    @property
    def spans(self) -> list[ReadableSpan]:
        """Finished spans in order of their start."""
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def metrics(self) -> dict[str, Any]:
        """The value of each gauge and counter, and the number of values in each histogram."""
        found: Counter[str] = Counter()
        data: Any = self.reader.get_metrics_data()
        for metric in data.resource_metrics[0].scope_metrics[0].metrics:
            for point in metric.data.data_points:
                found[metric.name] += point.count if hasattr(point, "bucket_counts") else point.value
        return found


@pytest.fixture
async def telemetry() -> Any:
    """The emulator has no limit, so that attempts can be made fast."""
    async with Emulator(window=None, enforce_mandatory=False) as emulator:
        yield Telemetry(emulator)


@pytest.fixture
def instrumentation() -> Iterator[HTTPXClientInstrumentor]:
    """The instrumentation of httpx; it is removed at the end."""
    instrumentor = HTTPXClientInstrumentor()
    yield instrumentor
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


async def test_a_call_with_two_retries(telemetry: Telemetry) -> None:
    """The call's span has three children, and queue, send and back-off have their own histograms."""
    telemetry.emulator.faults.add(Status(500), RateLimited(retry_after=0))
    async with telemetry.client() as client:
        receipt = await client.tickets.create(TICKET)
        metrics = telemetry.metrics()
    call, *attempts = telemetry.spans
    assert (call.name, call.kind, call.status.status_code) == (
        "lsq tickets.create",
        SpanKind.INTERNAL,
        StatusCode.UNSET,
    )
    attributes = dict(call.attributes or {})
    assert attributes.pop("lsq.limit.wait") >= 0
    assert attributes.pop("lsq.reference")
    assert attributes == {"lsq.operation": "tickets.create", "lsq.attempts": 3, "lsq.outcome": "applied"}
    address = httpx.URL(telemetry.emulator.settings["base_url"])
    for number, (span, status) in enumerate(zip(attempts, (500, 429, 200), strict=True)):
        assert (span.name, span.kind) == ("POST /api/tenants/{org_id}/tickets", SpanKind.CLIENT)
        assert span.parent is not None
        assert span.parent.span_id == call.context.span_id
        expected = {
            "http.request.method": "POST",
            "server.address": address.host,
            "server.port": address.port,
            "url.template": "/api/tenants/{org_id}/tickets",
            "http.response.status_code": status,
        }
        expected |= {"http.request.resend_count": number} if number else {}
        expected |= {"error.type": str(status)} if status >= 400 else {}
        assert dict(span.attributes or {}) == expected
        assert (span.status.status_code is StatusCode.ERROR) == (status >= 400)
        assert not span.events
    assert receipt.possible_duplicate
    names = ("lsq.limit.wait", "lsq.send.duration", "lsq.backoff.wait")
    assert [metrics[name] for name in names] == [3, 3, 2]
    counters = ("lsq.retries", "lsq.refusals", "lsq.possible_duplicates")
    assert [metrics[name] for name in counters] == [2, 1, 1]
    assert "lsq.unknown_outcomes" not in metrics
    assert metrics["lsq.limit.slots.used"] + metrics["lsq.limit.slots.free"] >= 1


async def test_failed_calls(telemetry: Telemetry) -> None:
    """A span has the class of the error, never its message, and an unknown outcome is counted."""
    telemetry.emulator.faults.add(AnswerLost(), Status(400))
    async with telemetry.client() as client:
        with pytest.raises(OutcomeUnknownError):
            await client.tickets.create(TICKET)
        with pytest.raises(APIStatusError):
            await client.request("POST", "tickets/143/anything", json={})
    shown = [(span.name, dict(span.attributes or {}).get("error.type")) for span in telemetry.spans]
    assert shown == [
        ("lsq tickets.create", "OutcomeUnknownError"),
        ("POST /api/tenants/{org_id}/tickets", "OutcomeUnknownError"),
        ("lsq request", "BadRequestError"),
        ("POST", "400"),
    ]
    assert {span.status.description for span in telemetry.spans} == {None}
    assert telemetry.metrics()["lsq.unknown_outcomes"] == 1


@pytest.mark.parametrize("kind", ["every client", "one client"])
async def test_spans_of_httpx_are_children(
    telemetry: Telemetry, instrumentation: HTTPXClientInstrumentor, kind: str
) -> None:
    """If httpx is instrumented, each attempt has one CLIENT span, which is a child of the call's span."""
    if kind == "every client":
        instrumentation.instrument(tracer_provider=telemetry.tracer_provider)
    async with telemetry.client() as client:
        if kind == "one client":
            instrumentation.instrument_client(client.http_client, tracer_provider=telemetry.tracer_provider)
        await client.tickets.create(TICKET)
    call, request = telemetry.spans
    assert (call.name, request.kind) == ("lsq tickets.create", SpanKind.CLIENT)
    assert request.parent is not None
    assert request.parent.span_id == call.context.span_id


async def test_spans_nest_in_those_of_the_caller(telemetry: Telemetry) -> None:
    """The call's span is a child of the caller's span, which is the current one again after the call."""
    tracer = telemetry.tracer_provider.get_tracer("test")
    async with telemetry.client() as client:
        with tracer.start_as_current_span("caller") as caller:
            await asyncio.gather(client.tickets.create(TICKET), client.tickets.create(TICKET))
            assert get_current_span() is caller
    parents = [span.parent.span_id for span in telemetry.spans if span.name.startswith("lsq") and span.parent]
    assert parents == [caller.get_span_context().span_id] * 2


async def test_a_request_that_its_caller_left_ends_its_span_later(telemetry: Telemetry) -> None:
    """The span of the call ends with the call, that of the request with the request."""
    telemetry.emulator.faults.add(Latency(0.2))
    async with telemetry.client() as client:
        creating = asyncio.create_task(client.tickets.create(TICKET))
        async with asyncio.timeout(10):
            while not telemetry.emulator.calls:  # noqa: ASYNC110 -- the emulator has no event for it
                await asyncio.sleep(0.001)
        creating.cancel()
        await asyncio.wait([creating])
        assert [span.name for span in telemetry.spans] == ["lsq tickets.create"]
    call, attempt = telemetry.spans
    assert (call.attributes or {})["error.type"] == "CancelledError"
    assert attempt.end_time is not None
    assert call.end_time is not None
    assert attempt.end_time > call.end_time


async def test_two_calls_with_one_reference_have_their_own_spans(telemetry: Telemetry) -> None:
    """The spans of concurrent calls with the same reference nest as those of any other calls."""
    telemetry.emulator.faults.add(Latency(0.05))
    async with telemetry.client() as client:
        await asyncio.gather(*(client.tickets.create(TICKET, reference="erp-4711") for _ in range(2)))
    calls = {span.context.span_id for span in telemetry.spans if span.kind is SpanKind.INTERNAL}
    parents = {span.parent.span_id for span in telemetry.spans if span.kind is SpanKind.CLIENT and span.parent}
    assert len(calls) == 2
    assert parents == calls


async def test_a_metric_reader_in_another_thread(telemetry: Telemetry) -> None:
    """The gauges are read in the event loop of the client. While that is blocked, they have no value."""
    async with telemetry.client(per=60.0) as client:  # no slot is released between two readings
        await client.tickets.create(TICKET)
        metrics = await asyncio.to_thread(telemetry.metrics)
        assert metrics["lsq.limit.slots.free"] + metrics["lsq.limit.slots.used"] == 100
    assert "lsq.limit.slots.free" not in await asyncio.to_thread(telemetry.metrics)
    assert "lsq.limit.slots.free" not in telemetry.metrics()


def test_the_instrumentation_of_httpx_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application without it gets CLIENT spans from the hook. After the loop has ended, the gauges have no value."""
    monkeypatch.delitem(sys.modules, "opentelemetry.instrumentation.httpx")
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    reader = InMemoryMetricReader()
    hook = OpenTelemetryHook(provider, MeterProvider([reader], shutdown_on_exit=False))

    async def main() -> ServiceClient:
        async with Emulator() as emulator:
            async with ServiceClient(Config(**emulator.settings), hooks=[hook]) as client:
                await client.tickets.create(TICKET)
            return client

    client = asyncio.run(main())
    data: Any = reader.get_metrics_data()
    names = [metric.name for metric in data.resource_metrics[0].scope_metrics[0].metrics]
    assert ("lsq.limit.wait" in names, "lsq.limit.slots.used" in names) == (True, False)
    assert "closed" in repr(client)  # its limiter has no event loop any more
    assert [span.kind for span in exporter.get_finished_spans()] == [SpanKind.CLIENT, SpanKind.INTERNAL]
    assert "opentelemetry.instrumentation.httpx" not in sys.modules


async def test_what_a_hook_sets_reaches_the_request_but_not_the_caller(telemetry: Telemetry) -> None:
    """A context variable that a hook sets is seen by later events and by the transport."""
    variable: ContextVar[str] = ContextVar("variable", default="")
    seen = []

    def hook(event: Event) -> None:
        seen.append((type(event).__name__, variable.get()))
        if isinstance(event, CallStarted):
            variable.set("call")
        elif isinstance(event, AttemptStarted):
            variable.set("attempt")

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(("request", variable.get()))
        return httpx.Response(200, json={"Id": "1"})

    config = Config(**telemetry.emulator.settings)
    async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as http:
        async with ServiceClient(config, http_client=http, hooks=[hook]) as client:
            await client.tickets.get("1")
    assert seen == [
        ("CallStarted", ""),
        ("AttemptStarted", "call"),
        ("request", "attempt"),
        ("AttemptEnded", "attempt"),
        ("CallEnded", "attempt"),
    ]
    assert not variable.get()


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenTelemetry, the error is how to install it."""
    monkeypatch.delitem(sys.modules, OpenTelemetryHook.__module__)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ImportError, match=r"pip install 'lsq-service-async\[otel\]'"):
        importlib.import_module(OpenTelemetryHook.__module__)
