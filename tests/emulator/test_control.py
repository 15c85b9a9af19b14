"""The control routes: results, changes of the emulator, and requests that are refused."""

import asyncio
import contextlib
import hashlib
import json
import time

import httpx
import pytest

from lsq_service_async.emulator import (
    AppliedLater,
    Call,
    Emulator,
    Fault,
    FixedWindow,
    Latency,
    RateLimited,
    SlidingWindow,
    Status,
    TicketStore,
    faults,
)
from lsq_service_async.emulator.calls import CallLog
from lsq_service_async.emulator.control import CONTROL, Control
from lsq_service_async.emulator.server import listen

PNG = b"\x89PNG, not really"


@pytest.fixture
async def control(emulator):
    """A bare client of the routes, without keys."""
    transport = httpx.ASGITransport(app=emulator.app)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://localhost{CONTROL}") as client:
        yield client


def form(dto, name, content, content_type):
    return [("ticketDTO", (None, json.dumps(dto))), ("files", (name, content, content_type))]


async def test_the_routes_are_not_calls(control, emulator, fake_time):
    """The control routes need no keys, count against no limit, take no fault, and are not recorded."""
    emulator.set_limit((1, 5.0), "sliding")
    emulator.faults.add(Status(500))
    for path in ("/requests", "/tickets", "/faults", "/limit", "/openapi.json", "/nothing", ""):
        await control.get(path)
    assert (await control.get("http://localhost/")).status_code == 200
    assert (await control.head("http://localhost/")).status_code == 200
    assert (emulator.calls, emulator.faults.pending, emulator.window.allows(fake_time.now)) == (
        (),
        (Status(500),),
        True,
    )


async def test_requests_are_listed_in_the_order_of_arrival(control, client, emulator, new_ticket, fake_time):
    """A request has its result and fault; ``after`` and ``limit`` choose, and one request has its texts and files."""
    emulator.faults.add(Latency(2.0))
    await client.post("/tickets", files=form(new_ticket, "a.txt", b"abc", "text/plain"))
    emulator.set_limit((1, 5.0))
    await client.get("/tickets/1")
    await client.get("/tickets/1")
    listed = (await control.get("/requests")).json()
    first, second, third = listed["requests"]
    assert [each["number"] for each in listed["requests"]] == [0, 1, 2]
    assert (listed["total"], listed["refused"], listed["dropped"], listed["now"]) == (3, 1, 0, fake_time.now)
    assert first == first | {"method": "POST", "path": "/api/tenants/22824/tickets", "status": 200, "seconds": 2.0}
    assert first == first | {"fault": {"fault": "Latency", "seconds": 2.0}, "applied": True, "files": 1, "time": 1000.0}
    assert (second["fault"], third["fault"], third["refused"], third["status"]) == (None, None, True, 429)
    assert [each["number"] for each in (await control.get("/requests?after=0&limit=1")).json()["requests"]] == [2]
    detail = (await control.get("/requests/0")).json()
    assert (json.loads(detail["text"]), json.loads(detail["answer"])["Id"]) == (new_ticket, "1")
    sha256 = hashlib.sha256(b"abc").hexdigest()
    file = {"name": "a.txt", "content_type": "text/plain", "size": 3, "sha256": sha256, "is_kept": True}
    assert detail["files"] == [file]


