"""A client of httpx2 as ``http_client``: calls end as with one of httpx."""

import sys
from unittest.mock import AsyncMock

import attrs
import httpx
import httpx2
import pytest
from raw_server import RawServer, answering, ok, request_of

from lsq_service_async import (
    Attachment,
    Config,
    ConfigurationError,
    LSQServiceError,
    NewTicket,
    NotSentError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RetryPolicy,
    ServiceClient,
    TicketUpdate,
)
from lsq_service_async.emulator import Emulator, faults

TICKET = NewTicket(lead_email="wim@example.com", title="x", status="Open")
ONCE = RetryPolicy(attempts=1)
BODY = b'{"Id": "1", "Fields": []}'


async def read(client):
    return await client.tickets.get("1")


async def create(client):
    return await client.tickets.create(TICKET)


async def upload(client):
    return await client.tickets.create(TICKET, attachments=[Attachment.from_bytes(bytes(1 << 20), name="a.bin")])


async def update(client):
    return await client.tickets.update("1", TicketUpdate(status="On Hold"))


UNANSWERED = [faults.Latency(20.0), faults.StopReading(1 << 16)]
FAULTS = [
    faults.Serve(),
    faults.Status(500),
    faults.Status(500, times=2),
    faults.Status(503, headers={"Retry-After": "0"}),
    faults.Status(429, headers={"Retry-After": "0"}),
    faults.Status(404),
    faults.Status(307, headers={"Location": "https://evil.example/"}),
    faults.EarlyStatus(413),
    faults.Latency(0.05),
    faults.SlowRead(100_000_000),
    faults.DropConnection(),
    faults.DropConnection(when="after_body"),
    faults.AnswerLost(),
    faults.ResetMidway(100),
    faults.BadJson(),
    faults.TruncatedAnswer(),
    *UNANSWERED,
]


async def ended(library, fault, act):
    """Make a call against the emulator, with this fault for its first attempt. Return all that its caller can see."""
    async with Emulator(window=None) as emulator, library.AsyncClient() as http:
        policy = RetryPolicy(attempts=3, backoff=0.001)
        config = Config(**emulator.settings, retry=policy, attachment_digests=False)
        async with ServiceClient(config, http_client=http) as client:
            assert client.http_client is http
            await create(client)
            emulator.faults.add(fault)
            try:
                result = await act(client.with_options(timeout=0.5 if fault in UNANSWERED else 30.0))
            except LSQServiceError as error:
                result = error
        seen = type(result), getattr(result, "headers", {}).keys(), [file.size for file in emulator.calls[-1].files]
        attempts = [(one.outcome, one.status, one.reason) for one in getattr(result, "attempts", ())]
        return *seen, attempts, len(emulator.tickets), emulator.refused


@pytest.mark.parametrize("act", [read, create, upload, update], ids=lambda act: act.__name__)
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_a_call_ends_as_with_httpx(fault, act):
    """The result, the attempts with their messages, and the emulator's tickets are the same for both libraries."""
    expected = await ended(httpx, fault, act)
    assert await ended(httpx2, fault, act) == expected


async def failing(config, http, **more):
    """Return the error of one attempt to read."""
    async with http, ServiceClient(attrs.evolve(config, retry=ONCE, **more), http_client=http) as client:
        with pytest.raises(LSQServiceError) as caught:
            await read(client)
    return caught.value


class OwnError(httpx2.ConnectError):
    """An exception of a caller's transport, which httpx does not have."""


@pytest.mark.parametrize("raised", [httpx2.ConnectError("refused"), OwnError("refused")], ids=lambda error: type(error))
async def test_an_exception_is_that_of_httpx(config, raised):
    """An exception whose class httpx does not have becomes that of its base class. The original one is its cause."""

    def fail(request):
        raise raised

    error = await failing(config, httpx2.AsyncClient(transport=httpx2.MockTransport(fail)))
    assert (type(error), type(error.__cause__), error.__cause__.__cause__) == (NotSentError, httpx.ConnectError, raised)


async def test_a_failed_handshake_names_tls(config):
    """TLS on a plain port is recognised by the cause of the exception."""

    async def serve(reader, writer):
        writer.write(b"not TLS" * 100)

    async with RawServer(serve).running() as server:
        origin = server.origin.replace("http:", "https:")
        error = await failing(config, httpx2.AsyncClient(trust_env=False), base_url=origin)
    assert str(error).startswith("TLS failed")


def reading(library, by):
    """Return a client of which a request hook or the transport reads the body, or replaces it by another stream."""

    async def hook(request):
        await request.aread()

    class Transport(library.AsyncHTTPTransport):
        async def handle_async_request(self, request):
            content = await request.aread()
            if by == "replacing":
                request.stream = library.Request("POST", "http://x", content=content).stream
            return await super().handle_async_request(request)

    return library.AsyncClient(event_hooks={"request": [hook]} if by == "hook" else {}, transport=Transport())


@pytest.mark.parametrize("by", ["hook", "transport", "replacing"])
@pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda library: library.__name__)
@pytest.mark.parametrize("files", [[], [("a.txt", b"x")]], ids=["JSON", "file"])
async def test_a_create_whose_body_a_hook_or_transport_has_read_is_sent_once(config, library, by, files):
    """A create without an answer is unknown and is not repeated, even if httpx sends a copy of its body."""
    async with RawServer(answering(end="close")).running() as server, reading(library, by) as http:
        async with ServiceClient(attrs.evolve(config, base_url=server.origin), http_client=http) as client:
            with pytest.raises(OutcomeUnknownError):
                await client.tickets.create(TICKET, attachments=files)
        assert server.connections == 1


async def post(client):
    return await client.request("POST", "tickets/1/x")


async def broken_hook(message):
    raise KeyError("a broken hook")


