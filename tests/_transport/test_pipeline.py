"""Cancelled calls: the caller is released at once, nothing is left open, and the hooks get the result."""

import asyncio
import itertools
import logging

import attrs
import httpx
import pytest
from _transport.playing import TICKET, cancelled, of, play
from raw_server import RawServer, ok, request_of
from scripted import AfterBody, BeforeBody, DuringBody, Script, Slow, created

from lsq_service_async import (
    Attachment,
    LSQServiceError,
    NotSentError,
    OutcomeUnknownError,
    RateLimit,
    RetryPolicy,
    ServiceClient,
)
from lsq_service_async.events import AttemptEnded, CallEnded


def test_a_call_that_is_cancelled_in_flight_is_finished(config):
    """A create that is cancelled in flight is finished: the event has its ticket number, and its slot stays counted."""

    async def main(client, events):
        task = asyncio.create_task(client.tickets.create(TICKET))
        await asyncio.sleep(1)
        seconds = await cancelled(task)
        in_flight = client.limiter.stats().used
        await asyncio.sleep(8)
        return seconds, in_flight, client.limiter.stats().used

    (seconds, in_flight, later), events = play(config, Script(Slow(5, created(7))), main)
    assert seconds < 0.01
    assert (in_flight, later) == (1, 1)
    [ended] = of(AttemptEnded, events)
    assert (ended.result.number, ended.abandoned, ended.outcome) == ("7", True, "applied")
    [call] = of(CallEnded, events)
    assert (call.outcome, type(call.error), call.attempts) == ("unknown", asyncio.CancelledError, 1)


def test_a_call_that_is_cancelled_while_it_connects_is_not_sent(config):
    """This also holds for a request without a body, of which no byte shows that it was sent."""
    script = Script(created())

    class Connecting(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            await asyncio.sleep(2)
            await request.extensions["trace"]("http11.send_request_headers.started", {})
            return await script.handle_async_request(request)

    async def main(client, events):
        for call in (client.request("POST", "tickets/143/x"), client.tickets.create(TICKET)):
            task = asyncio.create_task(call)
            await asyncio.sleep(1)
            await cancelled(task)
            await asyncio.sleep(8)

    _, events = play(config, Connecting(), main)
    assert (script.seen, [event.outcome for event in of(AttemptEnded, events)]) == ([], ["not applied"] * 2)


def test_a_call_that_is_cancelled_in_the_queue_is_not_sent(config):
    """A call that is cancelled in the queue takes no slot and makes no request."""
    script = Script(created())
    limited = attrs.evolve(config, rate_limit=RateLimit(1, per=5.0))

    async def main(client, events):
        await client.tickets.create(TICKET)
        task = asyncio.create_task(client.tickets.create(TICKET))
        await asyncio.sleep(1)
        assert await cancelled(task) < 0.01
        assert sum(client.limiter.stats().waiting.values()) == 0
        await asyncio.sleep(10)

    _, events = play(limited, script, main)
    assert len(script.seen) == 1
    assert of(CallEnded, events)[-1].outcome == "not applied"


def test_a_call_that_is_cancelled_in_a_pause_is_not_sent_again(config):
    """A call that is cancelled between two attempts ends with the unknown outcome of the first."""
    script = Script(502)
    slow = RetryPolicy(backoff=1000.0, backoff_cap=1000.0)

    async def main(client, events):
        task = asyncio.create_task(client.with_options(retry=slow).tickets.create(TICKET))
        await asyncio.sleep(0.01)
        assert await cancelled(task) < 0.01
        await asyncio.sleep(5000)

    _, events = play(config, script, main)
    assert len(script.seen) == 1
    assert of(CallEnded, events)[0].outcome == "unknown"


async def slow():
    await asyncio.sleep(1000)
    yield b"x"


@pytest.mark.parametrize(
    ("step", "is_upload", "error"),
    [
        (503, False, OutcomeUnknownError),
        (httpx.Response(408, headers={"Retry-After": "60"}), False, NotSentError),
        (Slow(5, httpx.Response(503)), False, OutcomeUnknownError),
        (created(), True, NotSentError),
    ],
    ids=["backoff", "Retry-After", "in flight, then backoff", "a slow stream"],
)
def test_closing_the_client_ends_a_call_that_waits(config, step, is_upload, error):
    """A call that waits to be repeated, or for a stream that it sends, ends when the client is closed."""
    script, patient = Script(step), RetryPolicy(backoff=1000.0, backoff_cap=1000.0)
    files = [Attachment.from_async_iterable(slow(), name="a.txt")] if is_upload else []

    async def main(client, events):
        call = client.with_options(retry=patient).tickets.create(TICKET, attachments=files)
        task = asyncio.create_task(call)
        await asyncio.sleep(1)
        await client.aclose()
        closed = asyncio.get_running_loop().time()
        with pytest.raises(error, match="client was closed"):
            await task
        assert asyncio.get_running_loop().time() - closed < 0.01

    play(config, script, main)
    assert len(script.seen) == (not is_upload)


@pytest.mark.parametrize("turns", range(12))
def test_a_call_that_is_cancelled_at_any_turn_leaves_nothing(config, turns):
    """A call that is cancelled in any of its first loop iterations leaves no task and no slot, and the next call
    works."""

    async def main(client, events):
        task = asyncio.create_task(client.tickets.create(TICKET))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(20)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await client.tickets.create(TICKET)
        return left, client.limiter.stats().used

    assert play(config, Script(created()), main)[0] == ([], 1)


def cancelled_at_each_turn(config, *answers):
    """Yield the events of the same call, cancelled one loop iteration later each time."""

    async def main(client, turns):
        task = asyncio.create_task(client.with_options(retry=RetryPolicy(backoff=1e-9)).tickets.create(TICKET))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(20)

    for turns in range(1, 40):
        script = Script(*[Slow(0.0, answer) for answer in answers])
        yield play(config, script, lambda client, _, turns=turns: main(client, turns))[1]


def test_a_call_that_is_cancelled_as_its_answer_arrives_ends_once(config):
    """AttemptEnded is emitted once, and is abandoned exactly if the caller did not get the result."""
    seen = set()
    for events in cancelled_at_each_turn(config, created()):
        [attempt], [call] = of(AttemptEnded, events), of(CallEnded, events)
        left = isinstance(call.error, asyncio.CancelledError)
        assert (attempt.outcome, attempt.abandoned) == ("applied", left)
        seen.add((left, events.index(attempt) < events.index(call), call.outcome))
    assert seen == {(True, False, "unknown"), (True, True, "applied"), (False, True, "applied")}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([httpx.Response(400, json={})], {"unknown", "refused"}),
        ([httpx.Response(502), httpx.Response(400, json={})], {"unknown"}),
        ([httpx.Response(502), created()], {"unknown", "applied"}),
    ],
    ids=["refused", "in doubt, then refused", "in doubt, then done"],
)
def test_a_cancelled_call_ends_as_its_attempts_did(config, answers, expected):
    """The outcome of a cancelled call is the worst of its attempts, unless the last one was applied."""
    calls = [call for events in cancelled_at_each_turn(config, *answers) for call in of(CallEnded, events)]
    left = [call for call in calls if isinstance(call.error, asyncio.CancelledError) and call.attempts == len(answers)]
    assert {call.outcome for call in left} == expected


def test_a_timeout_of_the_caller_is_a_cancellation(config):
    """asyncio.timeout works around a call."""

    async def main(client, events):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await client.tickets.create(TICKET)

    play(config, Script(Slow(5, created())), main)


class Hanging(Script):
    """A connection that is never made."""

    async def handle_async_request(self, request):
        await asyncio.sleep(1000)


def test_a_body_that_is_not_sent_at_the_deadline_is_never_sent(config):
    """A body that was not sent in full at the deadline is never sent in full."""

    async def main(client, events):
        with pytest.raises(NotSentError, match="deadline"):
            await client.with_options(deadline=1.0).tickets.create(TICKET)
        with pytest.raises(OutcomeUnknownError):
            # Without a body, the head is the whole request, and httpx does not report when it was sent.
            await client.with_options(deadline=1.0).request("POST", "tickets/1/close")
        task = asyncio.create_task(client.tickets.create(TICKET))
        await asyncio.sleep(1)
        await cancelled(task)

    _, events = play(attrs.evolve(config, timeout=2.0), Hanging(created()), main)
    assert [event.outcome for event in of(CallEnded, events)] == ["not applied", "unknown", "not applied"]


