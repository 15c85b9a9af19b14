"""All operations: their exact requests, their answers, and whether they are repeated."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import httpx
import pytest
import respx
from scripted import AfterBody, Script

from lsq_service_async import (
    ActivityReceipt,
    ActivityType,
    Config,
    Conversation,
    InvalidRequestError,
    Lead,
    MalformedResponseError,
    NewTicket,
    NoAnswerError,
    OutcomeUnknownError,
    RateLimit,
    RetryPolicy,
    ServiceClient,
    SubType,
    Ticket,
)
from lsq_service_async._wire.serialize import new_ticket_dto

SAMPLES = Path(__file__).parent / "samples"
TENANT = "http://127.0.0.1:9/api/tenants/22824"
LEADS = "http://127.0.0.1:9/v2/LeadManagement.svc"


def sample(name):
    return json.loads((SAMPLES / name).read_text(encoding="utf-8"))


def sent(route):
    return json.loads(route.calls.last.request.content)


@pytest.fixture
def local(config):
    """Return settings with all three origins on this machine."""
    return attrs.evolve(config, metadata_url=config.base_url, leads_url=config.base_url)


@pytest.fixture
async def client(local):
    async with ServiceClient(local) as client:
        yield client


@respx.mock
async def test_trash_sends_text_and_reads_numbers(client):
    """Trash sends the documented request, and its result has the successful and the failed tickets."""
    route = respx.put(f"{TENANT}/tickets/trash").respond(json=sample("trash-answer.json"))
    result = await client.tickets.trash(["160", 161, Ticket(number="160"), "0160", "#160"])
    assert sent(route) == sample("trash-request.json") == {"TicketIds": ["160", "161"]}
    assert (result.successful, result.failed) == (("160", "161"), ())
    assert len(result.attempts) == 1
    route.respond(json={"SuccessfulIds": None, "FailedIds": [7]})
    assert (await client.tickets.trash(["7"])).failed == ("7",)


@respx.mock
async def test_conversations_sends_numbers(client):
    """Conversations sends the ticket's number and the org id as JSON numbers, and reads dates as UTC."""
    route = respx.post(f"{TENANT}/conversation/filter").respond(json=sample("conversations-answer.json"))
    found = await client.tickets.conversations("143", types=["InboundEmail"])
    assert sent(route) == sample("conversations-request.json")
    assert found[0].id == "131"
    assert found[0].activity_type == ActivityType.INBOUND_EMAIL == "InboundEmail"
    assert found[0].created_on == datetime(2024, 8, 28, 12, 38, 36, 198000, tzinfo=UTC)
    await client.tickets.conversations(143)
    assert sent(route)["ActivityType"] == ["InboundEmail", "OutboundEmail", "PortalInbound", "PortalOutbound"]
    await client.tickets.conversations(143, types="PortalInbound")
    assert sent(route)["ActivityType"] == ["PortalInbound"]


@respx.mock
async def test_attachments_of_a_conversation_are_unchanged(client):
    """The attachments of a conversation are unchanged, because their shape is not documented."""
    entry = {"Id": 1, "Attachments": [{"odd": 1}, "x"], "Text": None, "New": 2}
    respx.post(f"{TENANT}/conversation/filter").respond(json={"Total": 1, "ConversationList": [entry]})
    assert await client.tickets.conversations(1) == [
        Conversation(id="1", attachments=({"odd": 1}, "x"), extra={"New": 2})
    ]
    respx.post(f"{TENANT}/conversation/filter").respond(json={"Total": 0, "ConversationList": None})
    assert await client.tickets.conversations(1) == []


@respx.mock
async def test_add_note_sends_the_vendors_spelling(client):
    """A note is sent with the StorageType "Permament" and the number of the ticket as a JSON number."""
    route = respx.post(f"{TENANT}/internalnote/upload").respond(json=sample("note-answer.json"))
    receipt = await client.tickets.add_note("143", sample("note-request.json")["TextPart"])
    assert sent(route) == sample("note-request.json")
    assert (receipt.ticket_number, receipt.message, receipt.id) == ("143", "Activity Created", None)
    assert receipt.extra == {"RelatedOrgId": "22824", "RelatedChannelMonitoringRequestId": 0}


