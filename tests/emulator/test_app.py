"""The course of a call, in process and in fake time: arrival, window, faults, record."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from lsq_service_async.emulator import (
    AnswerLost,
    BadJson,
    DropConnection,
    EarlyStatus,
    Emulator,
    Fault,
    FixedWindow,
    Latency,
    RateLimited,
    ResetMidway,
    Serve,
    SlowRead,
    Status,
    StopReading,
    TruncatedAnswer,
)

Client = Callable[[Emulator], httpx.AsyncClient]

TEXT_429 = "API calls exceeded the limit of 25 in 5 second(s)"


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


# The window


async def test_the_26th_call_of_a_bunch_is_refused_in_the_vendors_words(fake_time: Any, in_process: Client) -> None:
    """25 calls pass, the next one is a 429 without a Retry-After; 5 seconds later there is room again."""
    emulator = Emulator(clock=fake_time.clock, refused_count=False)
    async with in_process(emulator) as client:
        answers = [await client.get("/tickets/1") for _ in range(26)]
        fake_time.now += 5
        later = await client.get("/tickets/1")
    assert [answer.status_code for answer in [*answers, later]] == [404] * 25 + [429] + [404]
    assert (answers[25].text, "retry-after" in answers[25].headers) == (TEXT_429, False)
    assert (emulator.refused, [at for at, call in enumerate(emulator.calls) if call.refused]) == (1, [25])


async def test_a_refused_call_changes_nothing(fake_time: Any, in_process: Client, new_ticket: Any) -> None:
    """Its body is read and hashed, and no ticket comes of it."""
    emulator = Emulator(rate_limit=(1, 5.0), clock=fake_time.clock)
    async with in_process(emulator) as client:
        answers = [await client.post("/tickets", json=new_ticket) for _ in range(2)]
    assert ([answer.status_code for answer in answers], len(emulator.tickets)) == ([200, 429], 1)
    first, second = emulator.calls
    assert (True, False, first.sha256) == (first.applied, second.applied, second.sha256)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"rate_limit": (10, 2.5), "window": "fixed"}, "limit of 10 in 2.5 second(s)"),
        ({"rate_limit": (10, 60), "window": "bucket"}, "limit of 10 in 60 second(s)"),
        ({"window": FixedWindow(3, 1.0)}, "limit of 3 in 1 second(s)"),
    ],
)
async def test_the_refusal_names_the_limit_of_the_window(
    fake_time: Any, in_process: Client, settings: Any, text: str
) -> None:
    """N and T are those of the setting, or of the window that was given."""
    emulator = Emulator(clock=fake_time.clock, **settings)
    async with in_process(emulator) as client:
        answers = [await client.get("/tickets/1") for _ in range(11)]
    assert text in answers[-1].text
    assert f"limit of {emulator.app.window.calls} in" in answers[-1].text


async def test_refused_calls_count_by_default(fake_time: Any, in_process: Client) -> None:
    """A client that keeps knocking stays outside."""
    emulator = Emulator(rate_limit=(1, 5.0), clock=fake_time.clock)
    statuses = []
    async with in_process(emulator) as client:
        for _ in range(4):
            statuses.append((await client.get("/tickets/1")).status_code)
            fake_time.now += 4
    assert statuses == [404, 429, 429, 429]


async def test_without_a_window_nobody_is_refused(client: httpx.AsyncClient, emulator: Emulator) -> None:
    """100 calls at once all pass."""
    await asyncio.gather(*(client.get("/tickets/1") for _ in range(100)))
    assert (len(emulator.calls), emulator.refused) == (100, 0)


async def test_calls_are_counted_before_their_body_is_read(fake_time: Any, in_process: Client) -> None:
    """The first to arrive is the first to count, even if its body takes long."""
    emulator = Emulator(rate_limit=(1, 5.0), clock=fake_time.clock)
    read_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await read_on.wait()

    async with in_process(emulator) as client:
        first = asyncio.create_task(client.post("/tickets", content=slow()))
        while not emulator.calls:  # noqa: ASYNC110 -- it has no event for an arrival
            await asyncio.sleep(0)
        second = await client.get("/tickets/1")
        read_on.set()
        assert ((await first).status_code, second.status_code) == (400, 429)


async def test_a_refused_call_uses_up_no_fault_and_a_faulted_call_is_counted(
    fake_time: Any, in_process: Client
) -> None:
    """The window decides first: the dropped call took its place in it, and the refused one left the script alone."""
    emulator = Emulator(rate_limit=(2, 5.0), clock=fake_time.clock)
    emulator.faults.add(DropConnection(), Serve(), Status(503))
    async with in_process(emulator) as client:
        with pytest.raises(ConnectionResetError):
            await client.get("/tickets/1")
        assert [(await client.get("/tickets/1")).status_code for _ in range(2)] == [404, 429]
    assert (Status(503),) == emulator.faults.pending


async def test_jitter_passes_on_the_way_there_and_back(fake_time: Any, in_process: Client) -> None:
    """Each way takes between 0 and the jitter, and a call is counted when it arrives."""
    emulator = Emulator(jitter=0.4, clock=fake_time.clock, sleep=fake_time.sleep, random=random.Random(3))
    async with in_process(emulator) as client:
        for _ in range(20):
            await client.get("/tickets/1")
    assert (len(fake_time.slept), all(0 <= seconds <= 0.4 for seconds in fake_time.slept)) == (40, True)
    assert max(fake_time.slept) > 0.3
    assert 1000.0 + fake_time.slept[0] == emulator.calls[0].time


# The record


async def test_every_call_is_kept(
    client: httpx.AsyncClient, emulator: Emulator, fake_time: Any, new_ticket: Any
) -> None:
    """Method, path, time, status, the digest of the whole body, and its files, in the order of arrival."""
    parts: Any = [("ticketDTO", (None, json.dumps(new_ticket))), ("files", ("a", b"xyz"))]
    request = client.build_request("POST", "/tickets", files=parts)
    raw = await request.aread()
    await client.send(request)
    fake_time.now += 1.5
    await client.get("/tickets/1?x=1")
    create, get = emulator.calls
    assert (create.method, create.path, create.time, create.status) == (
        "POST",
        "/api/tenants/22824/tickets",
        1000.0,
        200,
    )
    assert (len(raw), hashlib.sha256(raw).hexdigest()) == (create.size, create.sha256)
    assert [("a", 3, hashlib.sha256(b"xyz").hexdigest())] == [(f.name, f.size, f.sha256) for f in create.files]
    assert (get.method, get.path, get.time, get.status, get.size) == (
        "GET",
        "/api/tenants/22824/tickets/1",
        1001.5,
        200,
        0,
    )
    assert (create.applied, get.applied) == (True, False)
    assert (Serve(), False) == (get.fault, get.refused)


async def test_the_records_are_a_snapshot(client: httpx.AsyncClient, emulator: Emulator) -> None:
    """What was looked at before does not change under the one who looks."""
    before = emulator.calls
    await client.get("/tickets/1")
    assert (len(before), len(emulator.calls)) == (0, 1)


# Faults: (status answered, ticket created)


@pytest.mark.parametrize(
    ("fault", "status", "text", "created"),
    [
        pytest.param(Status(500), 500, "The API called failed.", 0, id="status with the vendor's words"),
        pytest.param(Status(502), 502, "Bad Gateway", 0, id="status with HTTP's words"),
        pytest.param(Status(599), 599, "", 0, id="status without words"),
        pytest.param(Status(204), 204, "", 0, id="status without a body"),
        pytest.param(Status(500, '{"ExceptionType": "X"}'), 500, '{"ExceptionType": "X"}', 0, id="status with a body"),
        pytest.param(Status(504, "", applied=True), 504, "", 1, id="status though applied"),
        pytest.param(RateLimited(), 429, TEXT_429, 0, id="rate limited"),
        pytest.param(Latency(2.5), 200, '"Success"', 1, id="latency"),
        pytest.param(BadJson(), 200, '{"Status": "Succ', 1, id="bad JSON, applied"),
        pytest.param(BadJson("<html>", applied=False), 200, "<html>", 0, id="bad JSON, not applied"),
        pytest.param(SlowRead(100), 200, '"Success"', 1, id="slow read"),
        pytest.param(EarlyStatus(413), 413, "", 0, id="early status"),
        pytest.param(ResetMidway(10), None, "", 0, id="reset midway"),
        pytest.param(DropConnection(), None, "", 0, id="dropped before the body"),
        pytest.param(DropConnection(when="after_body"), None, "", 0, id="dropped after the body"),
        pytest.param(AnswerLost(), None, "", 1, id="applied, answer lost"),
    ],
)
async def test_a_fault_plays_one_call_and_the_next_goes_well(
    client: httpx.AsyncClient,
    emulator: Emulator,
    new_ticket: Any,
    fault: Fault,
    status: int | None,
    text: str,
    created: int,
) -> None:
    """The caller sees the status and text, or a reset; the ticket is there or not; the record says the same."""
    emulator.faults.add(fault)
    if status is None:
        with pytest.raises(ConnectionResetError):
            await client.post("/tickets", json=new_ticket)
    else:
        response = await client.post("/tickets", json=new_ticket)
        assert (status, True) == (response.status_code, text in response.text)
    assert created == len(emulator.tickets)
    (call,) = emulator.calls
    assert (status, fault, bool(created), False) == (call.status, call.fault, call.applied, call.refused)
    assert (await client.post("/tickets", json=new_ticket)).status_code == 200


async def test_a_status_may_bring_headers_and_another_type(client: httpx.AsyncClient, emulator: Emulator) -> None:
    """Any header, the content type among them."""
    emulator.faults.add(Status(503, "<html>", headers={"Retry-After": "7", "Content-Type": "text/html"}))
    response = await client.get("/tickets/1")
    assert (response.headers["retry-after"], response.headers["content-type"]) == ("7", "text/html")


@pytest.mark.parametrize(("close", "header"), [(True, "close"), (False, None)])
async def test_an_early_status_says_whether_it_closes(
    client: httpx.AsyncClient, emulator: Emulator, close: bool, header: str | None
) -> None:
    """The connection header is what tells the server to close behind the answer; none of the body was read."""
    emulator.faults.add(EarlyStatus(413, close=close))
    response = await client.post("/tickets", content=b"x" * 100)
    assert (response.status_code, response.headers.get("connection")) == (413, header)
    assert emulator.calls[0].size is None


@pytest.mark.parametrize(("retry_after", "header"), [(None, None), (1, "1"), ("Wed, 21 Oct 2026 07:28:00 GMT",) * 2])
async def test_a_scripted_429_may_say_when_to_come_back(
    client: httpx.AsyncClient, emulator: Emulator, retry_after: Any, header: str | None
) -> None:
    """In seconds, as a date, or not at all; it is not the window that refused."""
    emulator.faults.add(RateLimited(retry_after))
    response = await client.get("/tickets/1")
    assert (429, header) == (response.status_code, response.headers.get("retry-after"))
    assert emulator.refused == 0


async def test_latency_comes_after_the_call_was_carried_out(
    client: httpx.AsyncClient, emulator: Emulator, fake_time: Any, new_ticket: Any
) -> None:
    """Who gives up waiting has created a ticket all the same."""
    emulator.faults.add(Latency(2.5))
    await client.post("/tickets", json=new_ticket)
    assert fake_time.slept == [2.5]


async def test_a_slow_reader_takes_the_time_that_the_bytes_need(
    client: httpx.AsyncClient, emulator: Emulator, fake_time: Any
) -> None:
    """300 bytes at 100 bytes a second are 3 seconds."""
    emulator.faults.add(SlowRead(100))
    await client.post("/tickets", content=chunks(b"x" * 100, b"y" * 200))
    assert fake_time.slept == [1.0, 2.0]


@pytest.mark.parametrize(
    ("fault", "read"),
    [
        (DropConnection(), 0),
        (ResetMidway(15), 20),
        (ResetMidway(1000), 40),
        (DropConnection(when="after_body"), 40),
    ],
)
async def test_a_connection_is_dropped_when_so_much_was_read(
    client: httpx.AsyncClient, emulator: Emulator, fault: Fault, read: int
) -> None:
    """Nothing, some chunks, or all; a body that was not read to its end has no digest."""
    taken = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(4):
            taken += 10
            yield b"x" * 10

    emulator.faults.add(fault)
    with pytest.raises(ConnectionResetError):
        await client.post("/tickets", content=body())
    assert (read, read == 40) == (taken, emulator.calls[0].sha256 is not None)


async def test_who_stops_reading_never_answers(client: httpx.AsyncClient, emulator: Emulator) -> None:
    """The call hangs after the given bytes, until somebody ends it."""
    emulator.faults.add(StopReading(after_bytes=15))
    taken: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        for at in range(4):
            taken.append(at)
            yield b"x" * 10

    call = asyncio.create_task(client.post("/tickets", content=body()))
    for _ in range(50):
        await asyncio.sleep(0)
    assert (call.done(), taken) == (False, [0, 1])
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_truncated_answer_was_carried_out(
    client: httpx.AsyncClient, emulator: Emulator, new_ticket: Any
) -> None:
    """In process the cut is a reset like any other; the record has the status that was sent."""
    emulator.faults.add(TruncatedAnswer())
    with pytest.raises(ConnectionResetError):
        await client.post("/tickets", json=new_ticket)
    assert (len(emulator.tickets), emulator.calls[0].status) == (1, 200)


async def test_faults_of_your_own_can_be_added(client: httpx.AsyncClient, emulator: Emulator, new_ticket: Any) -> None:
    """A fault may read a part of the body first: the call is applied with the whole of it."""

    class Twice(Fault):
        async def play(self, exchange: Any) -> None:
            await exchange.read(at_most=10)
            await exchange.apply()
            await exchange.send(await exchange.apply())

    emulator.faults.add(Twice())
    content = json.dumps(new_ticket).encode()
    body = chunks(content[:20], content[20:])
    response = await client.post("/tickets", content=body, headers={"content-type": "application/json"})
    assert (response.json()["Id"], list(emulator.tickets)) == ("2", ["1", "2"])
    assert emulator.calls[0].size == len(content)
