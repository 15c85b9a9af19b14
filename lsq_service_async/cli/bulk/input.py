"""Reads rows from a CSV or JSONL file or from a pipe, one at a time."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, NoReturn

import attrs
import click

from ... import BulkRow, NewTicket, ServiceClient, TicketUpdate
from ...bulk import BulkJob
from ...bulk.rows import KEY_LENGTH
from ..columns import ERROR, KEY, TARGET, ColumnError, attachment_paths, check_columns, make_ticket, text_value
from ..exit_codes import USAGE

UNREADABLE = "unreadable"
"""The name of the cell that keeps a line that cannot be parsed."""
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


class InputError(click.ClickException):
    """The input as a whole cannot be read. Nothing was sent."""

    exit_code = USAGE


@attrs.frozen
class InputLine:
    """A record of the input, and the number of its first line. `error`: the reason if it is not a valid row."""

    number: int
    cells: Mapping[str, Any]
    error: str | None = None


@attrs.frozen
class FileRow(BulkRow):
    """A row, and the line that it was read from."""

    line: InputLine = attrs.field(kw_only=True, eq=False)


@attrs.frozen
class Csv:
    """A table whose first line names the columns.

    A file with a column `error` is a report: the quotes that `escape_formula` added to its cells are removed.
    """

    columns: tuple[str, ...]
    delimiter: str

    @classmethod
    def from_header(cls, lines: Iterator[str], delimiter: str) -> Csv:
        """Read the first line."""
        try:
            columns = next(csv.reader(lines, delimiter=delimiter, strict=True), None)
        except csv.Error as error:
            raise InputError(f"line 1 cannot be read as CSV: {error}") from None
        if not columns:
            raise InputError("the first line is empty; it must name the columns, such as title,lead_email")
        return cls(tuple(name.strip() for name in columns), delimiter)

    def parse(self, lines: Iterator[str]) -> Iterator[InputLine]:
        """Yield every record after the header. Raises InputError if the rest cannot be split into records."""
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        begin = 1
        try:
            for cells in reader:
                if cells and begin > 1:
                    yield self._line(begin, cells)
                begin = reader.line_num + 1
        except csv.Error as error:
            raise InputError(f"line {begin} cannot be read as CSV ({error}); look for an unclosed quote") from None

    def _line(self, number: int, cells: list[str]) -> InputLine:
        if ERROR in self.columns:
            cells = [cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell for cell in cells]
        record = dict(zip(self.columns, cells, strict=False))
        if len(cells) == len(self.columns):
            return InputLine(number, record)
        counts = f"line {number}: {len(cells)} cells under {len(self.columns)} columns"
        if len(cells) < len(self.columns):
            return InputLine(number, record, f"{counts}; cells are missing")
        # The report keeps all cells: without the extra ones, this line would be a valid row with wrong content.
        advice = f"put quotes around cells that contain {self.delimiter!r}"
        return InputLine(number, {**record, UNREADABLE: cells}, f"{counts}; {advice}")


def escape_formula(cell: str) -> str:
    """Put a quote before a cell that a spreadsheet would evaluate."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


class Jsonl:
    """One JSON object on each line; its names are the columns."""

    columns: tuple[str, ...] = ()

    def parse(self, lines: Iterator[str]) -> Iterator[InputLine]:
        """Yield a record for every line that is not blank."""
        for number, text in enumerate(lines, 1):
            if text.strip():
                yield self._line(number, text)

    def _line(self, number: int, text: str) -> InputLine:
        try:
            record = json.loads(text, parse_constant=_reject_constant)
        except (ValueError, RecursionError) as error:
            reason = f"not JSON ({error}); write one object on each line"
        else:
            if isinstance(record, dict):
                return InputLine(number, record)
            reason = 'not an object; write it like {"title": "..."}'
        return InputLine(number, {UNREADABLE: text.rstrip("\n")}, f"line {number}: {reason}")


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


