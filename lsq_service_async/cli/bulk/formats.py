"""The formats of an input: CSV, workbooks of Excel or LibreOffice, and JSONL. Each record becomes an `InputLine`."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time
from typing import Any, BinaryIO, NoReturn
from zipfile import BadZipFile, ZipFile

import attrs
import click

from ...bulk.columns import ERROR, ColumnError, TicketType, cells_of, fields_of
from ..shell import USAGE

UNREADABLE = "unreadable"
"""The cell that holds the whole line, if the line is not valid JSON or does not fit the columns."""
_FORMULA = re.compile(r"\s*[=+\-@|\uff0b\uff0d\uff1d\uff20]|[\t\r\n]|'\t")
_QUOTE = "'\t"  # no ordinary text begins with a quote and a tab
_TYPED = f"{_QUOTE}#"
"""In a report, marks a cell whose value is not text."""
WORKBOOK = rb"PK\x03\x04|\xd0\xcf\x11\xe0"  # first bytes of .xlsx, .xlsb and .ods, or of .xls
_ENCODINGS = {  # the first bytes: a byte order mark, or ASCII in UTF-16
    rb"\xef\xbb\xbf": "utf-8",
    rb"\xff\xfe\0\0|\0\0\xfe\xff": "utf-32",  # before UTF-16, whose mark is shorter
    rb"\xff\xfe|\xfe\xff": "utf-16",
    rb"[^\0]\0[^\0]\0": "utf-16-le",
    rb"\0[^\0]\0[^\0]": "utf-16-be",
}
_NOT_ROWS = {
    rb"\x1f\x8b|BZh[1-9]|\xfd7zXZ|\x28\xb5\x2f\xfd": "compressed; unpack it first",
    WORKBOOK: "a workbook or an archive; save it as CSV",
    rb"\s*<": "HTML or XML; open it in a spreadsheet program, and save it as CSV",
    rb"\s*\[\s*[{\]]": "a JSON array; write one object on each line, as jq -c '.[]' does",
}
JSONL = rb'(\xef\xbb\xbf)?\s*\{\s*["}]'
_DELIMITERS = ",;\t|"
_NOT_IN_NAMES = re.compile(r"[^\w\s.\-\"]")
_SEPARATOR_LINE = re.compile(r'(?i)"?sep=([^"\r\n])"?\s*')  # names the delimiter for Excel

_NO_VALUE = math.nan
"""The value of a cell that is missing, or has an error such as #N/A or a formula without a value."""
_CELL = rb'[^>]*\br="([A-Z]+)([0-9]+)"[^>]*>'
_EMPTY = rb"<f(?:\s[^>]*)?(?:/>|>[^<]*</f>)(?:<v ?/>|<v></v>)?</c>"
_WITHOUT_VALUE = re.compile(rb'<c (?:(?=[^>]*\bt="e")%b|(?![^>]*\bt=)%b%b)' % (_CELL, _CELL, _EMPTY))
_WITHOUT_VALUE_IN_ODS = re.compile(
    rb'calcext:value-type="error"|<table:table-cell(?=[^>]* table:formula=)(?![^>]* office:value-type=)'
)

csv.field_size_limit((1 << 31) - 1)  # the default is 131,072 characters

Records = Iterator[tuple[int, Sequence[Any]]]
"""The records of a table, each with the number of its first line."""


class InputError(click.ClickException):
    """The input cannot be read. No row was sent."""

    exit_code = USAGE


@attrs.frozen
class InputLine:
    """A record of the input: the number of its first line, and its cells by field.

    Empty cells of a table are left out. If the record is not a valid row, `error` is the reason.
    """

    number: int
    cells: Mapping[str, Any]
    error: str | None = None


def escape_formula(cell: str) -> str:
    """Put a quote and a tab before a cell that a spreadsheet program would evaluate. `csv_records` removes them."""
    return f"{_QUOTE}{cell}" if _FORMULA.match(cell) else cell


