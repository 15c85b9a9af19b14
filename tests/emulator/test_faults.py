"""Faults in process and in fake time, and the queue of faults."""

import asyncio
import json
from dataclasses import FrozenInstanceError

import pytest

from lsq_service_async.emulator import (
    AnswerLost,
    AppliedLater,
    BadJson,
    DropConnection,
    EarlyStatus,
    Emulator,
    Fault,
    FaultScript,
    Latency,
    RateLimited,
    ResetMidway,
    Serve,
    SlowRead,
    Status,
    StopReading,
    TruncatedAnswer,
)

TEXT_429 = "API calls exceeded the limit of 25 in 5 second(s)"


async def chunks(*parts):
    for part in parts:
        yield part


@pytest.mark.parametrize(
    ("fault", "status", "text", "created"),
    [
        pytest.param(Status(500), 500, "The API called failed.", 0, id="status with the vendor's text"),
        pytest.param(Status(502), 502, "Bad Gateway", 0, id="status with HTTP's phrase"),
        pytest.param(Status(599), 599, "", 0, id="status without a phrase"),
        pytest.param(Status(204), 204, "", 0, id="status without a body"),
        pytest.param(Status(500, '{"ExceptionType": "X"}'), 500, '{"ExceptionType": "X"}', 0, id="status with a body"),
        pytest.param(Status(504, "", applied=True), 504, "", 1, id="status, applied"),
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
async def test_a_fault_applies_to_one_call(client, emulator, new_ticket, fault, status, text, created):
    """The caller gets the status or a reset, ticket and record agree with it, and the next call succeeds."""
    emulator.faults.add(fault)
    if status is None:
        with pytest.raises(ConnectionResetError):
            await client.post("/tickets", json=new_ticket)
    else:
        response = await client.post("/tickets", json=new_ticket)
        assert (response.status_code, text in response.text) == (status, True)
    assert len(emulator.tickets) == created
    (call,) = emulator.calls
    assert (call.status, call.fault, call.applied, call.refused) == (status, fault, bool(created), False)
    assert (await client.post("/tickets", json=new_ticket)).status_code == 200


@pytest.mark.parametrize(
    ("fault", "headers"),
    [
        (
            Status(503, "<html>", headers={"Retry-After": "7", "Content-Type": "text/html"}),
            {"retry-after": "7", "content-type": "text/html"},
        ),
        (BadJson(), {"content-type": "application/json; charset=utf-8"}),
        (EarlyStatus(413), {"connection": "close"}),
        (EarlyStatus(413, close=False), {"connection": None}),
        (RateLimited(), {"retry-after": None, "content-type": "text/plain; charset=utf-8"}),
        (RateLimited(1), {"retry-after": "1"}),
        (RateLimited("Wed, 21 Oct 2026 07:28:00 GMT"), {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}),
    ],
    ids=str,
)
async def test_a_fault_chooses_the_headers(client, emulator, fault, headers):
    """Status takes any header, RateLimited any Retry-After, and EarlyStatus announces whether it closes."""
    emulator.faults.add(fault)
    response = await client.post("/tickets", content=b"x" * 100)
    assert {name: response.headers.get(name) for name in headers} == headers
    assert emulator.refused == 0
    assert (emulator.calls[0].size is None) == isinstance(fault, EarlyStatus), "only EarlyStatus reads no body"


async def test_latency_follows_the_change(client, emulator, fake_time, new_ticket):
    """A caller that does not wait for the answer has created a ticket all the same."""
    emulator.faults.add(Latency(2.5))
    await client.post("/tickets", json=new_ticket)
    assert fake_time.slept == [2.5]


async def test_a_call_is_applied_after_its_connection_was_closed(connect, new_ticket):
    """The caller is dropped at once, and the ticket exists after the given seconds, unless the emulator was reset."""
    slept, late = [], asyncio.Event()

    async def sleep(seconds):
        slept.append(seconds)
        await late.wait()

    emulator = Emulator(sleep=sleep, window=None)
    async with connect(emulator) as client:
        for forgotten in (True, False):
            emulator.faults.add(AppliedLater(30.0))
            with pytest.raises(ConnectionResetError):
                await client.post("/tickets", json=new_ticket)
            await asyncio.sleep(0)
            assert (emulator.tickets, emulator.calls[0].applied, emulator.calls[0].status) == ({}, False, None)
            if forgotten:
                emulator.reset()
        late.set()
        while not emulator.tickets:  # noqa: ASYNC110 -- the emulator has no event for a change
            await asyncio.sleep(0)
    assert (slept, list(emulator.tickets), emulator.calls[0].applied) == ([30.0, 30.0], ["1"], True)
    await emulator.aclose()


async def test_a_slow_read_takes_the_time_of_its_bytes(client, emulator, fake_time):
    """300 bytes at 100 bytes a second take 3 seconds."""
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
        (StopReading(after_bytes=15), 20),
    ],
)
async def test_a_fault_reads_a_part_of_the_body(client, emulator, fault, read):
    """The emulator takes no byte, some chunks or all of them; a body that was not read to its end has no digest."""
    taken = 0

    async def body():
        nonlocal taken
        for _ in range(4):
            taken += 10
            yield b"x" * 10

    emulator.faults.add(fault)
    call = asyncio.create_task(client.post("/tickets", content=body()))
    for _ in range(50):
        await asyncio.sleep(0)
    assert call.done() is not isinstance(fault, StopReading), "StopReading never answers"
    call.cancel()
    with pytest.raises((ConnectionResetError, asyncio.CancelledError)):
        await call
    assert (taken, emulator.calls[0].sha256 is not None) == (read, read == 40)


