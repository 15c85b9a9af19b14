"""Writes results to stdout, and failed rows to a report. Lists and resolves unknown rows."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count, islice
from pathlib import Path
from typing import IO, Any

import click

from ..._private_files import open_private_file
from ...bulk import account_in, possible_duplicates_in, ranges_in, resolve, unknown_in
from ...bulk.columns import ERROR, KEY
from ...bulk.journal import match_rows
from ...errors import printable
from ..shell import discard_stdout, print_json, to_json
from .formats import UNREADABLE, InputLine, Jsonl, Table, escape_formula, to_cell
from .input import Rows
from .report import RunPage, lead_page

NUMBER = "number"
"""The column of the ticket numbers in the file of results."""
_FAILED, _APPLIED = "the report of failed rows", "the file of results"


class Report:
    """A file of rows in the format of the input, with the column `key` and the column `error` or `number`."""

    def __init__(self, file: IO[str], format: Table | Jsonl, column: str = ERROR) -> None:
        self.rows: int = 0
        self._file = file
        self._column = column
        self._columns = {field: name for field, name in format.columns.items() if field != ERROR}
        self._columns.setdefault(KEY, KEY)
        self._csv = csv.writer(file, delimiter=format.delimiter) if isinstance(format, Table) else None
        if self._csv:
            self._csv.writerow(map(escape_formula, [*self._columns.values(), column]))
            file.flush()

    def add(self, line: InputLine, value: object, key: str | None = None) -> None:
        """Write a row. *key* is its key in the journal, and identifies the row even after a correction."""
        self.rows += 1
        cells = {**line.cells, KEY: key} if key else line.cells
        if self._csv:
            # All cells of a row that is too long are written, so that it is rejected until it is corrected.
            given = cells.get(UNREADABLE)
            values = [("", cell) for cell in (*given, "")] if given else [(f, cells.get(f, "")) for f in self._columns]
            self._csv.writerow(to_cell(*each) for each in (*values, ("", str(value))))
        else:
            self._file.write(to_json({**cells, self._column: str(value)}, encoding="utf-8") + "\n")
        self._file.flush()


class Results:
    """Writes each row to stdout as a JSON line, failed rows to a report, and applied rows to another file.

    After a write error, calls `on_lost`, and writes no more rows to the lost output.
    """

    def __init__(self, report: Report | None, page: RunPage | None = None, applied: Report | None = None) -> None:
        self.rejected: int = 0
        """Number of failed rows that `retry` can send again."""
        self.in_doubt: int = 0
        """Number of rows that are unknown or may have been applied twice."""
        self.on_lost: Callable[[str, OSError], None] = self._print_lost
        self.page = page
        self._reports = {name: file for name, file in ((_FAILED, report), (_APPLIED, applied)) if file}
        self._is_lost = False

    def write_failed(self, line: InputLine, error: object, key: str | None = None, number: str | None = None) -> None:
        """Write a row that failed because of its content. *key* is its key in the journal."""
        self.rejected += key is not None and number is None
        given: Any = line.cells.get(KEY)  # NaN (no value) is not equal to itself
        self.write(key or (str(given) if given and given == given else None), line, "failed", number, error)
        self._add(_FAILED, line, error, key)

    def write(
        self,
        key: str | None,
        line: InputLine | None,
        state: str,
        number: str | None = None,
        error: object = None,
        *,
        possible_duplicate: bool = False,
    ) -> None:
        """Write a result to stdout and to the page, and an applied row to the file of results."""
        self.in_doubt += state == "unknown" or possible_duplicate
        if line and state in ("created", "updated", "skipped"):
            self._add(_APPLIED, line, number or "", key)
        result = {
            "key": key,
            "line": line and line.number,
            "state": state,
            "number": number,
            "error": None if error is None else str(error),
            "possible_duplicate": possible_duplicate,
        }
        if self.page:
            self.page.add(result, line.cells if line else {})
        try:
            if not self._is_lost:
                print_json(result)
        except OSError as failure:
            self._is_lost = True
            discard_stdout()
            self.on_lost("stdout", failure)

    def _add(self, name: str, line: InputLine, value: object, key: str | None) -> None:
        if report := self._reports.get(name):
            try:
                report.add(line, value, key)
            except OSError as failure:
                del self._reports[name]
                self.on_lost(name, failure)

    def _print_lost(self, name: str, error: OSError) -> None:
        click.echo(f"Cannot write to {name}: {error.strerror}.", err=True)


@contextmanager
def open_report(path: Path, format: Table | Jsonl, column: str = ERROR) -> Iterator[Report]:
    """Create a report that only its owner can read. Rename an earlier report, or delete it if it has no rows."""
    with ExitStack() as stack:
        try:
            descriptor = _create(path, header_lines=1 if isinstance(format, Table) else 0)
            # Half of a surrogate pair is invalid UTF-8, so the report is rejected until the row is corrected.
            file = open(descriptor, "w", encoding="utf-8", errors="surrogatepass", newline="")  # noqa: SIM115 -- closed by stack
            stack.callback(_close, file)
            report = Report(file, format, column)
        except OSError as error:
            raise click.ClickException(f"cannot write the report {str(path)!r}: {error.strerror}") from None
        yield report


def _close(file: IO[str]) -> None:
    with suppress(OSError):  # `on_lost` has printed the error
        file.close()


def _create(path: Path, *, header_lines: int) -> int:
    if path.is_char_device():
        return os.open(path, os.O_WRONLY)
    if os.path.lexists(path):
        _set_aside(path, header_lines=header_lines)
    return open_private_file(path, os.O_WRONLY | os.O_EXCL)


def _set_aside(path: Path, *, header_lines: int) -> None:
    """Rename an earlier report, or delete it if it has no rows."""
    with open(open_private_file(path, os.O_RDONLY), "rb") as file:
        has_rows = any(islice(file, header_lines, None))
    if not has_rows:
        path.unlink()
        return
    other = next(other for number in count(1) if not (other := path.with_name(f"{path.name}.{number}")).exists())
    path.rename(other)
    text = f"The earlier report {path} was renamed to {other}."
    click.echo(printable(text), err=True)


def print_unknown(rows: Rows, journal: Path) -> None:
    """Print a JSON line for each unknown row and each possible duplicate."""
    errors, numbers = unknown_in(journal), possible_duplicates_in(journal)
    if not errors and not numbers:
        click.echo("no unknown rows and no possible duplicates", err=True)
    keys, ranges = {**errors, **numbers}, ranges_in(journal)
    origin = (account_in(journal) or "").partition(", org ")[0]
    lines = {entry.key: row.line for row, entry, _ in match_rows(journal, rows) if entry.key in keys}
    for key in [*lines, *(key for key in keys if key not in lines)]:
        line, sent = lines.get(key), ranges.get(key)
        lead_id = line and line.cells.get("lead_id")
        shown = {
            "key": key,
            "state": "unknown" if key in errors else "done",
            "number": numbers.get(key),
            "error": errors.get(key),
            "possible_duplicate": key in numbers,
            "line": line and line.number,
            "sent_at": sent and sent.sent_at and sent.sent_at.isoformat(timespec="seconds"),
            "above": sent and sent.above,
            "below": sent and sent.below,
            "lead_tickets": lead_page(origin, str(lead_id)) if lead_id else None,
            "row": line and line.cells,
        }
        print_json(shown)


def resolve_unknown(journal: Path, applied: Iterable[str], not_applied: Iterable[str]) -> None:
    """Record applied (KEY[=NUMBER]) and not applied (KEY) rows. If a key or a number is invalid, record no row."""
    keys = unknown_in(journal).keys() | possible_duplicates_in(journal).keys()
    numbers: dict[str, str | None] = {}
    for text in applied:
        key, equals, number = text.rpartition("=")
        key, found = (key, number) if equals and text not in keys else (text, None)  # a key may contain =
        if key in numbers:
            raise click.UsageError(f"--applied names the row {key!r} twice; nothing was changed")
        numbers[key] = found
    resolve(journal, applied=numbers, not_applied=not_applied)
    left = len(unknown_in(journal)), len(possible_duplicates_in(journal))
    click.echo(f"left: {left[0]} unknown, {left[1]} possible duplicates", err=True)
