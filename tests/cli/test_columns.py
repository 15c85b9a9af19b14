"""Names and values become a ticket, or an error that names the column and what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lsq_service_async import NewTicket, TicketUpdate
from lsq_service_async.cli.columns import (
    RESERVED,
    TARGET,
    ColumnError,
    check_columns,
    columns_beside,
    files_of,
    text_of,
    ticket_of,
)


def test_python_names_are_fields_and_all_else_is_a_schema_name() -> None:
    """Columns that are no fields, and empty ones, are left out."""
    record = {"key": "k", "title": "x", "status": "", "CustomData.X": "1", "due_date": "2026-01-31T09:00:00+00:00"}
    due = datetime(2026, 1, 31, 9, tzinfo=UTC)
    assert ticket_of(record, NewTicket) == NewTicket(title="x", due_date=due, fields={"CustomData.X": "1"})


def test_null_empties_a_field_of_an_update() -> None:
    """An empty cell leaves it as it is."""
    assert ticket_of({"title": None, "tags": ""}, TicketUpdate) == TicketUpdate(title=None)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        pytest.param({"title": 5}, "column title: text is needed, not int", id="number"),
        pytest.param({"due_date": 5}, "column due_date: text is needed", id="date as number"),
        pytest.param({"due_date": "31.1.2026"}, "column due_date: '31.1.2026' is no date; write it like", id="date"),
        pytest.param({"due_date": "2026-01-31"}, "column due_date: '2026-01-31' has no zone; write", id="no zone"),
        pytest.param({"CustomData.X": [1]}, "column CustomData.X: a field holds one value", id="list"),
    ],
)
def test_a_value_that_no_field_takes(record: dict[str, Any], words: str) -> None:
    """It names the column, and what would do."""
    with pytest.raises(ColumnError, match=words):
        ticket_of(record, NewTicket)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        pytest.param(["titel"], "column titel: no such field; did you mean title?", id="typing error"),
        pytest.param(["zzz"], "it is one of lead_id", id="nothing like it"),
        pytest.param(["title", "Title"], "column Title: the same field as title", id="both names"),
        pytest.param(["DueDate", "due_date"], "the same field as DueDate", id="both names of two words"),
        pytest.param(["key", " "], "it has no name", id="blank"),
        pytest.param(["A", "A"], "column A: the same field as A", id="one letter twice"),
        pytest.param(["target"], "only an update has one; add --operation update", id="the operation forgotten"),
    ],
)
def test_a_column_that_cannot_be_meant(names: list[str], words: str) -> None:
    """Before any row costs a call."""
    with pytest.raises(ColumnError, match=words):
        check_columns(names, NewTicket, ("key",))


def test_a_name_that_looks_like_a_schema_name_is_left_to_the_account() -> None:
    """Only the account knows its fields."""
    check_columns(["key", "target", "attachments", "error", "CustomData.X", "mx_Thing"], TicketUpdate, RESERVED)
    assert columns_beside(TicketUpdate) == RESERVED


@pytest.mark.parametrize("given", [" a.jpg ; b c.pdf;", ["a.jpg", "b c.pdf"]])
def test_paths_stand_in_one_cell(given: Any) -> None:
    """With ; between them, or in a list of JSON."""
    assert files_of({"attachments": given}) == (Path("a.jpg"), Path("b c.pdf"))
    assert files_of({}) == ()


@pytest.mark.parametrize("given", [5, [5], {"a": 1}])
def test_what_is_no_path(given: Any) -> None:
    """It says how paths are written."""
    with pytest.raises(ColumnError, match="column attachments: paths are text"):
        files_of({"attachments": given})


@pytest.mark.parametrize(("given", "expected"), [("143 ", "143"), (143, "143"), ("", None), (None, None)])
def test_a_number_may_come_as_text_or_as_a_number(given: Any, expected: str | None) -> None:
    """JSON has both."""
    assert text_of({TARGET: given}, TARGET) == expected


@pytest.mark.parametrize("given", [True, 1.5, []])
def test_what_is_neither(given: Any) -> None:
    """A column error."""
    with pytest.raises(ColumnError, match="column target: text is needed"):
        text_of({TARGET: given}, TARGET)
