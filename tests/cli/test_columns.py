"""Column names and values become a ticket, or an error that names the column and what to change."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lsq_service_async import NewTicket, TicketUpdate
from lsq_service_async.cli.columns import (
    TARGET,
    ColumnError,
    attachment_paths,
    check_columns,
    make_ticket,
    text_value,
)


def test_python_names_become_attributes_and_other_names_fields() -> None:
    """Reserved and empty columns are left out."""
    record = {"key": "k", "title": "x", "status": "", "CustomData.X": "1", "due_date": "2026-01-31T09:00:00+00:00"}
    due = datetime(2026, 1, 31, 9, tzinfo=UTC)
    assert make_ticket(record, NewTicket) == NewTicket(title="x", due_date=due, fields={"CustomData.X": "1"})


def test_null_empties_a_field_of_an_update() -> None:
    """A JSON null is sent as null, and an empty cell leaves the field unchanged."""
    assert make_ticket({"title": None, "tags": ""}, TicketUpdate) == TicketUpdate(title=None)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        pytest.param({"title": 5}, "column title: expected text, not int", id="number"),
        pytest.param({"due_date": 5}, "column due_date: expected text", id="date as number"),
        pytest.param({"due_date": "31.1.2026"}, "column due_date: '31.1.2026' is not a date; write it like", id="date"),
        pytest.param({"due_date": "2026-01-31"}, "column due_date: '2026-01-31' has no time zone", id="no zone"),
        pytest.param({"CustomData.X": [1]}, "column CustomData.X: a field holds one value", id="list"),
    ],
)
def test_a_wrong_value_is_an_error(record: dict[str, Any], message: str) -> None:
    """The error names the column and the expected value."""
    with pytest.raises(ColumnError, match=message):
        make_ticket(record, NewTicket)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param(["titel"], "column titel: no such field; did you mean title?", id="typo"),
        pytest.param(["zzz"], "use one of lead_id", id="unknown"),
        pytest.param(["title", "Title"], "column Title: same field as title", id="both names"),
        pytest.param(["DueDate", "due_date"], "same field as DueDate", id="both names of two words"),
        pytest.param(["key", " "], "the column has no name", id="blank"),
        pytest.param(["A", "A"], "column A: same field as A", id="one letter twice"),
        pytest.param(["target"], "only an update has a target; add --operation update", id="operation missing"),
    ],
)
def test_a_wrong_column_name_is_an_error(names: list[str], message: str) -> None:
    """The error names the column before any row is sent."""
    with pytest.raises(ColumnError, match=message):
        check_columns(names, NewTicket, in_file=True)


def test_schema_names_and_reserved_columns_are_accepted() -> None:
    """Only the account can check a schema name, so every name that looks like one is accepted."""
    names = ["key", "target", "attachments", "error", "CustomData.X", "mx_Thing"]
    check_columns(names, TicketUpdate, in_file=True)
    with pytest.raises(ColumnError, match="column key: no such field"):
        check_columns(names, TicketUpdate)


@pytest.mark.parametrize("given", [" a.jpg ; b c.pdf;", ["a.jpg", "b c.pdf"]], ids=["text", "list"])
def test_attachments_are_paths_in_one_cell(given: Any) -> None:
    """Paths are separated by ; in text, or are the items of a JSON list."""
    assert attachment_paths({"attachments": given}) == (Path("a.jpg"), Path("b c.pdf"))
    assert attachment_paths({}) == ()


@pytest.mark.parametrize("given", [5, [5], {"a": 1}])
def test_attachments_of_another_type_are_an_error(given: Any) -> None:
    """The error shows how paths are written."""
    with pytest.raises(ColumnError, match="column attachments: expected paths as text"):
        attachment_paths({"attachments": given})


@pytest.mark.parametrize(("given", "expected"), [("143 ", "143"), (143, "143"), ("", None), (None, None)])
def test_a_ticket_number_is_text_or_a_json_number(given: Any, expected: str | None) -> None:
    """Text is stripped, and an empty cell counts as missing."""
    assert text_value({TARGET: given}, TARGET) == expected


@pytest.mark.parametrize("given", [True, 1.5, []])
def test_a_ticket_number_of_another_type_is_an_error(given: Any) -> None:
    """A JSON value that is neither text nor an integer raises ColumnError."""
    with pytest.raises(ColumnError, match="column target: expected text"):
        text_value({TARGET: given}, TARGET)
