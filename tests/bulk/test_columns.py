"""Columns become tickets and rows, or an error that names the column and what to change."""

from __future__ import annotations

import csv
import io
import sqlite3
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from lsq_service_async import Attachment, BulkRow, InvalidRequestError, NewTicket, TicketUpdate
from lsq_service_async.bulk import rows_from
from lsq_service_async.bulk.columns import TARGET, ColumnError, attachments_of, fields_of, make_ticket, text_value

DUE = datetime(2026, 1, 31, 9, tzinfo=UTC)
NAIVE = datetime(2026, 1, 31, 14, 30)  # noqa: DTZ001 -- the point
ATTACH = partial(Attachment.from_folder, ".")
INDIA = ZoneInfo("Asia/Kolkata")


def test_python_names_become_attributes_and_other_names_fields() -> None:
    """Reserved and empty columns are left out."""
    record = {"key": "k", "title": "x", "status": "", "CustomData.X": "1", "due_date": "2026-01-31T09:00:00+00:00"}
    assert make_ticket(record, NewTicket) == NewTicket(title="x", due_date=DUE, fields={"CustomData.X": "1"})


def test_null_empties_a_field_of_an_update() -> None:
    """A JSON null is sent as null, and an empty cell leaves the field unchanged."""
    record = {"title": None, "tags": "", "due_date": None}
    assert make_ticket(record, TicketUpdate) == TicketUpdate(title=None, due_date=None)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        pytest.param({"title": 5}, "column title: expected text, not int", id="number"),
        pytest.param({"due_date": 5}, "column due_date: expected text", id="date as number"),
        pytest.param({"due_date": "31.1.2026"}, "column due_date: '31.1.2026' is not a date; write it like", id="date"),
        pytest.param(
            {"due_date": "2026-01-31"}, "column due_date: '2026-01-31 00:00:00' has no time zone", id="no zone"
        ),
        pytest.param({"due_date": date(2026, 1, 31)}, "column due_date: .* a date has no time; write", id="day"),
        pytest.param({"CustomData.At": NAIVE}, "CustomData.At: .* has no time zone", id="no zone either"),
        pytest.param({"CustomData.X": [1]}, "column CustomData.X: a field holds one value", id="list"),
        pytest.param({"CustomData.X": float("inf")}, "inf is not a finite number", id="infinite"),
        pytest.param({"title": "cut \ud83d"}, r"column title: 'cut \\ud83d' contains half of a surrogate", id="half"),
        pytest.param(
            {"lead_phone": "9.19877E+11"}, "was rounded by a spreadsheet; format the column as text", id="phone"
        ),
        pytest.param({"LeadDetail.Mobile": "9,2e11"}, "column LeadDetail.Mobile: .* was rounded", id="mobile"),
    ],
)
def test_a_wrong_value_is_an_error(record: dict[str, Any], message: str) -> None:
    """The error names the column and the expected value."""
    with pytest.raises(ColumnError, match=message):
        make_ticket(record, NewTicket)


