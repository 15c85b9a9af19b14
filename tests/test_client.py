"""The client is opened once, shared by all tasks, closed once, and refuses misuse."""

import asyncio
import copy
import gc
import inspect
import logging
import os
import pickle
import threading
from contextlib import nullcontext

import attrs
import httpx
import pytest
from scripted import AfterBody, Script, created
from virtual_clock import run_virtual

from lsq_service_async import (
    APIStatusError,
    AuthenticationError,
    ConfigurationError,
    Lane,
    LSQServiceError,
    NewTicket,
    NotFoundError,
    RateLimit,
    RetryPolicy,
    ServerError,
    ServiceClient,
)
from lsq_service_async.integrations.opentelemetry import OpenTelemetryHook
from lsq_service_async.limits import LocalLimiter

TICKET = NewTicket(lead_id="45b5")


async def test_a_closed_client_refuses_calls(config):
    """A closed client raises LSQServiceError before anything is sent."""
    async with ServiceClient(config) as client:
        pass
    with pytest.raises(LSQServiceError, match="client is closed"):
        await client.tickets.get("1")
    with pytest.raises(LSQServiceError, match="client is closed"):
        await client.__aenter__()
    await client.aclose()
    assert repr(client) == "<ServiceClient http://127.0.0.1:9/api/tenants/22824 closed>"


def test_a_client_belongs_to_one_event_loop(config):
    """A client that is used in a second event loop raises LSQServiceError."""
    client = ServiceClient(config)

    async def use():
        with pytest.raises(LSQServiceError) as caught:
            await client.with_options(retry=RetryPolicy(attempts=1)).tickets.get("1")
        return str(caught.value)

    first = asyncio.new_event_loop()
    assert "No connection" in first.run_until_complete(use())
    assert "another event loop" in asyncio.run(use())
    from_thread = []
    thread = threading.Thread(target=lambda: from_thread.append(asyncio.run(use())))
    thread.start()
    thread.join()
    assert "another event loop" in from_thread[0]
    first.run_until_complete(client.aclose())
    first.close()


def test_a_client_whose_loop_has_ended_can_be_closed(config):
    """A client can be closed after its loop has ended, without a warning."""
    client = ServiceClient(config)
    asyncio.run(client.__aenter__())
    asyncio.run(client.aclose())
    assert repr(client).endswith("closed>")


async def test_a_forked_client_refuses_calls(config, monkeypatch):
    """A client that is used after a fork raises LSQServiceError."""
    async with ServiceClient(config) as client:
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            with pytest.raises(LSQServiceError, match="forked"):
                await client.tickets.get("1")


def test_a_client_may_be_made_before_the_loop(config):
    """A client that is made without an event loop opens with its first call."""
    client = ServiceClient(config, http_client=httpx.AsyncClient(transport=Script(created())))

    async def main():
        receipts = await asyncio.gather(*(client.tickets.create(TICKET) for _ in range(3)))
        await client.aclose()
        return [receipt.number for receipt in receipts]

    assert run_virtual(main()) == ["34", "35", "36"]


async def test_a_client_that_was_never_used_closes_quietly(config):
    """A client that was never opened closes without a warning."""
    await ServiceClient(config).aclose()


@pytest.mark.parametrize("seen", [lambda client: client, ServiceClient.with_options], ids=["client", "view"])
async def test_a_client_left_open_warns(config, seen):
    """A client that was never closed warns when it is garbage-collected, even if only a view still referred to it."""
    client = seen(ServiceClient(config))
    gc.collect()
    await client.__aenter__()
    with pytest.warns(ResourceWarning, match="127.0.0.1:9/api/tenants/22824 was never closed"):
        del client


def test_the_signature_of_a_view_can_be_read():
    """help() shows the defaults of with_options as unchanged."""
    assert "deadline: 'float | None' = unchanged" in str(inspect.signature(ServiceClient.with_options))


def test_a_view_shares_the_pool_and_the_limiter(config):
    """A view changes only the given options, shares connections and limiter, and its close does nothing."""
    lanes = []

    class Watched(LocalLimiter):
        async def acquire(self, lane, *, deadline=None, **more):
            lanes.append((lane, deadline is not None))
            return await super().acquire(lane, deadline=deadline, **more)

    async def main():
        script = Script(created())
        http = httpx.AsyncClient(transport=script)
        async with ServiceClient(config, limiter=Watched(), http_client=http) as client:
            async with client.with_options(lane=Lane.BULK, timeout=5.0) as view:
                assert view.limiter is client.limiter
                narrower = view.with_options(deadline=2.0)
            for each in (client, narrower, narrower.with_options(deadline=None)):
                await each.tickets.create(TICKET)
            assert repr(client).endswith("open>")
        return [seen.timeout["write"] for seen in script.seen]

    assert run_virtual(main()) == [30.0, 5.0, 5.0]
    assert lanes == [(Lane.INTERACTIVE, False), (Lane.BULK, True), (Lane.BULK, False)]


