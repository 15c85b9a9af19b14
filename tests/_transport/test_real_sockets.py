"""Servers that misbehave on real sockets. Real time passes only if a timeout is tested."""

import asyncio
import contextlib
import random
import socket
import ssl
import struct

import attrs
import httpx
import pytest
import trustme
from raw_server import CREATED, ONCE, TICKET, RawServer, answering, call_create, call_get, ok, outcome, request_of

from lsq_service_async import (
    APIStatusError,
    LSQServiceError,
    MalformedResponseError,
    NewTicket,
    NotSentError,
    OutcomeUnknownError,
    RateLimit,
    RetryPolicy,
    ServiceClient,
)


@pytest.mark.parametrize("status", [b"408 X", b"421 X", b"425 X"])
async def test_a_request_that_was_not_processed_is_sent_on_a_new_connection(config, status):
    """A create that was not processed is repeated, and not on the connection that refused it."""

    async def talk(reader, writer):
        while True:
            await request_of(reader)
            writer.write(ok() if server.connections == 2 else ok(b"").replace(b"200 OK", status))

    async with RawServer(talk).running() as server:
        async with ServiceClient(attrs.evolve(config, base_url=server.origin)) as client:
            assert [attempt.status for attempt in (await client.tickets.create(TICKET)).attempts] == [
                int(status[:3]),
                200,
            ]


@pytest.mark.parametrize(("act", "kind"), [(call_get, MalformedResponseError), (call_create, OutcomeUnknownError)])
async def test_an_answer_to_another_request_closes_the_connection(config, act, kind):
    """A connection whose answers belong to other requests is not used again."""
    async with RawServer(answering(ok())).running() as server:
        async with ServiceClient(attrs.evolve(config, base_url=server.origin, retry=ONCE)) as client:
            await client.tickets.create(TICKET)
            with pytest.raises(kind):
                await act(client)
            with pytest.raises(kind):
                await act(client)
        assert server.connections == 2


async def test_a_header_of_an_answer_may_come_twice(config):
    """A doubled Retry-After is ignored, and the status still counts."""
    refusal = b"HTTP/1.1 503 X\r\nContent-Length: 0\r\nRetry-After: 5\r\nRetry-After: 10\r\n\r\n"
    error = await outcome(config, answering(refusal), call_get)
    assert error.status_code == 503


@pytest.mark.parametrize(
    ("chunks", "wait", "end"),
    [
        ([], 0.0, "silent"),
        ([b"HTTP/1.1 102 Processing\r\n\r\n"] * 200, 0.02, "silent"),
        ([ok(bytes(500))[:-499], *[b"x"] * 200], 0.02, "silent"),
    ],
    ids=["silence", "a flood of 102", "a slow drip"],
)
async def test_timeout_bounds_every_silence_and_the_whole_answer(config, chunks, wait, end):
    """Slow drips and floods of 102 end at the timeout, and the pool stays usable."""
    async with RawServer(answering(*chunks, wait=wait, end=end)).running() as server:
        settings = attrs.evolve(config, base_url=server.origin, retry=ONCE, timeout=0.15)
        limits = httpx.Limits(max_connections=2)
        async with httpx.AsyncClient(limits=limits) as http, ServiceClient(settings, http_client=http) as client:
            for _ in range(3):
                started = asyncio.get_running_loop().time()
                with pytest.raises(OutcomeUnknownError):
                    await client.tickets.create(TICKET)
                assert asyncio.get_running_loop().time() - started < 2
        assert server.connections == 3


@pytest.mark.slow
@pytest.mark.parametrize("headers", [(), (b"Connection: close",)], ids=["kept", "closed"])
async def test_answers_that_arrive_with_the_timeout_lose_no_connection(config, headers):
    """Responses that arrive at the moment of the timeout never leak a connection."""

    async def talk(reader, writer):
        while True:
            await request_of(reader)
            await asyncio.sleep(0.1 + random.uniform(-0.002, 0.002))
            writer.write(ok(CREATED, *headers))
            if headers:
                return

    async def many(client, until):
        while asyncio.get_running_loop().time() < until:
            with contextlib.suppress(LSQServiceError):
                await client.tickets.create(TICKET)

    async with RawServer(talk).running() as server:
        unlimited = RateLimit(1_000_000, per=1.0)
        settings = attrs.evolve(config, base_url=server.origin, retry=ONCE, timeout=0.1, rate_limit=unlimited)
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=None)) as http:
            async with ServiceClient(settings, http_client=http) as client:
                until = asyncio.get_running_loop().time() + 5
                await asyncio.gather(*(many(client, until) for _ in range(30)))
                await asyncio.sleep(0.3)
                assert "Requests: 0 active, 0 queued" in repr(http._transport._pool)


@pytest.mark.slow
@pytest.mark.parametrize("headers", [(), (b"Connection: close",)], ids=["kept", "closed"])
async def test_answers_that_come_as_the_client_closes_lose_no_connection(config, headers):
    """Requests that are cancelled by a close never leak a connection of the caller's pool."""

    async def talk(reader, writer):
        while True:
            await request_of(reader)
            await asyncio.sleep(0.045 + random.uniform(-0.006, 0.006))
            writer.write(ok(CREATED, *headers))
            if headers:
                return

    async with RawServer(talk).running() as server, httpx.AsyncClient() as http:
        settings = attrs.evolve(config, base_url=server.origin, retry=ONCE, timeout=0.05)
        for _ in range(60):
            client = ServiceClient(settings, http_client=http)
            patient = client.with_options(timeout=5.0)
            calls = [asyncio.create_task(patient.tickets.create(TICKET)) for _ in range(5)]
            await asyncio.sleep(0.001)
            await client.aclose()
            await asyncio.gather(*calls, return_exceptions=True)
        assert "Requests: 0 active, 0 queued | Connections: 0 active" in repr(http._transport._pool)


async def test_a_server_that_reads_nothing_is_given_up(config):
    """A write without progress ends as not sent, because the service never had the whole request."""

    async def deaf(reader, writer):
        # Otherwise the kernel may take the whole body.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        await asyncio.sleep(5)

    big = NewTicket(lead_id="45b5", description="x" * (32 << 20))
    error = await outcome(config, deaf, lambda client: client.tickets.create(big), timeout=0.2)
    assert type(error) is NotSentError


async def test_an_early_answer_is_reported(config):
    """A 413 before the end of the body is reported if it arrives; otherwise the call ends as not sent."""

    async def too_large(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.2)

    big = NewTicket(lead_id="45b5", description="x" * (32 << 20))
    error = await outcome(config, too_large, lambda client: client.tickets.create(big), timeout=2.0)
    assert isinstance(error, APIStatusError | NotSentError)
    assert [attempt.outcome.value for attempt in error.attempts] in (["refused"], ["not applied"])


async def test_a_refused_connection_is_not_sent(config):
    """A refused connection ends as not sent and takes no slot."""
    async with RawServer(answering()).running() as server:
        gone = server.origin
    async with ServiceClient(attrs.evolve(config, base_url=gone, retry=ONCE)) as client:
        with pytest.raises(NotSentError, match="No connection"):
            await client.tickets.create(TICKET)
        assert client.limiter.stats().used == 0