def test_a_deadline_bounds_the_copying_of_attachments_too(config):
    """A source that hangs ends as not sent at the deadline, with a reference that the hooks get too."""

    async def hanging():
        yield b"x"
        await asyncio.sleep(1000)

    async def main(client, events):
        started = asyncio.get_running_loop().time()
        attachment = Attachment.from_async_iterable(hanging(), name="a")
        with pytest.raises(NotSentError, match="attachments were prepared") as caught:
            await client.with_options(deadline=0.2).tickets.create(TICKET, attachments=[attachment])
        assert asyncio.get_running_loop().time() - started < 10
        return caught.value.reference

    async def whole():
        events = []
        async with httpx.AsyncClient(transport=Script(created())) as http:
            async with ServiceClient(config, http_client=http, hooks=[events.append]) as client:
                return await main(client, events), events

    # Real time: the copy is written by a thread.
    with asyncio.Runner() as runner:
        reference, events = runner.run(whole())
    assert [event.reference for event in events] == [reference, reference]


def test_a_timeout_of_an_attachment_is_not_the_deadline(config):
    """A TimeoutError of the caller's source is not reported as the deadline, and nothing is sent."""

    async def impatient():
        yield b"x"
        raise TimeoutError("the camera is slow")

    async def whole():
        async with httpx.AsyncClient(transport=Script(created())) as http:
            async with ServiceClient(config, http_client=http) as client:
                attachment = Attachment.from_async_iterable(impatient(), name="a")
                with pytest.raises(NotSentError, match="camera"):
                    await client.with_options(deadline=9.0).tickets.create(TICKET, attachments=[attachment])

    with asyncio.Runner() as runner:
        runner.run(whole())


def test_a_hook_cannot_cancel_a_call(config):
    """A CancelledError that a hook or a progress callback raises does not cancel the call."""

    def cancelling(event):
        raise asyncio.CancelledError

    async def main(client, _):
        return (await client.tickets.create(TICKET, progress=lambda *_: cancelling(None))).number

    assert play(config, Script(created()), main, hooks=[cancelling])[0] == "34"


def test_a_hook_that_raises_is_logged_once(config, caplog):
    """A hook that raises harms neither the call nor the other hooks, and is logged once."""
    heard = []

    def broken(event):
        raise RuntimeError("a broken hook")

    async def main(client, _):
        await client.tickets.create(TICKET)
        return await client.tickets.create(TICKET)

    assert play(config, Script(created()), main, hooks=[broken, heard.append])[0].number == "35"
    assert len(heard) == 8
    assert [record.levelno for record in caplog.records if "a broken hook" in record.getMessage()] == [logging.ERROR]


def test_a_progress_callback_that_raises_is_logged_once(config, caplog):
    """A progress callback that raises does not make the outcome of a create unknown."""

    def broken(sent, total):
        raise RuntimeError("a broken bar")

    async def main(client, events):
        return await client.tickets.create(TICKET, progress=broken)

    assert play(config, Script(created()), main)[0].number == "34"
    assert len([record for record in caplog.records if "a broken bar" in record.getMessage()]) == 1


def test_progress_never_runs_backwards(config):
    """Progress rises to the total once, even if the body is sent several times."""
    seen = []

    async def main(client, events):
        big = attrs.evolve(TICKET, description="x" * 300_000)
        await client.tickets.create(big, progress=lambda sent, total: seen.append((sent, total)))

    play(config, Script(AfterBody(httpx.ConnectError("x")), 500, created()), main)
    [total] = {total for _, total in seen}
    assert [sent for sent, _ in seen] == sorted({sent for sent, _ in seen})
    assert seen[-1] == (total, total)
    assert len(seen) > 3


