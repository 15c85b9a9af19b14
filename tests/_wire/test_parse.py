"""Between the records and the service's JSON."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsq_service_async import InvalidRequestError, NewTicket, Ticket, TicketReceipt, TicketUpdate
from lsq_service_async._wire.parse import from_wire, in_zone, to_wire
from lsq_service_async.records import UNSET

SAMPLES = Path(__file__).parents[1] / "samples"
LEAD = "45b5fded-e696-45a6-9fbb-c6af6178229e"
IST = timezone(timedelta(hours=5, minutes=30))


def sample(name):
    return json.loads((SAMPLES / name).read_text(encoding="utf-8"))


def test_the_create_sample_is_what_a_new_ticket_becomes():
    """The page's request, field for field and in its order."""
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
    assert list(to_wire(ticket).items()) == list(sample("create-request.json").items())


def test_the_get_sample_becomes_a_ticket():
    """Every system field by its name, every field by its schema name, and the rest kept."""
    wire = sample("get-answer.json")
    ticket = from_wire(Ticket, wire)
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
    """The three sample envelopes, with nothing left over."""
    wire = sample(name)
    receipt = from_wire(TicketReceipt, wire)
    assert to_wire(receipt) == wire
    assert (receipt.number, receipt.ticket_id, receipt.extra) == (wire["Id"], wire["TicketId"], {})


@pytest.mark.parametrize(
    "wire", [{}, {"Id": None}, {"Id": ""}, {"Id": True}, {"Id": 1.5}, {"Id": ["1"]}, [], "text", None]
)
@pytest.mark.parametrize("cls", [Ticket, TicketReceipt])
def test_a_record_without_its_number_is_no_record(cls, wire):
    """What identifies a record is required, and nothing is made up for it."""
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        from_wire(cls, wire)


def test_a_number_may_come_as_a_number():
    """The pages print numbers as text and as JSON numbers."""
    assert from_wire(TicketReceipt, {"Id": 34}).number == "34"


def test_everything_else_may_be_missing_null_or_of_another_kind():
    """A ticket of nothing but its number is a ticket; odd values stay readable under fields."""
    assert from_wire(Ticket, {"Id": "1"}) == Ticket(number="1")
    assert from_wire(Ticket, {"Id": "1", "Fields": None, "UserPermissions": None, "LeadId": None}) == Ticket(number="1")
    odd = [("Title", 5), ("Status", ["x"]), ("RelatedStageId", 1.5), ("DueDate", "soon"), ("Priority", True)]
    ticket = from_wire(Ticket, {"Id": "1", "Fields": [{"SchemaName": name, "Value": value} for name, value in odd]})
    assert (ticket.title, ticket.status, ticket.stage_id, ticket.due_date, ticket.priority) == (
        "5",
        None,
        None,
        None,
        None,
    )
    assert ticket.fields == dict(odd)
    assert ticket.extra == {}


def test_null_never_becomes_the_text_none():
    """cattrs makes "None" of null for a str unless it is told otherwise."""
    receipt = from_wire(TicketReceipt, {"Id": "1", "Key": None, "Message": None})
    assert (receipt.key, receipt.message) == (None, None)
    with pytest.raises(TypeError):
        from_wire(TicketReceipt, {"Id": "1", "Key": 5})


def test_unknown_names_are_kept_as_they_came():
    """What this version does not know is in extra, untouched, also under the name extra."""
    wire = {"Id": "1", "Key": "#001", "Brand": {"New": [1]}, "extra": 5, "attempts": 9}
    receipt = from_wire(TicketReceipt, wire)
    assert receipt.extra == {"Brand": {"New": [1]}, "extra": 5, "attempts": 9}
    assert receipt.attempts == ()
    ticket = from_wire(Ticket, {"Id": "1", "Fields.": 1, "fields": 2, "UserPermissions": {"Reply": {"New": 1}}})
    assert ticket.extra == {"Fields.": 1, "fields": 2}
    assert ticket.permissions["Reply"].extra == {"New": 1}


def test_sub_fields_are_kept():
    """A field may have fields of its own; their shape is not documented."""
    fields = [
        {"SchemaName": "A", "Value": 1, "SubFields": [{"x": 1}]},
        {"SchemaName": "B", "Value": 2, "SubFields": None},
    ]
    ticket = from_wire(Ticket, {"Id": "1", "Fields": fields})
    assert ticket.sub_fields == {"A": [{"x": 1}]}
    assert to_wire(ticket)["Fields"] == fields


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
    """ISO text without a zone is UTC; what is no date is None and stays in fields."""
    ticket = from_wire(Ticket, {"Id": "1", "Fields": [{"SchemaName": "DueDate", "Value": text}]})
    assert ticket.due_date == date
    assert ticket.fields["DueDate"] == text


@pytest.mark.parametrize(
    ("date", "text"),
    [
        (datetime(2024, 8, 29, 10, 36, 23, tzinfo=UTC), "2024-08-29T10:36:23"),
        (datetime(2024, 8, 29, 16, 6, 23, 198000, tzinfo=IST), "2024-08-29T10:36:23.198"),
    ],
)
def test_dates_are_sent_as_the_service_prints_them(date, text):
    """In UTC, without a zone, with no fraction or three digits of it."""
    wire = to_wire(NewTicket(lead_id=LEAD, due_date=date, fields={"CustomData.When": date}))
    assert wire["Fields"] == [
        {"SchemaName": "DueDate", "Value": text},
        {"SchemaName": "CustomData.When", "Value": text},
    ]


