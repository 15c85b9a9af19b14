"""The client's life: opened once, shared by all, closed once, and clear about misuse."""

import asyncio
import copy
import gc
import inspect
import logging
import os
import pickle
import threading

import attrs
import httpx
import pytest
from scripted import Script, created
from virtual_clock import run_virtual

from lsq_service_async import (
    APIStatusError,
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
    with pytest.raises(LSQServiceError, match="client is closed"):
        await client.tickets.get("1")
    with pytest.raises(LSQServiceError, match="client is closed"):
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


async def test_an_error_can_be_pickled(config):
    """For task queues that send errors between processes."""

    async with httpx.AsyncClient(transport=Script(httpx.Response(400, json={"Message": "no"}))) as http:
        async with ServiceClient(config, http_client=http) as client:
            with pytest.raises(APIStatusError) as caught:
                await client.tickets.get("1")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.status_code, again.reference) == (str(caught.value), 400, caught.value.reference)
    assert again.attempts == caught.value.attempts


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what is tried to be copied
def test_a_client_cannot_be_copied(config):
    """It owns connections; and the half of a copy that was made says nothing at its end."""
    with pytest.raises(TypeError):
        copy.deepcopy(ServiceClient(config))
    gc.collect()