@pytest.mark.parametrize("call", [read, post, create])
@pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda library: library.__name__)
async def test_a_call_of_a_closed_client_is_not_sent(config, library, call):
    """This holds for a call without a body, too."""
    http = library.AsyncClient(trust_env=False)
    await http.aclose()
    async with ServiceClient(config, http_client=http) as client:
        with pytest.raises(NotSentError) as caught:
            await call(client)
    assert [attempt.outcome.value for attempt in caught.value.attempts] == ["not applied"]


@pytest.mark.parametrize("why", ["broken hook", "refused hook"])
@pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda library: library.__name__)
async def test_a_create_whose_request_hook_raises_is_not_sent(config, library, why):
    """Its body was not read."""

    async def refused_hook(message):
        library.Response(429, request=library.Request("GET", "http://tokens.example")).raise_for_status()

    hooks = {"broken hook": [broken_hook], "refused hook": [refused_hook]}[why]
    async with library.AsyncClient(event_hooks={"request": hooks}, trust_env=False) as http:
        async with ServiceClient(config, http_client=http) as client:
            with pytest.raises(NotSentError) as caught:
                await create(client.with_options(retry=ONCE))
    assert [attempt.outcome.value for attempt in caught.value.attempts] == ["not applied"]


@pytest.mark.parametrize("is_silent", [False, True])
@pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda library: library.__name__)
async def test_a_call_whose_response_hook_raises_was_sent(config, library, is_silent):
    """It is sent once, even if it has no body and the transport does not report that it was sent."""

    class Silent(library.AsyncBaseTransport):
        async def handle_async_request(self, request):
            return library.Response(200)

    sent = []
    async with RawServer(answering(ok(BODY))).running() as server:
        settings = attrs.evolve(config, base_url=server.origin)
        hooks = {"request": [AsyncMock(side_effect=sent.append)], "response": [broken_hook]}
        transport = Silent() if is_silent else None
        http = library.AsyncClient(transport=transport, event_hooks=hooks, trust_env=False)
        async with http, ServiceClient(settings, http_client=http) as client:
            with pytest.raises(OutcomeUnknownError, match="a broken hook"):
                await post(client)
    assert len(sent) == 1


@pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda library: library.__name__)
@pytest.mark.parametrize("call", [read, create])
async def test_the_callers_client_may_send_a_copy_of_the_request(config, library, call):
    """It may sign each request, for example. If a hook of this client raises for a status, the service has refused."""

    class Signing(library.AsyncClient):
        async def send(self, request, **options):
            request = library.Request(
                request.method,
                request.url,
                headers=request.headers,
                stream=request.stream,
                extensions=request.extensions,
            )
            return await super().send(request, **options)

    transport = library.MockTransport(lambda _: library.Response(403, json={}))
    async with Signing(transport=transport, event_hooks={"response": [raise_for_status]}) as http:
        async with ServiceClient(config, http_client=http) as client:
            with pytest.raises(PermissionDeniedError) as caught:
                await call(client)
    assert len(caught.value.attempts) == 1


async def raise_for_status(response):
    response.raise_for_status()


async def read_all(response):
    await response.aread()


@pytest.mark.parametrize("hooks", [[], [raise_for_status], [read_all], [read_all, raise_for_status]])
@pytest.mark.parametrize("status", [200, 307, 404])
async def test_the_callers_hooks_may_read_and_raise(config, hooks, status):
    """A response that a hook has read or refused is used like any other, and no copy of the request keeps the keys."""
    kept = []

    async def serve(reader, writer):
        while (await request_of(reader))[0]:
            head = b"HTTP/1.1 %d X\r\nLocation: https://evil.example/\r\n" % status
            writer.write(ok(BODY).replace(b"HTTP/1.1 200 OK\r\n", head))

    async def keep(response):
        kept.extend([response.request, response])

    async with RawServer(serve).running() as server:
        http = httpx2.AsyncClient(event_hooks={"response": [keep, *hooks]}, trust_env=False)
        async with http, ServiceClient(attrs.evolve(config, base_url=server.origin), http_client=http) as client:
            if status == 200:
                assert (await read(client)).number == "1"
            else:
                with pytest.raises(LSQServiceError) as caught:
                    await read(client)
                assert caught.value.status_code == status
    assert kept[1].next_request is None
    assert "CANARY" not in repr([*kept[0].headers.raw, *kept[1].request.headers.raw])


async def test_an_answer_about_another_ticket_closes_the_connection(config):
    """The connection can be closed, and the keys and the name of the library reach the service on each attempt."""
    heads = []

    async def serve(reader, writer):
        while head := (await request_of(reader))[0]:
            heads.append(head)
            writer.write(ok(BODY.replace(b'"1"', b'"2"') if len(heads) == 1 else BODY))

    async with RawServer(serve).running() as server:
        settings = attrs.evolve(config, base_url=server.origin, retry=RetryPolicy(backoff=0.001))
        async with httpx2.AsyncClient(trust_env=False) as http, ServiceClient(settings, http_client=http) as client:
            assert (await read(client)).number == "1"
        assert server.connections == 2
    agent = f" httpx2/{httpx2.__version__} ".encode()
    assert all(b"CANARY-secret" in head and agent in head for head in heads)


@pytest.mark.parametrize("wrong", [httpx2.Client(), httpx2, 0, ""], ids=lambda wrong: type(wrong).__name__)
def test_anything_else_is_refused(config, monkeypatch, wrong):
    """The error names both libraries, even if httpx2 is not installed."""
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"must be an httpx.AsyncClient or an httpx2.AsyncClient, not"):
            ServiceClient(config, http_client=wrong)
        monkeypatch.delitem(sys.modules, "httpx2", raising=False)