@pytest.mark.parametrize("given", ["2026-01-31T14:30:00", NAIVE, DUE])
def test_a_date_without_a_zone_is_in_the_given_one(given: Any) -> None:
    """A date that has a zone keeps it."""
    ticket = make_ticket({"due_date": given, "CustomData.At": DUE}, NewTicket, INDIA)
    assert (ticket.due_date, ticket.fields["CustomData.At"]) == (DUE, DUE)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("Lead Email", "lead_email"),
        (" lead-email\t", "lead_email"),
        ("LEAD_EMAIL", "lead_email"),
        ("LeadEmail", "lead_email"),
        ("Due Date", "due_date"),
        ("Key", "key"),
        ("ERROR", "error"),
        (" CustomData.SRC_CS_2 ", "CustomData.SRC_CS_2"),
        ("LeadDetail.EmailAddress", "LeadDetail.EmailAddress"),
        ("mx_Thing", "mx_Thing"),
    ],
)
def test_a_name_stands_for_a_field(name: str, field: str) -> None:
    """Case, blanks, hyphens and underscores do not matter, except in schema names, which only the account can check."""
    assert fields_of([name], NewTicket, in_file=True) == (field,)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param(["titel"], "column titel: no such field; did you mean title?", id="typo"),
        pytest.param(["Lead E-Mail Address"], "no such field; did you mean lead_email?", id="no schema name"),
        pytest.param(["zzz"], "use one of lead_id", id="unknown"),
        pytest.param(["Title;Status"], "column Title;Status: no such field", id="delimiter"),
        pytest.param(["=1+1"], "no such field", id="formula"),
        pytest.param(["CustomData.\ud83d"], r"column 'CustomData.\\ud83d': no such field", id="half"),
        pytest.param(["title", "Title"], "column Title: same field as title", id="both names"),
        pytest.param(["Due Date", "due_date"], "same field as Due Date", id="both names of two words"),
        pytest.param(["key", " "], "the column has no name", id="blank"),
        pytest.param([5], "column 5: the name of a column must be text", id="number"),
        pytest.param(["A.x", "a.X"], "column a.X: same field as A.x", id="case"),
        pytest.param(["Target"], "only an update has a target; use operation=", id="operation missing"),
    ],
)
def test_a_wrong_column_name_is_an_error(names: list[Any], message: str) -> None:
    """The error names the column before any row is sent."""
    with pytest.raises(ColumnError, match=message):
        fields_of(names, NewTicket, in_file=True)


def test_reserved_columns_are_those_of_files() -> None:
    """A single ticket has no key, so an option cannot set it."""
    names = ("key", "target", "attachments", "error")
    assert fields_of(names, TicketUpdate, in_file=True) == names
    with pytest.raises(ColumnError, match="column key: no such field"):
        fields_of(names, TicketUpdate)


class Array(list[str]):
    """Has no truth value, like an array of numpy, which pandas makes of a list in a Parquet file."""

    def __bool__(self) -> bool:
        raise ValueError


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("a.jpg ; b c.pdf;", ["a.jpg", "b c.pdf"]),
        (["a.jpg", "b;c.pdf"], ["a.jpg", "b;c.pdf"]),
        ('"a;b.pdf"; c.pdf', ["a;b.pdf", "c.pdf"]),
        ('5" screen.jpg', ['5" screen.jpg']),
        (None, []),
        ("", []),
        (Array(["a.jpg"]), ["a.jpg"]),
    ],
)
def test_attachments_are_paths_in_one_cell(given: Any, names: list[str]) -> None:
    """Paths are separated by ; in text, or are the items of a JSON list. Quotes protect a ; in a path."""
    files: Any = attachments_of({"attachments": given}, ATTACH)
    assert [file.name for file in files] == names


@pytest.mark.parametrize("given", [5, 0, False, b"", [5], {}, {"a": 1}, '"a;b.pdf', "a\nb"])
def test_attachments_of_another_type_are_an_error(given: Any) -> None:
    """The error shows how paths are written."""
    with pytest.raises(ColumnError, match="column attachments: expected paths as text"):
        attachments_of({"attachments": given}, ATTACH)
    with pytest.raises(ColumnError, match="column attachments: this is not a file name"):
        attachments_of({"attachments": "a/.."}, ATTACH)


@pytest.mark.parametrize(("given", "expected"), [("143 ", "143"), (143, "143"), ("", None), (None, None)])
def test_a_ticket_number_is_text_or_a_json_number(given: Any, expected: str | None) -> None:
    """Text is stripped, and an empty cell counts as missing."""
    assert text_value({TARGET: given}, TARGET) == expected


@pytest.mark.parametrize("given", [True, 1.5, [], "\udc00"])
def test_a_ticket_number_of_another_type_is_an_error(given: Any) -> None:
    """A JSON value that is neither text nor an integer raises ColumnError."""
    with pytest.raises(ColumnError, match="column target: "):
        text_value({TARGET: given}, TARGET)


def _database() -> list[sqlite3.Row]:
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    try:
        return list(
            database.execute("SELECT 7 AS id, 'Router down' AS Subject, 'a@b.c' AS \"Lead Email\", NULL AS tags")
        )
    finally:
        database.close()