def to_cell(field: str, value: object) -> str:
    """Return a value as text for a report. `csv_records` restores the value, even a number or a date."""
    if isinstance(value, str) or (field == "due_date" and isinstance(value, datetime)):
        return escape_formula(str(value))
    return f"{_TYPED}{json.dumps(value) if isinstance(value, int | float) else value}"


def _from_cell(cell: str) -> Any:
    if not cell.startswith(_TYPED):
        return cell.removeprefix(_QUOTE)
    text = cell.removeprefix(_TYPED)
    with suppress(ValueError, RecursionError):
        return json.loads(text, parse_int=float, parse_constant=lambda _: _NO_VALUE)  # workbooks have only floats
    with suppress(ValueError):
        return datetime.fromisoformat(text)
    return _NO_VALUE


class Table:
    """A table whose first record names the columns.

    `columns` maps each field to the name of its column. `delimiter` separates the cells of a report.
    """

    def __init__(self, records: Callable[[], Records], ticket_type: TicketType, delimiter: str = ",") -> None:
        self.delimiter = delimiter
        self._records = records
        self._first, names = first_record(records())
        try:
            named = [name for name in names if not _is_blank([name])]
            fields = iter(fields_of(named, ticket_type, in_file=True))
        except ColumnError as error:
            raise InputError(f"line {self._first}, {error}") from None
        self._fields = tuple("" if _is_blank([name]) else next(fields) for name in names)
        self._min_cells = max(number for number, field in enumerate(self._fields, 1) if field)
        self.columns: dict[str, str] = {field: name for field, name in zip(self._fields, names, strict=True) if field}

    def lines(self) -> Iterator[InputLine]:
        """Yield every record after the column names, except blank records."""
        for number, cells in self._records():
            if number > self._first and not _is_blank(cells):
                yield self._line(number, cells)

    def _line(self, number: int, cells: Sequence[Any]) -> InputLine:
        width = len(self._fields)
        if _is_blank(cells[width:]):
            cells = cells[:width]
        record = cells_of(self._fields, cells)
        record.pop("", None)
        nameless = [cell for field, cell in zip(self._fields, cells, strict=False) if not field]
        has_extra = not _is_blank(nameless) or len(cells) > width
        counts = f"line {number}: {len(cells)} cells for {width} columns"
        if len(cells) < self._min_cells:
            # The report marks missing cells, so that the row is rejected until it is corrected.
            record |= dict.fromkeys(filter(None, self._fields[len(cells) :]), _NO_VALUE)
            return InputLine(number, record, f"{counts}; cells are missing")
        if without := [name for name, cell in zip(self._fields, cells, strict=False) if cell is _NO_VALUE]:
            error = "the cell is missing, or has an error or a formula without a value; correct it, and save the file"
            record |= dict.fromkeys(without, _NO_VALUE)  # the report marks these cells
            return InputLine(number, record, f"line {number}, column {self.columns.get(without[0], '?')}: {error}")
        given = [(name, value) for name, value in record.items() if name != ERROR]  # only a report has this column
        if given and all(self.columns.get(name) == value for name, value in given):
            return InputLine(number, record, f"line {number} repeats the names of the columns; remove the line")
        if not has_extra:
            return InputLine(number, record)
        # A report without the extra cells would have a valid row with wrong content.
        advice = f"put quotes around cells that contain {self.delimiter!r}"
        if len(cells) <= width:
            counts, advice = f"line {number}: text in a column without a name", "give the column a name"
        return InputLine(number, {**record, UNREADABLE: cells}, f"{counts}; {advice}")


def first_record(records: Records) -> tuple[int, Sequence[Any]]:
    """Return the record that names the columns, with its line number."""
    for number, cells in records:
        if not _is_blank(cells) and not (number == 1 and str(cells[0])[:4].lower() == "sep="):
            return number, cells
    raise InputError("the input is empty; its first line must name the columns, such as title,lead_email")


def _is_blank(cells: Iterable[Any]) -> bool:
    # Some programs end a file with Control-Z.
    return all(cell is None or not str(cell).replace("\x1a", "").strip() for cell in cells)


