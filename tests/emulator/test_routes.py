"""Every operation, against the requests and responses that the vendor's pages print."""

import hashlib
import json
import re
from datetime import UTC, datetime

import pytest

from lsq_service_async.emulator import Emulator, StoredConversation, StoredTicket, TicketStore

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TICKET = StoredTicket("143", "03913666-6ab8-4355-9a50-a63fe3204d0a", "330fba67-6795-46c2-9dad-077794077f70")
FIELDS_PATH = "/ticket-types/1/fields/filter"
ALL_TYPES = ["InboundEmail", "OutboundEmail", "PortalInbound", "PortalOutbound"]
CONVERSATIONS = {"TicketId": 143, "OrgId": 22824, "ActivityType": ALL_TYPES}


def fields(**values):
    return [{"SchemaName": name.replace("__", "."), "Value": value} for name, value in values.items()]


def form(dto, **files):
    """The parts of a ticket's form: ticketDTO as plain text, and the files by their names."""
    parts = [("files", (name.replace("_", "."), content)) for name, content in files.items()]
    return [("ticketDTO", (None, json.dumps(dto))), *parts]


def update(number, **values):
    return {"TypeId": "1", "Id": number, "Fields": fields(**values), "RelatedTicketTypeId": 1}


@pytest.fixture
def store():
    """A store in which only ticket 143 exists, on a fixed date."""
    store = TicketStore(now=lambda: datetime(2024, 8, 28, 12, 38, 36, 198_765, UTC))
    store.put(TICKET)
    return store


@pytest.fixture
def emulator(store):
    return Emulator(store=store, window=None)


# The vendor's examples


@pytest.mark.parametrize(
    ("method", "path", "example", "answer_name", "number"),
    [
        ("POST", "/tickets", "create", "create-answer", 34),
        ("POST", "/tickets", "create", "create-with-attachments-answer", 157),
        ("PUT", "/tickets/143/update", "update", "update-answer", 1),
        ("PUT", "/tickets/trash", "trash", "trash-answer", 1),
        ("POST", "/internalnote/upload", "note", "note-answer", 1),
        ("POST", "/ticket/143/portal/activity", "portal", "portal-answer", 1),
        ("POST", FIELDS_PATH, "metadata", "metadata-answer", 1),
    ],
)
async def test_the_vendors_request_gets_the_vendors_answer(connect, sample, method, path, example, answer_name, number):
    """A printed request gets the printed response; a new ticket has the number and the GUID that are printed."""
    body, answer = sample(f"{example}-request"), sample(answer_name)
    store = TicketStore(first_number=number, guid=lambda: answer["TicketId"])
    for name in ("143", "160", "161"):
        store.put(StoredTicket(name, name, "lead"))
    if answer_name == "create-with-attachments-answer":
        del body["Id"]  # The page of this form prints no Id.
    as_form = example == "update" or number == 157
    async with connect(Emulator(store=store)) as client:
        sent = {"files": form(body, photo_jpg=b"jpeg", note_txt=b"")} if as_form else {"json": body}
        response = await client.request(method, path, **sent)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert response.json() == answer
    files = [(file.name, file.size) for ticket in store.tickets.values() for file in ticket.files]
    assert files == ([("photo.jpg", 4), ("note.txt", 0)] if as_form else [])
    assert list(store.trashed) == (["160", "161"] if example == "trash" else [])


async def test_get_answers_as_printed(sample, client, store):
    """A ticket with the printed fields has every key of the page, in the order of the page."""
    answer = sample("get-answer")
    held = {field["SchemaName"]: field["Value"] for field in answer["Fields"]}
    store.put(StoredTicket("143", answer["TicketId"], answer["LeadId"], held))
    assert json.dumps((await client.get("/tickets/143")).json()) == json.dumps(answer)


async def test_conversations_answer_as_printed(sample, client, store):
    """The page counts two messages and prints the first; stored twice, it is printed the same."""
    answer = sample("conversations-answer")
    (printed,) = answer["ConversationList"]
    message = StoredConversation(
        131,
        printed["RelatedActivityType"],
        datetime.fromisoformat(printed["CreatedOn"]),
        printed["Text"],
        printed["Html"],
        created_by=printed["CreatedBy"],
    )
    store.put(StoredTicket("143", TICKET.ticket_id, TICKET.lead_id, conversations=(message, message)))
    response = await client.post("/conversation/filter", json=sample("conversations-request"))
    assert json.dumps(response.json()) == json.dumps({**answer, "ConversationList": [printed, printed]})


