"""Reads rows one at a time, from a file or a pipe."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import tzinfo
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import attrs
import click

from ... import Attachment, BulkRow, NewTicket, ServiceClient, TicketUpdate
from ...bulk import BulkJob
from ...bulk.columns import KEY, Attach, ColumnError, TicketType, row_arguments, text_value
from .formats import (
    JSONL,
    WORKBOOK,
    InputError,
    InputLine,
    Jsonl,
    Table,
    begins_with,
    csv_records,
    detect_delimiter,
    workbook_records,
)


@attrs.frozen
class FileRow(BulkRow):
    """A row with its line of the input."""

    line: InputLine = attrs.field(kw_only=True, eq=False)


class Rows:
    """The valid rows of an input. Invalid lines are passed to `on_bad`.

    `total` counts all lines, `bad` the invalid lines, `len()` the valid lines.
    """

    def __init__(self, format: Table | Jsonl, ticket_type: TicketType, attach: Attach, zone: tzinfo | None) -> None:
        self.format = format
        self.total: int = 0
        self.bad: int = 0
        self.last_line: int = 0
        """The number of the line that was read last."""
        self.on_bad: Callable[[InputLine], None] = lambda line: None
        self._ticket_type = ticket_type
        self._attach = attach
        self._zone = zone
        self.narrow()

    def narrow(self, *, after: int = 0, first: int | None = None) -> None:
        """Keep only lines with a number greater than *after*, and at most *first* of these lines. Count them.

        Raises InputError if a key occurs twice.
        """
        self._after, self._first = after, first
        self.total = self.bad = 0
        seen: set[bytes] = set()
        for line in self._lines():
            self.total += 1
            self.bad += isinstance(self._row(line), InputLine)
            digest = _key_digest(line)
            if digest in seen:
                number = next(other.number for other in self._lines() if _key_digest(other) == digest)
                key = f"{line.cells[KEY]!r:.60}"
                raise InputError(f"lines {number} and {line.number} have the same key {key}; give each row its own key")
            if digest:
                seen.add(digest)

    def _lines(self) -> Iterator[InputLine]:
        return islice((line for line in self.format.lines() if line.number > self._after), self._first)

    def __len__(self) -> int:
        return self.total - self.bad

    def __iter__(self) -> Iterator[FileRow]:
        for line in self._lines():
            self.last_line = line.number
            row = self._row(line)
            if isinstance(row, FileRow):
                yield row
            else:
                self.on_bad(row)

    def _row(self, line: InputLine) -> FileRow | InputLine:
        if line.error:
            return line
        try:
            return FileRow(**row_arguments(line.cells, self._ticket_type, self._attach, self._zone), line=line)
        except ColumnError as error:
            return InputLine(line.number, line.cells, f"line {line.number}, {error.renamed(self.format.columns)}")


def _key_digest(line: InputLine) -> bytes | None:
    try:
        key = text_value(line.cells, KEY)
    except ColumnError:
        return None  # `_row` returns this error
    return blake2b(key.encode(), digest_size=16).digest() if key else None


@attrs.frozen(kw_only=True)
class BulkFile:
    """The argument FILE, with its input options and its journal."""

    path: str
    journal: Path
    operation: str
    delimiter: str | None = None
    format: str | None = None
    encoding: str | None = None
    time_zone: tzinfo | None = None
    attachments_from: Path | None = None
    max_file_bytes: int | None = None

    @property
    def folder(self) -> Path:
        """The folder of the attachments."""
        return self.attachments_from or (Path(self.path).parent if is_regular(self.path) else Path())

    @contextmanager
    def open(self) -> Iterator[Rows]:
        """Open the input. Raises InputError if it cannot be read."""
        ticket_type = NewTicket if self.operation == "create" else TicketUpdate
        attach = partial(Attachment.from_folder, self.folder, max_file_bytes=self.max_file_bytes)
        with _open_seekable(self.path) as file:
            yield Rows(self._format(file, ticket_type), ticket_type, attach, self.time_zone)

    def _format(self, file: BinaryIO, ticket_type: TicketType) -> Table | Jsonl:
        is_jsonl = has_jsonl_suffix(self.path) or begins_with(file, JSONL)
        if self.format == "jsonl" or (not self.format and is_jsonl):
            return Jsonl(file, self.encoding, ticket_type)
        if not self.format and begins_with(file, WORKBOOK):
            return Table(workbook_records(file), ticket_type)
        delimiter = self.delimiter or detect_delimiter(file, self.encoding)
        if delimiter != (self.delimiter or ","):
            click.echo(f"Cells are separated by {delimiter!r}, as in the first line (see --delimiter)", err=True)
        return Table(lambda: csv_records(file, self.encoding, delimiter), ticket_type, delimiter)

    def job(self, client: ServiceClient, rows: Rows, *, only_look_up: bool = False, **options: Any) -> BulkJob:
        """Return the job that sends the rows, or the job that only looks up unknown rows."""
        if only_look_up:
            return client.bulk.look_up(rows, journal=self.journal, lookup=options["on_unknown"])
        start = client.bulk.create if self.operation == "create" else client.bulk.update
        return start(rows, journal=self.journal, **options)


def has_jsonl_suffix(path: str | os.PathLike[str]) -> bool:
    """Whether a file with this name is read as JSONL by default."""
    return Path(path).suffix.lower() in {".jsonl", ".ndjson"}


def is_regular(path: str) -> bool:
    """Whether the input is a regular file outside /dev and /proc, so that a journal can be in the same folder."""
    folder = os.path.realpath(os.path.dirname(path) or ".")
    return os.path.isfile(path) and folder not in ("/dev", "/dev/fd") and not folder.startswith("/proc/")


def _open_seekable(path: str) -> BinaryIO:
    """Open the input, or a temporary copy if the input can be read only once."""
    if path == "-" and sys.stdin is None:
        raise InputError("stdin is closed; pass the name of a file instead of -")
    try:
        file = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: SIM115 -- closed by the caller
    except OSError as error:
        raise InputError(f"cannot read {path!r}: {error.strerror}") from None
    if path != "-" and file.seekable():
        return file
    try:
        with ExitStack() as stack:
            copy: BinaryIO = stack.enter_context(TemporaryFile())
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            stack.pop_all()  # closed by the caller
    except OSError as error:
        advice = "set TMPDIR to a folder with enough space"
        raise InputError(f"cannot copy {path!r} to a temporary file: {error.strerror}; {advice}") from None
    if path != "-":
        file.close()
    return copy