async def test_a_view_that_opens_its_client_closes_it(config):
    """A view whose async with was the first use of its client closes it; a second view does not."""
    async with ServiceClient(config).with_options(lane=Lane.BULK) as view:
        async with view.with_options(timeout=5.0):
            pass
        assert repr(view).endswith("open>")
    assert repr(view).endswith("closed>")


@pytest.mark.parametrize(
    "options", [{"lane": "bulk"}, {"timeout": 0}, {"deadline": -1}, {"retry": 3}, {"timeout": None}]
)
async def test_impossible_options_are_refused(config, options):
    """with_options raises ConfigurationError for impossible values."""
    async with ServiceClient(config) as client:
        with pytest.raises(ConfigurationError):
            client.with_options(**options)


def test_the_options_of_the_config_are_the_clients(config):
    """A client takes timeout, deadline and retry policy from its Config."""
    script = Script(AfterBody(httpx.ReadTimeout("late")), 503)

    async def main():
        mine = attrs.evolve(config, timeout=7.0, deadline=9.0, retry=RetryPolicy(attempts=2))
        async with ServiceClient(mine, http_client=httpx.AsyncClient(transport=script)) as client:
            with pytest.raises(APIStatusError):
                await client.tickets.get("1")
            script.steps = [httpx.Response(503, headers={"retry-after": "10"})]
            with pytest.raises(APIStatusError):
                await client.tickets.get("1")

    run_virtual(main())
    assert [seen.timeout["write"] for seen in script.seen] == [7.0, 7.0, 7.0]


def test_from_env_makes_a_client(monkeypatch):
    """from_env takes the other arguments of the class."""
    for name, value in {"LSQ_ACCESS_KEY": "CANARY-a", "LSQ_SECRET_KEY": "CANARY-b", "LSQ_ORG_ID": "7"}.items():
        monkeypatch.setenv(name, value)
    limiter = LocalLimiter()
    assert ServiceClient.from_env(limiter=limiter).limiter is limiter


def test_two_clients_can_share_a_limiter(config):
    """Two clients can share a limiter, but not with another rate."""

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
    """A limiter is opened once, even if several first calls wait for it."""
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
    """The caller's http_client is not closed with the client."""
    async with httpx.AsyncClient(transport=Script(created())) as http:
        async with ServiceClient(config, http_client=http) as client:
            await client.tickets.create(TICKET)
        assert not http.is_closed


def test_a_long_wait_is_logged_once(config, caplog):
    """Each call that waits longer than the window is logged at INFO once."""

    async def main():
        limited = attrs.evolve(config, rate_limit=RateLimit(1, per=5.0))
        http = httpx.AsyncClient(transport=Script(created()))
        async with ServiceClient(limited, http_client=http) as client:
            await asyncio.gather(*(client.tickets.create(TICKET) for _ in range(4)))

    run_virtual(main())
    said = [record for record in caplog.records if "Wait of about" in record.msg]
    assert {(record.name, record.levelno) for record in said} == {("lsq_service_async", logging.INFO)}
    assert 1 <= len(said) <= 3


@pytest.mark.parametrize(
    "arguments",
    [{"hooks": print}, {"hooks": [5]}, {"hooks": [OpenTelemetryHook]}, {"limiter": 25}, {"http_client": "x"}],
    ids=["hook alone", "no hook", "class of a hook", "limiter", "http client"],
)
def test_arguments_of_another_kind_are_named(config, arguments):
    """The client raises ConfigurationError for arguments of a wrong type."""
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        ServiceClient(config, **arguments)
    with pytest.raises(ConfigurationError, match="Config"):
        ServiceClient({})


async def test_an_error_can_be_pickled(config):
    """Errors can be sent between processes."""

    async with httpx.AsyncClient(transport=Script(httpx.Response(400, json={"Message": "no"}))) as http:
        async with ServiceClient(config, http_client=http) as client:
            with pytest.raises(APIStatusError) as caught:
                await client.tickets.get("1")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.status_code, again.reference) == (str(caught.value), 400, caught.value.reference)
    assert again.attempts == caught.value.attempts


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # by the objects that deepcopy tries
def test_a_client_cannot_be_copied(config):
    """A client cannot be copied, and the incomplete copy causes no warning."""
    with pytest.raises(TypeError):
        copy.deepcopy(ServiceClient(config))
    gc.collect()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(200, json={"Id": "1"}), None),
        (httpx.Response(404, json={"Message": "no such ticket"}), None),
        (httpx.Response(404, text="no such API"), NotFoundError),
        (httpx.Response(401, json={}), AuthenticationError),
        (httpx.Response(503), ServerError),
    ],
)
async def test_check_makes_one_read(config, answer, error):
    """The check passes if the account answered, also without the ticket, and else raises the error of the read."""
    sent = []

    def respond(request):
        sent.append(request)
        return answer

    async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as own:
        async with ServiceClient(config, http_client=own) as client:
            with nullcontext() if error is None else pytest.raises(error):
                await client.check()
    assert [request.method for request in sent] == ["GET"]