async def test_sub_types_answer_as_printed(sample, client):
    """The response is a bare array; its first value is the printed one, and the others have the same keys."""
    values = (await client.get("/lookups/SubType/values")).json()
    (printed,) = sample("sub-types-answer")
    assert values[0] == printed
    assert values == [{**printed, "Text": value["Value"], "Value": value["Value"]} for value in values]
    assert len({value["Value"] for value in values}) == len(values) > 2


# Refused requests


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"LeadId": None}, "one of LeadId, LeadDetail.EmailAddress, LeadDetail.Phone", id="no lead"),
        pytest.param({"LeadId": None, "Fields": fields(LeadDetail__Phone="")}, "one of LeadId", id="empty lead"),
        pytest.param({"LeadId": 5}, "LeadId must be a non-empty string", id="lead is a number"),
        pytest.param({"LeadId": ""}, "LeadId must be a non-empty string", id="lead is empty"),
        pytest.param({"TypeId": 1}, 'TypeId must be "1"', id="TypeId is a number"),
        pytest.param({"RelatedTicketTypeId": None}, "RelatedTicketTypeId must be 1", id="no RelatedTicketTypeId"),
        pytest.param({"RelatedTicketTypeId": "1"}, "RelatedTicketTypeId must be 1", id="it is a text"),
        pytest.param({"RelatedTicketTypeId": True}, "RelatedTicketTypeId must be 1", id="it is true"),
        pytest.param({"Id": "34"}, "Id must be null", id="Id of a new ticket"),
        pytest.param({"Fields": None}, "Fields must be a list", id="no Fields"),
        pytest.param({"Fields": [{"SchemaName": "Title"}]}, "a SchemaName and a Value", id="field without value"),
        pytest.param({"Fields": [{"SchemaName": "", "Value": 1}]}, "a SchemaName and a Value", id="field without name"),
        pytest.param({"Fields": ["Title"]}, "a SchemaName and a Value", id="field is a text"),
        pytest.param({"Fields": fields(Tags=["a"])}, "the Value of Tags", id="value is a list"),
        pytest.param({"Fields": fields(Tags=False)}, "the Value of Tags", id="value is false"),
    ],
)
async def test_a_new_ticket_that_departs_from_the_page_is_a_400(client, emulator, new_ticket, changes, reason):
    """As JSON and as a form, the response is the documented text with the reason, and nothing is created."""
    ticket = new_ticket | changes
    for body in ({"json": ticket}, {"files": form(ticket)}):
        response = await client.post("/tickets", **body)
        assert response.status_code == 400
        assert response.text.startswith("The message body on the request is not as per API specification.")
        assert reason in response.text
    assert emulator.tickets == {"143": TICKET}


