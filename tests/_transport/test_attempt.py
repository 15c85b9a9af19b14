"""Failures inside an attempt raise errors of the package and return the slot."""

import asyncio
from types import SimpleNamespace

import attrs
import httpx
import pytest
from _transport.playing import TICKET, of, play
from scripted import AfterBody, BeforeBody, Script, created
from virtual_clock import run_virtual

from lsq_service_async import (
    Attachment,
    BadRequestError,
    LSQServiceError,
    MalformedResponseError,
    NoAnswerError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    RateLimit,
    RetryPolicy,
    ServiceClient,
)
from lsq_service_async.events import AttemptEnded, CallEnded
from lsq_service_async.limits import LocalLimiter

ONCE = RetryPolicy(attempts=1)


def nested(depth, status):
    return httpx.Response(status, content=b'{"Message":"x","Id":"34","d":' + b"[" * depth + b"]" * depth + b"}")


def error_of(config, script, **options):
    """Make one create that fails. Return its error and the events of its call."""

    async def main(client, _):
        with pytest.raises(LSQServiceError) as caught:
            await client.with_options(**options).tickets.create(TICKET)
        assert client.limiter.stats().used <= len(script.seen)
        return caught.value

    return play(config, script, main)


@pytest.mark.parametrize("depth", [64, 600, 100_000])
def test_an_error_that_is_nested_too_deep_is_kept_as_text(config, depth):
    """A 400 whose JSON is nested deeper than 64 raises BadRequestError with the text as its body."""
    error, events = error_of(config, Script(nested(depth, 400)))
    assert type(error) is BadRequestError
    assert isinstance(error.body, str)
    assert [event.outcome for event in of(CallEnded, events)] == ["refused"]


def test_an_error_of_64_levels_is_decoded(config):
    """A body of 64 levels (one object around 63 lists) is still JSON."""
    assert error_of(config, Script(nested(63, 400)))[0].body["Message"] == "x"


@pytest.mark.parametrize("depth", [64, 600, 100_000])
def test_a_create_whose_answer_is_nested_too_deep_is_unknown(config, depth):
    """A 200 nested deeper than 64 cannot be read, so a create is unknown and a read malformed."""
    error, events = error_of(config, Script(nested(depth, 200)))
    assert type(error) is OutcomeUnknownError
    assert [event.outcome for event in of(AttemptEnded, events)] == ["unknown"]

    async def read(client, _):
        with pytest.raises(MalformedResponseError):
            await client.with_options(retry=ONCE).tickets.get("34")

    play(config, Script(nested(depth, 200)), read)


def test_deep_answers_give_their_slots_back(config):
    """A limit of 2 calls survives 6 deep answers, because each slot is released."""
    limited = attrs.evolve(config, rate_limit=RateLimit(2, per=1.0))

    async def main(client, _):
        for _ in range(6):
            with pytest.raises(BadRequestError):
                await client.with_options(deadline=10.0).tickets.create(TICKET)

    play(limited, Script(nested(600, 400)), main)


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e400", b"[[[1e999]]]", b"9" * 5000])
def test_an_answer_with_a_number_outside_of_json_cannot_be_read(config, number):
    """NaN, infinite and endless numbers, at any depth, make an answer unreadable."""
    answer = httpx.Response(200, content=b'{"Status":"Success","Id":"34","x":' + number + b"}")
    assert type(error_of(config, Script(answer))[0]) is OutcomeUnknownError


@pytest.mark.parametrize("failure", [MemoryError(), RecursionError(), UnicodeError("x"), KeyError("x"), OSError()])
def test_a_failure_after_a_create_was_sent_is_unknown(config, failure):
    """Any exception after the body was sent in full makes a create unknown, because it may have been applied."""
    error, events = error_of(config, Script(AfterBody(failure)))
    assert type(error) is OutcomeUnknownError
    assert [event.outcome for event in of(CallEnded, events)] == ["unknown"]


class Unprintable(Exception):
    """An exception whose text cannot be read the first time."""

    def __str__(self):
        if self.args:
            self.args = ()
            raise RuntimeError("no text")
        return ""


@pytest.mark.parametrize(("step", "expected"), [(AfterBody, OutcomeUnknownError), (BeforeBody, NotSentError)])
def test_an_error_that_cannot_be_printed_is_named(config, step, expected):
    """If the translation of an error fails itself, the call still raises an error of the package and returns
    its slot."""
    error, _ = error_of(config, Script(step(Unprintable(1))))
    assert type(error) is expected
    assert "RuntimeError" in str(error)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_passes_unchanged_and_gives_the_slot_back(config, stop):
    """KeyboardInterrupt and SystemExit leave a call unchanged. Its slot is returned, and hooks get its outcome."""
    ended, events = [], []

    class Watched(LocalLimiter):
        async def acquire(self, *args, **kwargs):
            slot = await super().acquire(*args, **kwargs)

            class Slot:
                release = staticmethod(lambda: ended.append(slot.release()))
                cancel = staticmethod(lambda: ended.append(slot.cancel()))

            return Slot()

    async def main(client, _):
        await client.tickets.create(TICKET)

    with pytest.raises(stop):
        play(config, Script(AfterBody(stop())), main, limiter=Watched(), hooks=[events.append])
    assert len(ended) == 1
    assert [(type(event), event.outcome) for event in events[2:]] == [(AttemptEnded, "unknown"), (CallEnded, "unknown")]


HTTP_1, HTTP_2 = "http11.send_request_headers.started", "http2.send_request_headers.started"


