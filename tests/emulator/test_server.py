"""The emulator on a real socket: faults as the network shows them, and closing."""

import asyncio
import contextlib
import json
import logging
import signal
import socket
import time

import httpx
import pytest

from lsq_service_async.emulator import (
    AnswerLost,
    DropConnection,
    EarlyStatus,
    Emulator,
    Latency,
    ResetMidway,
    SlowRead,
    Status,
    StopReading,
    TruncatedAnswer,
)

BIG = b"x" * (16 << 20)
"""More than the buffers of both ends of a socket hold."""


@pytest.fixture(autouse=True)
def no_warnings(caplog):
    """The server logs no warning in any of these tests."""
    yield
    records = [*caplog.get_records("call"), *caplog.get_records("teardown")]
    assert [record.getMessage() for record in records if record.levelno >= logging.WARNING] == []


@pytest.fixture
async def emulator():
    """An open emulator with the documented limit."""
    async with Emulator() as emulator:
        yield emulator


def port_of(emulator):
    return int(emulator.settings["base_url"].rpartition(":")[2])


async def until(condition):
    """Run the event loop until the condition is true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- the emulator has no event for these conditions
            await asyncio.sleep(0)


async def test_an_open_emulator_serves_on_a_free_loopback_port(client, emulator, new_ticket):
    """Two emulators have two ports, and a ticket is in the emulator on whose socket it was created."""
    async with Emulator() as other:
        assert emulator.settings["base_url"] != other.settings["base_url"]
        assert emulator.settings["base_url"].startswith("http://127.0.0.1:")
        answer = await client.post("/tickets", json=new_ticket)
    assert (answer.status_code, list(emulator.tickets), len(other.tickets)) == (200, ["1"], 0)


async def test_connections_are_kept_alive_and_a_burst_is_counted_exactly(client, emulator):
    """Successive calls use one connection, even if one is a 204 without a body; of 60 calls at once 25 pass."""
    emulator.faults.add(Status(204, "a 204 has no text, so this one is not sent"))
    answers = [await client.get("/tickets/1") for _ in range(3)]
    addresses = {answer.extensions["network_stream"].get_extra_info("client_addr") for answer in answers}
    assert ([answer.status_code for answer in answers], len(addresses)) == ([204, 404, 404], 1)
    await asyncio.gather(*(client.get("/tickets/1") for _ in range(57)))
    refused = await client.get("/tickets/1")
    again = await client.get("/tickets/1")
    addresses = {answer.extensions["network_stream"].get_extra_info("client_addr") for answer in (refused, again)}
    assert (refused.status_code, emulator.refused, len(addresses)) == (429, 37, 1)


@pytest.mark.parametrize(
    ("fault", "error", "created"),
    [
        pytest.param(DropConnection(), httpx.ReadError, 0, id="reset before the body"),
        pytest.param(DropConnection(when="after_body"), httpx.ReadError, 0, id="reset after the body"),
        pytest.param(
            DropConnection(when="after_body", reset=False), httpx.RemoteProtocolError, 0, id="closed after the body"
        ),
        pytest.param(AnswerLost(), httpx.ReadError, 1, id="answer lost to a reset"),
        pytest.param(AnswerLost(reset=False), httpx.RemoteProtocolError, 1, id="answer lost to a close"),
        pytest.param(TruncatedAnswer(), httpx.RemoteProtocolError, 1, id="half an answer"),
        pytest.param(TruncatedAnswer(keep=0), httpx.RemoteProtocolError, 1, id="only headers"),
    ],
)
async def test_a_fault_ends_the_connection(client, emulator, new_ticket, fault, error, created):
    """The caller's socket is reset or closed, and the next call succeeds."""
    emulator.faults.add(fault)
    with pytest.raises(error):
        await client.post("/tickets", json=new_ticket)
    assert len(emulator.tickets) == created
    assert (await client.post("/tickets", json=new_ticket)).status_code == 200


