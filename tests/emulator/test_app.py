"""The course of a call, in process and in fake time: travel, rate limit, record, keys."""

import asyncio
import hashlib
import json
import random

import pytest

from lsq_service_async.emulator import DropConnection, Emulator, FixedWindow, RateLimited, Serve, Status

NOT_FOUND = "The API could not be found. Please check the API signature."
PHONE = "/RetrieveLeadByPhoneNumber?phone=1"


async def statuses(client, calls, path="/tickets/1"):
    return [(await client.get(path)).status_code for _ in range(calls)]


async def test_the_26th_call_of_a_burst_is_refused_with_the_vendors_text(fake_time, connect):
    """25 calls pass, the next one is a 429 without Retry-After, and 5 seconds later a call passes again."""
    emulator = Emulator(clock=fake_time.clock, refused_count=False)
    async with connect(emulator) as client:
        assert await statuses(client, 25) == [404] * 25
        refused = await client.get("/tickets/1")
        fake_time.now += 5
        assert await statuses(client, 1) == [404]
    assert (refused.status_code, refused.text) == (429, "API calls exceeded the limit of 25 in 5 second(s)")
    assert "retry-after" not in refused.headers
    assert (emulator.refused, [at for at, call in enumerate(emulator.calls) if call.refused]) == (1, [25])


async def test_a_refused_call_changes_nothing(fake_time, connect, new_ticket):
    """The body of a refused call is read and hashed, but no ticket is created."""
    emulator = Emulator(rate_limit=(1, 5.0), clock=fake_time.clock)
    async with connect(emulator) as client:
        answers = [await client.post("/tickets", json=new_ticket) for _ in range(2)]
    assert ([answer.status_code for answer in answers], len(emulator.tickets)) == ([200, 429], 1)
    first, second = emulator.calls
    assert (first.applied, second.applied, second.sha256) == (True, False, first.sha256)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"rate_limit": (10, 2.5), "window": "fixed"}, "limit of 10 in 2.5 second(s)"),
        ({"rate_limit": (10, 60), "window": "bucket"}, "limit of 10 in 60 second(s)"),
        ({"window": FixedWindow(3, 1.0)}, "limit of 3 in 1 second(s)"),
    ],
)
async def test_a_refusal_names_the_limit_of_its_window(fake_time, connect, settings, text):
    """The text of a 429 has the calls and seconds of the setting, or of the window that was passed."""
    emulator = Emulator(clock=fake_time.clock, **settings)
    async with connect(emulator) as client:
        answers = [await client.get("/tickets/1") for _ in range(11)]
    assert text in answers[-1].text
    assert f"limit of {emulator.window.calls} in" in answers[-1].text


async def test_refused_calls_count_by_default(fake_time, connect):
    """A client that repeats refused calls too early stays refused."""
    emulator = Emulator(rate_limit=(1, 5.0), clock=fake_time.clock)
    answers = []
    async with connect(emulator) as client:
        for _ in range(4):
            answers += await statuses(client, 1)
            fake_time.now += 4
    assert answers == [404, 429, 429, 429]


async def test_without_a_window_no_call_is_refused(client, leads, emulator):
    """With window=None 100 calls at once pass on both APIs."""
    answers = await asyncio.gather(*(client.get("/tickets/1") for _ in range(100)))
    answers += await asyncio.gather(*(leads.get(PHONE) for _ in range(100)))
    assert ({answer.status_code for answer in answers}, len(emulator.calls), emulator.refused) == ({200, 404}, 200, 0)


async def test_the_two_apis_have_separate_limits(fake_time, connect):
    """Calls of one API do not count in the other, and each 429 names its own limit."""
    emulator = Emulator(rate_limit=(2, 5.0), leads_rate_limit=(1, 2.5), clock=fake_time.clock)
    async with connect(emulator) as client, connect(emulator, marketing=True) as leads:
        assert await statuses(leads, 1, PHONE) + await statuses(client, 2) == [200, 404, 404]
        assert "limit of 1 in 2.5 second(s)" in (await leads.get(PHONE)).text
        assert "limit of 2 in 5 second(s)" in (await client.get("/tickets/1")).text
        emulator.faults.add(RateLimited())
        fake_time.now += 10
        assert "limit of 1 in 2.5 second(s)" in (await leads.get(PHONE)).text
    assert emulator.refused == 2


async def test_a_window_instance_counts_only_the_tenants_calls(fake_time, connect):
    """With a Window passed in, the look-ups of leads get a sliding window."""
    emulator = Emulator(window=FixedWindow(1, 5.0), leads_rate_limit=(2, 5.0), clock=fake_time.clock)
    async with connect(emulator, marketing=True) as leads:
        assert await statuses(leads, 3, PHONE) == [200, 200, 429]