async def test_tickets_are_listed_newest_first(control, client, emulator, new_ticket):
    """Tickets are paged and searched, and one ticket has its fields, files, notes, messages and history."""
    for title in ("Router down", "Invoice", "router UP"):
        fields = [{"SchemaName": "Title", "Value": title}, {"SchemaName": "Status", "Value": "Open"}]
        await client.post("/tickets", files=form({**new_ticket, "Fields": fields}, "a", b"abc", "text/plain"))
    await client.put("/tickets/trash", json={"TicketIds": ["2"]})
    listed = (await control.get("/tickets")).json()
    assert [(each["key"], each["title"], each["files"]) for each in listed["tickets"]] == [
        ("#003", "router UP", 1),
        ("#001", "Router down", 1),
    ]
    assert (listed["total"], listed["trashed"]) == (2, 1)
    for query, found in (
        ("offset=1", ["1"]),
        ("limit=1", ["3"]),
        ("search=ROUTER%20d", ["1"]),
        ("search=%23003", ["3"]),
    ):
        assert [each["number"] for each in (await control.get(f"/tickets?{query}")).json()["tickets"]] == found
    assert (await control.get("/tickets/2")).json()["is_trashed"] is True
    dto = {"TypeId": "1", "Id": "1", "RelatedTicketTypeId": 1, "LeadId": "other"}
    changed = [{"SchemaName": "Status", "Value": "Closed"}, {"SchemaName": "Tags", "Value": "x"}]
    await client.put("/tickets/1/update", files=form({**dto, "Fields": changed}, "b.txt", b"b", "text/plain"))
    note = {"ActivityType": "CreateInternalNote", "StorageType": "Permament", "RelatedTicketId": 1, "TextPart": "N"}
    await client.post("/internalnote/upload", json=note)
    emulator.converse("1", text="Hi")
    ticket = (await control.get("/tickets/1")).json()
    assert ticket["fields"] == {"Title": "Router down", "Status": "Closed", "Tags": "x"}
    assert [file["name"] for file in ticket["files"]] == ["a", "b.txt"]
    assert (ticket["notes"], [each["text"] for each in ticket["conversations"]]) == (["N"], ["Hi"])
    assert [each["change"] for each in ticket["history"]] == [
        "created",
        "Status: Open → Closed; Tags: empty → x; lead: other; file b.txt added",
        "note added",
        "InboundEmail added",
    ]


async def test_the_content_of_small_files_is_kept(control, client, new_ticket):
    """An image is served as an image if the request names its type; everything else is bytes that no browser runs."""
    await client.post("/tickets", files=form(new_ticket, "a.png", PNG, "image/png"))
    url = f"/files/{hashlib.sha256(PNG).hexdigest()}"
    for query, media_type in (("", "application/octet-stream"), ("?type=image/png", "image/png")):
        response = await control.get(url + query)
        assert (response.content, response.headers["content-type"]) == (PNG, media_type)
    html = await control.get(f"{url}?type=text/html")
    assert html.headers["content-type"] == "application/octet-stream"
    assert (html.headers["x-content-type-options"], "sandbox" in html.headers["content-security-policy"]) == (
        "nosniff",
        True,
    )


async def test_large_and_old_files_are_not_kept(control, client, emulator, new_ticket):
    """Files of requests over 4 MiB are not kept, and the oldest of the others are dropped beyond 16 MiB."""
    for content in (b"x" * (5 << 20), *(bytes([n]) * (3 << 20) for n in range(7))):
        await client.post("/tickets", files=form(new_ticket, "a", content, "image/png"))
    kept = [(await control.get(f"/tickets/{n}")).json()["files"][0]["is_kept"] for n in range(1, 9)]
    assert kept == [False, False, False, True, True, True, True, True]
    sha256 = emulator.tickets["1"].files[0].sha256
    response = await control.get(f"/files/{sha256}")
    assert (response.status_code, "is not stored" in response.json()["error"]) == (404, True)


EXAMPLES = [
    ({"fault": "Status", "status": 500}, Status(500)),
    (
        {
            "fault": "Status",
            "status": 503,
            "headers": {"Retry-After": "7"},
            "body": "a\nb",
            "applied": True,
            "times": 2,
        },
        Status(503, "a\nb", {"Retry-After": "7"}, applied=True, times=2),
    ),
    ({"fault": "RateLimited", "retry_after": 3, "method": "POST"}, RateLimited(3, method="POST")),
    ({"fault": "RateLimited", "retry_after": "soon"}, RateLimited("soon")),
    ({"fault": "Latency", "seconds": 2}, Latency(2)),
    ({"fault": "AppliedLater", "seconds": 0.5, "path": "/tickets"}, AppliedLater(0.5, path="/tickets")),
    ({"fault": "DropConnection", "when": "after_body"}, faults.DropConnection(when="after_body")),
]


