"""The emulator as a whole: the course of a call, settings, opening and closing, ``serve``, and the extra."""

import asyncio
import hashlib
import importlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
from functools import partial

import httpx
import pytest

from lsq_service_async.emulator import (
    DropConnection,
    Emulator,
    FixedWindow,
    RateLimited,
    Serve,
    SlidingWindow,
    Status,
    TicketStore,
    TokenBucket,
    TwoBucketEstimate,
    serve,
)

URLS = dict.fromkeys(("base_url", "metadata_url", "leads_url"), "http://localhost")
KEYS = {"access_key": "emulator-access-key", "secret_key": "emulator-secret-key", "org_id": "22824"}
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
    ("settings", "limit"),
    [
        ({"rate_limit": (10, 2.5), "window": "fixed"}, "10 in 2.5"),
        ({"rate_limit": (10, 60), "window": "bucket"}, "10 in 60"),
        ({"window": FixedWindow(3, 1.0)}, "3 in 1"),
    ],
)
async def test_a_refusal_names_the_limit_of_its_window(fake_time, connect, settings, limit):
    """The text of a 429 has the calls and seconds of the setting, or of the window that was passed."""
    async with connect(Emulator(clock=fake_time.clock, **settings)) as client:
        answers = [await client.get("/tickets/1") for _ in range(11)]
    assert f"limit of {limit} second(s)" in answers[-1].text


async def test_refused_calls_count_by_default(fake_time, connect):
    """A client that repeats refused calls too early stays refused."""
    async with connect(Emulator(rate_limit=(1, 5.0), clock=fake_time.clock)) as client:
        for expected in (404, 429, 429, 429):
            assert await statuses(client, 1) == [expected]
            fake_time.now += 4


async def test_without_a_window_no_call_is_refused(client, leads, emulator):
    """With window=None 100 calls at once pass on both APIs."""
    answers = await asyncio.gather(*(client.get("/tickets/1") for _ in range(100)))
    answers += await asyncio.gather(*(leads.get(PHONE) for _ in range(100)))
    assert ({answer.status_code for answer in answers}, len(emulator.calls), emulator.refused) == ({200, 404}, 200, 0)


async def test_the_two_apis_have_separate_limits(fake_time, connect):
    """Calls of one API do not count against the limit of the other, and each 429 names its own limit."""
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


async def test_the_oldest_calls_are_dropped(connect, new_ticket):
    """A call and each of its files count as one. The counters include calls that were dropped."""
    emulator = Emulator(keep=5, rate_limit=(4, 5.0))
    parts = [("ticketDTO", (None, json.dumps(new_ticket))), *[("files", ("a", b""))] * 3]
    async with connect(emulator) as client:
        await client.get("/tickets/1")
        await client.get("/tickets/2")
        await client.post("/tickets", files=parts)
        assert [call.path.rpartition("/")[2] for call in emulator.calls] == ["2", "tickets"]
        assert await statuses(client, 3) == [200, 429, 429]
    assert ([len(call.files) for call in emulator.calls], emulator.refused) == ([0, 0, 0], 2)
    assert repr(emulator) == "<Emulator closed, 1 tickets, 6 calls, 2 refused>"


async def test_a_call_that_needs_much_memory_is_cut(client, emulator, new_ticket):
    """The log keeps 1,000 characters of a path, and 16 KiB of each text of the last 1,000 calls."""
    await client.get("/tickets/" + "x" * 5000)
    await client.post(
        "/tickets", json=new_ticket | {"Fields": [*new_ticket["Fields"], {"SchemaName": "Tags", "Value": "x" * 20_000}]}
    )
    assert (len(emulator.calls[0].path), len(emulator.calls[1].text)) == (1000, 16 << 10)
    assert emulator.calls[1].answer.startswith('{"Status": "Success"')
    await asyncio.gather(*(client.get("/tickets/7") for _ in range(999)))
    assert [call.answer is None for call in emulator.calls] == [True] + [False] * 1000


async def test_the_size_of_a_store_is_bounded(connect, new_ticket):
    """A change that would exceed the limit is refused with a 507 and advice; reads and smaller changes are served."""
    emulator = Emulator(store=TicketStore(limit=2000), window=None)
    async with connect(emulator) as client:
        answers = [await client.post("/tickets", json=new_ticket) for _ in range(9)]
        assert {answer.status_code for answer in answers} == {200, 507}
        assert answers[-1].text == "The emulator is full: its tickets would have more than 2000 characters. Reset it."
        assert (await client.get("/tickets/1")).status_code == 200
        emulator.reset()
        assert (await client.post("/tickets", json=new_ticket)).status_code == 200