@pytest.mark.parametrize(
    ("event", "leases"),
    [
        pytest.param(None, [False, True], id="before send"),
        pytest.param(HTTP_1, [True, False, True, True], id="before the headers of HTTP/1.1"),
        pytest.param(HTTP_2, [True, False, True, False, True, True], id="before the headers of HTTP/2, twice"),
        pytest.param("connection.connect_tcp.started", [True], id="not at other events"),
    ],
)
def test_a_request_whose_lease_has_ended_is_not_sent_and_queues_again(config, event, leases):
    """The lease is checked just before the first byte. The call is sent with a new slot, even without retries."""
    grants, left, script = [], list(leases), Script(created(7))

    class Leased(LocalLimiter):
        async def acquire(self, *args, is_retry, **kwargs):
            slot = await super().acquire(*args, is_retry=is_retry, **kwargs)
            grants.append((is_retry, self.stats().used))
            return SimpleNamespace(release=slot.release, cancel=slot.cancel, is_valid=lambda: left.pop(0))

    class Reporting(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            if event is not None:
                await request.extensions["trace"](event, {})
            return await script.handle_async_request(request)

    async def main(client, _):
        return await client.tickets.create(TICKET)

    receipt, events = play(attrs.evolve(config, retry=ONCE), Reporting(), main, limiter=Leased())
    assert (left, len(script.seen), receipt.possible_duplicate) == ([], 1, False)
    ends = [event.outcome for event in of(AttemptEnded, events)]
    assert ends == ["not applied"] * leases.count(False) + ["applied"]
    assert grants == [(False, 1)] + [(True, 1)] * leases.count(False)


class Failing(LocalLimiter):
    """A limiter that raises ZeroDivisionError at one grant."""

    def __init__(self, grant):
        super().__init__()
        self.grants = grant

    async def acquire(self, *args, **kwargs):
        self.grants -= 1
        if not self.grants:
            raise ZeroDivisionError
        return await super().acquire(*args, **kwargs)


@pytest.mark.parametrize(("grant", "expected"), [(1, NotSentError), (2, OutcomeUnknownError)])
def test_a_limiter_that_fails_ends_a_call_in_an_error_of_the_package(config, grant, expected):
    """A limiter that raises ends the first attempt as not sent, and a create after a 502 as unknown."""

    async def main(client, _):
        with pytest.raises(expected) as caught:
            await client.tickets.create(TICKET)
        return caught.value

    error, events = play(config, Script(502), main, limiter=Failing(grant))
    assert "ZeroDivisionError" in str(error)
    assert {event.reference for event in events} == {error.reference}


def test_a_limiter_that_cannot_be_opened_ends_a_call_as_not_sent(config):
    """An exception of a limiter that opens is the cause of a NotSentError."""

    class Closed(LocalLimiter):
        async def open(self, rate, name):
            raise ZeroDivisionError

    async def main():
        client = ServiceClient(config, limiter=Closed(), http_client=httpx.AsyncClient(transport=Script(created())))
        with pytest.raises(NotSentError, match="ZeroDivisionError"):
            await client.tickets.create(TICKET)

    run_virtual(main())


async def test_an_attachment_that_fails_while_it_is_copied_is_not_sent(config):
    """Any exception of an async iterable ends the call with NotSentError, except the package's own errors."""

    async def broken(error):
        yield b"x"
        raise error

    async with (
        httpx.AsyncClient(transport=Script(created())) as http,
        ServiceClient(config, http_client=http) as client,
    ):
        for error, expected in [(ZeroDivisionError(), NotSentError), (BadRequestError("x"), BadRequestError)]:
            attachment = Attachment.from_async_iterable(broken(error), name="a")
            with pytest.raises(expected):
                await client.tickets.create(TICKET, attachments=[attachment])


@pytest.mark.parametrize("version", ["http11", "http2"])
def test_the_timeout_of_a_request_without_a_body_starts_after_its_headers(config, version):
    """A read ends at its timeout, even over HTTP/2, where httpx does not iterate an empty body."""

    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            await request.extensions["trace"](f"{version}.send_request_headers.started", {})
            await asyncio.sleep(50)
            await request.extensions["trace"](f"{version}.send_request_body.started", {})
            await asyncio.sleep(10_000)

    async def main(client, _):
        started = asyncio.get_running_loop().time()
        with pytest.raises(LSQServiceError):
            await client.with_options(retry=ONCE, timeout=20.0).tickets.get("143")
        return asyncio.get_running_loop().time() - started

    assert play(config, Silent(), main)[0] == pytest.approx(70, abs=0.1)


@pytest.mark.parametrize(("status", "expected"), [(200, NoAnswerError), (404, NotFoundError)])
def test_a_body_that_stalls_ends_at_the_timeout(config, status, expected):
    """A response ends at the timeout of its call. That of httpx is off, as it would end all calls of an HTTP/2
    connection."""

    class Stalling(httpx.AsyncBaseTransport, httpx.AsyncByteStream):
        async def handle_async_request(self, request):
            self.timeout = request.extensions["timeout"]
            return httpx.Response(status, stream=self)

        async def __aiter__(self):
            yield b"{"
            assert self.timeout["read"] is None
            await asyncio.sleep(10_000)

    async def main(client, _):
        started = asyncio.get_running_loop().time()
        with pytest.raises(expected):
            await client.with_options(retry=ONCE, timeout=20.0).tickets.get("143")
        return asyncio.get_running_loop().time() - started

    assert play(config, Stalling(), main)[0] == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:9", "https://service.test"])
def test_a_create_that_is_answered_with_the_number_of_another_is_unknown(config, base_url):
    """A number that this client received for another create does not prove that the ticket was created. The message
    names a restarted emulator as the cause on a loopback origin."""
    numbered = [httpx.Response(200, json={"Id": number}) for number in ("101", "0102", 102, "103", "101")]

    async def main(client, _):
        results = [await outcome_of(client.tickets.create(TICKET)) for _ in numbered]
        return [result if isinstance(result, Exception) else result.number for result in results]

    first, second, third, fourth, last = play(attrs.evolve(config, base_url=base_url), Script(*numbered), main)[0]
    assert (first, second, fourth) == ("101", "0102", "103")
    for error, number in ((third, "102"), (last, "101")):
        assert (type(error), error.likely) == (OutcomeUnknownError, None)
        assert f"another ticket that this client created, {number}" in str(error)
        assert ("emulator" in str(error)) == ("127" in base_url)


async def outcome_of(call):
    try:
        return await call
    except LSQServiceError as error:
        return error
