"""The client's life: opened once, shared by all, closed once, and clear about misuse."""

import asyncio
import gc
import inspect
import logging
import os
import pickle
import threading
import traceback

import attrs
import httpcore
import httpx
import pytest
from raw_server import CREATED, RawServer, ok, request_of
from scripted import BeforeBody, Script, created
from virtual_clock import run_virtual

from lsq_service_async import (
    APIStatusError,
    Attachment,
    Config,
    ConfigurationError,
    Lane,
    LSQServiceError,
    NewTicket,
    RateLimit,
    RetryPolicy,
    ServiceClient,
)
from lsq_service_async.limits import LocalLimiter

TICKET = NewTicket(lead_id="45b5")


async def test_a_closed_client_says_so(config):
    """One clear sentence, before anything is sent."""
    async with ServiceClient(config) as client:
        pass
    with pytest.raises(LSQServiceError, match="this client is closed"):
        await client.tickets.get("1")
    with pytest.raises(LSQServiceError, match="this client is closed"):
        await client.__aenter__()
    await client.aclose()
    assert repr(client) == "<ServiceClient http://127.0.0.1:9/api/tenants/22824 closed>"


def test_a_client_belongs_to_one_event_loop(config):
    """A second loop gets a sentence, not "Event loop is closed"."""
    client = ServiceClient(config)

    async def use():
        with pytest.raises(LSQServiceError) as caught:
            await client.with_options(retry=RetryPolicy(attempts=1)).tickets.get("1")
        return str(caught.value)

    first = asyncio.new_event_loop()
    assert "no connection" in first.run_until_complete(use())
    assert "another event loop" in asyncio.run(use())
    from_thread = []
    thread = threading.Thread(target=lambda: from_thread.append(asyncio.run(use())))
    thread.start()
    thread.join()
    assert "another event loop" in from_thread[0]
    first.run_until_complete(client.aclose())
    first.close()


def test_a_client_whose_loop_has_ended_can_be_closed(config):
    """Nothing is left to wait for, and nothing warns afterwards."""
    client = ServiceClient(config)
    asyncio.run(client.__aenter__())
    asyncio.run(client.aclose())
    assert repr(client).endswith("closed>")


async def test_a_forked_client_says_so(config, monkeypatch):
    """Two processes on one pool would answer each other's calls."""
    async with ServiceClient(config) as client:
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            with pytest.raises(LSQServiceError, match="forked"):
                await client.tickets.get("1")


def test_a_client_may_be_made_before_the_loop(config):
    """At import time, say: it opens with its first call."""
    client = ServiceClient(config, http_client=httpx.AsyncClient(transport=Script(created())))

    async def main():
        receipts = await asyncio.gather(*(client.tickets.create(TICKET) for _ in range(3)))
        await client.aclose()
        return [receipt.number for receipt in receipts]

    assert run_virtual(main()) == ["34", "34", "34"]


async def test_a_client_that_was_never_used_closes_quietly(config):
    """Nothing was opened, so nothing warns."""
    await ServiceClient(config).aclose()


@pytest.mark.parametrize("seen", [lambda client: client, ServiceClient.with_options], ids=["client", "view"])
async def test_a_client_left_open_warns(config, seen):
    """As files and sockets do, also where only a view of it is left."""
    client = seen(ServiceClient(config))
    gc.collect()
    await client.__aenter__()
    del client
    with pytest.warns(ResourceWarning, match="127.0.0.1:9/api/tenants/22824 was never closed"):
        gc.collect()


def test_the_signature_of_a_view_can_be_read():
    """help() shows what is left as it is."""
    assert "deadline: 'float | None' = unchanged" in str(inspect.signature(ServiceClient.with_options))


