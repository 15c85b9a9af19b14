"""Leads on the marketing API: its own paths, header names and window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lsq_service_async.emulator import Emulator, FixedWindow, RateLimited

Client = Callable[[Emulator], httpx.AsyncClient]

EMAIL, PHONE = "/Leads.GetByEmailaddress", "/RetrieveLeadByPhoneNumber"


async def found(client: httpx.AsyncClient, path: str, **query: str) -> Any:
    """The one lead of the answer; None for an empty one."""
    response = await client.get(path, params=query)
    assert response.status_code == 200
    leads = response.json()
    assert len(leads) < 2
    return leads[0] if leads else None


async def test_a_lead_is_a_flat_object_of_texts(
    sample: Callable[[str], Any], emulator: Emulator, marketing: Client
) -> None:
    """An invented lead in the documented shape: texts and nulls, in an array."""
    async with marketing(emulator) as client:
        response = await client.get(EMAIL, params={"emailaddress": "wim@example.com"})
    assert sample("lead-answer-invented") == response.json()
    assert {type(value) for value in response.json()[0].values()} == {str, type(None)}


@pytest.mark.parametrize("email", ["zoe+tickets@example.com", "ZOE+Tickets@example.com"])
async def test_an_e_mail_finds_its_lead(emulator: Emulator, marketing: Client, email: str) -> None:
    """Without regard to case, and with a plus sign that was encoded."""
    async with marketing(emulator) as client:
        assert (await found(client, EMAIL, emailaddress=email))["FirstName"] == "Zoë"


@pytest.mark.parametrize("phone", ["+91-5550100001", "+915550100001", "915550100001", "5550100001"])
async def test_a_phone_number_finds_its_lead(emulator: Emulator, marketing: Client, phone: str) -> None:
    """With or without the country code, as it is stored or as plain digits."""
    async with marketing(emulator) as client:
        assert (await found(client, PHONE, phone=phone))["EmailAddress"] == "wim@example.com"


async def test_a_mobile_number_finds_its_lead_too(emulator: Emulator, marketing: Client) -> None:
    """The page names both fields."""
    async with marketing(emulator) as client:
        assert (await found(client, PHONE, phone="5550100055"))["FirstName"] == "Zoë"


async def test_a_plus_that_is_not_encoded_is_a_blank(emulator: Emulator, marketing: Client) -> None:
    """And finds nobody."""
    async with marketing(emulator) as client:
        assert (await client.get(f"{PHONE}?phone=+91-5550100001")).json() == []
        assert (await client.get(f"{PHONE}?phone=%2B91-5550100001")).json() != []


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (EMAIL, {"emailaddress": "nobody@example.com"}),
        (EMAIL, {"emailaddress": "+91-5550100001"}),
        (PHONE, {"phone": "555 010 0001"}),
        (PHONE, {"phone": "wim@example.com"}),
        (PHONE, {"phone": "100001"}),
    ],
)
async def test_nobody_is_an_empty_array(emulator: Emulator, marketing: Client, path: str, query: Any) -> None:
    """Unknown, looked up by the other field, or written in another way."""
    async with marketing(emulator) as client:
        assert await found(client, path, **query) is None


@pytest.mark.parametrize(("path", "name"), [(EMAIL, "emailaddress"), (PHONE, "phone")])
@pytest.mark.parametrize("value", [None, ""])
async def test_a_look_up_for_nothing_is_a_500_with_an_exception_type(
    emulator: Emulator, marketing: Client, path: str, name: str, value: Any
) -> None:
    """The marketing API says so of a mandatory parameter that is missing."""
    async with marketing(emulator) as client:
        response = await client.get(path, params={} if value is None else {name: value})
    expected = {
        "Status": "Error",
        "ExceptionType": "MXMandatoryAttributeMissingException",
        "ExceptionMessage": f"'{name}' is mandatory",
    }
    assert (500, expected) == (response.status_code, response.json())


def described(ticket: Any, **details: Any) -> dict[str, Any]:
    entries = [{"SchemaName": f"LeadDetail.{name}", "Value": value} for name, value in details.items()]
    return {**ticket, "LeadId": None, "Fields": entries}


async def test_a_lead_that_a_ticket_described_is_found(
    client: httpx.AsyncClient, emulator: Emulator, marketing: Client, new_ticket: Any
) -> None:
    """By e-mail and by phone, with all that was said of it as text; its GUID is the ticket's LeadId."""
    details = {"EmailAddress": "new@example.com", "Phone": "+91-5550100077", "mx_Floor": 3, "LastName": None}
    await client.post("/tickets", json=described(new_ticket, **details))
    async with marketing(emulator) as leads:
        by_email = await found(leads, EMAIL, emailaddress="new@example.com")
        by_phone = await found(leads, PHONE, phone="915550100077")
    assert by_email == by_phone
    assert (by_email["ProspectID"], by_email["mx_Floor"]) == (emulator.tickets["1"].lead_id, "3")
    assert (by_email["LastName"], by_email["ProspectAutoId"]) == (None, "6")