def csv_records(file: BinaryIO, encoding: str | None, delimiter: str) -> Records:
    """Yield the records of a CSV file, with the original value of each cell that `to_cell` has marked."""
    reader = csv.reader(decode(file, encoding), delimiter=delimiter, strict=True)
    begin = 1
    try:
        for cells in reader:
            yield begin, [_from_cell(cell) for cell in cells]
            begin = reader.line_num + 1
    except csv.Error as error:
        advice = "look for a quote that is not closed, or for a quote inside a cell that is not doubled"
        raise InputError(f"line {begin} cannot be read as CSV ({error}); {advice}") from None


def detect_delimiter(file: BinaryIO, encoding: str | None) -> str:
    """Return the delimiter that a first line such as `sep=;` names.

    Without such a line, return the character that splits the names of the columns into the most cells.
    """
    if match := _SEPARATOR_LINE.fullmatch(next(decode(file, encoding), "")):
        return match[1]

    def cells(delimiter: str) -> int:
        try:
            return len(first_record(csv_records(file, encoding, delimiter))[1])
        except InputError:
            return 0

    found = max(_DELIMITERS, key=cells)
    if cells(found) > 1:
        return found
    rare: list[str] = _NOT_IN_NAMES.findall(next(decode(file, encoding), ""))
    return max([",", *rare], key=cells)


def workbook_records(file: BinaryIO) -> Callable[[], Records]:
    """Return a function that yields the rows of the first visible sheet."""
    try:
        from python_calamine import CalamineError, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum
    except ImportError:
        advice = 'to read it, run: pip install "lsq-service-async[excel]"; or save it as CSV'
        raise InputError(f"the input is a workbook; {advice}") from None
    file.seek(0)
    try:
        workbook = CalamineWorkbook.from_filelike(file)
        sheets = [
            sheet.name
            for sheet in workbook.sheets_metadata
            if (sheet.typ, sheet.visible) == (SheetTypeEnum.WorkSheet, SheetVisibleEnum.Visible)
        ]
        if len(sheets) > 1:
            click.echo(f"Reading only the first sheet, {sheets[0]!r}", err=True)
        sheet = workbook.get_sheet_by_name(sheets[0])
    except (CalamineError, IndexError) as error:
        raise InputError(
            f"the workbook cannot be read: {error}; save it again without a password, or save it as CSV"
        ) from None
    without = _cells_without_value(file, workbook.sheet_names.index(sheets[0]))
    left = (sheet.start or (0, 0))[1] + 1
    return lambda: (
        (number, [_NO_VALUE if (number, at) in without else _with_time(cell) for at, cell in enumerate(row, left)])
        for number, row in enumerate(sheet.iter_rows(), 1)
    )


def _cells_without_value(file: BinaryIO, position: int) -> set[tuple[int, int]]:
    """Return the row and the column of each `_NO_VALUE` cell of an .xlsx sheet. Calamine reads these cells as empty.

    Raises InputError if an .ods sheet has such a cell.
    """
    try:
        with ZipFile(file) as parts:
            if "content.xml" in parts.namelist():  # .ods
                if _WITHOUT_VALUE_IN_ODS.search(parts.read("content.xml").split(b"<table:table ")[position + 1]):
                    text = "a cell of the workbook has an error such as #N/A, or a formula without a value"
                    raise InputError(f"{text}; correct the cell, or save the workbook as .xlsx to find its row")
                return set()
            sheet_id = re.findall(rb'<sheet [^>]*r:id="([^"]+)"', parts.read("xl/workbook.xml"))[position]
            names = rb'<Relationship (?=[^>]*\bId="%b")[^>]*\bTarget="(?:/?xl/)?([^"]+)"' % re.escape(sheet_id)
            [name] = re.findall(names, parts.read("xl/_rels/workbook.xml.rels"))
            found = _WITHOUT_VALUE.findall(parts.read(f"xl/{name.decode()}"))
    except (BadZipFile, KeyError, IndexError, ValueError):  # .xls or .xlsb
        text = "Cells with an error such as #N/A are read as empty in this kind of workbook"
        click.echo(f"{text}. Save the workbook as .xlsx, so that rows with such cells are rejected.", err=True)
        return set()
    return {(int(two or one), _column_number(a or b)) for a, one, b, two in found}


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number