async def test_a_view_shares_the_pool_and_the_limiter(config):
    """with_options is cheap, changes only what it is given, and closing it closes nothing."""
    async with ServiceClient(config) as client:
        async with client.with_options(lane=Lane.BULK, timeout=5.0) as view:
            assert view.limiter is client.limiter
            narrower = view.with_options(deadline=2.0)
        options = narrower._options
        assert (options.lane, options.timeout, options.deadline) == (Lane.BULK, 5.0, 2.0)
        assert narrower.with_options(deadline=None)._options.deadline is None
        assert repr(client).endswith("open>")


async def test_a_view_that_opens_its_client_closes_it(config):
    """Nobody else would; another view that is entered meanwhile closes nothing."""
    async with ServiceClient(config).with_options(lane=Lane.BULK) as view:
        async with view.with_options(timeout=5.0):
            pass
        assert repr(view).endswith("open>")
    assert repr(view).endswith("closed>")


@pytest.mark.parametrize(
    "options", [{"lane": "bulk"}, {"timeout": 0}, {"deadline": -1}, {"retry": 3}, {"timeout": None}]
)
async def test_impossible_options_are_refused(config, options):
    """When the view is made, not when it is used."""
    async with ServiceClient(config) as client:
        with pytest.raises(ConfigurationError):
            client.with_options(**options)


def test_the_options_of_the_config_are_the_clients(config):
    """Time-out, deadline and retry policy come from there."""
    mine = attrs.evolve(config, timeout=7.0, deadline=9.0, retry=RetryPolicy(attempts=2))
    options = ServiceClient(mine)._options
    assert (options.timeout, options.deadline, options.retry.attempts) == (7.0, 9.0, 2)


def test_from_env_makes_a_client(monkeypatch):
    """With everything that the class takes besides."""
    for name, value in {"LSQ_ACCESS_KEY": "CANARY-a", "LSQ_SECRET_KEY": "CANARY-b", "LSQ_ORG_ID": "7"}.items():
        monkeypatch.setenv(name, value)
    limiter = LocalLimiter()
    assert ServiceClient.from_env(limiter=limiter).limiter is limiter


def test_two_clients_can_share_a_limiter(config):
    """One allowance for both; another rate or tenant on it is an error."""

    async def main():
        limiter = LocalLimiter()
        http = httpx.AsyncClient(transport=Script(created()))
        async with ServiceClient(config, limiter=limiter, http_client=http) as one:
            async with ServiceClient(config, limiter=limiter, http_client=http) as two:
                await one.tickets.create(TICKET)
                await two.tickets.create(TICKET)
                assert two.limiter.stats().used == 2
            await one.tickets.create(TICKET)
            with pytest.raises(ConfigurationError):
                await ServiceClient(attrs.evolve(config, rate_limit=RateLimit(10)), limiter=limiter).__aenter__()

    run_virtual(main())


def test_the_first_calls_share_one_opening(config):
    """A limiter whose opening takes time is opened once, however many calls come first."""
    opened = []

    class Slow(LocalLimiter):
        async def open(self, rate, name):
            await asyncio.sleep(1)
            opened.append(name)
            await super().open(rate, name)

    async def main():
        client = ServiceClient(config, limiter=Slow(), http_client=httpx.AsyncClient(transport=Script(created())))
        await asyncio.gather(*(client.tickets.create(TICKET) for _ in range(3)))
        await client.aclose()

    run_virtual(main())
    assert opened == ["127.0.0.1:9/22824"]


async def test_the_callers_http_client_stays_open(config):
    """Who brings it, closes it."""
    async with httpx.AsyncClient(transport=Script(created())) as http:
        async with ServiceClient(config, http_client=http) as client:
            await client.tickets.create(TICKET)
        assert not http.is_closed


def test_a_long_wait_is_said_once(config, caplog):
    """A call that waits longer than the window says so in the log, so that nobody looks for a hang."""

    async def main():
        limited = attrs.evolve(config, rate_limit=RateLimit(1, per=5.0))
        http = httpx.AsyncClient(transport=Script(created()))
        async with ServiceClient(limited, http_client=http) as client:
            await asyncio.gather(*(client.tickets.create(TICKET) for _ in range(4)))

    run_virtual(main())
    said = [record for record in caplog.records if record.name == "lsq_service_async"]
    assert {record.levelno for record in said} == {logging.INFO}
    assert 1 <= len(said) <= 3