async def test_a_ticket_for_a_known_lead_adds_what_it_lacked(
    client: httpx.AsyncClient, emulator: Emulator, marketing: Client, new_ticket: Any
) -> None:
    """The lead keeps its name and GUID, and gets the phone number that it did not have."""
    details = {"EmailAddress": "noor@example.com", "Phone": "+91-5550100003", "FirstName": "Other"}
    await client.post("/tickets", json=described(new_ticket, **details))
    async with marketing(emulator) as leads:
        lead = await found(leads, PHONE, phone="5550100003")
    assert (lead["FirstName"], lead["ProspectAutoId"]) == ("Noor", "3")
    assert lead["ProspectID"] == emulator.tickets["1"].lead_id


async def test_of_two_leads_with_one_number_the_last_one_is_found(
    client: httpx.AsyncClient, emulator: Emulator, marketing: Client, new_ticket: Any
) -> None:
    """The vendor shows the one with the most recent activity."""
    for name in ("asha", "new"):
        details = {"EmailAddress": f"{name}@example.com", "Mobile": "+91-5550100088"}
        await client.post("/tickets", json=described(new_ticket, **details))
    async with marketing(emulator) as leads:
        assert (await found(leads, PHONE, phone="5550100088"))["EmailAddress"] == "new@example.com"


async def test_the_headers_of_the_other_api_open_nothing(client: httpx.AsyncClient, marketing: Client) -> None:
    """Other hyphens are other names: 401 in both directions; and the keys are no parameters of the URL here."""
    emulator = Emulator()
    url = "http://localhost/v2/LeadManagement.svc/Leads.GetByEmailaddress"
    assert (await client.get(url, params={"emailaddress": "wim@example.com"})).status_code == 401
    async with marketing(emulator) as leads:
        assert (await leads.get("http://localhost/api/tenants/22824/tickets/1")).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"), [("POST", EMAIL), ("GET", "/Leads.GetByEmailaddress/1"), ("GET", "/Leads.Get"), ("GET", "/")]
)
async def test_what_is_no_look_up_is_a_404(emulator: Emulator, marketing: Client, method: str, path: str) -> None:
    """The marketing API has hundreds of operations, and two of them are here."""
    async with marketing(emulator) as client:
        assert (await client.request(method, path)).status_code == 404


async def test_look_ups_have_a_window_of_their_own(fake_time: Any, in_process: Client, marketing: Client) -> None:
    """Neither API takes from the other's allowance, and each refusal names its own numbers."""
    emulator = Emulator(rate_limit=(2, 5.0), leads_rate_limit=(1, 2.5), clock=fake_time.clock)
    async with in_process(emulator) as tenant, marketing(emulator) as leads:
        looked_up = [await leads.get(PHONE, params={"phone": "1"}) for _ in range(2)]
        called = [await tenant.get("/tickets/1") for _ in range(3)]
    assert [answer.status_code for answer in looked_up + called] == [200, 429, 404, 404, 429]
    assert ("limit of 1 in 2.5 second(s)" in looked_up[1].text, "of 2 in 5 second(s)" in called[2].text) == (True, True)
    assert emulator.refused == 2


async def test_a_scripted_429_names_the_limit_of_its_api(marketing: Client) -> None:
    """A fault on a look-up speaks of look-ups."""
    emulator = Emulator(leads_rate_limit=(7, 3.0))
    emulator.faults.add(RateLimited(path="LeadManagement"))
    async with marketing(emulator) as client:
        assert "limit of 7 in 3 second(s)" in (await client.get(PHONE, params={"phone": "1"})).text


async def test_without_a_window_nobody_is_refused(emulator: Emulator, marketing: Client) -> None:
    """None is none for both APIs."""
    async with marketing(emulator) as client:
        assert {(await client.get(PHONE, params={"phone": "1"})).status_code for _ in range(60)} == {200}


async def test_a_window_of_your_own_counts_the_tenants_calls_only(fake_time: Any, marketing: Client) -> None:
    """Look-ups get a sliding one beside it."""
    emulator = Emulator(window=FixedWindow(1, 5.0), leads_rate_limit=(2, 5.0), clock=fake_time.clock)
    async with marketing(emulator) as client:
        statuses = [(await client.get(PHONE, params={"phone": "1"})).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