@respx.mock
async def test_add_portal_activity_has_a_singular_path(client):
    """A portal activity is sent to /ticket/143/portal/activity."""
    route = respx.post(f"{TENANT}/ticket/143/portal/activity").respond(json=sample("portal-answer.json"))
    receipt = await client.tickets.add_portal_activity("143", "Any news?")
    assert sent(route) == {"Text": "Any news?", "Direction": "INBOUND"}
    assert attrs.evolve(receipt, attempts=()) == ActivityReceipt(id="1")
    assert len(receipt.attempts) == 1


@respx.mock
async def test_sub_types_is_a_bare_array(client):
    """The sub-types are read from a JSON array, and unknown names are kept."""
    entry = {"Text": "Acceptable", "Value": "ok", "SortingOrder": None}
    respx.get(f"{TENANT}/lookups/SubType/values").respond(json=[entry])
    assert await client.metadata.sub_types() == [SubType(text="Acceptable", value="ok", extra={"SortingOrder": None})]


@respx.mock
async def test_a_lead_is_found_by_email(client):
    """A lead look-up uses its own host and header names, and the lead has the whole answer."""
    entry = {"ProspectID": "45b5", "EmailAddress": "wim@example.com", "Phone": None, "FirstName": "Wim"}
    route = respx.get(f"{LEADS}/Leads.GetByEmailaddress", params={"emailaddress": "w+1@example.com"}).respond(
        json=[entry]
    )
    lead = await client.leads.find_by_email("w+1@example.com")
    assert lead == Lead(id="45b5", email="wim@example.com", phone=None, fields=entry)
    request = route.calls.last.request
    assert "w%2B1%40example.com" in str(request.url)
    assert request.headers["x-lsq-accesskey"] == "CANARY-access-u$r"
    assert request.headers["x-lsq-secretkey"] == "CANARY-secret"
    assert "x-lsq-access-key" not in request.headers
    assert new_ticket_dto(NewTicket.for_lead(lead, title="x"))["LeadId"] == "45b5"


@pytest.mark.parametrize("lead", [None, "45b5"])
def test_a_ticket_is_not_made_for_a_lead_that_was_not_found(lead):
    """The error names the argument, which is None if no lead has the address."""
    with pytest.raises(TypeError, match=f"for_lead takes a Lead, not {lead!r}"):
        NewTicket.for_lead(lead, title="x")


@respx.mock
@pytest.mark.parametrize(
    ("given_phone", "asked"), [("+91-55501 00001", "%2B915550100001"), ("(555) 010.0001", "5550100001")]
)
async def test_a_lead_is_found_by_phone(client, given_phone, asked):
    """A phone number is sent without spaces and hyphens and with an encoded plus sign. No lead is None."""
    route = respx.get(f"{LEADS}/RetrieveLeadByPhoneNumber").respond(json=[])
    assert await client.leads.find_by_phone(given_phone) is None
    assert str(route.calls.last.request.url).endswith(f"?phone={asked}")


@respx.mock
async def test_leads_have_their_own_rate_limit(local):
    """Lead look-ups do not use the rate limit of tickets."""
    respx.get(url__startswith=LEADS).respond(json=[])
    many = attrs.evolve(local, leads_rate_limit=RateLimit(50, per=5.0))
    async with ServiceClient(many) as client:
        for _ in range(30):
            await client.leads.find_by_phone("5550100001")
        assert client.limiter.stats().used == 0


@respx.mock
async def test_the_metadata_host_follows_the_base_url():
    """The metadata host is the base URL with api. for apigw., unless it is set."""
    keys = {"access_key": "CANARY-a", "secret_key": "CANARY-b", "org_id": "1"}
    assert Config(**keys).metadata_url == "https://api.service-in.leadsquared.com"
    assert Config(**keys, base_url="https://x.example").metadata_url == "https://x.example"
    assert Config(**keys, metadata_url="https://y.example/").metadata_url == "https://y.example"
    assert attrs.evolve(Config(**keys), base_url="https://apigw.z.example").metadata_url == "https://api.z.example"
    assert Config(**keys).leads_url == "https://api.leadsquared.com"
    assert Config(**keys, base_url="http://127.0.0.1:80").leads_url == "http://127.0.0.1:80"


