"""On a real socket: what the wire shows of each fault, and a closing that leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lsq_service_async.emulator import (
    AnswerLost,
    DropConnection,
    EarlyStatus,
    Emulator,
    Fault,
    Latency,
    ResetMidway,
    SlowRead,
    StopReading,
    TruncatedAnswer,
)

Client = Callable[[Emulator], httpx.AsyncClient]

BIG = b"x" * (16 << 20)
"""More than the buffers of both ends of a socket hold."""


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def port_of(emulator: Emulator) -> int:
    return int(emulator.settings["base_url"].rpartition(":")[2])


async def until(true: Callable[[], object]) -> None:
    """Let the loop run until it is so."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 -- the emulator has no event for each thing that may be waited for
            await asyncio.sleep(0)


async def test_an_open_emulator_serves_on_a_free_port_of_this_machine(on_socket: Client, new_ticket: Any) -> None:
    """Two at once have two ports; what is created through the socket is in the emulator."""
    async with Emulator() as one, Emulator() as two, on_socket(one) as client:
        assert one.settings["base_url"] != two.settings["base_url"]
        assert one.settings["base_url"].startswith("http://127.0.0.1:")
        answer = await client.post("/tickets", json=new_ticket)
        assert (answer.status_code, list(one.tickets), len(two.tickets)) == (200, ["1"], 0)


async def test_connections_are_kept_alive(on_socket: Client) -> None:
    """Two calls one after the other are one connection, also when the first one was refused for speed."""
    async with Emulator(rate_limit=(1, 5.0)) as emulator, on_socket(emulator) as client:
        ports = [
            (await client.get("/tickets/1")).extensions["network_stream"].get_extra_info("client_addr")[1]
            for _ in range(3)
        ]
    assert len(set(ports)) == 1


async def test_a_burst_on_the_socket_is_counted_exactly(on_socket: Client) -> None:
    """Of 60 calls at once, 25 pass."""
    async with Emulator() as emulator, on_socket(emulator) as client:
        answers = await asyncio.gather(*(client.get("/tickets/1") for _ in range(60)))
    assert ([answer.status_code for answer in answers].count(404), emulator.refused) == (25, 35)


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
        pytest.param(TruncatedAnswer(keep=0), httpx.RemoteProtocolError, 1, id="no more than headers"),
    ],
)
async def test_a_lost_connection_is_a_lost_connection(
    on_socket: Client,
    new_ticket: Any,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
    error: type[Exception],
    created: int,
) -> None:
    """The caller's socket is reset or closed, the next call goes well, and the server has nothing to complain of."""
    async with Emulator() as emulator, on_socket(emulator) as client:
        emulator.faults.add(fault)
        with pytest.raises(error):
            await client.post("/tickets", json=new_ticket)
        assert created == len(emulator.tickets)
        assert (await client.post("/tickets", json=new_ticket)).status_code == 200
    assert complaints(caplog) == []


async def test_a_truncated_answer_announces_all_of_it(new_ticket: Any) -> None:
    """The wire has the whole length in the headers, the bytes that were asked for, and then the end."""
    async with Emulator() as emulator:
        emulator.faults.add(TruncatedAnswer(keep=5))
        port = port_of(emulator)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /api/tenants/22824/tickets/1 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    length = len("The API call was made with invalid access credentials. Check your AccessKey and SecretKey.")
    assert (f"content-length: {length}".encode() in head, rest) == (True, b"The A")


async def test_an_upload_is_reset_midway(on_socket: Client) -> None:
    """The caller cannot write on, and nothing was created."""
    async with Emulator() as emulator, on_socket(emulator) as client:
        emulator.faults.add(ResetMidway(100_000))
        with pytest.raises((httpx.WriteError, httpx.ReadError)):
            await client.post("/tickets", content=BIG)
        assert (emulator.calls[0].status, emulator.calls[0].sha256) == (None, None)


async def test_an_early_status_reaches_a_caller_that_still_writes(on_socket: Client) -> None:
    """Answered before the body was read, which is thrown away; the connection goes on."""
    async with Emulator() as emulator, on_socket(emulator) as client:
        emulator.faults.add(EarlyStatus(413, "too large", close=False))
        response = await client.post("/tickets", content=BIG)
        assert (response.status_code, response.text) == (413, "too large")
        assert (await client.get("/tickets/1")).status_code == 404


async def test_an_early_status_may_close_the_connection(on_socket: Client) -> None:
    """The caller is told 413, or loses it to the reset; the emulator has read nothing."""
    async with Emulator() as emulator, on_socket(emulator) as client:
        emulator.faults.add(EarlyStatus(413))
        try:
            told = (await client.post("/tickets", content=BIG)).status_code
        except httpx.TransportError:
            told = 413
        assert (told, emulator.calls[0].size) == (413, None)


async def test_a_stopped_reader_stops_the_writer(on_socket: Client) -> None:
    """A body beyond the buffers is never sent to its end."""
    async with Emulator() as emulator, on_socket(emulator) as client:
        emulator.faults.add(StopReading())
        with pytest.raises(httpx.WriteTimeout):
            await client.post("/tickets", content=BIG, timeout=httpx.Timeout(5, write=0.05))


