"""A client that closes: each call ends according to its progress, and no connection is leaked."""

import asyncio

import attrs
import httpx
import pytest
from _transport.playing import TICKET, of, play
from scripted import Script, Slow, created
from virtual_clock import run_virtual

from lsq_service_async import (
    LSQServiceError,
    NotSentError,
    OutcomeUnknownError,
    RateLimit,
    ServiceClient,
)
from lsq_service_async._transport.session import Session
from lsq_service_async.config import CallOptions
from lsq_service_async.events import AttemptEnded, CallEnded
from lsq_service_async.limits import LocalLimiter
from lsq_service_async.tickets import create_call


def test_closing_waits_for_requests_in_flight(config):
    """A request in flight is finished before the client is closed."""

    async def main(client, events):
        task = asyncio.create_task(client.tickets.create(TICKET))
        await asyncio.sleep(1)
        await client.aclose()
        return (await task).number

    assert play(config, Script(Slow(5, created(7))), main)[0] == "7"


def test_closing_waits_at_most_for_the_timeout(config):
    """A request that is still unanswered after the timeout ends as unknown, for its caller and for the hooks."""

    async def main(client, events):
        task = asyncio.create_task(client.with_options(timeout=100.0).tickets.create(TICKET))
        await asyncio.sleep(1)
        started = asyncio.get_running_loop().time()
        await client.aclose()
        with pytest.raises(OutcomeUnknownError, match="client was closed"):
            await task
        return asyncio.get_running_loop().time() - started

    limited = attrs.evolve(config, timeout=3.0)
    seconds, events = play(limited, Script(Slow(500, created())), main)
    assert seconds == pytest.approx(3.0, abs=0.01)
    assert [event.outcome for event in of(AttemptEnded, events)] == ["unknown"]


def test_closing_before_the_body_is_sent_is_not_sent(config):
    """A request that still waits for its connection at the close ends as not sent."""

    class Stuck(Script):
        async def handle_async_request(self, request):
            await asyncio.sleep(1000)

    async def main(client, events):
        task = asyncio.create_task(client.tickets.create(TICKET))
        await asyncio.sleep(1)
        await client.aclose()
        with pytest.raises(NotSentError, match="closed before"):
            await task

    play(attrs.evolve(config, timeout=3.0), Stuck(created()), main)


def test_closing_gives_a_connection_that_is_being_made_a_second(config):
    """A request that is still connecting after the timeout gets a second more, or httpx could leak its connection."""

    class SlowToConnect(Script):
        async def handle_async_request(self, request):
            await asyncio.sleep(4.5)
            return await super().handle_async_request(request)

    async def main(client, events):
        task = asyncio.create_task(client.tickets.create(TICKET))
        await asyncio.sleep(1)
        await client.aclose()
        return (await task).number

    assert play(attrs.evolve(config, timeout=3.0), SlowToConnect(created(7)), main)[0] == "7"


class SlowToClose(httpx.AsyncByteStream):
    """A response body that is complete, on a connection that takes 10 s to close."""

    closed = False

    async def __aiter__(self):
        yield created().content

    async def aclose(self):
        await asyncio.sleep(10)
        self.closed = True


class Endless(SlowToClose):
    """A response body that never ends."""

    async def __aiter__(self):
        yield b"{"
        await asyncio.sleep(1000)


class Answering(Script):
    """Reads the request, and responds with this body."""

    def __init__(self, body):
        super().__init__(created())
        self.body = body

    async def handle_async_request(self, request):
        await super().handle_async_request(request)
        return httpx.Response(200, stream=self.body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [(SlowToClose(), "34"), (Endless(), "was closed")],
    ids=["it is whole", "it has no end"],
)
def test_closing_breaks_no_response_that_is_being_closed(config, body, expected):
    """A task is cancelled while it reads a response, but not while it closes one: httpx could leak the connection."""

    async def main(client, events):
        task = asyncio.create_task(client.with_options(timeout=100.0).tickets.create(TICKET))
        await asyncio.sleep(1)
        await client.aclose()
        [result] = await asyncio.gather(task, return_exceptions=True)
        assert expected in str(getattr(result, "number", result))
        assert asyncio.get_running_loop().time() < 1020

    play(attrs.evolve(config, timeout=3.0), Answering(body), main)
    assert body.closed