def _with_time(cell: Any) -> Any:
    """Return a date with the time 0:00, because every date of a workbook has a time."""
    return datetime.combine(cell, time()) if isinstance(cell, date) and not isinstance(cell, datetime) else cell


def begins_with(file: BinaryIO, pattern: bytes) -> bool:
    file.seek(0)
    return re.match(pattern, file.read(64)) is not None


class Jsonl:
    """A file with one JSON object on each line."""

    def __init__(self, file: BinaryIO, encoding: str | None, ticket_type: TicketType) -> None:
        self.columns: dict[str, str] = {}
        self._file = file
        self._encoding = encoding
        self._ticket_type = ticket_type

    def lines(self) -> Iterator[InputLine]:
        """Yield every line that is not blank."""
        for number, text in enumerate(decode(self._file, self._encoding), 1):
            if not _is_blank([text]):
                yield self._line(number, text.rstrip("\r\n"))

    def _line(self, number: int, text: str) -> InputLine:
        cells: dict[str, Any] = {UNREADABLE: text}
        try:
            record = json.loads(text, object_pairs_hook=_object, **_NUMBERS)
            if _is_deep(record):
                raise RecursionError("its values are nested too deeply")
            if isinstance(record, dict):
                cells = record
                fields = fields_of(record, self._ticket_type, in_file=True)
                return InputLine(number, dict(zip(fields, record.values(), strict=True)))
            reason = ': not an object; write it like {"title": "..."}'
        except ColumnError as error:
            reason = f", {error}"
        except (ValueError, RecursionError) as error:
            reason = f": not JSON ({error}); write one object on each line"
        return InputLine(number, cells, f"line {number}{reason}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. Raises ColumnError if a name occurs twice."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ColumnError(name, "the object has this name twice; remove one of the two")
        found[name] = value
    return found


def _is_deep(record: Any) -> bool:
    """Whether values are nested in eight or more levels. Printing deep values could exceed the stack."""
    level = [record]
    for _ in range(8):
        containers = [value for value in level if isinstance(value, dict | list)]
        level = [inner for each in containers for inner in (each.values() if isinstance(each, dict) else each)]
    return bool(level)


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError(f"{text:.40} is too large a number")
    return number


def _whole(text: str) -> int:
    _finite(text)
    return int(text)


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_NUMBERS: Any = {"parse_float": _finite, "parse_int": _whole, "parse_constant": _reject_constant}


def decode(file: BinaryIO, encoding: str | None) -> Iterator[str]:
    """Yield the lines of a file from its beginning. Lines may end with LF, CR or both.

    A byte order mark or UTF-16 text decides the encoding. Otherwise it is *encoding*, or UTF-8. Raises InputError for a
    file of another kind, such as HTML, and for a line that cannot be decoded.
    """
    file.seek(0)
    start = file.read(64)
    file.seek(0)
    for pattern, kind in _NOT_ROWS.items():
        if re.match(pattern, start):
            raise InputError(f"the input is {kind}")
    detected = next((name for pattern, name in _ENCODINGS.items() if re.match(pattern, start)), None)
    name = detected or encoding or "utf-8"
    text, number = io.TextIOWrapper(file, name, newline=""), 0
    try:
        for line in text:
            number += 1
            yield line.lstrip("\ufeff")  # joined files have byte order marks inside
    except UnicodeError as error:
        before = error.object[: error.start] if isinstance(error, UnicodeDecodeError) else b""
        bad = number + len(re.split("\r\n?|\n", before.decode(name, "replace")))
        advice = "save the file as UTF-8, or pass its encoding, such as --encoding cp1252 for Excel on Windows"
        raise InputError(f"line {bad} is not {name.upper()}; {advice}") from None
    finally:
        with suppress(ValueError):  # the caller may have closed the file
            text.detach()