NOTE = {
    "ActivityType": "CreateInternalNote", "StorageType": "Permament", "RelatedTicketId": 143, "TextPart": "Hi",
}  # fmt: skip
PORTAL, PORTAL_PATH = {"Text": "Hi", "Direction": "INBOUND"}, "/ticket/143/portal/activity"
PAGE = {"Limit": 25, "Offset": 0}
CHANGES = [
    ("/conversation/filter", CONVERSATIONS, {"TicketId": "143"}, "TicketId must be a whole number"),
    ("/conversation/filter", CONVERSATIONS, {"TicketId": True}, "TicketId must be a whole number"),
    ("/conversation/filter", CONVERSATIONS, {"TicketId": -1}, "TicketId must be a whole number"),
    ("/conversation/filter", CONVERSATIONS, {"OrgId": "22824"}, "OrgId must be the number of the tenant"),
    ("/conversation/filter", CONVERSATIONS, {"OrgId": 1}, "OrgId must be the number of the tenant"),
    ("/conversation/filter", CONVERSATIONS, {"ActivityType": "InboundEmail"}, "ActivityType must be a list"),
    ("/conversation/filter", CONVERSATIONS, {"ActivityType": []}, "ActivityType must be a list"),
    ("/conversation/filter", CONVERSATIONS, {"ActivityType": ["Sms"]}, "one or more of InboundEmail, OutboundEmail"),
    ("/internalnote/upload", NOTE, {"StorageType": "Permanent"}, 'StorageType must be "Permament"'),
    ("/internalnote/upload", NOTE, {"ActivityType": "Note"}, 'ActivityType must be "CreateInternalNote"'),
    ("/internalnote/upload", NOTE, {"RelatedTicketId": "143"}, "RelatedTicketId must be a whole number"),
    ("/internalnote/upload", NOTE, {"TextPart": ""}, "TextPart must be a non-empty string"),
    (PORTAL_PATH, PORTAL, {"Direction": "Inbound"}, 'Direction must be "INBOUND" or "OUTBOUND"'),
    (PORTAL_PATH, PORTAL, {"Text": ""}, "Text must be a non-empty string"),
    (FIELDS_PATH, PAGE, {"Limit": 0}, "Limit must be a whole number of at least 1"),
    (FIELDS_PATH, PAGE, {"Offset": -1}, "Offset must be a whole number of at least 0"),
    (FIELDS_PATH, PAGE, {"SearchText": 5}, "SearchText must be a string"),
    ("/tickets/trash", {}, {"TicketIds": None}, "TicketIds must be"),
    ("/tickets/trash", {}, {"TicketIds": []}, "TicketIds must be"),
    ("/tickets/trash", {}, {"TicketIds": [143]}, "TicketIds must be"),
    ("/tickets/trash", {}, {"TicketIds": ["143", None]}, "TicketIds must be"),
    ("/tickets/trash", {}, {"TicketIds": ["#143"]}, "TicketIds must be"),
    ("/tickets/trash", {}, {"TicketIds": [""]}, "TicketIds must be"),
    ("/tickets/trash", {}, {"TicketIds": ["9" * 5000]}, "TicketIds must be"),
    ("/tickets/trash", {}, {"TicketIds": ["٣"]}, "TicketIds must be"),
]


@pytest.mark.parametrize(("path", "body", "changes", "reason"), CHANGES, ids=lambda value: ascii(value)[:40])
async def test_a_body_that_departs_from_the_page_is_a_400(client, emulator, path, body, changes, reason):
    """The response names the attribute, and ticket 143 is unchanged."""
    method = "PUT" if path == "/tickets/trash" else "POST"
    response = await client.request(method, path, json=body | changes)
    assert (response.status_code, reason in response.text) == (400, True)
    assert emulator.tickets == {"143": TICKET}


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '"x"', "NaN", '{"TypeId": NaN}', '{"TypeId": 1e400}', "[" * 200_000, "9" * 5000),
        *("\ud800", '{"LeadId": "\ud800"}', r'{"LeadId": "\ud800"}', r'{"\udfff": 1}'),
    ],
    ids=lambda text: ascii(text[:20]),
)
async def test_a_body_that_is_not_a_json_object_is_a_400(client, text):
    """A body that is cut, deeply nested, endless or not UTF-8 is refused and does not crash the emulator."""
    raw = text.encode("utf-8", "surrogatepass")
    response = await client.post("/tickets", content=raw, headers={"content-type": "application/json"})
    assert (response.status_code, "(the JSON" in response.text) == (400, True)


@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        *(
            (
                "POST",
                "/tickets",
                {"content": "{}", "headers": headers},
                "content type must be application/json or multi",
            )
            for headers in ({}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"})
        ),
        ("POST", "/conversation/filter", {"files": form({})}, "content type must be application/json)"),
        ("POST", "/internalnote/upload", {"files": form({})}, "content type must be application/json)"),
        ("POST", PORTAL_PATH, {"files": form({})}, "content type must be application/json)"),
        ("PUT", "/tickets/143/update", {"json": update("143")}, "content type must be multipart/form-data)"),
        ("POST", "/tickets", {"files": [("files", ("a", b"x"))]}, "the part ticketDTO is missing"),
        ("POST", "/tickets", {"files": [("files", (None, "x"))]}, "file parts must be named files"),
        *(("PUT", "/tickets/143/update", {"files": form(update(id))}, 'Id must be "143"') for id in (None, "2", 143)),
    ],
)
async def test_a_body_of_another_kind_is_a_400(client, emulator, method, path, body, reason):
    """Only tickets may be sent as a form, an update is always one, and it names the ticket of its path as a string."""
    response = await client.request(method, path, **body)
    assert (response.status_code, reason in response.text) == (400, True)
    assert emulator.tickets == {"143": TICKET}


@pytest.mark.parametrize("name", ["143", TICKET.ticket_id, "7"])
async def test_an_unknown_or_trashed_ticket_is_a_404_with_a_json_body(client, sample, name):
    """Every operation refuses a ticket that does not exist or no longer exists (the format is an inference)."""
    await client.put("/tickets/trash", json={"TicketIds": ["143"]})
    requests = [
        ("GET", f"/tickets/{name}", {}),
        ("PUT", f"/tickets/{name}/update", {"files": form(update("7"))}),
        ("POST", f"/ticket/{name}/portal/activity", {"json": PORTAL}),
    ]
    if name == "143":
        requests += [("POST", "/conversation/filter", {"json": CONVERSATIONS})]
        requests += [("POST", "/internalnote/upload", {"json": NOTE})]
    for method, path, body in requests:
        response = await client.request(method, path, **body)
        expected = {"Status": "Error", "ExceptionMessage": f"Ticket {name} does not exist"}
        assert (response.status_code, response.headers["content-type"]) == (404, "application/json; charset=utf-8")
        assert response.json() == expected


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/tickets/trash"), ("POST", FIELDS_PATH), ("GET", "/lookups/SubType/values")]
)
async def test_some_operations_need_an_administrator(connect, new_ticket, method, path):
    """With admin=False three operations are a 403 as plain text (an inference), wrong keys are still a 401."""
    emulator = Emulator(admin=False)
    async with connect(emulator) as client:
        assert (await client.post("/tickets", json=new_ticket)).status_code == 200
        response = await client.request(method, path, json={"TicketIds": ["1"]})
        del client.headers["X-LSQ-SECRET-KEY"]
        assert (await client.request(method, path)).status_code == 401
    assert (response.status_code, response.headers["content-type"]) == (403, "text/plain; charset=utf-8")
    assert (list(emulator.tickets), emulator.calls[1].applied) == (["1"], False)


@pytest.mark.parametrize("empty", [None, ""])
async def test_mandatory_fields_are_enforced(client, emulator, connect, new_ticket, empty):
    """A new ticket without them is a 400 that names them all, unless enforce_mandatory=False; an update needs none."""
    incomplete = {**new_ticket, "Fields": fields(Title=empty)}
    for body in ({"json": incomplete}, {"files": form(incomplete)}):
        refused = await client.post("/tickets", **body)
        assert (refused.status_code, "mandatory fields are missing: Title, Status" in refused.text) == (400, True)
    complete = {**new_ticket, "Fields": fields(Title="A", Status="Open")}
    assert (await client.post("/tickets", json=complete)).status_code == 200
    assert (await client.put("/tickets/1/update", files=form(update("1", Priority="Low")))).status_code == 200
    assert list(emulator.tickets) == ["143", "1"]
    async with connect(Emulator(enforce_mandatory=False)) as mild:
        assert (await mild.post("/tickets", json=incomplete)).status_code == 200


# State


async def test_numbers_count_up_and_keys_have_three_digits(client, new_ticket):
    """Ids are texts from "1" on, keys are padded to "#001", and every ticket has its own GUID."""
    receipts = [(await client.post("/tickets", json=new_ticket)).json() for _ in range(3)]
    assert [receipt["Id"] for receipt in receipts] == ["1", "2", "3"]
    assert [receipt["Key"] for receipt in receipts] == ["#001", "#002", "#003"]
    assert len({receipt["TicketId"] for receipt in receipts if GUID.fullmatch(receipt["TicketId"])}) == 3
    assert StoredTicket("1234", "guid", "lead").key == "#1234"


async def test_get_returns_the_created_ticket(client, new_ticket):
    """By number and by GUID in any case, fields that were not sent are null or empty, and the key is the service's."""
    guid = (await client.post("/tickets", json=new_ticket)).json()["TicketId"]
    ticket, by_guid, by_upper = [(await client.get(f"/tickets/{name}")).json() for name in ("1", guid, guid.upper())]
    assert ticket == by_guid == by_upper
    got = {field["SchemaName"]: field["Value"] for field in ticket["Fields"]}
    sent = {field["SchemaName"]: field["Value"] for field in new_ticket["Fields"]}
    assert got == got | sent | {"TicketKey": "#001", "DueDate": None, "Tags": ""}
    assert (ticket["TypeId"], ticket["Id"], ticket["LeadId"]) == ("null", "1", new_ticket["LeadId"])


async def test_an_update_changes_only_its_fields(client, emulator, new_ticket):
    """Fields of the update are set, null included, and the others are kept; files of the same name are added."""
    guid = (await client.post("/tickets", json=new_ticket)).json()["TicketId"]
    await client.put("/tickets/1/update", files=form(update("1", Status="On Hold", Channel=None), note_txt=b"one"))
    ticket = emulator.tickets["1"]
    assert (ticket.fields["Status"], ticket.fields["Channel"], ticket.fields["Priority"]) == ("On Hold", None, "Low")
    assert ticket.lead_id == new_ticket["LeadId"]
    moved = {**update("1"), "LeadId": TICKET.lead_id}
    assert (await client.put(f"/tickets/{guid}/update", files=form(moved, note_txt=b"two"))).status_code == 200
    ticket = emulator.tickets["1"]
    assert ticket.lead_id == TICKET.lead_id
    assert [file.sha256 for file in ticket.files] == [hashlib.sha256(text).hexdigest() for text in (b"one", b"two")]


async def test_tickets_that_cannot_be_trashed_are_listed_as_failed(client, emulator, new_ticket):
    """Unknown tickets and those in the trash are failures in a 200; a call that trashes nothing changes nothing."""
    await client.post("/tickets", json=new_ticket)
    response = await client.put("/tickets/trash", json={"TicketIds": ["7", "1", "1"]})
    assert (response.status_code, response.json()) == (200, {"SuccessfulIds": [1], "FailedIds": [7, 1]})
    await client.put("/tickets/trash", json={"TicketIds": ["7"]})
    assert [call.applied for call in emulator.calls] == [True, True, False]
    assert (await client.post("/tickets", json=new_ticket)).json()["Id"] == "2", "numbers are not used again"


async def listed(client, **changes):
    return (await client.post("/conversation/filter", json=CONVERSATIONS | changes)).json()


async def test_an_added_message_is_listed(client, emulator, store):
    """A message keeps its text, HTML and attachments; its time has milliseconds, or none if they are 0, and no zone."""
    message = emulator.converse("143", text="Hi", html="<p>Hi</p>", attachments=[{"Name": "a.txt"}])
    listing = await listed(client)
    assert listing["ConversationList"] == [
        {
            "RelatedActivityType": "InboundEmail",
            "Html": "<p>Hi</p>",
            "Text": "Hi",
            "Attachments": [{"Name": "a.txt"}],
            "CreatedBy": message.created_by,
            "CreatedOn": "2024-08-28T12:38:36.198",
            "Id": 1,
        }
    ]
    assert [call.applied for call in emulator.calls] == [False], "this POST only reads"
    whole = StoredConversation(5, "InboundEmail", datetime(2024, 8, 28, 12, 38, 36, 999, UTC))
    store.put(StoredTicket("143", TICKET.ticket_id, TICKET.lead_id, conversations=(whole,)))
    assert (await listed(client))["ConversationList"][0]["CreatedOn"] == "2024-08-28T12:38:36"


@pytest.mark.parametrize("wanted", [ALL_TYPES, ["OutboundEmail"], ["PortalOutbound", "InboundEmail"]])
async def test_conversations_are_filtered_by_type(client, emulator, wanted):
    """Messages of the requested types are listed oldest first."""
    for kind in ALL_TYPES:
        emulator.converse("143", kind)
    listing = await listed(client, ActivityType=wanted)
    found = [message["RelatedActivityType"] for message in listing["ConversationList"]]
    assert (found, listing["Total"]) == ([kind for kind in ALL_TYPES if kind in wanted], len(wanted))


def test_only_known_messages_on_known_tickets_can_be_added(emulator):
    """An unknown type is a ValueError, and an unknown ticket a KeyError."""
    with pytest.raises(ValueError, match="not 'Sms'"):
        emulator.converse("143", "Sms")
    with pytest.raises(KeyError):
        emulator.converse("7")