async def test_a_truncated_answer_was_applied(client, emulator, new_ticket):
    """In process the truncated response is a reset, and the record has the status that was sent."""
    emulator.faults.add(TruncatedAnswer())
    with pytest.raises(ConnectionResetError):
        await client.post("/tickets", json=new_ticket)
    assert (len(emulator.tickets), emulator.calls[0].status) == (1, 200)


async def test_a_custom_fault_can_be_added(client, emulator, new_ticket):
    """A fault may read a part of the body first: apply reads the rest, and a second apply repeats the call."""

    class Twice(Fault):
        async def play(self, exchange):
            await exchange.read(at_most=10)
            await exchange.apply()
            await exchange.send(await exchange.apply())

    emulator.faults.add(Twice())
    content = json.dumps(new_ticket).encode()
    body = chunks(content[:20], content[20:])
    response = await client.post("/tickets", content=body, headers={"content-type": "application/json"})
    assert (response.json()["Id"], list(emulator.tickets)) == ("2", ["1", "2"])
    assert emulator.calls[0].size == len(content)


def test_an_empty_queue_serves():
    """A call without a fault is served."""
    assert FaultScript().take("GET", "/tickets/1") == Serve()


def test_faults_apply_in_order_and_as_often_as_given():
    """The queue is used up from its beginning, ``pending`` shows the rest, and Serve lets calls pass."""
    queue = FaultScript()
    queue.add(Status(500, times=2), Serve(times=2), Latency(1.0))
    assert [queue.take("GET", "/") for _ in range(3)] == [Status(500, times=2), Status(500), Serve(times=2)]
    assert queue.pending == (Serve(), Latency(1.0))
    assert [queue.take("GET", "/") for _ in range(3)] == [Serve(), Latency(1.0), Serve()]


def test_a_fault_waits_for_its_call():
    """A fault with a method and a part of the path lets other calls pass, and these take the faults behind it."""
    queue, fault = FaultScript(), Status(500, method="PUT", path="/update")
    queue.add(fault, RateLimited())
    assert queue.take("POST", "/tickets") == RateLimited()
    assert queue.take("PUT", "/tickets/trash") == Serve()
    assert queue.take("GET", "/tickets/1/update") == Serve()
    assert queue.take("PUT", "/tickets/1/update") == fault


def test_the_queue_can_be_cleared():
    """After ``clear`` no fault is pending."""
    queue = FaultScript()
    queue.add(Status(500))
    assert "Status(" in repr(queue)
    queue.clear()
    assert queue.pending == ()


def test_faults_are_values():
    """A fault is frozen, and applies at least once."""
    fault = Status(500, times=2)
    with pytest.raises(FrozenInstanceError):
        fault.times = 3
    with pytest.raises(ValueError, match="at least 1, not 0"):
        Status(500, times=0)
