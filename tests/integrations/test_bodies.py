"""Records as request and response bodies of a backend, and in its OpenAPI document."""

from __future__ import annotations

import json

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from integrations.backend import TICKET
from integrations.browsers import TestClient

TEXT = some.text(some.characters(exclude_categories=["Cs"]))
ANY_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda part: some.lists(part, max_size=3) | some.dictionaries(TEXT, part, max_size=3),
    max_leaves=10,
)
NAMES = ["lead_id", "title", "due_date", "fields"]
DATES = some.datetimes().map(str) | some.datetimes(timezones=some.timezones()).map(str)
ALMOST_TICKETS = some.dictionaries(some.sampled_from(NAMES), ANY_JSON | DATES)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({**TICKET, "title": 7}, ["title"]),
        ({**TICKET, "titel": "Router down"}, ["titel"]),
        ({**TICKET, "due_date": "soon"}, ["due_date"]),
        ({**TICKET, "due_date": "2026-01-31T09:00:00"}, ["due_date"]),
        ({**TICKET, "fields": ["a"]}, ["fields"]),
        ({**TICKET, "fields": {"CustomData.SRC_CS_2": {"a": 1}}}, ["fields", "CustomData.SRC_CS_2"]),
        (["Router down"], []),
    ],
    ids=["type", "unknown", "date", "no zone", "fields", "one of the fields", "list"],
)
def test_a_body_that_is_not_a_ticket_is_a_422_that_names_the_field(app, emulator, body, place):
    """A request body that is not a ticket gets one 422 with the path of the field, and nothing is sent."""
    with TestClient(app) as browser:
        answer = browser.post("/tickets", json=body)
    assert answer.status_code == 422
    assert [problem["loc"] for problem in answer.json()["detail"]] == [["body", *place]]
    assert emulator.calls == ()


@pytest.mark.parametrize(
    ("body", "word"),
    [({"title": "Router down"}, "lead_id"), ({**TICKET, "fields": {"Title": "Router up"}}, "Title")],
    ids=["no lead", "twice"],
)
def test_a_ticket_that_cannot_be_valid_is_a_422(app, emulator, body, word):
    """A ticket that the client refuses gets a 422 with the client's message, in the format of FastAPI."""
    with TestClient(app) as browser:
        answer = browser.post("/tickets", json=body)
    assert answer.status_code == 422
    assert word in answer.json()["detail"][0]["msg"]
    assert emulator.calls == ()


def test_an_update_that_changes_nothing_is_a_422(app, emulator):
    """An update without a field gets a 422, and nothing is sent."""
    with TestClient(app) as browser:
        answer = browser.patch("/tickets/1", json={})
    assert (answer.status_code, answer.json()["detail"][0]["type"]) == (422, "invalid_request")
    assert emulator.calls == ()


@given(body=ANY_JSON | ALMOST_TICKETS)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_a_ticket_or_a_422(app, body):
    """Any JSON gets a 201 or a 422, but no error of the backend."""
    with TestClient(app) as browser:
        assert browser.post("/tickets", json=body).status_code in (201, 422)


def test_a_body_may_be_a_list_of_records(app, emulator):
    """A list of tickets is accepted, and a 422 has the position of the wrong one."""
    with TestClient(app) as browser:
        created = browser.post("/tickets/list", json=[TICKET, TICKET])
        refused = browser.post("/tickets/list", json=[TICKET, {**TICKET, "title": 7}])
    assert {receipt["number"] for receipt in created.json()} == set(emulator.tickets)
    assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (422, ["body", 1, "title"])


def test_a_form_may_hold_a_ticket_and_its_files(app, emulator):
    """A form may contain a ticket as JSON and its files, and a 422 has the path in the JSON."""
    with TestClient(app) as browser:
        created = send_form(browser, TICKET)
        refused = send_form(browser, {**TICKET, "title": 7})
    assert (created.status_code, refused.status_code) == (201, 422)
    assert refused.json()["detail"][0]["loc"] == ["body", "ticket", "title"]
    assert [file.name for call in emulator.calls for file in call.files] == ["a.txt", "b.txt"]


def send_form(browser: TestClient, ticket: dict[str, object]) -> httpx.Response:
    files = [("files", (name, b"It blinks red.")) for name in ("a.txt", "b.txt")]
    return browser.post("/tickets/form", data={"ticket": json.dumps(ticket)}, files=files)


def test_the_document_names_the_records(app):
    """Each record is a component of the OpenAPI document with its docstring, for requests and responses."""
    schemas = app.openapi()["components"]["schemas"]
    assert {"Attempt", "NewTicket", "Outcome", "Permission", "Ticket", "TicketReceipt", "TicketUpdate"} <= set(schemas)
    assert schemas["TicketReceipt"]["required"] == ["number"]
    assert schemas["NewTicket"]["description"].startswith("A ticket to create.")
    assert "unset" not in json.dumps(schemas["TicketUpdate"]).lower()
    body = app.openapi()["paths"]["/tickets"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["$ref"] == "#/components/schemas/NewTicket"


def test_the_document_lists_the_types_of_fields(app):
    """The OpenAPI document lists the types of field values, and dates in the usual format."""
    properties = app.openapi()["components"]["schemas"]["NewTicket"]["properties"]
    kinds = [kind["type"] for kind in properties["fields"]["additionalProperties"]["anyOf"]]
    assert kinds == ["string", "integer", "number", "boolean", "string", "null"]
    assert {"type": "string", "format": "date-time"} in properties["due_date"]["anyOf"]