async def test_a_note_is_not_a_conversation(client, emulator, sample):
    """A note is kept on the ticket, changes it, and is not listed."""
    await client.post("/internalnote/upload", json=sample("note-request"))
    assert emulator.tickets["143"].notes == ("Resolve this ticket ASAP.",)
    assert ((await listed(client))["ConversationList"], emulator.calls[0].applied) == ([], True)


async def test_portal_activities_are_conversations(client, emulator):
    """Each direction is its own type; they have no HTML, and are numbered together with e-mails."""
    for name, direction in (("143", "OUTBOUND"), (TICKET.ticket_id, "INBOUND")):
        await client.post(f"/ticket/{name}/portal/activity", json={"Text": direction, "Direction": direction})
    messages = (await listed(client))["ConversationList"]
    found = [(message["Id"], message["RelatedActivityType"], message["Text"], message["Html"]) for message in messages]
    assert found == [(1, "PortalOutbound", "OUTBOUND", None), (2, "PortalInbound", "INBOUND", None)]
    assert emulator.calls[0].applied


# Field metadata


async def page(client, limit, offset, search=""):
    """The total, and the Ids of the page."""
    answer = (await client.post(FIELDS_PATH, json={"Limit": limit, "Offset": offset, "SearchText": search})).json()
    return answer["Total"], [field["Id"] for field in answer["TicketsFields"]]


async def test_the_fields_of_the_account(sample, client):
    """40 fields have the printed keys; Title and Status are mandatory, and regular expressions can be compiled."""
    response = await client.post(FIELDS_PATH, json=sample("metadata-request"))
    assert repr(response.json()) == repr(sample("metadata-answer")), "the keys are in the printed order"
    (printed,) = sample("metadata-answer")["TicketsFields"]
    all_fields = (await client.post(FIELDS_PATH, json={"Limit": 100, "Offset": 0})).json()["TicketsFields"]
    assert {(tuple(field), tuple(field["ValidationProperties"])) for field in all_fields} == {
        (tuple(printed), tuple(printed["ValidationProperties"]))
    }
    rules = {field["SchemaName"]: field["ValidationProperties"] for field in all_fields}
    assert len(all_fields) == len({field["Id"] for field in all_fields}) == len(rules) == 40
    custom = {field["SchemaName"].startswith("CustomData."): field["FieldType"] for field in all_fields}
    assert custom == {False: "standard", True: "custom"}
    named = {field["SchemaName"] for name in ("get-answer", "create-request") for field in sample(name)["Fields"]}
    assert named <= set(rules), "the vendor's examples use these fields"
    assert [name for name, rule in rules.items() if rule["IsMandatory"]] == ["Title", "Status"]
    patterns = [re.compile(rule["Regex"]) for rule in rules.values() if rule["Regex"]]
    assert (len(patterns) > 5, len({rule["MaxLength"] for rule in rules.values()}) > 5) == (True, True)


@pytest.mark.parametrize(
    ("reading", "offset", "first"),
    [
        *(("from_zero", 0, 1), ("from_zero", 1, 2), ("from_zero", 25, 26), ("from_zero", 40, 41)),
        *(("from_one", 0, 1), ("from_one", 1, 1), ("from_one", 26, 26), ("from_one", 41, 41)),
        *(("page", 0, 1), ("page", 1, 1), ("page", 2, 26), ("page", 3, 51)),
    ],
)
async def test_an_offset_has_three_meanings(connect, reading, offset, first):
    """A page of 25 begins at this Id; the page after the last one is empty, and the total is always 40."""
    async with connect(Emulator(metadata_offset=reading)) as client:
        assert await page(client, 25, offset) == (40, list(range(first, min(first + 25, 41))))


@pytest.mark.parametrize(
    ("search", "total"), [("", 40), (None, 40), ("status", 1), ("customdata.", 23), ("sub type", 1), ("nothing", 0)]
)
async def test_fields_are_searched_by_both_names(client, search, total):
    """The search ignores case; an empty text or null finds all fields; Total counts the fields that were found."""
    found, ids = await page(client, 100, 0, search)
    assert (found, len(ids)) == (total, total)