async def test_a_truncated_answer_announces_its_whole_length(emulator):
    """The headers have the length of the whole body; the requested bytes follow, then the end of the stream."""
    emulator.faults.add(TruncatedAnswer(keep=5))
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(emulator))
    writer.write(b"GET /api/tenants/22824/tickets/1 HTTP/1.1\r\nhost: localhost\r\n\r\n")
    head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    length = len("The API call was made with invalid access credentials. Check your AccessKey and SecretKey.")
    assert (f"content-length: {length}".encode() in head, rest) == (True, b"The A")


async def test_an_upload_is_reset_midway(client, emulator):
    """The caller cannot send the rest of the body, and nothing was created."""
    emulator.faults.add(ResetMidway(100_000))
    with pytest.raises((httpx.WriteError, httpx.ReadError)):
        await client.post("/tickets", content=BIG)
    assert (emulator.calls[0].status, emulator.calls[0].sha256) == (None, None)


async def test_an_early_status_reaches_a_caller_that_is_still_sending(client, emulator):
    """The answer is sent before the body is read, the body is discarded, and the connection stays usable."""
    emulator.faults.add(EarlyStatus(413, "too large", close=False))
    response = await client.post("/tickets", content=BIG)
    assert (response.status_code, response.text) == (413, "too large")
    assert (await client.get("/tickets/1")).status_code == 404


async def test_an_early_status_may_close_the_connection(client, emulator):
    """The caller gets the 413 or loses it to a reset, and the emulator has read nothing."""
    emulator.faults.add(EarlyStatus(413))
    with contextlib.suppress(httpx.TransportError):
        assert (await client.post("/tickets", content=BIG)).status_code == 413
    assert emulator.calls[0].size is None


async def test_a_stopped_reader_stops_the_writer(client, emulator):
    """A body that does not fit into the buffers is never sent in full."""
    emulator.faults.add(StopReading())
    with pytest.raises(httpx.WriteTimeout):
        await client.post("/tickets", content=BIG, timeout=httpx.Timeout(5, write=0.05))


async def test_a_large_file_is_hashed_as_it_arrives(client, emulator, new_ticket):
    """16 MiB through the socket are counted and hashed."""
    files = {"ticketDTO": (None, json.dumps(new_ticket)), "files": ("big.bin", BIG)}
    await client.post("/tickets", files=files)
    assert [(file.name, file.size) for file in emulator.calls[0].files] == [("big.bin", len(BIG))]


