"""Records as pydantic types, without FastAPI around them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import MappingProxyType

import pytest
from pydantic import TypeAdapter, ValidationError

from lsq_service_async.records import (
    ActivityReceipt,
    Attempt,
    Conversation,
    FieldMetadata,
    Lead,
    NewTicket,
    Outcome,
    Permission,
    Problem,
    SubType,
    Ticket,
    TicketReceipt,
    TicketUpdate,
    TrashResult,
)

WHEN = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
ATTEMPT = Attempt(number=1, outcome=Outcome.APPLIED, status=200, seconds=0.25, digests=("ab",))
RECORDS = [
    ATTEMPT,
    ActivityReceipt(id="7", attempts=(ATTEMPT,)),
    Conversation(id="7", attachments=({"Name": "a.txt"},), created_on=WHEN),
    FieldMetadata(schema_name="Title", validation={"MaxLength": "200"}),
    Lead(id="45b5", fields={"EmailAddress": None}),
    NewTicket(title="Router down", due_date=WHEN, fields={"A": True, "B": 1, "C": 1.5, "D": None, "E": "2026-01-31"}),
    Permission(allowed=True, scope_filters=["Own"]),
    Problem("Title", "mandatory", "Title is mandatory"),
    SubType(text="Broken", value="1"),
    Ticket(number="143", due_date=WHEN, category_id=7, fields={"A": [1]}, permissions={"Edit": Permission()}),
    TicketReceipt(number="143", attempts=(ATTEMPT, ATTEMPT), extra={"New": {"a": 1}}),
    TicketUpdate(status=None, title="Router up"),
    TrashResult(successful=("160",), failed=("161",)),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_from_its_json(record):
    """Equal to what it was, with nothing lost and nothing turned into something else."""
    adapter = TypeAdapter(type(record))
    assert adapter.validate_json(adapter.dump_json(record)) == record


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_passes_as_it_is(record):
    """An instance is not built anew, so that a handler's answer costs nothing."""
    assert TypeAdapter(type(record)).validate_python(record) is record


def test_what_an_update_leaves_out_is_not_in_its_json():
    """Null is sent as null, and so it is different."""
    assert json.loads(TypeAdapter(TicketUpdate).dump_json(TicketUpdate(status=None))) == {"status": None, "fields": {}}
    assert TypeAdapter(TicketUpdate).validate_python({}) == TicketUpdate()


def test_a_view_of_a_dict_is_shown_as_one():
    """Whatever kind of mapping a record holds."""
    lead = Lead(id="45b5", fields=MappingProxyType({"A": 1}))
    assert json.loads(TypeAdapter(Lead).dump_json(lead))["fields"] == {"A": 1}


def test_what_a_bad_body_lacks_is_named():
    """With the place in a list of records, too."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(list[TicketReceipt]).validate_python([{"number": "1"}, {"key": "#2"}])
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [((1, "number"), "missing")]