class Ambiguous:
    """Has no truth value when it is compared, like NA of pandas (TypeError) or an array of numpy (ValueError)."""

    __hash__ = None

    def __init__(self, error: type[Exception]) -> None:
        self._error = error

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise self._error


NAN_ROW = {
    "id": 7.0,
    "Subject": "Router down",
    "Lead Email": "a@b.c",
    "tags": float("nan"),
    "status": Ambiguous(TypeError),
    "type": Decimal("sNaN"),
}
CSV = "id,Subject,Lead Email,tags\n7,Router down,a@b.c,\n"


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(lambda: csv.DictReader(io.StringIO(f"\ufeff{CSV}")), id="csv with a byte order mark"),
        pytest.param(_database, id="sqlite"),
        pytest.param(lambda: [NAN_ROW], id="not a number"),
    ],
)
def test_rows_come_from_records(records: Any) -> None:
    """Values that are None, NaN or empty are absent, and a number becomes text in a text field and in the key."""
    [row] = rows_from(records(), key="id", columns={"Subject": "title"})
    assert row == BulkRow("7", NewTicket(title="Router down", lead_email="a@b.c"))


def test_values_of_other_libraries_become_those_of_python(tmp_path: Path) -> None:
    """A DataFrame is a list of records; its scalars, timestamps and decimals are converted."""

    class Scalar:
        ndim = 0

        def item(self) -> int:
            return 5

    class Timestamp:
        def to_pydatetime(self, *, warn: bool) -> datetime:
            return NAIVE

    class Pandas:
        def to_dict(self, orient: str) -> list[dict[str, Any]]:
            photo = [tmp_path / "a.jpg", Attachment.from_bytes(b"", name="b")]
            about = {"title": Decimal("1.50"), "due_date": Timestamp(), "Wide": Scalar(), "attachments": photo}
            return [{**about, "lead_id": UUID(int=7), "type": 2.0, "Count": 3.0, "Left": "out"}]

    class Polars(Pandas):
        def to_dicts(self) -> list[dict[str, Any]]:
            return self.to_dict("records")

    for frame in (Pandas(), Polars()):
        [row] = rows_from(frame, columns={"Left": None}, time_zone="Asia/Kolkata")
        fields = {"Wide": 5, "Count": 3}
        about: dict[str, Any] = {"title": "1.50", "type": "2", "lead_id": str(UUID(int=7)), "fields": fields}
        assert row.ticket == NewTicket(due_date=DUE, **about)
        assert row.attachments[0] == tmp_path / "a.jpg"


@pytest.mark.parametrize("name", [0, ("id", "key"), None])
def test_the_columns_of_a_data_frame_may_have_names_that_are_not_text(name: object) -> None:
    """Pandas numbers the columns of a file without a header. They need text only if `columns` has no name for them."""
    records = [{name: 7, 1: "Router down", 2: "left out"}]
    [row] = rows_from(records, key=name, columns={1: "title", 2: None, **({} if name else {name: "key"})})
    assert row == BulkRow("7", NewTicket(title="Router down"))


@pytest.mark.parametrize(
    ("columns", "ticket"),
    [
        ({"Subject": "title"}, NewTicket(title="A", status="Open")),
        ({"Subject": None}, NewTicket(status="Open")),
        ({}, NewTicket(status="Open")),
    ],
    ids=["field", "left out", "key only"],
)
def test_the_key_is_a_field_too_if_columns_names_one(columns: Any, ticket: NewTicket) -> None:
    """By default, the column of the key is not sent."""
    records = [{"Subject": "A", "status": "Open"}]
    assert list(rows_from(records, key="Subject", columns=columns)) == [BulkRow("A", ticket)]


class Series:
    """A column of a pandas DataFrame, whose `to_dict` has another argument."""

    def to_dict(self, into: object) -> None:
        raise TypeError(f"unsupported type: {type(into)}")


class Frame:
    """A pandas DataFrame, whose records have the last of all columns with one name."""

    columns = ("title", "status", "status")

    def to_dict(self, orient: str) -> list[dict[str, str]]:
        return [dict(zip(self.columns, ("a", "Open", "Closed"), strict=True))]