@pytest.mark.parametrize(("given", "fault"), EXAMPLES, ids=lambda value: repr(value)[:40])
async def test_faults_are_added_shown_and_removed(control, emulator, given, fault):
    """A fault is shown as it was given, without defaults; a list adds several, and DELETE removes all."""
    assert (await control.post("/faults", json=given)).json() == {"pending": [given]}
    assert (await control.post("/faults", json=[given, {"fault": "Serve"}])).status_code == 200
    assert emulator.faults.pending == (fault, fault, faults.Serve())
    assert (await control.get("/faults")).json()["pending"] == [given, given, {"fault": "Serve"}]
    assert (await control.delete("/faults")).json() == {"pending": []}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "whose attribute fault is one of Serve, Latency"),
        (5, "whose attribute fault is one of"),
        ({"fault": "Fault"}, "whose attribute fault is one of"),
        ({"fault": ["Status"]}, "whose attribute fault is one of"),
        ({"fault": "Status"}, "Status needs status"),
        ({"fault": "Status", "status": 500, "colour": "red"}, "Status has no attribute 'colour'; it has fault, times"),
        ({"fault": "Status", "status": "500"}, "status of Status cannot be '500'"),
        ({"fault": "Status", "status": True}, "status of Status cannot be True"),
        ({"fault": "Status", "status": 99}, "status of Status cannot be 99; expected"),
        ({"fault": "Status", "status": 600}, "status of Status cannot be 600; expected"),
        ({"fault": "Status", "status": 500, "headers": {"a": 1}}, "headers of Status cannot be"),
        ({"fault": "Status", "status": 500, "headers": {"a": "b\r\nc"}}, "printable ASCII"),
        ({"fault": "Status", "status": 500, "headers": {"a b": "c"}}, "printable ASCII"),
        ({"fault": "RateLimited", "retry_after": "a\nb"}, "printable ASCII"),
        ({"fault": "RateLimited", "retry_after": " 5"}, "without spaces around it"),
        ({"fault": "Status", "status": 500, "headers": {"a": "b "}}, "without spaces around it"),
        (
            {"fault": "Status", "status": 500, "headers": {"Content-Length": "5"}},
            "content-length and transfer-encoding",
        ),
        ({"fault": "Status", "status": 500, "headers": {"transfer-encoding": "x"}}, "cannot be set"),
        ({"fault": "Latency", "seconds": -1}, "seconds of Latency cannot be -1"),
        ({"fault": "Latency", "seconds": float("inf")}, "the body is not JSON"),
        ({"fault": "Latency", "seconds": 10**400}, "seconds of Latency cannot be 1000"),
        ({"fault": "Serve", "times": 10**10}, "times of Serve cannot be 10000000000"),
        ({"fault": "BadJson", "text": "\ud800"}, "the body is not JSON"),
        ({"fault": "BadJson", "text": "x" * (1 << 20)}, "the body is longer than 1048576 bytes"),
        ({"fault": "SlowRead", "bytes_per_second": 0}, "bytes_per_second must be more than 0"),
        ({"fault": "Serve", "times": 0}, "times of Serve cannot be 0; expected"),
        ({"fault": "DropConnection", "when": "later"}, "when of DropConnection cannot be 'later'"),
    ],
)
async def test_a_fault_that_cannot_be_played_is_a_400(control, emulator, given, reason):
    """The error names the attribute, and nothing of a list is added if one fault of it is wrong."""
    for body in (given, [{"fault": "Serve"}, given]):
        response = await control.post("/faults", content=json.dumps(body))
        assert (response.status_code, reason in response.json()["error"]) == (400, True), response.text
    assert emulator.faults.pending == ()