# --- no secret, anywhere ----------------------------------------------------------------------------------------


def everything_shown(error):
    """What tracebacks, log formatters and crash reporters may print of an error: locals of all frames included."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    attributes = [repr(vars(link)) for link in chain(error)]
    return "".join([*shown.format(chain=True), repr(error), *attributes])


def chain(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


async def failing(config, origin, http=None):
    settings = attrs.evolve(config, base_url=origin, retry=RetryPolicy(attempts=1), timeout=0.3)
    async with ServiceClient(settings, http_client=http) as client:
        with pytest.raises(LSQServiceError) as caught:
            await client.tickets.create(TICKET)
        return caught.value


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n",
        None,
    ],
    ids=["closed", "garbage", "cut", "500", "silent"],
)
async def test_no_key_is_in_any_error(config, reply):
    """Nor in its causes, nor in the locals of their frames, however the call failed."""

    async def talk(reader, writer):
        await request_of(reader)
        if reply is None:
            await asyncio.sleep(1)
        writer.write(reply or b"")

    async with RawServer(talk).running() as server:
        error = await failing(config, server.origin)
    assert "CANARY" not in everything_shown(error)


class BrokenWire(httpcore.AsyncNetworkBackend):
    """Connects, and fails in the middle of writing the head of a request, with the keys in the caller's frames."""

    async def connect_tcp(self, *args, **kwargs):
        return self

    def get_extra_info(self, info):
        return None

    async def write(self, data, timeout=None):
        raise OSError("the wire broke")

    async def aclose(self):
        pass


async def test_no_key_is_in_the_frames_of_a_broken_write(config):
    """h11 shows every header in the repr of its events, and crash reporters show the locals of every frame."""
    transport = httpx.AsyncHTTPTransport()
    transport._pool = httpcore.AsyncConnectionPool(network_backend=BrokenWire())
    async with httpx.AsyncClient(transport=transport) as http:
        error = await failing(config, config.base_url, http)
    assert "the wire broke" in str(error)
    assert "CANARY" not in everything_shown(error)


async def test_no_key_is_in_the_error_of_a_broken_connection(config):
    """The request that could not be written held the keys."""
    error = await failing(config, "http://127.0.0.1:9")
    assert "CANARY" not in everything_shown(error)


@pytest.mark.parametrize(
    "wrong",
    [{"LSQ_RATE_LIMIT": "25"}, {"LSQ_BASE_URL": "x"}, {"LSQ_ACCESS_KEY": "CANARY-a\n"}],
    ids=["rate", "url", "key"],
)
def test_no_key_is_in_the_error_of_wrong_settings(monkeypatch, wrong):
    """The first error that many people see, and crash reporters with it."""
    named = {"LSQ_ACCESS_KEY": "CANARY-a", "LSQ_SECRET_KEY": "CANARY-b", "LSQ_ORG_ID": "7"}
    for name, value in (named | wrong).items():
        monkeypatch.setenv(name, value)
    del named, wrong, name, value
    with pytest.raises(ConfigurationError) as caught:
        Config.from_env()
    shown = traceback.TracebackException(
        caught.type, caught.value, caught.value.__traceback__.tb_next, capture_locals=True
    )
    assert "CANARY" not in "".join(shown.format())


async def test_an_escaped_key_is_found_too(config):
    """JSON has more than one way to write a character."""
    body = rb'{"Status":"Error","ExceptionMessage":"no key CANARY\u002daccess-u$r","Keys":["CANARY-secret"]}'
    async with httpx.AsyncClient(transport=Script(httpx.Response(400, content=body))) as http:
        error = await failing(config, config.base_url, http)
    assert "CANARY" not in everything_shown(error)
    assert error.body["Keys"] == ["***"]