async def test_a_cancelled_upload_ends_with_its_connection(config, tmp_path):
    """A cancelled upload closes its connection before the end of the file, and the pool stays usable."""
    whole = asyncio.Event()
    received = []

    async def talk(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if b"multipart" not in head:
            writer.write(ok())
            return
        received.append(await reader.readexactly(3 << 20))
        whole.set()
        received.append(await reader.read())

    path = tmp_path / "big.bin"
    path.write_bytes(bytes(64 << 20))
    events = []
    async with RawServer(talk).running() as server:
        settings = attrs.evolve(config, base_url=server.origin)
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(limits=limits) as http:
            async with ServiceClient(settings, http_client=http, hooks=[events.append]) as client:
                task = asyncio.create_task(client.tickets.create(TICKET, attachments=[path]))
                await whole.wait()
                assert await cancelled(task) < 0.1
                assert (await client.tickets.create(TICKET)).number == "34"
    assert sum(map(len, received)) < 64 << 20
    first = next(event for event in of(AttemptEnded, events) if event.abandoned)
    assert (first.outcome, first.abandoned) == ("not applied", True)


async def test_a_hundred_cancelled_calls_leave_a_pool_of_one_healthy(config):
    """Calls that are cancelled at a hundred different moments never lose the only connection of the pool."""

    async def talk(reader, writer):
        while True:
            await request_of(reader)
            await asyncio.sleep(0.001)
            writer.write(ok(b'{"Id":"%d"}' % next(numbers)))

    numbers = itertools.count()
    once = RetryPolicy(attempts=1)
    many = attrs.evolve(config, rate_limit=RateLimit(1000, per=1.0), retry=once, timeout=5.0)
    async with RawServer(talk).running() as server:
        settings = attrs.evolve(many, base_url=server.origin)
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=1)) as http:
            async with ServiceClient(settings, http_client=http) as client:
                for turn in range(100):
                    task = asyncio.create_task(client.tickets.create(TICKET))
                    for _ in range(turn % 40):
                        await asyncio.sleep(0)
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                assert (await client.tickets.create(TICKET)).number.isdecimal()


async def test_the_attachment_is_closed_whatever_happens(config, tmp_path):
    """A call that failed leaves no file open."""
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(32 << 20))  # more than a connection's buffers take in
    readers = []
    attachment = Attachment.from_path(path)

    class Watching(type(attachment.source)):
        def open(self):
            readers.append(super().open())
            return readers[-1]

    async def hang_up(reader, writer):
        await reader.readexactly(1 << 20)

    async with RawServer(hang_up).running() as server:
        settings = attrs.evolve(config, base_url=server.origin, retry=RetryPolicy(attempts=2, backoff=0.001))
        async with ServiceClient(settings) as client:
            watched = attrs.evolve(attachment, source=Watching(path, attachment.length, True))
            with pytest.raises(LSQServiceError, match=r"broke|no answer"):
                await client.tickets.create(TICKET, attachments=[watched])
        async with asyncio.timeout(5):
            # A thread that still reads cannot be stopped; it closes the file as it ends.
            while not all(reader.closed for reader in readers):  # noqa: ASYNC110 -- the thread has no event
                await asyncio.sleep(0.001)
    assert len(readers) == 2


@pytest.mark.parametrize(
    ("step", "used"),
    [
        pytest.param(BeforeBody(httpx.ConnectError("refused")), 0, id="no connection"),
        pytest.param(DuringBody(httpx.WriteError("reset")), 1, id="a part of the body was sent"),
        pytest.param(AfterBody(httpx.ReadError("reset")), 1, id="all of it was sent"),
    ],
)
def test_a_slot_returns_at_once_only_if_no_byte_was_sent(config, step, used):
    """The service may count a request of which it received a part, so its slot stays used for a whole window."""

    async def main(client, events):
        with pytest.raises(NotSentError if used == 0 or isinstance(step, DuringBody) else OutcomeUnknownError):
            await client.tickets.create(TICKET, attachments=[Attachment.from_bytes(bytes(3 << 20), name="a.bin")])
        return client.limiter.stats().used

    once = attrs.evolve(config, retry=RetryPolicy(attempts=1))
    assert play(once, Script(step), main)[0] == used
