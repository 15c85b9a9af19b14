"""Records as pydantic types, without FastAPI."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from fastapi.encoders import jsonable_encoder
from pydantic import TypeAdapter, ValidationError

from lsq_service_async import records
from lsq_service_async.records import (
    Absent,
    ActivityReceipt,
    Attempt,
    Conversation,
    FieldMetadata,
    Found,
    Lead,
    Lookup,
    NewTicket,
    NumberRange,
    Outcome,
    Permission,
    Problem,
    SubType,
    Ticket,
    TicketReceipt,
    TicketUpdate,
    TrashResult,
    Unclear,
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
    TicketReceipt(number="143", attempts=(ATTEMPT, ATTEMPT), extra={"New": {"a": 1}}, possible_duplicate=True),
    TicketUpdate(status=None, title="Router up"),
    TrashResult(successful=("160",), failed=("161",)),
    Absent(),
    Found(TicketReceipt(number="143")),
    Lookup(fence=True),
    NumberRange(143, None, WHEN, "erp-4711"),
    Unclear("another ticket matches"),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_from_its_json(record):
    """A record that is serialized to JSON and validated again is equal to the original."""
    adapter = TypeAdapter(type(record))
    assert adapter.validate_json(adapter.dump_json(record)) == record


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_fastapi_encodes_every_record(record):
    """``jsonable_encoder`` gives the JSON that pydantic gives, also of a record in a value of any type."""
    adapter = TypeAdapter(type(record))
    expected = adapter.dump_python(record, mode="json")
    assert TypeAdapter(Any).dump_python({"all": [record]}, mode="json") == {"all": [expected]}
    encoded = jsonable_encoder({"one": record, "all": [record]})
    assert encoded == {"one": encoded["one"], "all": [encoded["one"]]}
    assert encoded["one"].keys() == expected.keys()
    assert adapter.validate_json(json.dumps(encoded["one"])) == record
    assert copy.copy(record) == pickle.loads(pickle.dumps(record)) == record


def test_every_record_is_tested():
    """The tests of this module have each class of record."""
    classes = {kind for kind in vars(records).values() if isinstance(kind, type) and attrs.has(kind)}
    assert classes == {type(record) for record in RECORDS}


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_an_instance_is_accepted_unchanged(record):
    """Validating an instance returns the same object."""
    assert TypeAdapter(type(record)).validate_python(record) is record


def test_the_json_of_an_update_leaves_out_unset():
    """The JSON of an update has null for None and leaves out UNSET."""
    assert json.loads(TypeAdapter(TicketUpdate).dump_json(TicketUpdate(status=None))) == {"status": None, "fields": {}}
    assert TypeAdapter(TicketUpdate).validate_python({}) == TicketUpdate()


@pytest.mark.parametrize("cls", [NewTicket, TicketUpdate])
def test_a_date_needs_a_time_zone(cls):
    """A date without a time zone is refused under the name of the attribute."""
    for date in ("2026-01-31T09:00:00", WHEN.replace(tzinfo=None)):
        with pytest.raises(ValidationError) as caught:
            TypeAdapter(cls).validate_python({"due_date": date})
        assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [(("due_date",), "timezone_aware")]
    assert TypeAdapter(cls).validate_python({"due_date": WHEN.isoformat()}).due_date == WHEN


def test_a_wrong_field_is_one_error():
    """A field with a value of a wrong type is one error, not one for each allowed type."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(NewTicket).validate_python({"fields": {"Good": 1, "Bad": {}}})
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [(("fields", "Bad"), "field_value")]


def test_the_reason_of_an_attempt_is_not_in_its_json():
    """The reason of an attempt, which may quote the service, is neither in its JSON nor in its schema."""
    attempt = attrs.evolve(ATTEMPT, reason="stack at line 7")
    adapter = TypeAdapter(Attempt)
    assert adapter.validate_json(adapter.dump_json(attempt)) == ATTEMPT
    assert "reason" not in adapter.json_schema(mode="serialization")["properties"]
    assert TypeAdapter(TicketReceipt).dump_python(TicketReceipt(number="1", attempts=(attempt,)))["attempts"] == (
        adapter.dump_python(ATTEMPT),
    )


def test_a_read_only_mapping_is_serialized():
    """A read-only mapping is serialized like a dict."""
    lead = Lead(id="45b5", fields=MappingProxyType({"A": 1}))
    assert json.loads(TypeAdapter(Lead).dump_json(lead))["fields"] == {"A": 1}


def test_a_missing_attribute_is_named():
    """A missing attribute is reported with its position in a list."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(list[TicketReceipt]).validate_python([{"number": "1"}, {"key": "#2"}])
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [((1, "number"), "missing")]