@pytest.mark.parametrize("zone", [timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))])
@pytest.mark.parametrize("text", ["9999-12-31T23:59:59", "0001-01-01T00:00:00"])
def test_a_date_that_stands_for_never_is_readable_in_every_zone(text, zone):
    """The first and the last day of all are common ways to say so."""
    ticket = from_wire(Ticket, {"Id": "1", "Fields": [{"SchemaName": "DueDate", "Value": text}]})
    assert in_zone(ticket, zone).due_date.year in (1, 9999)


def test_a_ticket_does_not_change_with_the_dict_it_was_made_of():
    """A template may be filled in again for the next one."""
    template = {"CustomData.X": 1}
    ticket = NewTicket(lead_id=LEAD, fields=template)
    template["CustomData.X"] = 2
    assert to_wire(ticket)["Fields"] == [{"SchemaName": "CustomData.X", "Value": 1}]


def test_an_update_sends_what_was_given_and_null_for_none():
    """Unset is not None."""
    update = TicketUpdate(status="On Hold", priority=None, fields={"CustomData.X": None})
    assert to_wire(update) == {
        "TypeId": "1",
        "Fields": [
            {"SchemaName": "Status", "Value": "On Hold"},
            {"SchemaName": "Priority", "Value": None},
            {"SchemaName": "CustomData.X", "Value": None},
        ],
        "RelatedTicketTypeId": 1,
    }
    assert repr(TicketUpdate().status) == "UNSET"


@pytest.mark.parametrize("lead", [{"lead_id": LEAD}, {"lead_email": "a@b.c"}, {"lead_phone": "+91-1"}])
def test_one_way_to_name_the_lead_is_enough(lead):
    """A lead by id, by e-mail or by phone."""
    assert to_wire(NewTicket(**lead))["TypeId"] == "1"
    assert to_wire(NewTicket(fields={"LeadDetail.Phone": "1"}))["LeadId"] is None


def test_a_guid_may_be_given_as_one():
    """UUID objects are written as text."""
    assert to_wire(NewTicket(lead_id=UUID(LEAD)))["LeadId"] == LEAD


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (NewTicket(title="x"), "lead_id, lead_email or lead_phone"),
        (NewTicket(lead_email=""), "lead_id"),
        (NewTicket(fields={"LeadDetail.Phone": None}), "lead_id"),
        (NewTicket(lead_id=5), "lead_id must be text"),
        (NewTicket(lead_id=LEAD, title=5), "title must be text"),
        (NewTicket(lead_id=LEAD, due_date=5), "due_date must be text"),
        (NewTicket(lead_id=LEAD, title="a", fields={"Title": "b"}), "given twice.*Title"),
        (NewTicket(lead_id=LEAD, fields={"": "b"}), "schema name"),
        (NewTicket(lead_id=LEAD, fields=None), "mapping"),
        (NewTicket(lead_id=LEAD, fields=[("a", 1)]), "mapping"),
        (NewTicket(lead_id=LEAD, due_date=datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)))), "no such date"),
        (NewTicket(lead_id=LEAD, fields={"a\n": "b"}), "schema name"),
        (NewTicket(lead_id=LEAD, fields={5: "b"}), "schema name"),
        (NewTicket(lead_id=LEAD, due_date=datetime(2024, 1, 1)), "due_date|DueDate"),  # noqa: DTZ001 -- the point
        (TicketUpdate(lead_id=5), "lead_id"),
        (TicketUpdate(status=["x"]), "status must be text"),
    ],
)
def test_what_cannot_be_right_is_refused_before_it_costs_a_call(record, says):
    """The message names the field and says what to do."""
    with pytest.raises(InvalidRequestError, match=says):
        to_wire(record)


json_values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
schema_names = st.from_regex(r"CustomData\.[A-Za-z_0-9]{1,20}", fullmatch=True)
texts = st.none() | st.text()
dates = st.none() | st.datetimes(min_value=datetime(1, 1, 3), timezones=st.just(UTC)).map(  # noqa: DTZ001 -- hypothesis wants it
    lambda date: date.replace(microsecond=date.microsecond // 1000 * 1000)
)
named = dict.fromkeys(("title", "description", "type", "sub_type", "status", "priority", "channel", "tags"), texts)


@given(
    st.builds(
        NewTicket,
        lead_id=st.text(min_size=1),
        due_date=dates,
        fields=st.dictionaries(schema_names, json_values),
        **named,
    )
)
def test_a_new_ticket_comes_back_from_its_wire_form(ticket):
    """What is written can be read again, also through JSON text."""
    assert from_wire(NewTicket, json.loads(json.dumps(to_wire(ticket)))) == ticket


@given(
    st.builds(
        TicketUpdate,
        due_date=st.just(UNSET) | dates,
        fields=st.dictionaries(schema_names, json_values),
        **{name: st.just(UNSET) | value for name, value in named.items()},
    )
)
def test_an_update_comes_back_from_its_wire_form(update):
    """Unset and None stay apart."""
    assert from_wire(TicketUpdate, json.loads(json.dumps(to_wire(update)))) == update


@given(
    st.fixed_dictionaries(
        {
            "Id": st.from_regex(r"[0-9]{1,9}", fullmatch=True),
            "TicketId": texts,
            "Fields": st.lists(
                st.fixed_dictionaries(
                    {"SchemaName": st.text(min_size=1), "Value": json_values, "SubFields": st.none()}
                ),
                unique_by=lambda entry: entry["SchemaName"],
            ),
        }
    ),
    st.dictionaries(st.text().filter(lambda name: name not in {"LeadId", "TypeId", "OpportunityId"}), json_values),
)
def test_a_ticket_keeps_everything_the_service_said(wire, more):
    """Reading and writing again loses nothing, whatever names the service invents."""
    known = {"LeadId": None, "OpportunityId": None, "TypeId": None, "UserPermissions": {}}
    whole = {**more, **known, **wire}
    assert to_wire(from_wire(Ticket, whole)) == whole