@pytest.mark.parametrize("where", ["queue", "pause", "flight"])
def test_closing_ends_every_call_in_its_own_way(config, where):
    """Closing rejects queued calls, ends waiting retries with the outcome of their attempts, and waits for requests."""
    later = httpx.Response(503, headers={"Retry-After": "3"})
    steps = {"queue": [created()], "pause": [later], "flight": [Slow(2, created(7))]}[where]
    limited = attrs.evolve(config, rate_limit=RateLimit(1, per=5.0))
    script = Script(*steps)

    async def main(client, events):
        if where == "queue":
            await client.tickets.create(TICKET)
        task = asyncio.create_task(client.tickets.create(TICKET))
        await asyncio.sleep(0.5)
        sent = len(script.seen)
        await client.aclose()
        assert len(script.seen) == sent
        return (await asyncio.gather(task, return_exceptions=True))[0]

    result, _ = play(limited, script, main)
    expected = {"queue": NotSentError, "pause": OutcomeUnknownError}.get(where)
    assert type(result) is expected if expected else result.number == "7"
    if where == "pause":
        assert [attempt.status for attempt in result.attempts] == [503]


def test_closing_while_an_intent_is_written_does_not_undo_an_earlier_send(config):
    """A second attempt that the close prevents leaves the unknown outcome of the first."""
    script, events, intents = Script(502, created()), [], []

    async def main():
        closing = []

        async def before_send(reference, is_doubtful):
            intents.append((reference, is_doubtful, len(script.seen)))
            if len(intents) == 2:
                closing.append(asyncio.create_task(session.aclose()))
                await asyncio.sleep(0.1)

        async with httpx.AsyncClient(transport=script) as http:
            session = Session(config, None, http, [events.append], "test")
            call = attrs.evolve(create_call(TICKET), before_send=before_send)
            with pytest.raises(OutcomeUnknownError) as caught:
                await session.send(call, CallOptions())
            await asyncio.gather(*closing)
        return caught.value

    error = run_virtual(main())
    assert intents == [(error.reference, False, 0), (error.reference, True, 1)]
    assert (len(script.seen), isinstance(error.__cause__, NotSentError)) == (1, True)
    assert [event.outcome for event in of(CallEnded, events)] == ["unknown"]


def test_closing_sends_no_request(config):
    """A closing client sends nothing more, even if its limiter is shared with an open client."""
    script = Script(Slow(1, created()))

    async def main():
        limiter = LocalLimiter()
        limited = attrs.evolve(config, rate_limit=RateLimit(2, per=5.0))
        async with httpx.AsyncClient(transport=script) as http:
            other = ServiceClient(limited, limiter=limiter, http_client=http)
            client = ServiceClient(limited, limiter=limiter, http_client=http)
            await other.__aenter__()
            tasks = [asyncio.create_task(client.tickets.create(TICKET)) for _ in range(8)]
            await asyncio.sleep(0.5)
            await client.aclose()
            sent, ended = len(script.seen), [task.done() for task in tasks]
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(60)
            await other.aclose()
            assert all(ended)
            return sent, [type(result).__name__ for result in results]

    sent, results = run_virtual(main())
    assert len(script.seen) == sent == 2
    assert sorted(results) == ["NotSentError"] * 6 + ["TicketReceipt"] * 2


def test_a_closing_that_is_cancelled_goes_on(config):
    """A cancelled aclose still closes the pool and the limiter, and the next aclose waits for that."""

    async def main():
        client = ServiceClient(config, http_client=httpx.AsyncClient(transport=Script(Slow(3, created(7)))))
        task = asyncio.create_task(client.tickets.create(TICKET))
        await asyncio.sleep(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.aclose(), 0.1)
        assert not task.done()
        await client.aclose()
        assert (await task).number == "7"
        with pytest.raises(LSQServiceError):
            client.limiter.stats()

    run_virtual(main())


def test_a_client_that_is_closed_while_it_opens_leaves_nothing_open(config):
    """A client that is closed while it opens its limiter closes it again, and its calls end."""

    class SlowToOpen(LocalLimiter):
        async def open(self, rate, name):
            await asyncio.sleep(1)
            await super().open(rate, name)

    async def main():
        limiter = SlowToOpen()
        async with httpx.AsyncClient(transport=Script(created())) as http:
            client = ServiceClient(config, limiter=limiter, http_client=http)
            first, second = (asyncio.create_task(client.tickets.create(TICKET)) for _ in range(2))
            await asyncio.sleep(0.5)
            await client.aclose()
            for call in (first, second):
                with pytest.raises(LSQServiceError, match="closed"):
                    await call
        return repr(limiter)

    assert run_virtual(main()) == "<SlowToOpen: closed>"


def test_a_deadline_bounds_the_opening_too(config):
    """A limiter that takes too long to open ends a call at its deadline."""

    class NeverOpen(LocalLimiter):
        async def open(self, rate, name):
            await asyncio.sleep(3600)

    async def main():
        async with httpx.AsyncClient(transport=Script(created())) as http:
            client = ServiceClient(config, limiter=NeverOpen(), http_client=http)
            began = asyncio.get_running_loop().time()
            with pytest.raises(NotSentError, match="limiter could not be opened before the deadline"):
                await client.with_options(deadline=2.0).tickets.create(TICKET)
            return asyncio.get_running_loop().time() - began

    assert run_virtual(main()) == pytest.approx(2.0, abs=0.01)
