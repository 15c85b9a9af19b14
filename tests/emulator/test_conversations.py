"""Conversations, notes and portal activities, against the vendor's printed requests and answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from lsq_service_async.emulator import Emulator, StoredConversation, StoredTicket, TicketStore

Sample = Callable[[str], Any]
ALL_TYPES = ["InboundEmail", "OutboundEmail", "PortalInbound", "PortalOutbound"]
TICKET = StoredTicket("143", "03913666-6ab8-4355-9a50-a63fe3204d0a", "330fba67-6795-46c2-9dad-077794077f70")


@pytest.fixture
def store() -> TicketStore:
    """It holds ticket 143, in the afternoon of a certain day."""
    store = TicketStore(now=lambda: datetime(2024, 8, 28, 12, 38, 36, 198_765, UTC))
    store.put(TICKET)
    return store


@pytest.fixture
def emulator(store: TicketStore) -> Emulator:
    return Emulator(store=store)


def asking(**changes: Any) -> dict[str, Any]:
    return {"TicketId": 143, "OrgId": 22824, "ActivityType": ALL_TYPES} | changes


async def listed(client: httpx.AsyncClient, **changes: Any) -> Any:
    return (await client.post("/conversation/filter", json=asking(**changes))).json()["ConversationList"]


async def test_conversations_are_answered_as_the_page_prints(
    sample: Sample, client: httpx.AsyncClient, store: TicketStore
) -> None:
    """The printed message comes first of the two that the page counts (it is the one that is in the sample)."""
    answer = sample("conversations-answer")
    (printed,) = answer["ConversationList"]
    said = StoredConversation(
        131,
        printed["RelatedActivityType"],
        datetime.fromisoformat(printed["CreatedOn"]),
        printed["Text"],
        printed["Html"],
        created_by=printed["CreatedBy"],
    )
    store.put(StoredTicket("143", TICKET.ticket_id, TICKET.lead_id, conversations=(said, said)))
    response = await client.post("/conversation/filter", json=sample("conversations-request"))
    assert {**answer, "ConversationList": [printed, printed]} == response.json()
    assert list(printed) == list(response.json()["ConversationList"][0])


async def test_a_planted_e_mail_is_read_back(client: httpx.AsyncClient, emulator: Emulator) -> None:
    """Text, HTML and attachments as they were given; the time of the store, cut to milliseconds, without a zone."""
    said = emulator.converse("143", text="Hi", html="<p>Hi</p>", attachments=[{"Name": "a.txt"}])
    assert [
        {
            "RelatedActivityType": "InboundEmail",
            "Html": "<p>Hi</p>",
            "Text": "Hi",
            "Attachments": [{"Name": "a.txt"}],
            "CreatedBy": said.created_by,
            "CreatedOn": "2024-08-28T12:38:36.198",
            "Id": 1,
        }
    ] == await listed(client)


async def test_a_whole_second_has_no_fraction(client: httpx.AsyncClient, store: TicketStore) -> None:
    """The vendor prints 0 or 3 digits."""
    said = StoredConversation(5, "InboundEmail", datetime(2024, 8, 28, 12, 38, 36, 999, UTC))
    store.put(StoredTicket("143", TICKET.ticket_id, TICKET.lead_id, conversations=(said,)))
    assert (await listed(client))[0]["CreatedOn"] == "2024-08-28T12:38:36"


def test_a_message_comes_now_where_no_other_time_is_given() -> None:
    """Aware, in UTC."""
    store, before = TicketStore(), datetime.now(UTC)
    said = store.add_message(store.put(TICKET), "InboundEmail")
    assert before <= said.created_on <= datetime.now(UTC)


@pytest.mark.parametrize("wanted", [ALL_TYPES, ["OutboundEmail"], ["PortalOutbound", "InboundEmail"]])
async def test_only_the_types_that_were_asked_for_are_listed(
    client: httpx.AsyncClient, emulator: Emulator, wanted: list[str]
) -> None:
    """In the order in which they came, whatever the order of the types."""
    for kind in ALL_TYPES:
        emulator.converse("143", kind)  # type: ignore[arg-type]
    answer = (await client.post("/conversation/filter", json=asking(ActivityType=wanted))).json()
    found = [said["RelatedActivityType"] for said in answer["ConversationList"]]
    assert ([kind for kind in ALL_TYPES if kind in wanted], len(wanted)) == (found, answer["Total"])


async def test_reading_conversations_changes_nothing(client: httpx.AsyncClient, emulator: Emulator) -> None:
    """It is a POST that reads."""
    assert await listed(client) == []
    assert [call.applied for call in emulator.calls] == [False]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"TicketId": "143"}, "TicketId must be a whole number", id="ticket as a text"),
        pytest.param({"TicketId": True}, "TicketId must be a whole number", id="ticket is true"),
        pytest.param({"TicketId": -1}, "TicketId must be a whole number", id="ticket below 0"),
        pytest.param({"OrgId": "22824"}, "OrgId must be a whole number", id="tenant as a text"),
        pytest.param({"OrgId": 1}, "OrgId must be the number of the tenant", id="another tenant"),
        pytest.param({"ActivityType": "InboundEmail"}, "ActivityType must be a list", id="type as a text"),
        pytest.param({"ActivityType": []}, "ActivityType must be a list", id="no type"),
        pytest.param({"ActivityType": ["Sms"]}, "some of InboundEmail, OutboundEmail", id="unknown type"),
    ],
)
async def test_a_filter_that_departs_from_the_page_is_a_400(
    client: httpx.AsyncClient, changes: Any, reason: str
) -> None:
    """The reason names the attribute."""
    response = await client.post("/conversation/filter", json=asking(**changes))
    assert (response.status_code, reason in response.text) == (400, True)


def test_only_known_messages_on_known_tickets_can_be_planted(emulator: Emulator) -> None:
    """A slip in a test is told at once."""
    with pytest.raises(ValueError, match="not 'Sms'"):
        emulator.converse("143", "Sms")  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        emulator.converse("7")


async def test_a_note_is_answered_as_the_page_prints(
    sample: Sample, client: httpx.AsyncClient, emulator: Emulator
) -> None:
    """The vendor's request gets the vendor's answer; the note is on the ticket, and no conversation."""
    response = await client.post("/internalnote/upload", json=sample("note-request"))
    assert (200, sample("note-answer")) == (response.status_code, response.json())
    assert emulator.tickets["143"].notes == ("Resolve this ticket ASAP.",)
    assert (await listed(client), emulator.calls[0].applied) == ([], True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"StorageType": "Permanent"}, "StorageType must be one of Permament", id="spelt correctly"),
        pytest.param({"ActivityType": "Note"}, "ActivityType must be one of CreateInternalNote", id="other activity"),
        pytest.param({"RelatedTicketId": "143"}, "RelatedTicketId must be a whole number", id="ticket as a text"),
        pytest.param({"TextPart": ""}, "TextPart must be a text", id="empty"),
        pytest.param({"TextPart": 5}, "TextPart must be a text", id="a number"),
    ],
)
async def test_a_note_that_departs_from_the_page_is_a_400(
    sample: Sample, client: httpx.AsyncClient, emulator: Emulator, changes: Any, reason: str
) -> None:
    """Nothing is noted."""
    response = await client.post("/internalnote/upload", json=sample("note-request") | changes)
    assert (response.status_code, reason in response.text) == (400, True)
    assert emulator.tickets["143"].notes == ()


async def test_a_portal_activity_is_answered_as_the_page_prints(
    sample: Sample, client: httpx.AsyncClient, emulator: Emulator
) -> None:
    """The first message of all has the Id "1"."""
    response = await client.post("/ticket/143/portal/activity", json=sample("portal-request"))
    assert (200, sample("portal-answer")) == (response.status_code, response.json())
    assert emulator.calls[0].applied


async def test_portal_activities_are_conversations(client: httpx.AsyncClient) -> None:
    """Each direction is a type of its own; they have a text and no HTML, and are numbered with the e-mails."""
    for name, direction in (("143", "OUTBOUND"), (TICKET.ticket_id, "INBOUND")):
        await client.post(f"/ticket/{name}/portal/activity", json={"Text": direction, "Direction": direction})
    found = [(said["Id"], said["RelatedActivityType"], said["Text"], said["Html"]) for said in await listed(client)]
    assert found == [(1, "PortalOutbound", "OUTBOUND", None), (2, "PortalInbound", "INBOUND", None)]


@pytest.mark.parametrize(
    ("activity", "reason"),
    [
        pytest.param({"Text": "Hi", "Direction": "Inbound"}, "Direction must be one of INBOUND, OUTBOUND", id="case"),
        pytest.param({"Text": "Hi"}, "Direction must be a text", id="no direction"),
        pytest.param({"Text": "", "Direction": "INBOUND"}, "Text must be a text", id="empty"),
    ],
)
async def test_a_portal_activity_that_departs_from_the_page_is_a_400(
    client: httpx.AsyncClient, emulator: Emulator, activity: Any, reason: str
) -> None:
    """Nothing is said."""
    response = await client.post("/ticket/143/portal/activity", json=activity)
    assert (response.status_code, reason in response.text) == (400, True)
    assert emulator.tickets["143"].conversations == ()


async def test_nothing_is_said_on_a_ticket_that_is_not_there(sample: Sample, client: httpx.AsyncClient) -> None:
    """Trashed as well as unknown: 404 with a JSON body, for each of the three."""
    await client.put("/tickets/trash", json={"TicketIds": ["143"]})
    for path, body in (
        ("/conversation/filter", asking()),
        ("/internalnote/upload", sample("note-request")),
        ("/ticket/143/portal/activity", sample("portal-request")),
        ("/ticket/7/portal/activity", sample("portal-request")),
    ):
        response = await client.post(path, json=body)
        assert (response.status_code, response.json()["Status"]) == (404, "Error")


@pytest.mark.parametrize("path", ["/conversation/filter", "/internalnote/upload", "/ticket/143/portal/activity"])
async def test_json_under_another_name_is_a_400(client: httpx.AsyncClient, path: str) -> None:
    """A form is none of these, whatever is in it."""
    response = await client.post(path, files={"ticketDTO": (None, "{}")})
    assert (response.status_code, "the content type must be application/json)" in response.text) == (400, True)