async def test_after_a_reset_the_numbering_continues(connect, new_ticket):
    """Tickets, leads, calls, faults and the window are as at first, and no number is given twice."""
    emulator = Emulator(rate_limit=(3, 5.0), leads_rate_limit=(1, 5.0))
    phone = {"SchemaName": "LeadDetail.Phone", "Value": "1"}
    described = {**new_ticket, "LeadId": None, "Fields": [*new_ticket["Fields"], phone]}
    async with connect(emulator) as client, connect(emulator, marketing=True) as leads:
        for _ in range(3):
            await client.post("/tickets", json=described)
        assert (await leads.get(PHONE)).json() != []
        await client.put("/tickets/trash", json={"TicketIds": ["1"]})
        emulator.faults.add(Status(500))
        emulator.reset()
        assert (emulator.tickets, emulator.trashed, emulator.calls, emulator.refused) == ({}, {}, (), 0)
        assert (await client.post("/tickets", json=new_ticket)).json()["Id"] == "4"
        assert (await leads.get(PHONE)).json() == []
    assert emulator.refused == 0


@pytest.mark.parametrize(
    "kind", [SlidingWindow, FixedWindow, TokenBucket, TwoBucketEstimate, partial(TwoBucketEstimate, phase=0.0)]
)
async def test_a_reset_clears_a_window_that_was_passed(fake_time, connect, kind):
    """After a reset the same window allows as many calls as at first."""
    window = kind(2, 5.0)
    emulator = Emulator(window=window, clock=fake_time.clock)
    async with connect(emulator) as client:
        assert await statuses(client, 3) == [404, 404, 429]
        emulator.reset()
        assert await statuses(client, 3) == [404, 404, 429]
    assert emulator.window is window


async def test_a_reset_keeps_the_counts_of_a_window_without_clear(fake_time, connect):
    """A window of a test's own class that cannot be cleared is used again as it is."""

    class Once:
        calls, per = 1, 5.0
        counted = 0

        def allows(self, now):
            self.counted += 1
            return self.counted <= 1

    emulator = Emulator(window=Once(), clock=fake_time.clock)
    async with connect(emulator) as client:
        assert await statuses(client, 1) == [404]
        emulator.reset()
        assert await statuses(client, 1) == [429]


async def test_a_call_that_is_open_during_a_reset_changes_no_later_one(client, emulator):
    """The result of a call that was forgotten is not recorded on another call."""
    read_on = asyncio.Event()

    async def body():
        await read_on.wait()
        yield b"x"

    open_call = asyncio.create_task(client.post("/tickets", content=body()))
    while not emulator.calls:  # noqa: ASYNC110 -- the emulator has no event for an arrival
        await asyncio.sleep(0)
    emulator.reset()
    await client.get("/tickets/1")
    read_on.set()
    assert (await open_call).status_code == 400
    assert [call.status for call in emulator.calls] == [404]


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
    """The emulator has two operations of the marketing API."""
    assert (await leads.request(method, path)).status_code == 404


# Settings, opening and closing


def test_the_settings_are_a_new_dict():
    """The origin of a closed emulator is http://localhost, and changes of the dict have no effect."""
    emulator = Emulator()
    emulator.settings["org_id"] = "1"
    assert emulator.settings == KEYS | URLS
    chosen = {"access_key": "a", "secret_key": "b", "org_id": "7"}
    assert Emulator(**chosen).settings == chosen | URLS


async def test_the_repr_has_the_address_and_no_key():
    """The repr shows the address and the number of tickets, calls and refused calls."""
    emulator = Emulator()
    assert repr(emulator) == "<Emulator closed, 0 tickets, 0 calls, 0 refused>"
    async with emulator:
        assert repr(emulator) == f"<Emulator {emulator.settings['base_url']}, 0 tickets, 0 calls, 0 refused>"


