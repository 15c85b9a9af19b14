"""Response bodies on real sockets: their size, their values, their encoding, and the time that they take."""

import asyncio
import gzip
import itertools
import time
import zlib

import attrs
import h11
import pytest
from raw_server import CREATED, ONCE, TICKET, RawServer, answering, call_create, call_get, ok, outcome, request_of

from lsq_service_async import (
    BadRequestError,
    MalformedResponseError,
    OutcomeUnknownError,
    ServiceClient,
)

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