@pytest.mark.parametrize(
    "arguments",
    [{"hooks": print}, {"hooks": [5]}, {"limiter": 25}, {"http_client": "x"}],
    ids=["hook alone", "no hook", "limiter", "http client"],
)
def test_arguments_of_another_kind_are_named(config, arguments):
    """When the client is made, not when it is used."""
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        ServiceClient(config, **arguments)
    with pytest.raises(ConfigurationError, match="Config"):
        ServiceClient({})


@pytest.mark.parametrize("status", [200, 401, 500])
async def test_a_service_that_repeats_a_key_is_not_repeated(config, status):
    """Its words come without the key, in the message and in the body."""
    said = {"Status": "Error", "ExceptionMessage": "no such key CANARY-access-u$r / CANARY-secret"}
    async with httpx.AsyncClient(transport=Script(httpx.Response(status, json=said))) as http:
        error = await failing(config, config.base_url, http)
    assert "CANARY" not in everything_shown(error)
    assert "no such key *** / ***" in str(error)


async def test_no_key_is_in_any_event(config):
    """Hooks write to logs and to tracing systems."""
    events = []
    async with httpx.AsyncClient(transport=Script(429, BeforeBody(httpx.ConnectError("x")), created())) as http:
        settings = attrs.evolve(config, rate_limit=RateLimit(25, per=0.01))
        async with ServiceClient(settings, http_client=http, hooks=[events.append]) as client:
            await client.with_options(retry=RetryPolicy(backoff=0.001)).tickets.create(TICKET)
            assert "CANARY" not in repr(client) + repr(vars(client)) + repr(client.limiter)
    assert len(events) == 9
    assert "CANARY" not in repr(events)


async def test_no_key_is_in_what_httpx_logs(config, caplog):
    """It logs each URL at INFO and each step at DEBUG; the keys are in headers, which are in neither."""

    async def talk(reader, writer):
        while True:
            head, _ = await request_of(reader)
            assert b"CANARY-secret" in head
            writer.write(ok(b"[]" if head.startswith(b"GET") else CREATED))

    async with RawServer(talk).running() as server:
        settings = attrs.evolve(config, base_url=server.origin, metadata_url=server.origin, leads_url=server.origin)
        async with ServiceClient(settings) as client:
            await client.tickets.create(TICKET, attachments=[Attachment.from_bytes(b"x", name="a.txt")])
            await client.metadata.sub_types()
            await client.leads.find_by_email("wim@example.com")
    assert {"httpx", "httpcore.connection", "httpcore.http11"} <= {record.name for record in caplog.records}
    assert "emailaddress=wim%40example.com" in caplog.text
    assert "CANARY" not in caplog.text


async def test_the_keys_are_taken_off_the_request(config):
    """A request that lives on in somebody's hands has none."""
    kept = []

    class Keeping(Script):
        async def handle_async_request(self, request):
            kept.append((request, "X-LSQ-ACCESS-KEY" in request.headers))
            return await super().handle_async_request(request)

    async with httpx.AsyncClient(transport=Keeping(created())) as http:
        async with ServiceClient(config, http_client=http) as client:
            await client.tickets.create(TICKET)
    [(request, had_keys)] = kept
    assert had_keys
    assert "CANARY" not in repr(request.headers.raw)


async def test_an_error_can_be_pickled(config):
    """For task queues that send errors between processes."""

    async with httpx.AsyncClient(transport=Script(httpx.Response(400, json={"Message": "no"}))) as http:
        async with ServiceClient(config, http_client=http) as client:
            with pytest.raises(APIStatusError) as caught:
                await client.tickets.get("1")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.status_code, again.reference) == (str(caught.value), 400, caught.value.reference)
    assert again.attempts == caught.value.attempts
