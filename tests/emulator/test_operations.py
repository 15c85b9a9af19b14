"""Create, update and get, against the vendor's printed requests and answers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lsq_service_async.emulator import Emulator, StoredTicket, TicketStore

Sample = Callable[[str], Any]
Client = Callable[[Emulator], httpx.AsyncClient]

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def fields(*pairs: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"SchemaName": name, "Value": value} for name, value in pairs]


def form(dto: Any, **files: bytes) -> list[tuple[str, Any]]:
    """The parts of a ticket's form: ticketDTO as plain text, and the files by their names."""
    parts = [("files", (name.replace("_", "."), content)) for name, content in files.items()]
    return [("ticketDTO", (None, json.dumps(dto))), *parts]


def change(number: str, *pairs: tuple[str, Any]) -> dict[str, Any]:
    return {"TypeId": "1", "Id": number, "Fields": fields(*pairs), "RelatedTicketTypeId": 1}


async def test_create_answers_as_the_page_prints(sample: Sample, in_process: Client) -> None:
    """The vendor's request on the vendor's number gets the vendor's answer."""
    answer = sample("create-answer")
    emulator = Emulator(store=TicketStore(first_number=34, guid=lambda: answer["TicketId"]))
    async with in_process(emulator) as client:
        response = await client.post("/tickets", json=sample("create-request"))
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert answer == response.json()


async def test_create_with_attachments_answers_as_the_page_prints(sample: Sample, in_process: Client) -> None:
    """The same ticket as a form, without an Id, gets the answer with a message; its files are kept."""
    answer = sample("create-with-attachments-answer")
    emulator = Emulator(store=TicketStore(first_number=157, guid=lambda: answer["TicketId"]))
    request = sample("create-request")
    del request["Id"]
    async with in_process(emulator) as client:
        response = await client.post("/tickets", files=form(request, photo_jpg=b"jpeg", note_txt=b""))
    assert answer == response.json()
    assert [(f.name, f.size) for f in emulator.tickets["157"].files] == [("photo.jpg", 4), ("note.txt", 0)]


async def test_update_answers_as_the_page_prints(sample: Sample, in_process: Client) -> None:
    """The vendor's update of ticket 143 gets the vendor's answer, whose TicketId is null."""
    request = sample("update-request")
    store = TicketStore()
    store.put(StoredTicket("143", "03913666-6ab8-4355-9a50-a63fe3204d0a", request["LeadId"]))
    async with in_process(Emulator(store=store)) as client:
        response = await client.put("/tickets/143/update", files=form(request))
    assert (200, sample("update-answer")) == (response.status_code, response.json())


async def test_get_answers_as_the_page_prints(sample: Sample, in_process: Client) -> None:
    """A ticket that holds the printed fields is printed with every key of the page, in the page's order."""
    answer = sample("get-answer")
    held = {field["SchemaName"]: field["Value"] for field in answer["Fields"]}
    store = TicketStore()
    store.put(StoredTicket("143", answer["TicketId"], answer["LeadId"], held))
    async with in_process(Emulator(store=store)) as client:
        response = await client.get("/tickets/143")
    assert json.dumps(answer) == json.dumps(response.json())


async def test_numbers_count_up_and_keys_have_three_digits(client: httpx.AsyncClient, new_ticket: Any) -> None:
    """Ids are texts from "1" on, keys are padded to "#001", every ticket has a GUID of its own."""
    receipts = [(await client.post("/tickets", json=new_ticket)).json() for _ in range(3)]
    assert [receipt["Id"] for receipt in receipts] == ["1", "2", "3"]
    assert [receipt["Key"] for receipt in receipts] == ["#001", "#002", "#003"]
    assert len({receipt["TicketId"] for receipt in receipts if GUID.fullmatch(receipt["TicketId"])}) == 3


async def test_a_key_grows_with_its_number() -> None:
    """Beyond 999 nothing is cut."""
    assert StoredTicket("1234", "guid", "lead").key == "#1234"


async def test_get_returns_what_was_created(client: httpx.AsyncClient, new_ticket: Any) -> None:
    """By number, what was sent comes back; what was not sent is null or empty, and the key is the service's own."""
    await client.post("/tickets", json=new_ticket)
    ticket = (await client.get("/tickets/1")).json()
    got = {field["SchemaName"]: field["Value"] for field in ticket["Fields"]}
    sent = {field["SchemaName"]: field["Value"] for field in new_ticket["Fields"]}
    assert sent == {name: got[name] for name in sent}
    assert {name: got[name] for name in ("TicketKey", "DueDate", "Tags")} == {
        "TicketKey": "#001",
        "DueDate": None,
        "Tags": "",
    }
    assert ("null", "1", new_ticket["LeadId"]) == (ticket["TypeId"], ticket["Id"], ticket["LeadId"])


async def test_get_takes_the_guid_too(client: httpx.AsyncClient, new_ticket: Any) -> None:
    """Number and GUID, in any case, name the same ticket."""
    guid = (await client.post("/tickets", json=new_ticket)).json()["TicketId"]
    assert [(await client.get(f"/tickets/{name}")).json()["Id"] for name in (guid, guid.upper())] == ["1", "1"]


