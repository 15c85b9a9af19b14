"""Facts about one account: how they change ticket numbers, tickets of others, answers and field metadata."""

import json
import random

import pytest

from lsq_service_async.emulator import Emulator, Facts, FixedWindow

FIELDS_PATH = "/ticket-types/1/fields/filter"


@pytest.fixture
def account(connect):
    """Makes an emulator of an account with these facts, and a client of it."""

    def make(**facts):
        emulator = Emulator(facts=facts, window=None, random=random.Random(5))
        return emulator, connect(emulator)

    return make


async def create(client, new_ticket, times=1):
    return [(await client.post("/tickets", json=new_ticket)).json()["Id"] for _ in range(times)]


async def test_without_facts_the_numbers_have_no_gaps(account, new_ticket):
    """An empty object, and null or unknown keys, change nothing."""
    _, client = account(gaps=None, checked_on="2026-11-26", questions={"zone": "unknown"})
    async with client:
        assert await create(client, new_ticket, 3) == ["1", "2", "3"]
    assert Facts.load(None) == Facts.load({}) == Facts.load(Facts()) == Facts()


async def test_numbers_have_gaps(account, new_ticket):
    """About the given share of all numbers is skipped, and the rest ascends."""
    _, client = account(gaps=0.5)
    async with client:
        numbers = list(map(int, await create(client, new_ticket, 200)))
    assert numbers == sorted(set(numbers))
    assert 300 < numbers[-1] < 500


async def test_numbers_may_be_assigned_out_of_order(account, new_ticket):
    """Each ten numbers are assigned in random order, each of them once."""
    _, client = account(numbers_ascend=False)
    async with client:
        numbers = list(map(int, await create(client, new_ticket, 20)))
    assert (sorted(numbers), sorted(numbers[:10])) == (list(range(1, 21)), list(range(1, 11)))
    assert numbers != sorted(numbers)


async def test_other_users_create_tickets_between_ours(account, new_ticket):
    """About the given share of all tickets belongs to others, and all of them can be read."""
    emulator, client = account(others=0.5)
    async with client:
        own = set(await create(client, new_ticket, 100))
        others = {number for number, ticket in emulator.tickets.items() if ticket.by_others}
        assert (own | others, own & others, 50 < len(others) < 150) == (set(emulator.tickets), set(), True)
        assert {(await client.get(f"/tickets/{number}")).status_code for number in emulator.tickets} == {200}


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        pytest.param({"others": 0.5, "neighbours_readable": False}, 403, id="tickets of others"),
        pytest.param({"others": 0.5, "neighbours_readable": False, "unreadable_status": 404}, 404, id="as if unknown"),
        pytest.param({"unreadable": 0.3}, 403, id="a share of own tickets"),
        pytest.param({"unreadable": 1}, 403, id="all"),
    ],
)
async def test_some_tickets_cannot_be_read(account, new_ticket, facts, status):
    """A ticket that cannot be read is refused every time, as a read and as an update; the others are served."""
    emulator, client = account(**facts)
    async with client:
        own = await create(client, new_ticket, 40)
        answers = [{n: (await client.get(f"/tickets/{n}")).status_code for n in emulator.tickets} for _ in range(2)]
        hidden = [number for number, answer in answers[0].items() if answer == status]
        assert (await client.post(f"/ticket/{hidden[0]}/portal/activity", json={})).status_code in (status, 400)
        portal = {"Text": "Hi", "Direction": "INBOUND"}
        assert (await client.post(f"/ticket/{hidden[0]}/portal/activity", json=portal)).status_code == status
    assert (answers[0], set(answers[0].values()) <= {200, status}) == (answers[1], True)
    if "others" in facts:
        assert set(hidden) == set(emulator.tickets) - set(own)
    else:
        assert len(hidden) == pytest.approx(40 * facts["unreadable"], abs=3)


async def test_automation_rewrites_fields(account, new_ticket):
    """Fields are replaced right after a create; their values may contain the number and the value that was sent."""
    rewrites = {"Title": "[{number}] {value}", "Status": "Assigned", "RelatedStageId": 4, "Tags": "({value})"}
    _, client = account(rewrites=rewrites)
    title = next(field["Value"] for field in new_ticket["Fields"] if field["SchemaName"] == "Title")
    async with client:
        receipt = (await client.post("/tickets", json=new_ticket)).json()
        answer = (await client.get("/tickets/1")).json()
    got = {field["SchemaName"]: field["Value"] for field in answer["Fields"]}
    assert got == got | {"Title": f"[1] {title}", "Status": "Assigned", "RelatedStageId": 4, "Tags": "()"}
    assert (receipt["TicketId"], got["Priority"]) == (answer["TicketId"], "Low")


@pytest.mark.parametrize(("forms", "statuses"), [(["number"], (200, 404)), (["guid"], (404, 200))])
async def test_urls_may_accept_one_form_of_an_id(account, new_ticket, forms, statuses):
    """The other form is answered like a ticket that does not exist."""
    _, client = account(ids_in_urls=forms)
    async with client:
        receipt = (await client.post("/tickets", json=new_ticket)).json()
        answers = [await client.get(f"/tickets/{receipt[name]}") for name in ("Id", "TicketId")]
    assert tuple(answer.status_code for answer in answers) == statuses