async def test_a_custom_fault_is_shown(control, emulator):
    """A fault of a test's own class is shown by its name, with attributes that are not JSON as their repr."""

    class Custom(Fault):
        pass

    emulator.faults.add(Custom(times=3, path="/x"), faults.Status(500, headers={"a": "b"}), faults.SlowRead({1, 2}))
    assert (await control.get("/faults")).json()["pending"] == [
        {"fault": "Custom", "times": 3, "path": "/x"},
        {"fault": "Status", "status": 500, "headers": {"a": "b"}},
        {"fault": "SlowRead", "bytes_per_second": "{1, 2}"},
    ]


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({}, {"calls": 25, "per": 5.0, "window": "sliding", "free": 25}),
        ({"calls": 3}, {"calls": 3, "per": 5.0, "window": "sliding", "free": 3}),
        ({"per": 2, "window": "fixed"}, {"calls": 25, "per": 2, "window": "fixed", "free": 25}),
        ({"calls": 7, "window": "bucket"}, {"calls": 7, "per": 5.0, "window": "bucket", "free": 7}),
        ({"calls": 2000}, {"calls": 2000, "per": 5.0, "window": "sliding", "free": None}),
        ({"window": None}, {"calls": 25, "per": 5.0, "window": None, "free": None}),
    ],
)
async def test_the_limit_can_be_changed(control, emulator, given, limit):
    """Attributes that are not given are unchanged, and the free slots are shown up to 1,000 calls."""
    emulator.set_limit((25, 5.0))
    assert (await control.post("/limit", json=given)).json() == (await control.get("/limit")).json() == limit
    assert (emulator.window.calls, emulator.window.per) == (limit["calls"], limit["per"])


@pytest.mark.parametrize(
    "given",
    [
        *([], 5, {"call": 5}, {"calls": 0}, {"calls": 2.5}, {"calls": True}, {"calls": "5"}, {"per": 0}, {"per": "5"}),
        *({"per": None}, {"window": "rolling"}, {"window": 5}, {"window": "custom"}, {"calls": 10**30}),
    ],
)
async def test_a_limit_that_cannot_be_used_is_a_400(control, emulator, given):
    """The limit stays as it is."""
    emulator.set_limit((25, 5.0))
    assert (await control.post("/limit", json=given)).status_code == 400
    assert (type(emulator.window), emulator.window.calls) == (SlidingWindow, 25)


async def test_the_window_of_a_test_is_shown_as_custom(connect):
    """Another class of window has no kind, and its slots are counted on a copy."""

    class Once(FixedWindow):
        pass

    emulator = Emulator(window=Once(2, 5.0))
    for free in (2, 1):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=emulator.app)) as client:
            limit = (await client.get(f"http://localhost{CONTROL}/limit")).json()
        assert limit == {"calls": 2, "per": 5.0, "window": "custom", "free": free}
        async with connect(emulator) as client:
            await client.get("/tickets/1")


async def test_a_reset_over_http(control, client, emulator, new_ticket):
    """Tickets, requests and faults are gone, and the numbering continues."""
    await client.post("/tickets", json=new_ticket)
    emulator.faults.add(Status(500))
    counts = (await control.post("/reset")).json()
    assert (counts["total"], counts["tickets"], counts["oldest"]) == (0, 0, None)
    assert (emulator.tickets, emulator.calls, emulator.faults.pending) == ({}, (), ())
    assert (await client.post("/tickets", json=new_ticket)).json()["Id"] == "2"


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/request", 404, "There is no route /__emulator/request. Did you mean /__emulator/requests?"),
        ("GET", "/openapi", 404, "Did you mean /__emulator/openapi.json?"),
        ("GET", "", 404, "Did you mean"),
        ("GET", "/Faults/1", 404, "Did you mean /__emulator/faults?"),
        ("GET", "/reset", 405, "Method Not Allowed. Use POST."),
        ("PUT", "/faults", 405, "Method Not Allowed. Use"),
        ("GET", "/requests/7", 404, "There is no request 7, or it was dropped."),
        ("GET", "/requests/x", 404, "There is no request x"),
        ("GET", "/tickets/7", 404, "There is no ticket 7."),
        ("GET", f"/tickets/{'9' * 5000}", 404, "There is no ticket"),
        ("GET", "/requests?limit=many", 400, "limit must be a whole number of at least 0, not 'many'"),
        ("GET", "/tickets?offset=-1", 400, "offset must be a whole number of at least 0, not '-1'"),
        ("GET", f"/tickets?limit={'9' * 5000}", 400, "limit must be a whole number"),
        ("POST", "/limit", 400, "the body is not JSON"),
    ],
)
async def test_a_wrong_request_gets_the_fix(control, method, path, status, error):
    """Errors are JSON; an unknown path names the nearest route, and a wrong method the right one."""
    response = await control.request(method, path)
    assert (response.status_code, error in response.json()["error"]) == (status, True), response.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Origin": "https://localhost"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({"Host": "evil.example"}, 403),
    ],
    ids=str,
)
async def test_another_web_page_cannot_drive_the_emulator(control, emulator, headers, status):
    """A request that a page of another origin sends, or with a foreign Host header, is refused."""
    emulator.faults.add(Status(500))
    for method, path in (("POST", "/reset"), ("GET", "/tickets"), ("DELETE", "/faults")):
        assert (await control.request(method, path, headers=headers)).status_code == status
    assert len(emulator.faults.pending) == (status == 403)