@pytest.mark.parametrize("cut", [10, 150, 300])
async def test_a_caller_that_disconnects_within_a_body_creates_nothing(emulator, cut):
    """A part of a body is never taken for the whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(emulator))
    head = b"POST /api/tenants/22824/tickets HTTP/1.1\r\nhost: localhost\r\ncontent-length: 400\r\n\r\n"
    writer.write(head + b"x" * cut)
    await until(lambda: emulator.calls)
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == b""
    assert (emulator.calls[0].status, emulator.calls[0].sha256, len(emulator.tickets)) == (None, None, 0)


async def test_a_caller_that_disconnects_while_waiting_has_created_a_ticket(connect, new_ticket):
    """During a latency the ticket exists already, and the answer is discarded."""
    answered = asyncio.Event()
    async with Emulator(sleep=lambda _: answered.wait()) as emulator, connect(emulator) as client:
        emulator.faults.add(Latency(60))
        call = asyncio.create_task(client.post("/tickets", json=new_ticket))
        await until(lambda: emulator.tickets)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        answered.set()
        await until(lambda: emulator.calls[0].status == 200)
    assert list(emulator.tickets) == ["1"]


async def test_resetting_a_closed_connection_is_not_an_error():
    """The caller disconnects before the fault applies."""
    slept = asyncio.Event()
    async with Emulator(sleep=lambda _: slept.wait(), jitter=1.0, window=None) as emulator:
        emulator.faults.add(DropConnection())
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(emulator))
        writer.write(b"GET /tickets HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.01)
        slept.set()
        await until(lambda: emulator.calls)


# Closing


@pytest.mark.parametrize("fault", [Latency(60), StopReading(), SlowRead(0.001)], ids=repr)
async def test_closing_does_not_wait_for_open_calls(connect, fault):
    """Open calls are disconnected at once, and no task or socket is left."""
    tasks = asyncio.all_tasks()
    async with Emulator() as emulator:
        client = connect(emulator)
        emulator.faults.add(fault)
        call = asyncio.create_task(client.post("/tickets", content=b"x" * 100))
        await until(lambda: emulator.calls)
        await asyncio.sleep(0.01)
        began = time.monotonic()
    assert time.monotonic() - began < 5  # the faults wait for 60 seconds or permanently
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await call
    await client.aclose()
    assert asyncio.all_tasks() == tasks


async def test_closing_disconnects_idle_callers_and_frees_the_port(connect):
    """The next call fails, the port can be used again, and the emulator still has its calls."""
    async with Emulator() as emulator:
        client = connect(emulator)
        await client.get("/tickets/1")
        port = port_of(emulator)
    with pytest.raises(httpx.ConnectError):
        await client.get("/tickets/1")
    await client.aclose()
    async with Emulator(port=port) as again:
        assert again.settings["base_url"] == f"http://127.0.0.1:{port}"
    assert len(emulator.calls) == 1


@pytest.mark.parametrize("turns", range(6))
async def test_closing_disconnects_a_caller_that_is_being_accepted(turns):
    """At whatever step of an accept the emulator closes, the caller does not wait."""
    async with Emulator() as emulator:
        port = port_of(emulator)
        # Blocking on purpose: the kernel has accepted, but the loop has not seen it yet.
        caller = socket.create_connection(("127.0.0.1", port), timeout=5)
        for _ in range(turns):
            await asyncio.sleep(0)
    with caller:
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.to_thread(caller.recv, 1) == b""


@pytest.mark.parametrize("turns", range(8))
async def test_closing_continues_if_it_is_cancelled(turns):
    """At whatever step it is cancelled, the port becomes free, and a second close waits for that."""
    emulator = await Emulator().__aenter__()
    port = port_of(emulator)
    closing = asyncio.create_task(emulator.aclose())
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await emulator.aclose()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((name, 404) for name in ("127.0.0.1", "localhost:8080", "LOCALHOST", "[::1]:80", "127.1.2.3:65535")),
        *((name, 403) for name in ("evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.nip.io")),
        *((name, 403) for name in ("127.0.0.1:8080.evil", "localhost@evil", "evil@localhost", "::1", "0.0.0.0", "a b")),
    ],
)
async def test_a_foreign_host_header_is_refused(client, emulator, host, status):
    """A web page whose name points at this machine (DNS rebinding) gets a 403, and the call is not counted."""
    response = await client.get("/tickets/1", headers={"Host": host})
    assert (response.status_code, len(emulator.calls)) == (status, int(status == 404))
    assert status == 404 or repr(host) in response.text


async def test_signal_handlers_are_not_replaced():
    """An open emulator leaves the handlers of SIGINT and SIGTERM unchanged."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with Emulator():
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


async def test_the_access_log_of_another_uvicorn_is_unchanged(connect, caplog):
    """uvicorn's logger keeps its handlers and its propagation, and the emulator logs nothing to it."""
    logger, handler = logging.getLogger("uvicorn.access"), logging.NullHandler()
    logger.addHandler(handler)
    try:
        with caplog.at_level(logging.INFO):
            async with Emulator() as emulator, connect(emulator) as client:
                await client.get("/tickets/1")
        assert (logger.handlers, logger.propagate) == ([handler], True)
    finally:
        logger.removeHandler(handler)
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []
