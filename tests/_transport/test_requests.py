"""The exact request of every operation, compared with the samples of the documentation."""

import json
import platform
from pathlib import Path

import httpx
import pytest
import respx

from lsq_service_async import Attachment, InvalidRequestError, NewTicket, ServiceClient, TicketUpdate, __version__
from lsq_service_async.records import Ticket, TicketReceipt

SAMPLES = Path(__file__).parents[1] / "samples"
TENANT = "http://127.0.0.1:9/api/tenants/22824"
LEAD = "45b5fded-e696-45a6-9fbb-c6af6178229e"


def sample(name):
    return json.loads((SAMPLES / name).read_text(encoding="utf-8"))


def parts_of(request):
    """Return the headers and the content of each part of a multipart body."""
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    middle = request.content.split(b"--" + boundary)[1:-1]
    split = [part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n") for part in middle]
    return [(head.decode(), content) for head, _, content in split]


@pytest.fixture
async def client(config):
    async with ServiceClient(config) as client:
        yield client


@respx.mock
async def test_create_sends_the_sample_of_its_page(client):
    """A create sends the JSON of its page and all common headers, and returns a receipt."""
    route = respx.post(f"{TENANT}/tickets").respond(json=sample("create-answer.json"))
    receipt = await client.tickets.create(
        NewTicket(
            lead_id=LEAD,
            title="Test ticket from API",
            customer_id=LEAD,
            description="Test ticket from External API",
            type="General",
            status="Open",
            priority="Low",
            channel="Chat",
        )
    )
    request = route.calls.last.request
    assert json.loads(request.content) == sample("create-request.json")
    assert request.headers["x-lsq-access-key"] == "CANARY-access-u$r"
    assert request.headers["x-lsq-secret-key"] == "CANARY-secret"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(len(request.content))
    assert request.headers["host"] == "127.0.0.1:9"
    assert request.headers["accept-encoding"] == "gzip"
    python = platform.python_version()
    assert request.headers["user-agent"] == f"lsq-service-async/{__version__} httpx/{httpx.__version__} python/{python}"
    assert "cookie" not in request.headers
    assert "transfer-encoding" not in request.headers
    assert (receipt.number, receipt.key, receipt.message) == ("34", "#034", None)
    assert receipt.ticket_id == "27e8259d-0681-4adb-b5e8-14f66a208dd4"
    assert [(attempt.number, attempt.outcome.value, attempt.status) for attempt in receipt.attempts] == [
        (1, "applied", 200)
    ]


@respx.mock
async def test_create_with_attachments_is_multipart(client):
    """A create with files sends a ticketDTO part without Id, then one part for each file."""
    route = respx.post(f"{TENANT}/tickets").respond(json=sample("create-with-attachments-answer.json"))
    files = [Attachment.from_bytes(b"hello", name="note.txt"), Attachment.from_bytes(b"\x00\xff\r\n--", name='a"b.bin')]
    receipt = await client.tickets.create(NewTicket(lead_id=LEAD, title="x"), attachments=files)
    request = route.calls.last.request
    dto, *sent = parts_of(request)
    assert dto[0] == 'Content-Disposition: form-data; name="ticketDTO"'
    assert json.loads(dto[1]) == {
        "TypeId": "1",
        "LeadId": LEAD,
        "Fields": [{"SchemaName": "Title", "Value": "x"}],
        "RelatedTicketTypeId": 1,
    }
    assert sent == [
        ('Content-Disposition: form-data; name="files"; filename="note.txt"\r\nContent-Type: text/plain', b"hello"),
        (
            'Content-Disposition: form-data; name="files"; filename="a%22b.bin"\r\n'
            "Content-Type: application/octet-stream",
            b"\x00\xff\r\n--",
        ),
    ]
    assert request.headers["content-length"] == str(len(request.content))
    assert (receipt.number, receipt.message) == ("157", "Ticket has been created successfully")


@respx.mock
async def test_update_sends_the_sample_of_its_page(client):
    """An update is always multipart, has the number in URL and DTO, and takes the lead from the record."""
    route = respx.put(f"{TENANT}/tickets/143/update").respond(json=sample("update-answer.json"))
    ticket = Ticket(number="143", lead_id="330fba67-6795-46c2-9dad-077794077f70")
    receipt = await client.tickets.update(ticket, TicketUpdate(status="On Hold", priority="Low"))
    request = route.calls.last.request
    [(head, dto)] = parts_of(request)
    assert head == 'Content-Disposition: form-data; name="ticketDTO"'
    assert json.loads(dto) == sample("update-request.json")
    assert (receipt.number, receipt.ticket_id) == ("143", None)


@respx.mock
@pytest.mark.parametrize("reference", ["143", 143, TicketReceipt(number="143")])
async def test_update_takes_a_number_or_a_record(client, reference):
    """An update sends a lead only if it is given or known, and a given lead wins."""
    route = respx.put(f"{TENANT}/tickets/143/update").respond(json=sample("update-answer.json"))
    await client.tickets.update(reference, TicketUpdate(status=None))
    [(_, dto)] = parts_of(route.calls.last.request)
    assert json.loads(dto) == {
        "TypeId": "1",
        "Id": "143",
        "Fields": [{"SchemaName": "Status", "Value": None}],
        "RelatedTicketTypeId": 1,
    }
    await client.tickets.update(Ticket(number="143", lead_id="old"), TicketUpdate(lead_id="new"))
    assert json.loads(parts_of(route.calls.last.request)[0][1])["LeadId"] == "new"


@respx.mock
@pytest.mark.parametrize("reference", ["143", 143, "03913666-6ab8-4355-9a50-a63fe3204d0a", TicketReceipt(number="143")])
async def test_get_takes_a_number_a_guid_or_a_record(client, reference):
    """A get returns the ticket of its page, and its request has no body and no Content-Length."""
    segment = getattr(reference, "number", reference)
    route = respx.get(f"{TENANT}/tickets/{segment}").respond(json=sample("get-answer.json"))
    ticket = await client.tickets.get(reference)
    request = route.calls.last.request
    assert (ticket.number, ticket.title) == ("143", "Update Email Id")
    assert request.content == b""
    assert "content-length" not in request.headers
    assert "content-type" not in request.headers


@respx.mock
async def test_request_reaches_any_path_of_the_tenant(client):
    """client.request sends to any path and returns the decoded JSON."""
    route = respx.post(f"{TENANT}/tickets/143/anything", params={"a": "1 +"}).respond(json=[1])
    assert await client.request("POST", "tickets/143/anything", json={"b": None}, params={"a": "1 +"}) == [1]
    assert json.loads(route.calls.last.request.content) == {"b": None}
    bodiless = respx.post(f"{TENANT}/x").respond(json={"ok": True})
    assert await client.request("POST", "/x") == {"ok": True}
    assert bodiless.calls.last.request.headers["content-length"] == "0"


@respx.mock
async def test_the_values_of_a_query_are_plain(client):
    """Text, numbers, True and False, None, and lists of them are sent as httpx sends them."""
    route = respx.get(f"{TENANT}/x").respond(json={})
    await client.request("GET", "x", params={"a": [1, "b"], "c": True, "d": None, "e": 1.5})
    assert route.calls.last.request.url.query == b"a=1&a=b&c=true&d=&e=1.5"


async def later(sent, total):
    """Progress is not awaited."""


class Later:
    """A callback whose call is asynchronous."""

    __call__ = staticmethod(later)


IMPOSSIBLE = [
    ("..", lambda client: client.tickets.get("..")),
    ("a%2fb", lambda client: client.tickets.get("a%2fb")),
    ("empty", lambda client: client.tickets.get("")),
    ("None", lambda client: client.tickets.get(None)),
    ("bool", lambda client: client.tickets.get(True)),
    ("fraction", lambda client: client.tickets.get(-1.5)),
    ("negative", lambda client: client.tickets.get(-1)),
    ("long", lambda client: client.tickets.get("1" * 65)),
    ("newline", lambda client: client.tickets.get("143\n")),
    ("unicode digits", lambda client: client.tickets.get("١٤٣")),
    ("guid for update", lambda client: client.tickets.update("03913666-6ab8-4355-9a50", TicketUpdate(status="x"))),
    ("empty update", lambda client: client.tickets.update("143", TicketUpdate())),
    ("no update", lambda client: client.tickets.update("143", {"Status": "x"})),
    ("no ticket", lambda client: client.tickets.create({"Title": "x"})),
    ("no lead", lambda client: client.tickets.create(NewTicket(title="x"))),
    ("NaN", lambda client: client.tickets.create(NewTicket(lead_id=LEAD, fields={"a": float("nan")}))),
    ("surrogate", lambda client: client.tickets.create(NewTicket(lead_id=LEAD, title="\ud800"))),
    ("object", lambda client: client.tickets.create(NewTicket(lead_id=LEAD, fields={"a": object()}))),
    ("nothing to trash", lambda client: client.tickets.trash(None)),
    ("a number to trash", lambda client: client.tickets.trash(5)),
    ("no types", lambda client: client.tickets.conversations("143", types=None)),
    ("no files", lambda client: client.tickets.create(NewTicket(lead_id=LEAD), attachments=5)),
    ("no list", lambda client: client.tickets.create(NewTicket(lead_id=LEAD), attachments=Path("x"))),
    ("dot path", lambda client: client.request("GET", "tickets/../../x")),
    ("url path", lambda client: client.request("GET", "https://evil.example/x")),
    ("query path", lambda client: client.request("GET", "tickets?x=1")),
    ("empty path", lambda client: client.request("GET", "")),
    ("method", lambda client: client.request("get", "tickets/1")),
    ("no path", lambda client: client.request("GET", None)),
    ("no method", lambda client: client.request(None, "tickets")),
    ("flag as text", lambda client: client.request("POST", "x", repeatable="false")),
    ("flag as a number", lambda client: client.request("POST", "x", repeatable=0)),
    ("bytes in the query", lambda client: client.request("GET", "x", params={"a": b"x"})),
    ("bytes in a list of the query", lambda client: client.request("GET", "x", params={"a": ["x", b"x"]})),
    ("a mapping in the query", lambda client: client.request("GET", "x", params={"a": {"b": 1}})),
    ("a name in bytes", lambda client: client.request("GET", "x", params={b"a": "x"})),
    ("progress", lambda client: client.tickets.create(NewTicket(lead_id=LEAD), progress=5)),
    ("async progress", lambda client: client.tickets.update("1", TicketUpdate(status="x"), progress=later)),
    ("an object with an async call", lambda client: client.tickets.create(NewTicket(lead_id=LEAD), progress=Later())),
    ("false files", lambda client: client.tickets.create(NewTicket(lead_id=LEAD), attachments=False)),
    ("empty bytes", lambda client: client.tickets.update("1", TicketUpdate(status="x"), attachments=b"")),
    ("NaN request", lambda client: client.request("POST", "x", json=float("inf"))),
]


@respx.mock
@pytest.mark.parametrize("act", [act for _, act in IMPOSSIBLE], ids=[name for name, _ in IMPOSSIBLE])
async def test_an_impossible_call_costs_nothing(client, act):
    """An impossible call raises InvalidRequestError before it takes a slot or sends anything."""
    with pytest.raises(InvalidRequestError):
        await act(client)
    assert client.limiter.stats().used == 0
    assert not respx.calls