async def test_an_update_merges_fields_and_leaves_the_others(
    client: httpx.AsyncClient, emulator: Emulator, new_ticket: Any
) -> None:
    """What the update names is changed, null included; the rest is as it was."""
    await client.post("/tickets", json=new_ticket)
    await client.put("/tickets/1/update", files=form(change("1", ("Status", "On Hold"), ("Channel", None))))
    held = emulator.tickets["1"].fields
    assert (held["Status"], held["Channel"], held["Priority"]) == ("On Hold", None, "Low")
    assert new_ticket["LeadId"] == emulator.tickets["1"].lead_id


async def test_an_update_adds_files_and_replaces_none(
    client: httpx.AsyncClient, emulator: Emulator, new_ticket: Any
) -> None:
    """Two updates with a file of the same name make two files."""
    await client.post("/tickets", json=new_ticket)
    for content in (b"one", b"two"):
        await client.put("/tickets/1/update", files=form(change("1"), note_txt=content))
    digests = [hashlib.sha256(content).hexdigest() for content in (b"one", b"two")]
    assert digests == [file.sha256 for file in emulator.tickets["1"].files]


async def test_an_update_may_name_the_guid_in_the_path_and_another_lead(
    client: httpx.AsyncClient, emulator: Emulator, new_ticket: Any
) -> None:
    """The path takes either; the Id in the body stays the number; a LeadId moves the ticket."""
    guid = (await client.post("/tickets", json=new_ticket)).json()["TicketId"]
    dto = {**change("1"), "LeadId": "330fba67-6795-46c2-9dad-077794077f70"}
    response = await client.put(f"/tickets/{guid}/update", files=form(dto))
    assert (200, dto["LeadId"]) == (response.status_code, emulator.tickets["1"].lead_id)


@pytest.mark.parametrize("name", ["LeadDetail.EmailAddress", "LeadDetail.Phone"])
async def test_a_described_lead_becomes_one_lead(
    client: httpx.AsyncClient, emulator: Emulator, new_ticket: Any, name: str
) -> None:
    """Without a LeadId the e-mail or the phone names it: one lead for the same text, and no field of the ticket."""
    new_ticket["LeadId"] = None
    for text in ("a", "a", "b"):
        await client.post("/tickets", json={**new_ticket, "Fields": fields((name, text))})
    first, second, third = (ticket.lead_id for ticket in emulator.tickets.values())
    assert (first == second, first != third) == (True, True)
    assert name not in (await client.get("/tickets/1")).text


async def test_a_lead_is_found_by_the_phone_that_came_with_its_e_mail(
    client: httpx.AsyncClient, emulator: Emulator, new_ticket: Any
) -> None:
    """Both at once describe one lead, which either finds again."""
    both = [("LeadDetail.EmailAddress", "nobody.yet@example.com"), ("LeadDetail.Phone", "+91-1")]
    for pairs in (both, both[:1], both[1:]):
        await client.post("/tickets", json={**new_ticket, "LeadId": None, "Fields": fields(*pairs)})
    assert len({ticket.lead_id for ticket in emulator.tickets.values()}) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"LeadId": None}, "one of LeadId, LeadDetail.EmailAddress, LeadDetail.Phone", id="no lead"),
        pytest.param({"LeadId": None, "Fields": fields(("LeadDetail.Phone", ""))}, "one of LeadId", id="empty lead"),
        pytest.param({"LeadId": 5}, "LeadId must be a text", id="lead is a number"),
        pytest.param({"LeadId": ""}, "LeadId must be a text", id="lead is empty"),
        pytest.param({"TypeId": 1}, 'TypeId must be "1"', id="TypeId is a number"),
        pytest.param({"TypeId": "2"}, 'TypeId must be "1"', id="TypeId is another"),
        pytest.param({"RelatedTicketTypeId": None}, "RelatedTicketTypeId must be 1", id="no RelatedTicketTypeId"),
        pytest.param({"RelatedTicketTypeId": "1"}, "RelatedTicketTypeId must be 1", id="it is a text"),
        pytest.param({"RelatedTicketTypeId": True}, "RelatedTicketTypeId must be 1", id="it is true"),
        pytest.param({"RelatedTicketTypeId": 2}, "RelatedTicketTypeId must be 1", id="it is another"),
        pytest.param({"Id": "34"}, "Id must be null", id="Id of a new ticket"),
        pytest.param({"Fields": None}, "Fields must be a list", id="no Fields"),
        pytest.param({"Fields": [{"SchemaName": "Title"}]}, "a SchemaName and a Value", id="field without value"),
        pytest.param({"Fields": [{"SchemaName": "", "Value": 1}]}, "a SchemaName and a Value", id="field without name"),
        pytest.param({"Fields": ["Title"]}, "a SchemaName and a Value", id="field is a text"),
        pytest.param({"Fields": fields(("Tags", ["a"]))}, "the Value of Tags", id="value is a list"),
        pytest.param({"Fields": fields(("Tags", False))}, "the Value of Tags", id="value is false"),
    ],
)
async def test_a_body_that_departs_from_the_page_is_a_400(
    client: httpx.AsyncClient, emulator: Emulator, new_ticket: Any, changes: Any, reason: str
) -> None:
    """The documented words and the reason, as JSON and as a form alike; nothing is created."""
    ticket = new_ticket | changes
    for response in (
        await client.post("/tickets", json=ticket),
        await client.post("/tickets", files=form(ticket)),
    ):
        assert response.status_code == 400
        assert response.text.startswith("The message body on the request is not as per API specification.")
        assert reason in response.text
    assert not emulator.tickets


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '"x"', "NaN", '{"TypeId": NaN}', '{"TypeId": 1e400}', "[" * 200_000, "9" * 5000),
        *("\ud800", '{"LeadId": "\ud800"}', r'{"LeadId": "\ud800"}', r'{"\udfff": 1}'),
    ],
    ids=lambda text: ascii(text[:20]),
)
async def test_a_body_that_is_no_json_object_is_a_400(client: httpx.AsyncClient, text: str) -> None:
    """Cut, foreign, deeply nested or endless: always the same refusal, never a crash."""
    raw = text.encode("utf-8", "surrogatepass")
    response = await client.post("/tickets", content=raw, headers={"content-type": "application/json"})
    assert (response.status_code, "(the JSON" in response.text) == (400, True)


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_another_content_type_is_a_400(
    client: httpx.AsyncClient, new_ticket: Any, content_type: str | None
) -> None:
    """JSON under another name is not per specification."""
    headers = {"content-type": content_type} if content_type else {}
    response = await client.post("/tickets", content=json.dumps(new_ticket), headers=headers)
    assert (response.status_code, "the content type must be application/json" in response.text) == (400, True)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        pytest.param([("files", ("a", b"x"))], "the part ticketDTO is missing", id="files alone"),
        pytest.param([("files", (None, "x"))], "file parts called files", id="a file without a name"),
    ],
)
async def test_a_form_that_departs_from_the_page_is_a_400(
    client: httpx.AsyncClient, emulator: Emulator, parts: Any, reason: str
) -> None:
    """No ticket in it, or a part that nothing documents: nothing is created."""
    response = await client.post("/tickets", files=parts)
    assert (response.status_code, reason in response.text) == (400, True)
    assert not emulator.tickets