@pytest.mark.parametrize("make", [lambda: csv.DictReader(["title,status,status", "a,Open,Closed"]), Frame])
def test_two_columns_with_one_name_are_an_error(make: Any) -> None:
    """The values of the first one would be lost. A column that is left out may occur twice."""
    with pytest.raises(InvalidRequestError, match="2 columns have the name 'status'"):
        rows_from(make())
    [row] = rows_from(make(), columns={"status": None})
    assert row.ticket == NewTicket(title="a")
    assert list(rows_from(csv.DictReader([]))) == []


def test_the_error_of_a_file_is_not_changed() -> None:
    """A header in another encoding is not a wrong argument."""
    file = io.TextIOWrapper(io.BytesIO(b"t\xeftle,status\na,Open\n"), "utf-8")
    with pytest.raises(UnicodeDecodeError):
        rows_from(csv.DictReader(file))


def test_a_record_of_an_update_needs_its_target() -> None:
    """With operation="update", the column `target` has the number of the ticket to change."""
    [row] = rows_from([{"Target": 143, "status": "Open"}], operation="update")
    assert row == BulkRow(None, TicketUpdate(status="Open"), target="143")
    with pytest.raises(InvalidRequestError, match="record 2, column target: it is empty"):
        list(rows_from([{"target": "1"}, {"status": "Open"}], operation="update"))


@pytest.mark.parametrize(
    ("records", "options", "message"),
    [
        pytest.param([{"title": "x"}], {"key": "id"}, "record 1, column id: the record does not have", id="key"),
        pytest.param([{"id": "k" * 201}], {"key": "id"}, "record 1, column id: 201 characters", id="long"),
        pytest.param([{"a": "x", "title": "y"}], {"columns": {"a": "title"}}, "same field as title", id="twice"),
        pytest.param([{"title": "x"}, {None: ["y"]}], {}, "record 2, column None: the name", id="extra cells"),
        pytest.param([{"X": Ambiguous(ValueError)}], {}, "record 1, column X: a field holds one value", id="array"),
        pytest.param([{"id": 1e15}], {"key": "id"}, "record 1, column id: expected text, not float", id="rounded"),
        pytest.param(
            [{"A": "x", "key": "y"}],
            {"key": "A", "columns": {"A": "title"}},
            "column A: same field as key",
            id="two keys",
        ),
        pytest.param([{"Nr": 5}], {"columns": {"Nr": "due_date"}}, "record 1, column Nr: expected text", id="renamed"),
        pytest.param([{"Nr": 5}], {"columns": {"Nr": "subject"}}, "record 1, column Nr: no such field", id="field"),
        pytest.param([{"Due Date": 5}], {}, "record 1, column Due Date: expected text", id="other spelling"),
        pytest.param([{"X": 10**5000}], {}, "record 1, column X: the number is too large", id="large"),
        pytest.param(5, {}, "records must be a synchronous iterable of mappings, not 5", id="no records"),
        pytest.param(["title"], {}, "record 1 is not a mapping of names to values, but 'title'", id="no mapping"),
        pytest.param([], {"operation": "delete"}, 'operation must be "create" or "update"', id="operation"),
        pytest.param([], {"key": ["id"]}, "key must be the name of a column, not", id="key that is a list"),
        pytest.param([], {"columns": ["title"]}, "columns must be a mapping of names to names, not", id="columns"),
        pytest.param([], {"columns": {"a": ["title"]}}, "columns must be a mapping of names to names, not", id="list"),
        pytest.param([], {"columns": ""}, "columns must be a mapping of names to names, not", id="empty columns"),
        pytest.param([], {"attachments_from": None}, "attachments_from must be a folder, not None", id="folder"),
        pytest.param(Series(), {}, "records must be a DataFrame, not .*: unsupported type", id="series"),
        pytest.param([], {"time_zone": "Mars"}, "time_zone must be a tzinfo or a name such as", id="zone"),
    ],
)
def test_a_record_that_cannot_be_a_row_is_named(records: Any, options: Any, message: str) -> None:
    """The error has the number of the record, counted from 1."""
    with pytest.raises(InvalidRequestError, match=message):
        list(rows_from(records, **options))
