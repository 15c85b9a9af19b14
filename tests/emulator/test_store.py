"""Leads: invented ones and those that tickets describe, looked up on the marketing API."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lsq_service_async.emulator import StoredTicket, TicketStore

EMAIL, PHONE = "/Leads.GetByEmailaddress", "/RetrieveLeadByPhoneNumber"


async def found(leads, path, **query):
    """The lead of the response, or None if it is empty."""
    response = await leads.get(path, params=query)
    assert response.status_code == 200
    found = response.json()
    assert len(found) < 2
    return found[0] if found else None


def described(ticket, **details):
    """The request for a new ticket that describes its lead."""
    entries = [{"SchemaName": f"LeadDetail.{name}", "Value": value} for name, value in details.items()]
    return {**ticket, "LeadId": None, "Fields": ticket["Fields"] + entries}


async def test_a_lead_is_a_flat_object_of_texts(sample, leads):
    """A look-up returns an array of one lead in the documented format: every value is a string or null."""
    response = await leads.get(EMAIL, params={"emailaddress": "wim@example.com"})
    assert response.json() == sample("lead-answer-invented")
    assert {type(value) for value in response.json()[0].values()} == {str, type(None)}


@pytest.mark.parametrize(
    ("path", "query", "first_name"),
    [
        (EMAIL, {"emailaddress": "zoe+tickets@example.com"}, "Zoë"),
        (EMAIL, {"emailaddress": "ZOE+Tickets@example.com"}, "Zoë"),
        (EMAIL, {"emailaddress": "nobody@example.com"}, None),
        (EMAIL, {"emailaddress": "+91-5550100001"}, None),
        (PHONE, {"phone": "+91-5550100001"}, "Wim"),
        (PHONE, {"phone": "+915550100001"}, "Wim"),
        (PHONE, {"phone": "915550100001"}, "Wim"),
        (PHONE, {"phone": "5550100001"}, "Wim"),
        (PHONE, {"phone": "5550100055"}, "Zoë"),
        (PHONE, {"phone": "555 010 0001"}, None),
        (PHONE, {"phone": "wim@example.com"}, None),
        (PHONE, {"phone": "100001"}, None),
    ],
)
async def test_a_lead_is_found_by_its_email_or_phone(leads, path, query, first_name):
    """E-mails ignore case; phones match Phone and Mobile, with or without the country code."""
    lead = await found(leads, path, **query)
    assert (lead and lead["FirstName"]) == first_name


async def test_a_plus_sign_must_be_encoded(leads):
    """A plus sign that is not encoded is a blank, and finds no lead."""
    assert (await leads.get(f"{PHONE}?phone=+91-5550100001")).json() == []
    assert (await leads.get(f"{PHONE}?phone=%2B91-5550100001")).json() != []


@pytest.mark.parametrize(("path", "name"), [(EMAIL, "emailaddress"), (PHONE, "phone")])
@pytest.mark.parametrize("value", [None, ""])
async def test_a_look_up_without_a_value_is_a_500_with_an_exception_type(leads, path, name, value):
    """The marketing API refuses a missing mandatory parameter with a 500."""
    response = await leads.get(path, params={} if value is None else {name: value})
    expected = {
        "Status": "Error",
        "ExceptionType": "MXMandatoryAttributeMissingException",
        "ExceptionMessage": f"'{name}' is mandatory",
    }
    assert (response.status_code, response.json()) == (500, expected)


async def test_a_described_lead_is_created_once(client, emulator, new_ticket):
    """Tickets with the same e-mail or phone have the same lead, and LeadDetail.* are not fields of the ticket."""
    both = {"EmailAddress": "new@example.com", "Phone": "+91-1"}
    for details in (both, {"EmailAddress": "new@example.com"}, {"Phone": "+91-1"}, {"Phone": "5550100099"}):
        await client.post("/tickets", json=described(new_ticket, **details))
    first, second, third, other = (ticket.lead_id for ticket in emulator.tickets.values())
    assert (first == second == third, first != other) == (True, True)
    assert "LeadDetail" not in (await client.get("/tickets/1")).text


async def test_a_described_lead_is_found(client, emulator, leads, new_ticket):
    """The look-ups return all details as texts, and the GUID is the ticket's LeadId."""
    details = {"EmailAddress": "new@example.com", "Phone": "+91-5550100077", "mx_Floor": 3, "LastName": None}
    await client.post("/tickets", json=described(new_ticket, **details))
    by_email = await found(leads, EMAIL, emailaddress="new@example.com")
    assert by_email == await found(leads, PHONE, phone="915550100077")
    assert (by_email["ProspectID"], by_email["mx_Floor"]) == (emulator.tickets["1"].lead_id, "3")
    assert (by_email["LastName"], by_email["ProspectAutoId"]) == (None, "6")


async def test_a_known_lead_gets_only_missing_details(client, emulator, leads, new_ticket):
    """A lead keeps its name and GUID, and gets the phone number that it did not have."""
    details = {"EmailAddress": "noor@example.com", "Phone": "+91-5550100003", "FirstName": "Other"}
    await client.post("/tickets", json=described(new_ticket, **details))
    lead = await found(leads, PHONE, phone="5550100003")
    assert (lead["FirstName"], lead["ProspectAutoId"]) == ("Noor", "3")
    assert lead["ProspectID"] == emulator.tickets["1"].lead_id


async def test_of_two_leads_with_one_number_the_last_one_is_found(client, leads, new_ticket):
    """The vendor returns the lead with the most recent activity."""
    for name in ("asha", "new"):
        details = {"EmailAddress": f"{name}@example.com", "Mobile": "+91-5550100088"}
        await client.post("/tickets", json=described(new_ticket, **details))
    assert (await found(leads, PHONE, phone="5550100088"))["EmailAddress"] == "new@example.com"


def test_a_message_has_the_current_time():
    """By default the time of a message is aware and in UTC."""
    store, before = TicketStore(), datetime.now(UTC)
    message = store.add_message(store.put(StoredTicket("1", "guid", "lead")), "InboundEmail")
    assert before <= message.created_on <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("before", "after", "text"), [(0, 5, "0 \u2192 5"), ("", 0, "empty \u2192 0"), (5, None, "5 \u2192 empty")]
)
def test_the_history_of_a_ticket_has_the_values_of_a_field(before, after, text):
    """A value that is missing or empty text is shown as empty, but not the number 0."""
    store = TicketStore()
    ticket = store.create("lead", {"X": before})
    store.put(replace(ticket, fields={"X": after}))
    assert [change for _, change in store.history["1"]] == ["created", f"X: {text}"]


def test_the_history_of_a_ticket_is_bounded():
    """The last 20 changes of a ticket are kept, each cut to 300 characters."""
    store = TicketStore()
    ticket = store.create("lead", {})
    for number in range(30):
        ticket = store.put(
            type(ticket)(ticket.number, ticket.ticket_id, "lead", {f"F{number}": "x" * 500, "n": number})
        )
    assert ([len(change) <= 300 for _, change in store.history["1"]], len(store.history["1"])) == ([True] * 20, 20)