async def test_a_large_file_is_hashed_as_it_comes(on_socket: Client, new_ticket: Any) -> None:
    """16 MiB through the socket: counted, hashed, kept nowhere."""
    async with Emulator() as emulator, on_socket(emulator) as client:
        files: Any = {"ticketDTO": (None, json.dumps(new_ticket)), "files": ("big.bin", BIG)}
        await client.post("/tickets", files=files)
        assert [("big.bin", len(BIG))] == [(file.name, file.size) for file in emulator.calls[0].files]


@pytest.mark.parametrize("cut", [10, 150, 300])
async def test_who_leaves_in_the_middle_of_a_body_creates_nothing(cut: int, caplog: pytest.LogCaptureFixture) -> None:
    """A part of a body never passes for a whole one, and the server stays silent about it."""
    async with Emulator() as emulator:
        port = port_of(emulator)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = b"POST /api/tenants/22824/tickets HTTP/1.1\r\nhost: localhost\r\ncontent-length: 400\r\n\r\n"
        writer.write(head + b"x" * cut)
        await until(lambda: emulator.calls)
        writer.close()
        await writer.wait_closed()
        assert await reader.read() == b""
    assert (emulator.calls[0].status, emulator.calls[0].sha256, len(emulator.tickets)) == (None, None, 0)
    assert complaints(caplog) == []


async def test_who_leaves_while_waiting_has_created_a_ticket(
    fake_time: Any, on_socket: Client, new_ticket: Any
) -> None:
    """The answer comes to nobody, and the ticket is there."""
    answered = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await answered.wait()

    async with Emulator(sleep=sleep) as emulator, on_socket(emulator) as client:
        emulator.faults.add(Latency(60))
        call = asyncio.create_task(client.post("/tickets", json=new_ticket))
        await until(lambda: emulator.tickets)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        answered.set()
        await until(lambda: emulator.calls[0].status == 200)
    assert list(emulator.tickets) == ["1"]


async def test_a_reset_of_a_connection_that_is_gone_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """The caller was faster than the fault."""
    slept = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await slept.wait()

    async with Emulator(sleep=sleep, jitter=1.0, window=None) as emulator:
        emulator.faults.add(DropConnection())
        port = port_of(emulator)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.01)
        slept.set()
        await until(lambda: emulator.calls)
    assert complaints(caplog) == []


# Closing


@pytest.mark.parametrize("fault", [Latency(60), StopReading(), SlowRead(0.001)], ids=repr)
async def test_closing_waits_for_nobody(on_socket: Client, caplog: pytest.LogCaptureFixture, fault: Fault) -> None:
    """Open calls are hung up on, at once and without a word in the log; no task and no socket is left."""
    tasks = asyncio.all_tasks()
    async with Emulator() as emulator:
        client = on_socket(emulator)
        emulator.faults.add(fault)
        call = asyncio.create_task(client.post("/tickets", content=b"x" * 100))
        await until(lambda: emulator.calls)
        await asyncio.sleep(0.01)
        began = time.monotonic()
    assert time.monotonic() - began < 0.05
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await call
    await client.aclose()
    assert (tasks, []) == (asyncio.all_tasks(), complaints(caplog))


async def test_closing_hangs_up_on_idle_connections_and_frees_the_port(on_socket: Client) -> None:
    """A caller that comes back finds nobody, and the port can be taken again; what was created is still there."""
    async with Emulator() as emulator:
        client = on_socket(emulator)
        await client.get("/tickets/1")
        port = port_of(emulator)
    with pytest.raises(httpx.ConnectError):
        await client.get("/tickets/1")
    await client.aclose()
    async with Emulator(port=port) as again:
        assert f"http://127.0.0.1:{port}" == again.settings["base_url"]
    assert len(emulator.calls) == 1


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_is_just_being_accepted_is_hung_up_on(turns: int) -> None:
    """Wherever the accepting has come to when the emulator closes, the caller is not left waiting."""
    async with Emulator() as emulator:
        port = port_of(emulator)
        # Blocking on purpose: the kernel accepts, the loop has not seen it yet.
        caller = socket.create_connection(("127.0.0.1", port), timeout=5)
        for _ in range(turns):
            await asyncio.sleep(0)
    with caller:
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.to_thread(caller.recv, 1) == b""


@pytest.mark.parametrize("turns", range(8))
async def test_a_closing_that_is_cancelled_goes_on(turns: int) -> None:
    """Wherever it has come to, the port is free at last; who closes again waits for that."""
    emulator = await Emulator().__aenter__()
    host, port = "127.0.0.1", port_of(emulator)
    closing = asyncio.create_task(emulator.aclose())
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await emulator.aclose()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, port)


async def test_no_signal_handler_is_taken_over() -> None:
    """Ctrl-C stays with whoever opened the emulator."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with Emulator():
        assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


async def test_the_access_log_of_another_uvicorn_is_left_alone(
    on_socket: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Its logger keeps its handlers and passes on; the emulator itself writes nothing to it."""
    logger, handler = logging.getLogger("uvicorn.access"), logging.NullHandler()
    logger.addHandler(handler)
    try:
        with caplog.at_level(logging.INFO):
            async with Emulator() as emulator, on_socket(emulator) as client:
                await client.get("/tickets/1")
        assert ([handler], True) == (logger.handlers, logger.propagate)
    finally:
        logger.removeHandler(handler)
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []
