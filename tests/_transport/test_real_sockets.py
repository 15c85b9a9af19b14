"""Servers that misbehave on real sockets. Real time passes only if a timeout is tested."""

import asyncio
import contextlib
import gzip
import itertools
import random
import socket
import ssl
import time
import zlib

import attrs
import h11
import httpx
import pytest
import trustme
from raw_server import CREATED, RawServer, ok, request_of

from lsq_service_async import (
    APIStatusError,
    BadRequestError,
    LSQServiceError,
    MalformedResponseError,
    NewTicket,
    NotSentError,
    OutcomeUnknownError,
    RateLimit,
    RetryPolicy,
    ServiceClient,
)

TICKET = NewTicket(lead_id="45b5")
ONCE = RetryPolicy(attempts=1)


async def call_create(client):
    return await client.tickets.create(TICKET)


async def call_get(client):
    return await client.tickets.get("143")


def answering(*chunks, end="keep", wait=0.0):
    """Read requests and write these chunks to each. Then keep the connection, close it, or send nothing more."""

    async def talk(reader, writer):
        while True:
            await request_of(reader)
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(wait)
            if end == "close":
                return
            if end == "silent":
                await reader.read()

    return talk


async def outcome(config, talk, act, **options):
    """Return the result or the error of one call to a server with this behaviour."""
    async with RawServer(talk).running() as server:
        settings = attrs.evolve(config, base_url=server.origin, retry=ONCE, **options)
        async with ServiceClient(settings) as client:
            try:
                return await act(client)
            except Exception as error:
                return error


BOMB = gzip.compress(bytes(64 << 20))
UNUSABLE = {
    "cut in the middle": (ok(CREATED)[:-5], "close"),
    "cut in the head": (b"HTTP/1.1 200 OK\r\nContent-Le", "close"),
    "closed at once": (b"", "close"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "close"),
    "100,000 headers": (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000 + b"\r\n", "close"),
    "300 headers": (ok(CREATED, *[b"x: y"] * 300), "keep"),
    "gzip bomb": (ok(BOMB, b"Content-Encoding: gzip"), "keep"),
    "broken gzip": (ok(gzip.compress(CREATED)[:-8] + bytes(8), b"Content-Encoding: gzip"), "keep"),
    "brotli": (ok(CREATED, b"Content-Encoding: br"), "keep"),
    "9 MiB": (ok(bytes(9 << 20)), "keep"),
    "endless": (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(1 << 20), "close"),
    "empty gzip members": (ok(gzip.compress(b"") * 450_000, b"Content-Encoding: gzip"), "keep"),
    "too many values": (
        ok(gzip.compress(b'{"Id":"34","x":[' + b"[]," * 100_001 + b"1]}"), b"Content-Encoding: gzip"),
        "keep",
    ),
}


@pytest.mark.parametrize("name", ["gzip bomb", "9 MiB", "endless", "empty gzip members"])
@pytest.mark.parametrize(("act", "limit"), [(call_create, 1), (call_get, 8)])
async def test_an_answer_is_bounded(config, name, act, limit):
    """The response to a create is read up to 1 MiB, raw and decoded, and that to a read up to 8 MiB."""
    chunk, end = UNUSABLE[name]
    error = await outcome(config, answering(*[chunk] * (20 if name == "endless" else 1), end=end), act)
    assert f"larger than {limit} MiB" in str(error)


@pytest.mark.parametrize(
    "response",
    [
        (ok(BOMB, b"Content-Encoding: gzip"), "keep"),
        (ok(bytes(9 << 20)), "keep"),
        UNUSABLE["broken gzip"],
        (ok(CREATED, b"Content-Encoding: br"), "keep"),
        (ok(CREATED)[:-5], "close"),
        (ok(CREATED)[:-5], "silent"),
        (ok(CREATED, *[b"x: y"] * 300), "keep"),
    ],
    ids=["gzip bomb", "9 MiB", "broken gzip", "brotli", "cut", "slow", "300 headers"],
)
async def test_the_status_of_an_error_decides_whatever_its_body(config, response, caplog):
    """An error whose body is too large or cannot be read is still that of its status. Its connection is closed."""
    chunk, end = response
    talk = answering(chunk.replace(b"200 OK", b"400 Bad"), end=end)
    async with RawServer(talk).running() as server:
        settings = attrs.evolve(config, base_url=server.origin, timeout=0.3 if end == "silent" else 30.0)
        async with ServiceClient(settings) as client:
            with pytest.raises(BadRequestError) as caught:
                await client.tickets.create(TICKET)
            assert len(str(caught.value.body)) <= 64 << 10
            with pytest.raises(BadRequestError):
                await client.tickets.create(TICKET)
        assert server.connections == 2


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


@pytest.mark.parametrize(
    "body",
    [
        b'{"Id":"143","x":[' + b"[]," * 99_000 + b"1]}",
        b'{"Id":"143","x":"' + b"x" * ((8 << 20) - 100) + b'"}',
        b'{"Id":"143","y":"\\ud800","x":[' + b"{}," * 99_000 + b"1]}",
        b'{"Id":"143","x":[' + b"[]," * 2_000_000 + b"1]}",
    ],
    ids=["many values", "a long text", "half an emoji", "too many values"],
)
async def test_a_heavy_answer_does_not_block_the_loop(config, body):
    """Answers up to 8 MiB or 200,000 values are decoded in a thread; heavier ones are not decoded."""
    async with RawServer(answering(ok(gzip.compress(body, 1), b"Content-Encoding: gzip"))).running() as server:
        async with ServiceClient(attrs.evolve(config, base_url=server.origin, retry=ONCE)) as client:
            call = asyncio.create_task(call_get(client))
            longest = 0.0
            while not call.done():
                begun = time.thread_time()
                await asyncio.sleep(0)
                longest = max(longest, time.thread_time() - begun)
            if len(body) < 6_000_000 or body.count(b"x") > 2:
                assert (await call).number == "143"
            else:
                assert "cannot be used: it has more than 200,000 values." in str(call.exception())
            assert longest < 0.25


async def test_a_body_of_tiny_chunks_lets_other_tasks_run(config):
    """A megabyte in chunks of one byte does not keep the event loop from other tasks."""
    chunks = b"1\r\nx\r\n" * 20_000

    async def talk(reader, writer):
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        await writer.drain()

    async with RawServer(talk).running() as server:
        async with ServiceClient(attrs.evolve(config, base_url=server.origin, retry=ONCE)) as client:
            call, turns = asyncio.create_task(call_get(client)), []
            while not call.done():
                turns.append(time.thread_time())
                await asyncio.sleep(0)
            assert type(call.exception()) is MalformedResponseError
            assert max(after - before for before, after in itertools.pairwise(turns)) < 0.25


async def test_a_flood_of_interim_responses_lets_other_tasks_run(config, monkeypatch):
    """Few of thousands of responses with the status 102 are parsed before other tasks run."""
    parsed, parse = [0], h11.Connection.next_event

    def counted(connection):
        parsed[-1] += 1
        return parse(connection)

    async def talk(reader, writer):
        await request_of(reader)
        writer.write(b"HTTP/1.1 102 P\r\n\r\n" * 20_000 + ok(b'{"Id":"143","Fields":[]}'))
        await writer.drain()

    monkeypatch.setattr(h11.Connection, "next_event", counted)
    async with RawServer(talk).running() as server:
        async with ServiceClient(attrs.evolve(config, base_url=server.origin, retry=ONCE)) as client:
            call = asyncio.create_task(call_get(client))
            while not call.done():
                parsed.append(0)
                await asyncio.sleep(0)
            assert (await call).number == "143"
    assert sum(parsed) > 20_000
    assert max(parsed) < 1_000


@pytest.mark.parametrize("name", UNUSABLE)
async def test_an_answer_that_cannot_be_used_leaves_a_create_unknown(config, name):
    """A create whose response cannot be used is unknown, because its request was sent in full."""
    chunk, end = UNUSABLE[name]
    error = await outcome(config, answering(chunk, end=end), call_create)
    assert type(error) is OutcomeUnknownError
    assert [attempt.outcome.value for attempt in error.attempts] == ["unknown"]


@pytest.mark.parametrize("name", ["gzip bomb", "brotli", "9 MiB", "broken gzip", "300 headers", "100,000 headers"])
async def test_an_answer_that_cannot_be_read_is_malformed(config, name):
    """A read whose response cannot be used raises MalformedResponseError, and is not repeated if the response is
    too large."""
    chunk, end = UNUSABLE[name]
    error = await outcome(config, answering(chunk, end=end), call_get)
    assert type(error) is MalformedResponseError
    assert len(error.attempts) == 1


def with_all_fields(data):
    """Return a gzip member with every optional field: an extra field, a name, a comment and a header checksum."""
    head = b"\x1f\x8b\x08\x1f\0\0\0\0\0\xff" + b"\x02\0ab" + b"name\0" + b"comment\0"
    return head + (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little") + gzip.compress(data)[10:]


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        *(
            (coding, CREATED)
            for coding in ("UTF-8", "none", "identity, identity", "", ",", "chunked", "gzip, identity")
        ),
        *((coding, gzip.compress(CREATED)) for coding in ("gzip", "GZIP ", "x-gzip", "gzip, identity", "utf-8,gzip")),
        ("gzip", gzip.compress(CREATED[:9]) + gzip.compress(b"") + gzip.compress(CREATED[9:]) + bytes(20)),
        ("gzip", with_all_fields(CREATED)),
        ("gzip, gzip", gzip.compress(gzip.compress(CREATED))),
    ],
    ids=itertools.count(),
)
async def test_every_coding_of_a_body_that_the_standards_allow_is_understood(config, coding, body):
    """A body may be gzip of any form, and the coding may be a word that means nothing."""
    receipt = await outcome(config, answering(ok(body, b"Content-Encoding: " + coding.encode())), call_create)
    assert receipt.number == "34"
    chunked = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: %s\r\n\r\n" % coding.encode()
    assert (await outcome(config, answering(head + chunked), call_create)).number == "34"


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
