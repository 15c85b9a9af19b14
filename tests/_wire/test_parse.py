"""JSON of the service becomes records: strict about identifiers, lenient about everything else."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsq_service_async import Ticket, TicketReceipt
from lsq_service_async._wire.parse import (
    parse,
    parse_activity,
    parse_field_page,
    parse_sub_types,
    parse_ticket,
    parse_trash_result,
)

SAMPLES = Path(__file__).parents[1] / "samples"


def sample(name):
    return json.loads((SAMPLES / name).read_text(encoding="utf-8"))


def ticket_of(wire):
    return parse_ticket(wire, UTC)


def receipt_of(wire):
    return parse(TicketReceipt, wire)


def test_the_get_sample_becomes_a_ticket():
    """The answer of the page get-a-tickets-details-by-id becomes a ticket without losing a value."""
    wire = sample("get-answer.json")
    ticket = ticket_of(wire)
    assert (ticket.number, ticket.key, ticket.ticket_id) == ("143", "#143", "03913666-6ab8-4355-9a50-a63fe3204d0a")
    assert (ticket.lead_id, ticket.type_id) == ("330fba67-6795-46c2-9dad-077794077f70", None)
    assert (ticket.title, ticket.type, ticket.status) == ("Update Email Id", "General", "Open")
    assert (ticket.priority, ticket.channel, ticket.sub_type) == ("Medium", "Email", None)
    assert (ticket.cc_emails, ticket.tags, ticket.service_group_id, ticket.stage_id) == ("", "", 2, 1)
    assert ticket.due_date == datetime(2024, 8, 29, 10, 36, 23, tzinfo=UTC)
    assert ticket.agent_id == "c1826f52-ea88-11ee-9566-020f15161885"
    assert ticket.fields == {entry["SchemaName"]: entry["Value"] for entry in wire["Fields"]}
    assert list(ticket.fields)[:3] == ["Type", "TicketKey", "Title"]
    assert len(ticket.permissions) == 18
    assert ticket.permissions["Reply"].allowed is True
    assert ticket.permissions["Reply"].scope_filters == ["ALL_TICKETS"]
    named = {"Id", "TicketId", "LeadId", "OpportunityId", "TypeId", "Fields", "UserPermissions"}
    assert ticket.extra == {name: value for name, value in wire.items() if name not in named}
    assert ticket.extra["Association"] == 0


@pytest.mark.parametrize("name", ["create-answer.json", "update-answer.json", "create-with-attachments-answer.json"])
def test_the_answers_of_create_and_update_become_receipts(name):
    """The three sample envelopes become receipts, and no value is left over."""
    wire = sample(name)
    receipt = receipt_of(wire)
    assert (receipt.number, receipt.ticket_id) == (wire["Id"], wire["TicketId"])
    assert (receipt.key, receipt.message, receipt.extra) == (wire["Key"], wire["Message"], {})


@pytest.mark.parametrize(
    "wire",
    [
        {},
        {"Id": None},
        {"Id": ""},
        {"Id": " "},
        {"Id": True},
        {"Id": 1.5},
        {"Id": 2.0**53},
        {"Id": ["1"]},
        [],
        "text",
        None,
    ],
)
@pytest.mark.parametrize("read", [ticket_of, receipt_of])
def test_a_record_without_its_number_is_refused(read, wire):
    """JSON without the identifier of the record raises an error."""
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        read(wire)


@pytest.mark.parametrize("wire", [34, 34.0, " 34 ", "34\n", "34.00 "])
def test_an_identifier_may_be_a_json_number(wire):
    """An identifier is text without blanks in the record, also if the service sends a number, whole or as 34.0."""
    assert (receipt_of({"Id": 0}).number, receipt_of({"Id": "3.5.0"}).number) == ("0", "3.5.0")
    assert receipt_of({"Id": wire}).number == "34"
    assert ticket_of({"Id": wire, "TicketId": " a-b "}).ticket_id == "a-b"
    assert receipt_of({"Id": "1", "TicketId": " "}).ticket_id is None
    assert parse_activity({"RelatedTicketId": wire}).ticket_number == "34"
    assert parse_trash_result({"SuccessfulIds": [wire]}).successful == ("34",)


@pytest.mark.parametrize("wire", ["160", {"160": 1}, 160])
def test_lists_of_identifiers_are_lists(wire):
    """The characters of a text, or the keys of an object, are not taken for ticket numbers."""
    with pytest.raises(TypeError):
        parse_trash_result({"SuccessfulIds": wire})
    assert parse_trash_result({"SuccessfulIds": ["1"], "FailedIds": None}).failed == ()


def test_names_keep_their_blanks():
    """Blanks in a schema name and in the value of a sub-type are kept, because they are compared and sent."""
    [sub_type] = parse_sub_types([{"Text": " a ", "Value": "b "}])
    [field], _ = parse_field_page({"TicketsFields": [{"SchemaName": "C "}]})
    assert (sub_type.text, sub_type.value, field.schema_name) == (" a ", "b ", "C ")


def test_everything_else_may_be_missing_null_or_of_another_type():
    """A ticket needs only its number. Values of another type are None as attributes and unchanged in fields."""
    assert ticket_of({"Id": "1"}) == Ticket(number="1")
    assert ticket_of({"Id": "1", "Fields": None, "UserPermissions": None, "LeadId": None}) == Ticket(number="1")
    odd = [("Title", 5), ("Status", ["x"]), ("RelatedStageId", 1.5), ("DueDate", "soon"), ("Priority", True)]
    ticket = ticket_of({"Id": "1", "Fields": [{"SchemaName": name, "Value": value} for name, value in odd]})
    assert (ticket.title, ticket.status, ticket.stage_id) == ("5", None, None)
    assert (ticket.due_date, ticket.priority) == (None, None)
    assert ticket.fields == dict(odd)
    assert ticket.extra == {}


def test_null_does_not_become_the_text_none():
    """Null becomes None, and a number in place of text is refused. cattrs alone would make texts of both."""
    receipt = receipt_of({"Id": "1", "Key": None, "Message": None})
    assert (receipt.key, receipt.message) == (None, None)
    with pytest.raises(TypeError):
        receipt_of({"Id": "1", "Key": 5})


def test_unknown_names_are_kept_in_extra():
    """A name that is not known is kept in extra, also if it is the name of an attribute."""
    receipt = receipt_of({"Id": "1", "Key": "#001", "Brand": {"New": [1]}, "extra": 5, "attempts": 9})
    assert receipt.extra == {"Brand": {"New": [1]}, "extra": 5, "attempts": 9}
    assert receipt.attempts == ()
    ticket = ticket_of({"Id": "1", "Fields.": 1, "fields": 2, "UserPermissions": {"Reply": {"New": 1}}})
    assert ticket.extra == {"Fields.": 1, "fields": 2}
    assert ticket.permissions["Reply"].extra == {"New": 1}


def test_sub_fields_are_kept():
    """The sub-fields of a field are kept unchanged, because their shape is not documented."""
    fields = [
        {"SchemaName": "A", "Value": 1, "SubFields": [{"x": 1}]},
        {"SchemaName": "B", "Value": 2, "SubFields": None},
    ]
    assert ticket_of({"Id": "1", "Fields": fields}).sub_fields == {"A": [{"x": 1}]}


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2024-08-29T10:36:23", datetime(2024, 8, 29, 10, 36, 23, tzinfo=UTC)),
        ("2024-08-28T12:38:36.198", datetime(2024, 8, 28, 12, 38, 36, 198000, tzinfo=UTC)),
        ("2024-08-29T10:36:23+05:30", datetime(2024, 8, 29, 5, 6, 23, tzinfo=UTC)),
        ("0001-01-01T00:00:00+05:30", None),
        ("29/08/2024", None),
        (5, None),
    ],
)
def test_dates_are_read_as_utc(text, date):
    """ISO text without a zone is a date in UTC. Any other value is None, and stays in fields."""
    ticket = ticket_of({"Id": "1", "Fields": [{"SchemaName": "DueDate", "Value": text}]})
    assert ticket.due_date == date
    assert ticket.fields["DueDate"] == text


@pytest.mark.parametrize("zone", [timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))])
@pytest.mark.parametrize("text", ["9999-12-31T23:59:59", "0001-01-01T00:00:00"])
def test_the_first_and_the_last_date_are_readable_in_every_zone(text, zone):
    """The first and the last day of the calendar, which often mean "never", are read in every zone."""
    ticket = parse_ticket({"Id": "1", "Fields": [{"SchemaName": "DueDate", "Value": text}]}, zone)
    assert ticket.due_date.year in (1, 9999)


json_values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(
    st.lists(
        st.fixed_dictionaries({"SchemaName": st.text(min_size=1), "Value": json_values}),
        unique_by=lambda field: field["SchemaName"],
    ),
    st.dictionaries(st.text(), json_values),
)
def test_a_ticket_keeps_every_value_of_the_answer(listed, more):
    """Every field is in fields and every unknown name in extra, for any names that the service sends."""
    documented = {"Id": "1", "TicketId": None, "LeadId": None, "OpportunityId": None, "TypeId": None}
    ticket = ticket_of({**more, **documented, "Fields": listed, "UserPermissions": {}})
    assert ticket.fields == {field["SchemaName"]: field["Value"] for field in listed}
    assert ticket.extra == {
        name: value for name, value in more.items() if name not in {*documented, "Fields", "UserPermissions"}
    }