async def test_calls_are_counted_before_their_body_is_read(fake_time, connect):
    """The first call to arrive is the first to count, even if its body takes long."""
    emulator = Emulator(rate_limit=(1, 5.0), clock=fake_time.clock)
    read_on = asyncio.Event()

    async def slow():
        yield b"{"
        await read_on.wait()

    async with connect(emulator) as client:
        first = asyncio.create_task(client.post("/tickets", content=slow()))
        while not emulator.calls:  # noqa: ASYNC110 -- the emulator has no event for an arrival
            await asyncio.sleep(0)
        assert await statuses(client, 1) == [429]
        read_on.set()
        assert (await first).status_code == 400


async def test_the_window_decides_before_the_faults(fake_time, connect):
    """A call with a fault counts against the limit, and a refused call leaves the next fault pending."""
    emulator = Emulator(rate_limit=(2, 5.0), clock=fake_time.clock)
    emulator.faults.add(DropConnection(), Serve(), Status(503))
    async with connect(emulator) as client:
        with pytest.raises(ConnectionResetError):
            await client.get("/tickets/1")
        assert await statuses(client, 2) == [404, 429]
    assert emulator.faults.pending == (Status(503),)


async def test_jitter_delays_each_way(fake_time, connect):
    """Each way takes between 0 seconds and the jitter, and a call is counted when it arrives."""
    emulator = Emulator(jitter=0.4, clock=fake_time.clock, sleep=fake_time.sleep, random=random.Random(3))
    async with connect(emulator) as client:
        await statuses(client, 20)
    assert (len(fake_time.slept), min(fake_time.slept) >= 0, 0.3 < max(fake_time.slept) <= 0.4) == (40, True, True)
    assert emulator.calls[0].time == 1000.0 + fake_time.slept[0]


async def test_every_call_is_recorded(client, emulator, fake_time, new_ticket):
    """A record has method, path, time, status, size and digest of the whole body, and its files."""
    parts = [("ticketDTO", (None, json.dumps(new_ticket))), ("files", ("a", b"xyz"))]
    request = client.build_request("POST", "/tickets", files=parts)
    raw = await request.aread()
    await client.send(request)
    before = emulator.calls
    fake_time.now += 1.5
    await client.get("/tickets/1?x=1")
    create, get = emulator.calls
    assert (create.method, create.path, create.time) == ("POST", "/api/tenants/22824/tickets", 1000.0)
    assert (create.size, create.sha256) == (len(raw), hashlib.sha256(raw).hexdigest())
    assert [(f.name, f.size, f.sha256) for f in create.files] == [("a", 3, hashlib.sha256(b"xyz").hexdigest())]
    assert (get.method, get.path, get.time, get.size) == ("GET", "/api/tenants/22824/tickets/1", 1001.5, 0)
    assert (create.status, create.applied, get.status, get.applied) == (200, True, 200, False)
    assert (get.fault, get.refused) == (Serve(), False)
    assert before == (create,), "calls is a snapshot"


@pytest.mark.parametrize("value", [None, "wrong"])
@pytest.mark.parametrize("position", [0, 1])
async def test_both_keys_are_checked(client, emulator, new_ticket, position, value):
    """A missing or wrong key is a 401 with the documented text, and nothing is created."""
    name = ("X-LSQ-ACCESS-KEY", "X-LSQ-SECRET-KEY")[position]
    del client.headers[name]
    response = await client.post("/tickets", json=new_ticket, headers={name: value} if value else {})
    assert (response.status_code, "invalid access credentials" in response.text) == (401, True)
    assert not emulator.tickets


async def test_the_header_names_of_one_api_do_not_work_on_the_other(client, leads):
    """The marketing API spells its headers with other hyphens, so the same keys are a 401 in both directions."""
    crossed = await client.get("http://localhost/v2/LeadManagement.svc/Leads.GetByEmailaddress?emailaddress=a")
    assert crossed.status_code == 401
    assert (await leads.get("http://localhost/api/tenants/22824/tickets/1")).status_code == 401


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("POST", "/ticket"),
        ("GET", "/tickets"),
        ("DELETE", "/tickets/1"),
        ("HEAD", "/lookups/SubType/values"),
        ("GET", "/tickets/1/"),
        ("GET", "/tickets/1/update"),
        ("POST", "http://localhost/api/tenants/1/tickets"),
        ("POST", "http://localhost/api/tenants/228240/tickets"),
        ("POST", "http://localhost/tickets"),
        ("GET", "http://localhost/api/tenants/22824"),
    ],
)
async def test_an_unknown_operation_of_the_tenant_is_a_404(client, method, url):
    """Another path, method or tenant, or a slash at the end, is the documented 404."""
    response = await client.request(method, url)
    assert (response.status_code, response.text) == (404, "" if method == "HEAD" else NOT_FOUND)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/Leads.GetByEmailaddress"), ("GET", "/Leads.GetByEmailaddress/1"), ("GET", "/Leads.Get"), ("GET", "/")],
)
async def test_an_unknown_operation_of_the_marketing_api_is_a_404(leads, method, path):
    """Of the marketing API's operations the emulator has two."""
    assert (await leads.request(method, path)).status_code == 404