async def test_an_update_as_json_is_a_400(client: httpx.AsyncClient, new_ticket: Any) -> None:
    """An update is a form, always."""
    await client.post("/tickets", json=new_ticket)
    response = await client.put("/tickets/1/update", json=change("1", ("Status", "Open")))
    assert (response.status_code, "multipart/form-data" in response.text) == (400, True)


@pytest.mark.parametrize("number", [None, "2", 1])
async def test_an_update_must_name_its_number(client: httpx.AsyncClient, new_ticket: Any, number: Any) -> None:
    """Id is mandatory, a text, and the ticket of the path."""
    await client.post("/tickets", json=new_ticket)
    response = await client.put("/tickets/1/update", files=form(change(number)))
    assert (response.status_code, "Id must be" in response.text) == (400, True)


async def test_an_unknown_ticket_is_a_404_with_a_json_body(client: httpx.AsyncClient) -> None:
    """Get and update say that the ticket does not exist (how the service says it is not documented)."""
    for response in (await client.get("/tickets/99"), await client.put("/tickets/99/update", files=form(change("99")))):
        expected = {"Status": "Error", "ExceptionMessage": "Ticket 99 does not exist"}
        assert (404, expected) == (response.status_code, response.json())


@pytest.mark.parametrize("name", ["X-LSQ-ACCESS-KEY", "X-LSQ-SECRET-KEY"])
@pytest.mark.parametrize("value", [None, "wrong"])
async def test_both_keys_are_checked(
    client: httpx.AsyncClient, emulator: Emulator, new_ticket: Any, name: str, value: str | None
) -> None:
    """Without one of the headers, or with another value in it: 401 and the documented words; nothing is created."""
    del client.headers[name]
    response = await client.post("/tickets", json=new_ticket, headers={name: value} if value else {})
    assert (response.status_code, "invalid access credentials" in response.text) == (401, True)
    assert not emulator.tickets


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("POST", "/ticket"),
        ("GET", "/tickets"),
        ("DELETE", "/tickets/1"),
        ("HEAD", "/tickets/1"),
        ("GET", "/tickets/1/"),
        ("GET", "/tickets/1/update"),
        ("POST", "http://localhost/api/tenants/1/tickets"),
        ("POST", "http://localhost/api/tenants/228240/tickets"),
        ("POST", "http://localhost/tickets"),
        ("GET", "http://localhost/api/tenants/22824"),
    ],
)
async def test_what_is_no_operation_of_the_tenant_is_a_404(client: httpx.AsyncClient, method: str, url: str) -> None:
    """Another path, another method, another tenant: the API could not be found."""
    response = await client.request(method, url)
    expected = "The API could not be found. Please check the API signature."
    assert (response.status_code, response.text) == (404, "" if method == "HEAD" else expected)
