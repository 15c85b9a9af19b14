"""Arguments of callers become the JSON of the documentation, or an InvalidRequestError."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest

from lsq_service_async import InvalidRequestError, NewTicket, TicketUpdate
from lsq_service_async._wire.serialize import field_values, new_ticket_dto, ticket_number, ticket_ref, update_dto

SAMPLES = Path(__file__).parents[1] / "samples"
LEAD = "45b5fded-e696-45a6-9fbb-c6af6178229e"
IST = timezone(timedelta(hours=5, minutes=30))


def test_a_new_ticket_becomes_the_sample_of_the_page():
    """The request of the page create-tickets is reproduced with all names, values and their order."""
    ticket = NewTicket(
        lead_id=LEAD,
        title="Test ticket from API",
        customer_id=LEAD,
        description="Test ticket from External API",
        type="General",
        status="Open",
        priority="Low",
        channel="Chat",
    )
    sample = json.loads((SAMPLES / "create-request.json").read_text(encoding="utf-8"))
    assert list(new_ticket_dto(ticket).items()) == list(sample.items())


def test_an_update_sends_the_given_values_and_null_for_none():
    """An update contains only the attributes that were given, and null for those that are None."""
    update = TicketUpdate(status="On Hold", priority=None, fields={"CustomData.X": None})
    assert update_dto("143", update) == {
        "TypeId": "1",
        "Id": "143",
        "Fields": [
            {"SchemaName": "Status", "Value": "On Hold"},
            {"SchemaName": "Priority", "Value": None},
            {"SchemaName": "CustomData.X", "Value": None},
        ],
        "RelatedTicketTypeId": 1,
    }
    assert update_dto("143", TicketUpdate(lead_id=LEAD))["LeadId"] == LEAD
    assert repr(TicketUpdate().status) == "UNSET"


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (datetime(2024, 8, 29, 10, 36, 23, tzinfo=UTC), "2024-08-29T10:36:23"),
        (datetime(2024, 8, 29, 16, 6, 23, 198000, tzinfo=IST), "2024-08-29T10:36:23.198"),
    ],
)
@pytest.mark.parametrize("given", [lambda when: when, datetime.isoformat], ids=["datetime", "text"])
def test_dates_are_sent_as_the_service_prints_them(when, text, given):
    """A date is sent in UTC, without a zone, with no decimals or three, as an attribute and in fields."""
    dto = new_ticket_dto(NewTicket(lead_id=LEAD, due_date=given(when), fields={"CustomData.When": when}))
    assert dto["Fields"] == [
        {"SchemaName": "DueDate", "Value": text},
        {"SchemaName": "CustomData.When", "Value": text},
    ]


def test_a_ticket_does_not_change_with_the_dict_it_was_made_of():
    """A NewTicket copies its fields, so that a template can be used for the next one."""
    template = {"CustomData.X": 1}
    ticket = NewTicket(lead_id=LEAD, fields=template)
    template["CustomData.X"] = 2
    assert new_ticket_dto(ticket)["Fields"] == [{"SchemaName": "CustomData.X", "Value": 1}]


@pytest.mark.parametrize("lead_id", [None, ""])
def test_an_update_cannot_clear_the_lead(lead_id):
    """The service takes null for an unchanged lead, so that the update would seem to be done."""
    with pytest.raises(InvalidRequestError, match="lead_id of an update must not be empty"):
        update_dto("143", TicketUpdate(title="x", lead_id=lead_id))


@pytest.mark.parametrize("lead", [{"lead_id": LEAD}, {"lead_email": "a@b.c"}, {"lead_phone": "+91-1"}])
def test_one_way_to_name_the_lead_is_enough(lead):
    """A new ticket needs the id, the e-mail address or the phone number of its lead."""
    assert new_ticket_dto(NewTicket(**lead))["TypeId"] == "1"
    assert new_ticket_dto(NewTicket(fields={"LeadDetail.Phone": "1"}))["LeadId"] is None


def test_a_guid_may_be_a_uuid():
    """A UUID is sent as text, wherever it is given."""
    guid = UUID(LEAD)
    assert new_ticket_dto(NewTicket(lead_id=guid))["LeadId"] == LEAD
    assert update_dto("143", TicketUpdate(lead_id=guid))["LeadId"] == LEAD
    values = field_values(TicketUpdate(agent_id=guid, fields={"Other": guid}))
    assert values == {"RelatedAgentId": LEAD, "Other": LEAD}


@pytest.mark.parametrize(
    ("ticket", "message"),
    [
        (NewTicket(title="x"), "lead_id, lead_email or lead_phone"),
        (NewTicket(lead_email=""), "lead_id"),
        (NewTicket(fields={"LeadDetail.Phone": None}), "lead_id"),
        (NewTicket(lead_id=5), "lead_id must be text"),
        (NewTicket(lead_id=LEAD, title=5), "title must be text"),
        (
            NewTicket(lead_id=LEAD, due_date="01/02/2026"),
            "due_date: '01/02/2026' is not a date with a time zone; write",
        ),
        (
            NewTicket(lead_id=LEAD, due_date="2026-12-01T09:00"),
            "due_date: '2026-12-01T09:00' is not a date with a time",
        ),
        (
            NewTicket(lead_id=LEAD, due_date=date(2026, 1, 1)),
            "DueDate: the date 2026-01-01 has no time; write datetime",
        ),
        (NewTicket(lead_id=LEAD, fields={"CustomData.On": date(2026, 1, 1)}), "CustomData.On: the date .* has no time"),
        (NewTicket(lead_id=LEAD, due_date=5), "due_date must be text"),
        (NewTicket(lead_id=LEAD, title="a", fields={"Title": "b"}), "both by attribute and in fields.*Title"),
        (NewTicket(lead_id=LEAD, fields={"": "b"}), "schema name"),
        (NewTicket(lead_id=LEAD, fields=None), "fields must map"),
        (NewTicket(lead_id=LEAD, fields=[("a", 1)]), "fields must map.*list"),
        (NewTicket(lead_id=LEAD, due_date=datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)))), "outside"),
        (NewTicket(lead_id=LEAD, fields={"a\n": "b"}), "schema name"),
        (NewTicket(lead_id=LEAD, fields={5: "b"}), "schema name"),
        (NewTicket(lead_id=LEAD, due_date=datetime(2024, 1, 1)), "DueDate: the date has no time zone"),  # noqa: DTZ001 -- the point
    ],
)
def test_a_ticket_that_cannot_be_valid_is_refused(ticket, message):
    """A new ticket with a wrong value raises an error that names the field, before it is sent."""
    with pytest.raises(InvalidRequestError, match=message):
        new_ticket_dto(ticket)


@pytest.mark.parametrize(
    ("update", "message"),
    [(TicketUpdate(lead_id=5), "lead_id"), (TicketUpdate(status=["x"]), "status must be text")],
)
def test_an_update_that_cannot_be_valid_is_refused(update, message):
    """An update with a wrong value raises an error that names the field, before it is sent."""
    with pytest.raises(InvalidRequestError, match=message):
        update_dto("143", update)


@pytest.mark.parametrize(
    ("given", "number"),
    [("#143", "143"), ("#034", "34"), ("#0001000", "1000"), ("143", "143"), ("034", "034"), (143, "143")],
)
def test_a_key_is_a_number(given, number):
    """A key is accepted wherever a number is; its zeros are removed."""
    assert ticket_ref(given) == ticket_number(given) == number


def test_fields_of_a_wrong_type_name_no_lead():
    """The property can be read before the ticket is sent and refused."""
    assert not NewTicket(fields=5).names_lead


@pytest.mark.parametrize("wrong", ["#", "#000", "#14a", "##1", "# 1", "#1\n", "1#", "#-1"])
def test_text_that_is_not_a_key_is_refused(wrong):
    """A key is # and digits."""
    with pytest.raises(InvalidRequestError, match=r"must be given by its number \('143'\), key \('#143'\) or GUID"):
        ticket_ref(wrong)
