"""CSV and JSONL, as records with the number of the line on which each begins."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

import attrs
import click

from ..columns import ERROR

Record = Mapping[str, Any]
UNREADABLE = "unreadable"
"""Where a record keeps what could not be made a record of."""
_RISKY = ("=", "+", "-", "@", "\t", "\r")


class InputError(click.ClickException):
    """The input as a whole cannot be read; nothing was sent. Ends with 2."""

    exit_code = 2


@attrs.frozen
class Line:
    """What stands on a line. ``error`` says why it is no record; ``record`` is then what could be made of it."""

    number: int
    record: Record
    error: str | None = None


def decoded(lines: Iterable[bytes]) -> Iterator[str]:
    """UTF-8 without its byte order mark. InputError names the line that is something else."""
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"line {number} is not UTF-8; save the file as UTF-8") from None


@attrs.frozen
class Csv:
    """A table whose first line names the columns.

    Reports are read as they were written: in a file with a column ``error`` the ' before = + - @ is taken off again.
    """

    columns: tuple[str, ...]
    delimiter: str

    @classmethod
    def of(cls, lines: Iterator[str], delimiter: str) -> Csv:
        """The format of a file that begins with these lines."""
        try:
            columns = next(csv.reader(lines, delimiter=delimiter, strict=True), None)
        except csv.Error as error:
            raise InputError(f"line 1 cannot be read as CSV: {error}") from None
        if not columns:
            raise InputError("the first line is empty; it must name the columns, such as title,lead_email")
        return cls(tuple(name.strip() for name in columns), delimiter)

    def lines(self, lines: Iterator[str]) -> Iterator[Line]:
        """All but the first. InputError where the rest of the table cannot be told apart."""
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        begin = 1
        try:
            for cells in reader:
                if cells and begin > 1:
                    yield self._line(begin, cells)
                begin = reader.line_num + 1
        except csv.Error as error:
            raise InputError(
                f"line {begin} cannot be read as CSV ({error}); look for a quote that is not closed"
            ) from None

    def _line(self, number: int, cells: list[str]) -> Line:
        cells = list(map(self._read, cells))
        record = dict(zip(self.columns, cells, strict=False))
        if len(cells) == len(self.columns):
            return Line(number, record)
        counts = f"{len(cells)} cells under {len(self.columns)} columns"
        if len(cells) < len(self.columns):
            return Line(number, record, f"{counts}; cells are missing")
        why = f"{counts}; put quotes around cells with a {self.delimiter!r} in them"
        # Cut to the columns, a report of it would pass for a row that nobody has written.
        return Line(number, {**record, UNREADABLE: cells}, why)

    def _read(self, cell: str) -> str:
        return cell[1:] if ERROR in self.columns and cell.startswith("'") and _is_risky(cell) else cell


def harmless(cell: str) -> str:
    """A cell that a spreadsheet would calculate, with a ' before it."""
    return f"'{cell}" if _is_risky(cell) else cell


def _is_risky(cell: str) -> bool:
    return cell.lstrip("'").startswith(_RISKY)


class Jsonl:
    """An object on each line, whose names are the columns."""

    columns: tuple[str, ...] = ()

    def lines(self, lines: Iterator[str]) -> Iterator[Line]:
        """A line for each that is not blank."""
        for number, text in enumerate(lines, 1):
            if text.strip():
                yield _object(number, text)


def _object(number: int, text: str) -> Line:
    try:
        record = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return Line(number, {UNREADABLE: text.rstrip("\n")}, f"it is not JSON ({error}); write one object on each line")
    if not isinstance(record, dict):
        return Line(number, {UNREADABLE: text.rstrip("\n")}, 'it is no object; write it like {"title": "..."}')
    return Line(number, record)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


Format = Csv | Jsonl
