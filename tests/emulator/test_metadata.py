"""Field metadata and sub-types of the invented account; who may read them, and who must obey them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lsq_service_async.emulator import Emulator

Sample = Callable[[str], Any]
Client = Callable[[Emulator], httpx.AsyncClient]
PATH = "/ticket-types/1/fields/filter"


async def page(client: httpx.AsyncClient, limit: int, offset: int, search: Any = "") -> tuple[int, list[int]]:
    """Total, and the Ids of the page."""
    answer = (await client.post(PATH, json={"Limit": limit, "Offset": offset, "SearchText": search})).json()
    return answer["Total"], [field["Id"] for field in answer["TicketsFields"]]


async def all_fields(client: httpx.AsyncClient) -> Any:
    return (await client.post(PATH, json={"Limit": 100, "Offset": 0})).json()["TicketsFields"]


async def test_fields_are_answered_as_the_page_prints(sample: Sample, client: httpx.AsyncClient) -> None:
    """The vendor's search for "Status" gets the vendor's answer, to the order of the keys."""
    response = await client.post(PATH, json=sample("metadata-request"))
    assert (200, sample("metadata-answer")) == (response.status_code, response.json())
    assert repr(sample("metadata-answer")) == repr(response.json())


async def test_every_field_has_the_printed_keys(sample: Sample, client: httpx.AsyncClient) -> None:
    """40 fields, standard and custom ones, each with its own Id and name."""
    (printed,) = sample("metadata-answer")["TicketsFields"]
    fields = await all_fields(client)
    assert {(tuple(field), tuple(field["ValidationProperties"])) for field in fields} == {
        (tuple(printed), tuple(printed["ValidationProperties"]))
    }
    assert len(fields) == len({field["Id"] for field in fields}) == len({field["SchemaName"] for field in fields}) == 40
    custom = {field["SchemaName"].startswith("CustomData."): field["FieldType"] for field in fields}
    assert custom == {False: "standard", True: "custom"}


async def test_the_printed_ticket_consists_of_these_fields(sample: Sample, client: httpx.AsyncClient) -> None:
    """Whatever the vendor's pages name is among them."""
    named = {field["SchemaName"] for name in ("get-answer", "create-request") for field in sample(name)["Fields"]}
    assert named <= {field["SchemaName"] for field in await all_fields(client)}


async def test_the_rules_of_the_account(client: httpx.AsyncClient) -> None:
    """Title and Status are mandatory, no custom field is; every regular expression can be compiled."""
    rules = {field["SchemaName"]: field["ValidationProperties"] for field in await all_fields(client)}
    assert [name for name, rule in rules.items() if rule["IsMandatory"]] == ["Title", "Status"]
    patterns = [re.compile(rule["Regex"]) for rule in rules.values() if rule["Regex"]]
    assert (len(patterns) > 5, len({rule["MaxLength"] for rule in rules.values()}) > 5) == (True, True)


@pytest.mark.parametrize(
    ("reading", "offset", "first"),
    [
        ("from_zero", 0, 1),
        ("from_zero", 1, 2),
        ("from_zero", 25, 26),
        ("from_one", 0, 1),
        ("from_one", 1, 1),
        ("from_one", 26, 26),
        ("page", 0, 1),
        ("page", 1, 1),
        ("page", 2, 26),
    ],
)
async def test_an_offset_can_be_read_in_three_ways(in_process: Client, reading: Any, offset: int, first: int) -> None:
    """The Id of the first record of a page of 25; Total is the same on each."""
    async with in_process(Emulator(metadata_offset=reading)) as client:
        total, ids = await page(client, 25, offset)
    assert (total, ids) == (40, list(range(first, min(first + 25, 41))))


@pytest.mark.parametrize(("reading", "offset"), [("from_zero", 40), ("from_one", 41), ("page", 3)])
async def test_a_page_behind_the_last_one_is_empty(in_process: Client, reading: Any, offset: int) -> None:
    """It still says how many there are."""
    async with in_process(Emulator(metadata_offset=reading)) as client:
        assert await page(client, 25, offset) == (40, [])