@pytest.mark.parametrize(
    ("unknown", "status", "text"),
    [
        ({"status": 500, "body": '{"ExceptionType": "X"}'}, 500, '{"ExceptionType": "X"}'),
        ({"status": 400}, 400, '{"Status": "Error", "ExceptionMessage": "Ticket 7 does not exist"}'),
        ({"status": 404, "body": ""}, 404, ""),
    ],
)
async def test_an_unknown_ticket_has_the_answer_of_the_account(account, unknown, status, text):
    """Status and body are those of the facts; without a body it is the emulator's."""
    _, client = account(unknown_ticket=unknown)
    async with client:
        response = await client.get("/tickets/7")
    assert (response.status_code, response.text) == (status, text)


async def test_the_account_has_its_own_fields(account, new_ticket):
    """Missing attributes are filled, the marker field is added once, and mandatory fields are those of the account."""
    own = [{"SchemaName": "Title"}, {"SchemaName": "CustomData.Shop", "ValidationProperties": {"IsMandatory": True}}]
    for marker, added in (("CustomData.Ref", ["CustomData.Ref"]), ("Title", [])):
        _, client = account(fields=own, marker_field=marker, metadata_offset="from_one")
        async with client:
            answer = (await client.post(FIELDS_PATH, json={"Limit": 25, "Offset": 1, "SearchText": ""})).json()
            refused = await client.post("/tickets", json=new_ticket)
        assert [field["SchemaName"] for field in answer["TicketsFields"]] == ["Title", "CustomData.Shop", *added]
        assert {field["DataType"] for field in answer["TicketsFields"]} == {"Text"}
        assert (refused.status_code, "missing: CustomData.Shop)" in refused.text) == (400, True)


async def test_facts_replace_the_window_and_the_limit(connect):
    """The window and the rate limit of the facts are used."""
    emulator = Emulator(facts={"window": "fixed", "rate_limit": [3, 2.5]})
    assert (type(emulator.window), emulator.window.calls, emulator.window.per) == (FixedWindow, 3, 2.5)


def test_facts_are_read_from_a_file(tmp_path):
    """The path may be a text or a Path; a file that is not a JSON object is an error that names it."""
    path = tmp_path / "facts.json"
    path.write_text(json.dumps({"gaps": 0.25, "note": "ignored"}))
    assert Facts.load(path) == Facts.load(str(path)) == Facts(gaps=0.25)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"facts\.json is not a JSON file"):
        Emulator(facts=path)
    path.write_text("[]")
    with pytest.raises(ValueError, match="must be a JSON object, not list"):
        Emulator(facts=path)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"gaps": 1}, "gaps must be at least 0 and less than 1, not 1"),
        ({"others": -0.1}, "others must be at least 0"),
        ({"others": True}, "others must be at least 0"),
        ({"unreadable": "0.5"}, "unreadable must be a number from 0 to 1, not '0.5'"),
        ({"unreadable": True}, "unreadable must be a number from 0 to 1, not True"),
        ({"numbers_ascend": 1}, "numbers_ascend must be true or false"),
        ({"ids_in_urls": []}, "ids_in_urls must be"),
        ({"ids_in_urls": ["key"]}, "ids_in_urls must be"),
        ({"ids_in_urls": 5}, "ids_in_urls must be"),
        ({"rewrites": [1]}, "rewrites must be an object"),
        ({"fields": [1]}, "fields must be a list of objects"),
        ({"fields": [{"DisplayName": "A"}]}, "fields must be a list of objects with a SchemaName"),
        ({"fields": [{"SchemaName": "A", "ValidationProperties": 5}]}, "fields must be a list of objects"),
        ({"marker_field": 5}, "marker_field must be a schema name"),
        ({"rate_limit": "25/5"}, "rate_limit must be .calls, seconds., not '25/5'"),
        ({"rate_limit": [25]}, "rate_limit must be"),
        ({"rate_limit": [2.5, 5]}, "rate_limit must be"),
        ({"rate_limit": [5, True]}, "rate_limit must be"),
        ({"unreadable_status": "403"}, "unreadable_status must be a status"),
        ({"unknown_ticket": {"status": 99}}, "unknown_ticket must be an object with a status"),
        ({"unknown_ticket": 404}, "unknown_ticket must be"),
        ({"unknown_ticket": {"status": 404, "body": {}}}, "unknown_ticket must be an object with a status"),
        ({"metadata_offset": "zero"}, "from_zero, from_one, page"),
        *(({"window": window}, "sliding, fixed, bucket, estimate") for window in ("rolling", 5, ["fixed"])),
    ],
)
def test_a_fact_of_the_wrong_kind_is_an_error(facts, message):
    """The error names the fact, the value and the expected kind."""
    with pytest.raises(ValueError, match=message):
        Emulator(facts=facts)