async def test_dates_are_in_the_zone_of_the_settings(local):
    """Dates are in the time zone of the settings, at the same moment."""
    answer = {"Id": "1", "Fields": [{"SchemaName": "DueDate", "Value": "2024-08-29T10:36:23"}]}
    kolkata = attrs.evolve(local, time_zone="Asia/Kolkata")
    async with httpx.AsyncClient(transport=Script(httpx.Response(200, json=answer))) as http:
        async with ServiceClient(kolkata, http_client=http) as client:
            due = (await client.tickets.get("1")).due_date
    assert (due.hour, due.minute, due.tzinfo) == (16, 6, ZoneInfo("Asia/Kolkata"))
    assert due == datetime(2024, 8, 29, 10, 36, 23, tzinfo=UTC)


LOST = AfterBody(httpx.ReadError("reset"))
REPEATED = {
    "conversations": lambda client: client.tickets.conversations("1"),
    "fields": lambda client: anext(client.metadata.fields(), None),
    "sub_types": lambda client: client.metadata.sub_types(),
    "find_by_email": lambda client: client.leads.find_by_email("a@b.c"),
    "find_by_phone": lambda client: client.leads.find_by_phone("12345"),
}
NOT_REPEATED = {
    "trash": lambda client: client.tickets.trash(["1"]),
    "GET, not repeatable": lambda client: client.request("GET", "x", repeatable=False),
    "add_note": lambda client: client.tickets.add_note("1", "x"),
    "add_portal_activity": lambda client: client.tickets.add_portal_activity("1", "x"),
}
ANSWERS = {
    "conversations": {"ConversationList": []},
    "fields": {"Total": 0, "TicketsFields": []},
    "sub_types": [],
    "find_by_email": [],
    "find_by_phone": [],
}


async def outcome(local, act, *steps):
    script = Script(*steps)
    fast = attrs.evolve(local, retry=RetryPolicy(backoff=0.0001))
    async with httpx.AsyncClient(transport=script) as http, ServiceClient(fast, http_client=http) as client:
        try:
            return await act(client), script
        except Exception as error:
            return error, script


@pytest.mark.parametrize("name", REPEATED)
async def test_reads_are_repeated_when_unanswered(local, name):
    """A read is repeated if no answer arrived, also if it is a POST. An answer of another type is malformed."""
    result, script = await outcome(local, REPEATED[name], LOST, httpx.Response(200, json=ANSWERS[name]))
    assert not isinstance(result, Exception)
    assert len(script.seen) >= 2
    result, _ = await outcome(local, REPEATED[name], httpx.Response(200, json=5))
    assert isinstance(result, MalformedResponseError)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("repeatable", [None, True])
async def test_a_request_that_only_reads_is_repeated(local, method, repeatable):
    """GET, HEAD and OPTIONS change nothing, so their last error is NoAnswerError."""
    result, script = await outcome(
        local, lambda client: client.request(method, "x", repeatable=repeatable), LOST, httpx.Response(200)
    )
    assert (result, len(script.seen)) == (None, 2)
    result, _ = await outcome(local, lambda client: client.request(method, "x", repeatable=repeatable), LOST)
    assert type(result) is NoAnswerError


@pytest.mark.parametrize("name", NOT_REPEATED)
async def test_a_call_that_would_be_applied_twice_is_not_repeated(local, name):
    """A call that would be applied twice raises OutcomeUnknownError if no answer arrived."""
    result, script = await outcome(local, NOT_REPEATED[name], LOST)
    assert (type(result), len(script.seen)) == (OutcomeUnknownError, 1)


