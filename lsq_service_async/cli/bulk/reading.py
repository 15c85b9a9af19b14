"""A file, or what comes through a pipe, becomes rows: streamed, and told apart from what cannot be read."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import attrs

from ... import BulkRow, TicketUpdate
from ...bulk.rows import KEY_LENGTH
from ..columns import KEY, TARGET, ColumnError, Kind, check_columns, columns_beside, files_of, text_of, ticket_of
from .formats import Csv, Format, InputError, Jsonl, Line, Record, decoded

_JSONL = {".jsonl", ".ndjson"}


@attrs.frozen
class FileRow(BulkRow):
    """A row that remembers where it stood, and what."""

    line: int = attrs.field(kw_only=True, eq=False)
    record: Record = attrs.field(kw_only=True, eq=False)


@attrs.frozen
class BadRow:
    """A line that is no row, and why."""

    line: int
    record: Record
    error: str


@attrs.frozen
class Rows:
    """The rows of an input, as often as they are asked for; each time it is read anew.

    ``count`` is how many there are, bad ones among them.
    """

    file: BinaryIO
    format: Format
    kind: Kind
    count: int

    def __iter__(self) -> Iterator[FileRow | BadRow]:
        for line in self.lines():
            yield row_of_line(line, self.kind)

    def lines(self) -> Iterator[Line]:
        """From the first on, whatever was read before."""
        self.file.seek(0)
        return self.format.lines(decoded(self.file))


@contextmanager
def opened(path: str, *, kind: Kind, delimiter: str, jsonl: bool | None) -> Iterator[Rows]:
    """Read all of it once, so that its length is known and no key comes twice before anything is sent.

    What cannot be read twice is kept in a temporary file (0600, nameless) first. InputError for what is no table.
    """
    with ExitStack() as stack:
        file = stack.enter_context(_regular(path))
        format = _format(path, file, delimiter, jsonl)
        try:
            check_columns(format.columns, kind, columns_beside(kind))
        except ColumnError as error:
            raise InputError(f"line 1, {error}") from None
        rows = Rows(file, format, kind, 0)
        yield attrs.evolve(rows, count=_counted(rows.lines()))


def _counted(lines: Iterable[Line]) -> int:
    """How many there are. InputError for a key that comes twice; on disk, for there may be millions."""
    count = 0
    with closing(sqlite3.connect("")) as seen:
        seen.execute("CREATE TABLE keys (key TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID")
        for line in lines:
            count += 1
            _check_key(line, seen)
    return count


def _check_key(line: Line, seen: sqlite3.Connection) -> None:
    try:
        key = text_of(line.record, KEY)
    except ColumnError:
        return  # said of the row, when its turn comes
    try:
        if key is not None:
            seen.execute("INSERT INTO keys VALUES (?, ?)", (key, line.number))
    except sqlite3.IntegrityError:
        (first,) = seen.execute("SELECT line FROM keys WHERE key = ?", (key,)).fetchone()
        raise InputError(
            f"lines {first} and {line.number} have the same key {key!r:.60}; each row needs its own"
        ) from None


def is_jsonl(path: str | os.PathLike[str]) -> bool:
    """By its suffix."""
    return Path(path).suffix.lower() in _JSONL


def _format(path: str, file: BinaryIO, delimiter: str, jsonl: bool | None) -> Format:
    return Jsonl() if (is_jsonl(path) if jsonl is None else jsonl) else Csv.of(decoded(file), delimiter)


def _regular(path: str) -> BinaryIO:
    if path == "-":
        return _kept(sys.stdin.buffer)
    try:
        file = open(path, "rb")  # noqa: SIM115 -- closed by the caller
    except OSError as error:
        raise InputError(f"{path!r} cannot be read: {error.strerror}") from None
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    with file:
        return _kept(file)


def _kept(stream: Any) -> BinaryIO:
    file: BinaryIO = TemporaryFile()  # noqa: SIM115 -- closed by the caller
    shutil.copyfileobj(stream, file)
    file.seek(0)
    return file


def row_of_line(line: Line, kind: Kind) -> FileRow | BadRow:
    """The row that a line says, or why it says none."""
    if line.error:
        return BadRow(line.number, line.record, f"line {line.number}: {line.error}")
    try:
        check_columns(line.record, kind, columns_beside(kind))
        return _row(line, kind)
    except ColumnError as error:
        return BadRow(line.number, line.record, f"line {line.number}, {error}")


def _row(line: Line, kind: Kind) -> FileRow:
    record = line.record
    return FileRow(
        _key(record), ticket_of(record, kind), files_of(record),
        target=_target(record, kind), line=line.number, record=record,
    )  # fmt: skip


def _key(record: Record) -> str | None:
    key = text_of(record, KEY)
    if key is not None and len(key) > KEY_LENGTH:
        raise ColumnError(KEY, f"{len(key)} characters; a key has at most {KEY_LENGTH}")
    return key


def _target(record: Record, kind: Kind) -> str | None:
    target = text_of(record, TARGET)
    if kind is TicketUpdate and target is None:
        raise ColumnError(TARGET, "it is empty; give the number of the ticket to change")
    return target