async def test_it_can_be_opened_again_but_not_twice():
    """Opening an open emulator is an error, and closing a closed one does nothing."""
    emulator = Emulator()
    await emulator.aclose()
    async with emulator:
        with pytest.raises(RuntimeError, match="open already"):
            await emulator.__aenter__()
    await emulator.aclose()
    assert emulator.settings["base_url"] == "http://localhost"
    async with emulator:
        origins = {emulator.settings[name] for name in ("base_url", "metadata_url", "leads_url")}
        assert [origin.startswith("http://127.0.0.1:") for origin in origins] == [True]


async def test_two_emulators_may_share_a_store(connect, new_ticket):
    """A ticket that was created on one emulator is found on the other."""
    store = TicketStore(first_number=34)
    async with connect(Emulator(store=store)) as one, connect(Emulator(store=store)) as two:
        await one.post("/tickets", json=new_ticket)
        assert "#034" in (await two.get("/tickets/34")).text


def test_the_tickets_are_read_only():
    """The mapping of tickets is a view that cannot be changed."""
    with pytest.raises(TypeError):
        Emulator().tickets["1"] = None


def test_an_unknown_meaning_of_offsets_is_refused():
    """The error lists the three meanings."""
    with pytest.raises(ValueError, match="from_zero, from_one, page; not 'from_two'"):
        Emulator(metadata_offset="from_two")


@pytest.mark.parametrize(
    "setting",
    [{"keep": -1}, {"keep": "5"}, {"jitter": "x"}, {"jitter": -0.1}, {"port": 99999}, {"port": None}],
    ids=str,
)
def test_a_number_that_cannot_be_used_is_refused(setting):
    """The error names the setting when the emulator is created, not when it serves a call."""
    [(name, value)] = setting.items()
    with pytest.raises(ValueError, match=f"{name} must be a number from 0 to .*, not {value!r}"):
        Emulator(**setting)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
def test_only_loopback_addresses_are_allowed(host):
    """Any other address than loopback is refused before a socket is opened."""
    with pytest.raises(ValueError, match="loopback"):
        Emulator(host=host)


@pytest.mark.parametrize(
    ("host", "origin"), [("127.0.0.1", "http://127.0.0.1:"), ("localhost", "http://"), ("::1", "http://[::1]:")]
)
async def test_loopback_has_several_names(host, origin):
    """Each name of this machine gives an origin that can be called."""
    if host == "::1":
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
    async with Emulator(host=host) as emulator:
        assert emulator.settings["base_url"].startswith(origin)


async def test_serve_prints_the_settings_and_stops_on_an_interrupt():
    """``serve`` prints the environment to use, and KeyboardInterrupt stops it without a traceback."""
    said = []

    def interrupt():
        raise KeyboardInterrupt

    def say(text):
        said.append(text)
        asyncio.get_running_loop().call_soon(interrupt)

    await asyncio.to_thread(serve, 0, say=say)
    keys, (base, metadata, leads) = said[0].splitlines()[:3], said[0].splitlines()[3:]
    assert keys == [f"export LSQ_{name.upper()}={value}" for name, value in KEYS.items()]
    assert base.startswith("export LSQ_BASE_URL=http://127.0.0.1:")
    assert (metadata, leads) == (base.replace("BASE", "METADATA"), base.replace("BASE", "LEADS"))


def test_serve_in_another_process():
    """The printed address can be called at once, and Ctrl-C ends the process with exit code 0 and an empty stderr."""
    # A shell that started the tests in the background may have left SIGINT ignored, which children inherit.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from lsq_service_async.emulator import serve; serve(0, say=lambda text: print(text, flush=True))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        origin = [process.stdout.readline() for _ in range(4)][-1].strip().partition("=")[2]
        assert httpx.get(f"{origin}/tickets", trust_env=False).status_code == 401
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=10)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, stderr) == (0, "")


@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        ("starlette.requests", ImportError, r'pip install "lsq-service-async\[emulator\]"'),
        ("python_multipart.exceptions", ImportError, r'pip install "lsq-service-async\[emulator\]"'),
        ("uvicorn", ImportError, r'pip install "lsq-service-async\[emulator\]"'),
        ("lsq_service_async.emulator.window", ModuleNotFoundError, r"lsq_service_async\.emulator\.window"),
    ],
)
def test_a_missing_library_names_the_extra(monkeypatch, forget_modules, module, error, message):
    """Without a library of the extra the import fails with the command to install it; other errors are unchanged."""
    forget_modules("lsq_service_async.emulator")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(error, match=message):
        importlib.import_module("lsq_service_async.emulator")