IMPOSSIBLE = {
    "trash nothing": lambda client: client.tickets.trash([]),
    "trash a string": lambda client: client.tickets.trash("160"),
    "trash bytes": lambda client: client.tickets.trash(b"160"),
    "trash a bytearray": lambda client: client.tickets.trash(bytearray(b"160")),
    "trash a memoryview": lambda client: client.tickets.trash(memoryview(b"160")),
    "trash a mapping": lambda client: client.tickets.trash({160: "x"}),
    "trash a GUID": lambda client: client.tickets.trash(["03913666-6ab8"]),
    "conversations of a GUID": lambda client: client.tickets.conversations("03913666-6ab8"),
    "conversations of no type": lambda client: client.tickets.conversations("1", types=[]),
    "conversations of a blank type": lambda client: client.tickets.conversations("1", types=[" "]),
    "note for a GUID": lambda client: client.tickets.add_note("03913666-6ab8", "x"),
    "note without text": lambda client: client.tickets.add_note("1", " "),
    "note of None": lambda client: client.tickets.add_note("1", None),
    "portal without text": lambda client: client.tickets.add_portal_activity("1", ""),
    "portal with no direction": lambda client: client.tickets.add_portal_activity("1", "x", direction=""),
    "portal outside": lambda client: client.tickets.add_portal_activity("..", "x"),
    "search by number": lambda client: anext(client.metadata.fields(search=5)),
    "validate a mapping": lambda client: client.metadata.validate({"Title": "x"}),
    "validate_many one ticket": lambda client: client.metadata.validate_many(NewTicket(lead_id="45b5")),
    "no e-mail": lambda client: client.leads.find_by_email("wim"),
    "e-mail with half a character": lambda client: client.leads.find_by_email("wim@example.com\ud800"),
    "query with half a character": lambda client: client.request("POST", "x", params={"q": "\ud800"}),
    "query too long": lambda client: client.request("POST", "x", params={"q": "x" * 70_000}),
    "path too long": lambda client: client.request("POST", "/x" * 40_000),
    "query as text": lambda client: client.request("POST", "x", params="a=b"),
    "query of no mapping": lambda client: client.request("POST", "x", params=0),
    "query of a date": lambda client: client.request("POST", "x", params={"q": date(2026, 1, 31)}),
    "query of a mapping": lambda client: client.request("POST", "x", params={"q": [{"a": 1}]}),
    "query without a name": lambda client: client.request("POST", "x", params={None: "a"}),
    "no e-mail at all": lambda client: client.leads.find_by_email(None),
    "no phone": lambda client: client.leads.find_by_phone("five"),
    "no phone at all": lambda client: client.leads.find_by_phone(5550100001),
}


@respx.mock
@pytest.mark.parametrize("name", IMPOSSIBLE)
async def test_impossible_arguments_cost_nothing(client, name):
    """Arguments that cannot be valid raise InvalidRequestError without using the rate limit."""
    with pytest.raises(InvalidRequestError):
        await IMPOSSIBLE[name](client)
    assert client.limiter.stats().used == 0


class Choice(str, Enum):  # noqa: UP042 -- the text of a StrEnum would be its value
    OPEN = "open"


class Name(str, Enum):  # noqa: UP042
    Q = "q"


@pytest.mark.parametrize(
    ("value", "query"),
    [
        (Choice.OPEN, "q=open"),
        ([Choice.OPEN, 5, 0.5], "q=open&q=5&q=0.5"),
        (Decimal("1.50"), "q=1.50"),
        (UUID("45b5fded-e696-45a6-9fbb-c6af6178229e"), "q=45b5fded-e696-45a6-9fbb-c6af6178229e"),
        (True, "q=true"),
        (None, "q="),
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", ["q", Name.Q])
async def test_a_query_is_sent_as_its_text(client, name, value, query):
    """A member of an enumeration is sent as its value."""
    with respx.mock as service:
        route = service.get(f"{TENANT}/x").respond(json={})
        await client.request("GET", "x", params={name: value})
    assert route.calls.last.request.url.query == query.encode()


async def test_a_guid_may_be_a_uuid(config):
    """A ticket can be given as a UUID."""
    guid = UUID("45b5fded-e696-45a6-9fbb-c6af6178229e")
    with respx.mock(base_url=config.base_url) as service:
        route = service.get(f"{config.tenant_path}/tickets/{guid}").respond(json={"Id": "143", "Fields": []})
        async with ServiceClient(config) as client:
            assert (await client.tickets.get(guid)).number == "143"
    assert route.called