async def test_openapi_describes_every_route_and_every_fault(control, emulator):
    """The document has the methods of all routes, and each example of a fault has the attributes of its schema."""
    description = (await control.get("/openapi.json")).json()
    app = Control(emulator, TicketStore(), CallLog(1), time.monotonic).app()
    routes = {route.path: {name.lower() for name in route.methods - {"HEAD"}} for route in app.routes[1:]}
    assert {path: set(methods) for path, methods in description["paths"].items()} == routes
    schemas = {schema["title"]: schema for schema in description["components"]["schemas"]["Fault"]["oneOf"]}
    kinds = {name for name, kind in vars(faults).items() if isinstance(kind, type) and issubclass(kind, Fault)}
    assert set(schemas) == kinds - {"Fault"}
    for example, _ in EXAMPLES:
        assert set(example) <= set(schemas[example["fault"]]["properties"])


# The page and its events


async def test_the_page_needs_no_other_address(control):
    """One file with its own script and style, which the policy allows by their digests and nothing else."""
    response = await control.get("http://localhost/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; connect-src 'self'; img-src 'self' data:")
    assert ("script-src 'sha256-" in policy, "unsafe" in policy) == (True, False)
    addresses = response.text.replace("http://www.w3.org/2000/svg", "")
    assert [word for word in ("http:", "https:", "src=", "@import", "url(") if word in addresses] == []


async def test_events_show_what_changed(emulator):
    """Each request that is new or has changed is sent, at most 200 in one event. If nothing changes, a comment is."""
    store, log = TicketStore(), CallLog(1000)
    listener = await listen(Control(emulator, store, log, time.monotonic, period=0.001).app(), "127.0.0.1", 0)
    call = Call("GET", "/tickets/1", 1.0, Status(500), refused=False)
    lines = []
    async with httpx.AsyncClient(base_url=f"{listener.origin}{CONTROL}", trust_env=False) as client:
        async with client.stream("GET", "/events") as response:
            stream = response.aiter_lines()

            async def event():
                async with asyncio.timeout(10):
                    while not (line := await anext(stream)).startswith("data: "):
                        lines.append(line)
                return json.loads(line.removeprefix("data: "))

            first = await event()
            assert (first["requests"], first["oldest"], first["limit"]["free"]) == ([], None, None)
            for _ in range(300):
                log.add(call)
            numbers = [[each["number"] for each in (await event())["requests"]] for _ in range(2)]
            assert numbers == [list(range(200)), list(range(200, 300))]
            log.change(7, status=500)
            (changed,) = (await event())["requests"]
            assert (changed["number"], changed["status"], changed["fault"]["status"]) == (7, 500, 500)
            store.create("45b5", {})
            emulator.faults.add(Status(500))
            last = await event()
            assert (last["requests"], last["tickets"], len(last["faults"])) == ([], 1, 1)
            while ": nothing changed" not in lines:
                lines.append(await anext(stream))
            log.clear()
            assert (await event())["oldest"] is None
    assert response.headers["content-type"].startswith("text/event-stream")
    await listener.close()


async def test_closing_ends_open_events():
    """No task is left, and the reader of the events is disconnected."""
    tasks = asyncio.all_tasks()
    async with Emulator() as emulator, httpx.AsyncClient(trust_env=False) as client:
        async with client.stream("GET", f"{emulator.settings['base_url']}{CONTROL}/events") as response:
            lines = response.aiter_lines()
            await anext(lines)
            await emulator.aclose()
            with contextlib.suppress(httpx.TransportError):
                async for _ in lines:
                    pass
    assert asyncio.all_tasks() == tasks