class Rows:
    """The valid rows of an input, in their order; can be iterated more than once.

    Other lines are passed to `on_bad`. `total` counts all lines, `bad` the invalid ones, `len()` the valid ones.
    """

    def __init__(self, file: BinaryIO, format: Csv | Jsonl, ticket_type: type[NewTicket | TicketUpdate]) -> None:
        """Read the file once to count its lines. Raises InputError for a key that is given twice."""
        self.format = format
        self.total: int = 0
        self.bad: int = 0
        self.on_bad: Callable[[InputLine], None] = lambda line: None
        self._file = file
        self._ticket_type = ticket_type
        seen: set[bytes] = set()
        for line in self._lines():
            self.total += 1
            self.bad += isinstance(self._row(line), InputLine)
            digest = _key_digest(line)
            if digest in seen:
                first = next(other.number for other in self._lines() if _key_digest(other) == digest)
                key = f"{line.cells[KEY]!r:.60}"
                raise InputError(f"lines {first} and {line.number} have the same key {key}; each row needs its own")
            if digest:
                seen.add(digest)

    def __len__(self) -> int:
        return self.total - self.bad

    def __iter__(self) -> Iterator[FileRow]:
        for line in self._lines():
            row = self._row(line)
            if isinstance(row, FileRow):
                yield row
            else:
                self.on_bad(row)

    def _lines(self) -> Iterator[InputLine]:
        self._file.seek(0)
        return self.format.parse(_decode(self._file))

    def _row(self, line: InputLine) -> FileRow | InputLine:
        if line.error:
            return line
        cells = line.cells
        try:
            check_columns(cells, self._ticket_type, in_file=True)
            key, target = text_value(cells, KEY), text_value(cells, TARGET)
            if key and len(key) > KEY_LENGTH:
                raise ColumnError(KEY, f"{len(key)} characters; a key has at most {KEY_LENGTH}")
            if self._ticket_type is TicketUpdate and not target:
                raise ColumnError(TARGET, "it is empty; enter the number of the ticket to change")
            ticket = make_ticket(cells, self._ticket_type)
            return FileRow(key, ticket, attachment_paths(cells), target=target, line=line)
        except ColumnError as error:
            return InputLine(line.number, cells, f"line {line.number}, {error}")


def _key_digest(line: InputLine) -> bytes | None:
    try:
        key = text_value(line.cells, KEY)
    except ColumnError:
        return None  # the row is invalid for this reason
    return blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest() if key else None


def _decode(lines: Iterable[bytes]) -> Iterator[str]:
    """Decode UTF-8 with or without a byte order mark. InputError names the first line that is not UTF-8."""
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"line {number} is not UTF-8; save the file as UTF-8") from None


@attrs.frozen(kw_only=True)
class BulkFile:
    """The argument FILE of a command, with its options and its journal."""

    path: str
    journal: Path
    operation: str
    delimiter: str
    format: str | None

    @contextmanager
    def open(self) -> Iterator[Rows]:
        """Open the input. Raises InputError if it is not a valid table."""
        ticket_type = NewTicket if self.operation == "create" else TicketUpdate
        with _open_seekable(self.path) as file:
            is_jsonl = self.format == "jsonl" if self.format else has_jsonl_suffix(self.path)
            format = Jsonl() if is_jsonl else Csv.from_header(_decode(file), self.delimiter)
            try:
                check_columns(format.columns, ticket_type, in_file=True)
            except ColumnError as error:
                raise InputError(f"line 1, {error}") from None
            yield Rows(file, format, ticket_type)

    def job(self, client: ServiceClient, rows: Rows, **options: Any) -> BulkJob:
        """Return the job that sends the rows."""
        start = client.bulk.create if self.operation == "create" else client.bulk.update
        return start(rows, journal=self.journal, **options)


def has_jsonl_suffix(path: str | os.PathLike[str]) -> bool:
    """Whether a file of this name is read as JSONL by default."""
    return Path(path).suffix.lower() in {".jsonl", ".ndjson"}


def _open_seekable(path: str) -> BinaryIO:
    """Open the input, or an anonymous temporary copy if it can be read only once."""
    try:
        file = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: SIM115 -- closed by the caller
    except OSError as error:
        raise InputError(f"cannot read {path!r}: {error.strerror}") from None
    if path != "-" and file.seekable():
        return file
    copy: BinaryIO = TemporaryFile()  # noqa: SIM115 -- closed by the caller
    shutil.copyfileobj(file, copy)
    copy.seek(0)
    if path != "-":
        file.close()
    return copy