@pytest.mark.parametrize(
    ("search", "total"), [("", 40), (None, 40), ("status", 1), ("customdata.", 23), ("sub type", 1), ("nothing", 0)]
)
async def test_fields_are_searched_by_both_names(client: httpx.AsyncClient, search: Any, total: int) -> None:
    """Without regard to case; an empty text or null finds all; Total counts what was found."""
    found, ids = await page(client, 100, 0, search)
    assert (found, len(ids)) == (total, total)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"Offset": 0}, "Limit must be a whole number from 1 on"),
        ({"Limit": 0, "Offset": 0}, "Limit must be a whole number from 1 on"),
        ({"Limit": 25, "Offset": "0"}, "Offset must be a whole number from 0 on"),
        ({"Limit": 25, "Offset": -1}, "Offset must be a whole number from 0 on"),
        ({"Limit": 25, "Offset": 0, "SearchText": 5}, "SearchText must be a text"),
    ],
)
async def test_a_filter_of_fields_that_departs_from_the_page_is_a_400(
    client: httpx.AsyncClient, body: Any, reason: str
) -> None:
    """The reason names the attribute."""
    response = await client.post(PATH, json=body)
    assert (response.status_code, reason in response.text) == (400, True)


async def test_sub_types_are_a_bare_array(sample: Sample, client: httpx.AsyncClient) -> None:
    """The printed value comes first, and the others look like it: null says nothing about being active."""
    response = await client.get("/lookups/SubType/values")
    (printed,) = sample("sub-types-answer")
    assert (200, printed) == (response.status_code, response.json()[0])
    assert [
        {**printed, "Text": entry["Value"], "Value": entry["Value"]} for entry in response.json()
    ] == response.json()
    assert len({entry["Value"] for entry in response.json()}) == len(response.json()) > 2


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/tickets/trash"), ("POST", PATH), ("GET", "/lookups/SubType/values")]
)
async def test_some_operations_are_for_admins(in_process: Client, new_ticket: Any, method: str, path: str) -> None:
    """Others get a 403 as plain text (an inference); what everybody may do still works."""
    emulator = Emulator(admin=False)
    async with in_process(emulator) as client:
        assert (await client.post("/tickets", json=new_ticket)).status_code == 200
        response = await client.request(method, path, json={"TicketIds": ["1"]})
    assert (response.status_code, response.headers["content-type"]) == (403, "text/plain; charset=utf-8")
    assert (list(emulator.tickets), emulator.calls[1].applied) == (["1"], False)


async def test_wrong_keys_come_before_missing_rights(in_process: Client) -> None:
    """Who is nobody is not told what admins may do."""
    async with in_process(Emulator(admin=False)) as client:
        del client.headers["X-LSQ-SECRET-KEY"]
        assert (await client.get("/lookups/SubType/values")).status_code == 401


def with_fields(ticket: Any, **values: Any) -> dict[str, Any]:
    return {**ticket, "Fields": [{"SchemaName": name, "Value": value} for name, value in values.items()]}


@pytest.mark.parametrize("empty", [None, ""])
async def test_mandatory_fields_can_be_enforced(in_process: Client, new_ticket: Any, empty: Any) -> None:
    """Missing, null or empty, all of them are named, and no ticket comes of it; with both it is created."""
    emulator = Emulator(enforce_mandatory=True)
    async with in_process(emulator) as client:
        refused = await client.post("/tickets", json=with_fields(new_ticket, Title=empty))
        created = await client.post("/tickets", json=with_fields(new_ticket, Title="Router down", Status="Open"))
    assert (refused.status_code, "mandatory fields are missing: Title, Status" in refused.text) == (400, True)
    assert (created.status_code, list(emulator.tickets)) == (200, ["1"])


async def test_mandatory_fields_are_not_enforced_by_default(client: httpx.AsyncClient, new_ticket: Any) -> None:
    """Which ones an account has made mandatory is its own affair."""
    assert (await client.post("/tickets", json=with_fields(new_ticket))).status_code == 200
