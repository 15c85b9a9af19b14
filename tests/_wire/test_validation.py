"""Validation of tickets against field metadata."""

from datetime import UTC, datetime

import pytest

from lsq_service_async import FieldMetadata, NewTicket, SubType, TicketUpdate
from lsq_service_async._wire.validation import problems_of

FIELDS = [
    FieldMetadata(schema_name="Title", mandatory=True, min_length=3, max_length=10),
    FieldMetadata(schema_name="Status", mandatory=True, min_length=1, max_length=200, regex=""),
    FieldMetadata(schema_name="CustomData.Code", regex=r"^[A-Z]{2}[0-9]+$", max_length=0),
    FieldMetadata(schema_name="CustomData.Dialect", regex=r"(?<name>x)\p{L}"),
    FieldMetadata(schema_name="CustomData.Email", regex=r"^\w+([.-]?\w+)*@\w+([.-]?\w+)*(\.\w{2,3})+$"),
    FieldMetadata(schema_name="CustomData.Slow", regex=r"\w*\w*x$"),
    FieldMetadata(schema_name="CustomData.Gone", mandatory=True, deleted=True),
    FieldMetadata(schema_name="CustomData.Off", mandatory=True, active=False),
    FieldMetadata(schema_name="DueDate", max_length=5),
]
SUB_TYPES = [SubType(text="Acceptable", value="ok"), SubType(text="Not acceptable", value="no")]
GOOD = {"lead_id": "45b5", "title": "Router", "status": "Open"}


def found(ticket):
    return [(problem.field, problem.rule) for problem in problems_of(ticket, FIELDS, SUB_TYPES)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"title": None}, [("Title", "mandatory")]),
        ({"title": "  "}, [("Title", "mandatory")]),
        ({"title": None, "status": None}, [("Title", "mandatory"), ("Status", "mandatory")]),
        ({"title": "ab"}, [("Title", "min_length")]),
        ({"title": "a" * 11}, [("Title", "max_length")]),
        ({"fields": {"CustomData.Code": "AB12"}}, []),
        ({"fields": {"CustomData.Code": "nonsense"}}, [("CustomData.Code", "regex")]),
        ({"fields": {"CustomData.Code": ""}}, []),
        ({"fields": {"CustomData.Code": 12}}, []),
        ({"fields": {"CustomData.Dialect": "anything"}}, []),
        ({"fields": {"CustomData.Email": "wim.example.com"}}, [("CustomData.Email", "regex")]),
        ({"fields": {"CustomData.Email": "a" * 16}}, [("CustomData.Email", "regex")]),
        ({"fields": {"CustomData.Email": "a" * 1000}}, [("CustomData.Email", "regex")]),
        ({"fields": {"CustomData.Slow": "a" * 256}}, [("CustomData.Slow", "regex")]),
        ({"fields": {"CustomData.Slow": "a" * 100_000}}, []),
        ({"fields": {"CustomData.Unheard": "anything"}}, []),
        ({"sub_type": "ok"}, []),
        ({"sub_type": "Acceptable"}, []),
        ({"sub_type": ""}, []),
        ({"sub_type": "other"}, [("SubType", "option")]),
        ({"lead_id": None}, [("LeadId", "lead")]),
        ({"lead_id": None, "lead_email": "a@b.c"}, []),
        ({"title": 5}, [("", "invalid")]),
        ({"fields": {"Title": "twice"}}, [("", "invalid")]),
        ({"due_date": datetime(2026, 1, 1, tzinfo=UTC)}, [("DueDate", "max_length")]),
        ({"fields": {"SubType": ["ok"]}}, [("SubType", "option")]),
        ({"fields": {"SubType": {}}}, [("SubType", "option")]),
        ({"fields": {"CustomData.X": float("nan")}}, [("", "invalid")]),
        ({"fields": {"CustomData.X": b"x"}}, [("", "invalid")]),
        ({"fields": {"CustomData.X": 10**400}}, [("", "invalid")]),
        ({"title": "\ud800"}, [("", "invalid")]),
        ({"lead_id": "\ud800"}, [("", "invalid")]),
    ],
)
def test_each_rule_finds_its_problem(changes, expected):
    """Each rule finds its problem, and a value that could keep its pattern busy is not matched."""
    assert found(NewTicket(**GOOD | changes)) == expected


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        (TicketUpdate(priority="Low"), []),
        (TicketUpdate(title=None), [("Title", "mandatory")]),
        (TicketUpdate(title=""), [("Title", "mandatory")]),
        (TicketUpdate(title="a" * 11), [("Title", "max_length")]),
        (TicketUpdate(lead_id=5), [("", "invalid")]),
        (TicketUpdate(lead_id="\ud800"), [("", "invalid")]),
        (TicketUpdate(fields={"SubType": ["ok"]}), [("SubType", "option")]),
        (TicketUpdate(fields={"CustomData.X": {1}}), [("", "invalid")]),
    ],
)
def test_only_changed_fields_of_an_update_are_checked(update, expected):
    """Only the changed fields of an update are checked."""
    assert found(update) == expected


@pytest.mark.parametrize(
    ("ticket", "expected"),
    [
        (NewTicket(lead_id="45b5", status="Open"), []),
        (NewTicket(**GOOD), [("", "invalid")]),
        (TicketUpdate(title="ab"), [("Title", "min_length")]),
        (TicketUpdate(title=None), [("Title", "mandatory")]),
    ],
)
def test_the_marker_of_a_create_is_not_missing(ticket, expected):
    """A create sends the marker field itself, so a new ticket must not give it. An update may change it."""
    problems = problems_of(ticket, FIELDS, SUB_TYPES, "Title")
    assert [(problem.field, problem.rule) for problem in problems] == expected


def test_no_message_repeats_a_value():
    """The messages do not contain the values, which may be private."""
    private = "Wim van der Berg"
    ticket = NewTicket(title=private, sub_type=private, status="Open", fields={"CustomData.Code": private})
    messages = [problem.message for problem in problems_of(ticket, FIELDS, SUB_TYPES)]
    assert len(messages) == 4
    assert private not in " ".join(messages)
    assert "Title has 16 characters; at most 10 are allowed" in messages


def test_without_sub_types_any_is_accepted():
    """Any sub-type is accepted if the account has none."""
    assert problems_of(NewTicket(**GOOD, sub_type="x"), [], []) == []