@pytest.mark.parametrize("body", [None, {}], ids=["no body", "JSON"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_deadline_during_a_tls_handshake_ends_as_not_sent(config, method, body):
    """Nothing was sent before the connection was made, even if there is no body whose last byte could be awaited."""

    async def silent(reader, writer):
        await reader.read()

    async with RawServer(silent).running() as server:
        origin = server.origin.replace("http:", "https:")
        settings = attrs.evolve(config, base_url=origin, deadline=0.1, timeout=0.3)
        async with ServiceClient(settings) as client:
            with pytest.raises(NotSentError) as caught:
                await client.request(method, "x", json=body)
            assert [attempt.outcome.value for attempt in caught.value.attempts] == ["not applied"]


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


def server_context(authority, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def trusting(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_a_reset_during_a_tls_handshake_is_repeated(config):
    """A gateway that restarts resets connections during their handshake. This is not a failure of TLS."""

    async def reset(reader, writer):
        await reader.read(50)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)  # close resets

    async with RawServer(reset).running() as server:
        settings = attrs.evolve(config, base_url=server.origin.replace("http:", "https:"))
        async with ServiceClient(settings) as client:
            with pytest.raises(NotSentError, match="No connection"):
                await client.with_options(retry=RetryPolicy(attempts=3, backoff=0.001)).tickets.create(TICKET)
        assert server.connections == 3


@pytest.mark.parametrize(
    ("name", "trusted", "plain"),
    [("localhost", False, False), ("other.example", True, False), ("localhost", True, True)],
    ids=["self-signed", "wrong host", "plain port"],
)
async def test_a_failure_of_tls_is_named_and_final(config, authority, name, trusted, plain):
    """A TLS failure is named in a NotSentError and is not repeated."""

    async def no_tls(reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    talk, context = (no_tls, None) if plain else (answering(ok()), server_context(authority, name))
    async with RawServer(talk, ssl=context).running() as server:
        origin = server.origin.replace("http://127.0.0.1", "https://localhost")
        verify = trusting(authority) if trusted else True
        async with httpx.AsyncClient(verify=verify) as http:
            async with ServiceClient(attrs.evolve(config, base_url=origin), http_client=http) as client:
                with pytest.raises(NotSentError, match="TLS") as caught:
                    await client.tickets.create(TICKET)
    assert len(caught.value.attempts) == 1


async def test_tls_works_with_the_callers_trust(config, authority):
    """The CA bundle of the caller's http_client is used."""
    async with RawServer(answering(ok()), ssl=server_context(authority, "localhost")).running() as server:
        async with httpx.AsyncClient(verify=trusting(authority)) as http:
            async with ServiceClient(attrs.evolve(config, base_url=server.origin), http_client=http) as client:
                assert (await client.tickets.create(TICKET)).number == "34"


@pytest.mark.parametrize(("uses_tls", "in_one_write"), [(False, True), (True, True), (True, False)])
@pytest.mark.parametrize(
    "extra",
    [
        [b"HTTP/1.1 400 X\r\nContent-Length: 0\r\n\r\n"],
        [b"HTTP/1.1 429 X\r\n", b"Content-Length: 0\r\n\r\n"],
        [b"HTTP/1.1 408 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"],
        [ok(b'{"Id":"666"}')],
    ],
    ids=["400", "429 in parts", "408", "a receipt"],
)
async def test_a_second_response_is_not_that_of_the_next_create(config, authority, uses_tls, extra, in_one_write):
    """A response that arrived before a request was sent does not belong to it, and its connection is not used again."""
    created = []

    async def talk(reader, writer):
        while await request_of(reader):
            created.append(ok(b'{"Id":"%d"}' % (len(created) + 1)))
            writes = [created[-1], *extra] if len(created) == 1 else created[-1:]
            for write in [b"".join(writes)] if in_one_write else writes:
                writer.write(write)

    context = server_context(authority, "localhost") if uses_tls else None
    async with RawServer(talk, ssl=context).running() as server, httpx.AsyncClient(verify=trusting(authority)) as http:
        async with ServiceClient(attrs.evolve(config, base_url=server.origin), http_client=http) as client:
            assert (await client.tickets.create(TICKET)).number == "1"
            with pytest.raises(OutcomeUnknownError, match="when the request was sent"):
                await client.tickets.create(TICKET)
            assert (await client.tickets.create(TICKET)).number == "3"
        assert (len(created), server.connections) == (3, 2)


async def test_a_redirect_is_never_followed(config):
    """A redirect is not followed, even if the caller's http_client follows redirects: httpx would send the keys
    along."""
    heard = []

    async def elsewhere(reader, writer):
        heard.append(await request_of(reader))

    async with RawServer(elsewhere).running() as other:
        location = b"Location: %s/steal" % other.origin.encode()
        redirect = b"HTTP/1.1 307 X\r\nContent-Length: 0\r\n" + location + b"\r\n\r\n"
        async with RawServer(answering(redirect)).running() as server:
            async with httpx.AsyncClient(follow_redirects=True) as http:
                settings = attrs.evolve(config, base_url=server.origin)
                async with ServiceClient(settings, http_client=http) as client:
                    with pytest.raises(APIStatusError, match=r"127\.0\.0\.1") as caught:
                        await client.tickets.get("1")
    assert heard == []
    assert "steal" not in str(caught.value)


async def test_a_callers_client_adds_nothing_to_a_request(config):
    """Headers, cookies, parameters and auth of the caller's http_client are not sent, nor are cookies of the
    service."""
    heads = []

    async def talk(reader, writer):
        while True:
            heads.append((await request_of(reader))[0].lower())
            writer.write(ok(b'{"Id":"%d"}' % len(heads), b"Set-Cookie: session=1; Path=/"))

    async with (
        RawServer(talk).running() as server,
        httpx.AsyncClient(
            headers={"x-mine": "1"}, cookies={"c": "1"}, params={"p": "1"}, auth=("user", "password"), timeout=0.001
        ) as http,
        ServiceClient(attrs.evolve(config, base_url=server.origin), http_client=http) as client,
    ):
        await client.tickets.create(TICKET)
        await client.tickets.create(TICKET)
    assert len(heads) == 2
    for head in heads:
        assert not [word for word in (b"x-mine", b"cookie", b"p=1", b"authorization") if word in head]


async def test_cookies_of_the_service_are_not_kept(config):
    """Cookies take no memory, and httpx does not copy a request to read them."""
    response = ok(b'{"Id":"1"}', b"Set-Cookie: session=1; Path=/")
    async with RawServer(answering(response)).running() as server:
        async with ServiceClient(attrs.evolve(config, base_url=server.origin)) as client:
            await client.tickets.create(TICKET)
            assert not client.http_client.cookies.jar


async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(config, monkeypatch):
    """A loopback origin is reached without the proxy of the environment."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert (await outcome(config, answering(ok()), call_create)).number == "34"


async def test_connections_are_kept_and_used_again(config):
    """Calls in sequence share one connection."""
    async with RawServer(answering(ok(b"[]"))).running() as server:
        async with ServiceClient(attrs.evolve(config, base_url=server.origin)) as client:
            for _ in range(3):
                await client.metadata.sub_types()
        assert server.connections == 1
