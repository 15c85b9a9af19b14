"""Results on stdout, a line of JSON each, and the report of failed rows, in the form of the input."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import IO

import click

from ..columns import ERROR, KEY
from .formats import UNREADABLE, Csv, Format, Record, harmless


class Results:
    """Where results go. When its reader has left (``| head``) the run goes on, and its exit code tells."""

    def __init__(self) -> None:
        self._unread = False

    def tell(
        self, key: str | None, line: int | None, state: str, number: str | None = None, error: object = None
    ) -> None:
        """One line, flushed. ``line`` is where the row begins in the input."""
        said = None if error is None else str(error)
        result = {"key": key, "line": line, "state": state, "number": number, "error": said}
        try:
            if not self._unread:
                # Not click.echo, which would write past a progress bar into the middle of its line.
                print(json.dumps(result, ensure_ascii=False), flush=True)
        except BrokenPipeError:
            self._unread = True
            _to_nowhere()


def _to_nowhere() -> None:
    # What is left in the buffer would raise once more at the end of the process.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


class Report:
    """Failed rows with the columns that they came with, their key, and why in a column ``error``: to be mended and fed
    back."""

    def __init__(self, path: Path, file: IO[str], format: Format) -> None:
        self.path = path
        self.count: int = 0
        """How many rows it has."""
        self._file = file
        columns = [name for name in format.columns if name != ERROR]
        self._columns = columns if KEY in columns else [*columns, KEY]
        self._csv = csv.writer(file, delimiter=format.delimiter) if isinstance(format, Csv) else None
        if self._csv:
            self._csv.writerow([*self._columns, ERROR])

    def add(self, record: Record, error: object, key: str | None = None) -> None:
        """A row, written through. ``key`` is what the journal knows it by, also where it came without one: content
        that was mended says no more which row it is."""
        self.count += 1
        named = {**record, KEY: key} if key else record
        if self._csv:
            # All cells of a row that has too many, and one more for the key: fed back as it is, it is refused again.
            unread = named.get(UNREADABLE)
            cells = [*unread, ""] if unread else [named.get(name, "") for name in self._columns]
            self._csv.writerow(map(harmless, [*cells, str(error)]))
        else:
            self._file.write(json.dumps({**named, ERROR: str(error)}, ensure_ascii=False) + "\n")
        self._file.flush()


@contextmanager
def report(path: Path, format: Format) -> Iterator[Report]:
    """A report in a file that only its owner may read. An earlier one, which may have been mended, is put aside."""
    try:
        _put_aside(path, beyond=1 if isinstance(format, Csv) else 0)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise click.ClickException(f"the report {str(path)!r} cannot be written: {error.strerror}") from None
    os.fchmod(descriptor, 0o600)
    with open(descriptor, "w", encoding="utf-8", newline="") as file:
        yield Report(path, file, format)


def _put_aside(path: Path, *, beyond: int) -> None:
    """Give a file with more than so many lines another name."""
    if not path.is_file() or path.is_symlink():
        return
    with path.open("rb") as file:
        if not any(islice(file, beyond, None)):
            return
    other = next(other for number in count(1) if not (other := path.with_name(f"{path.name}.{number}")).exists())
    path.rename(other)
    click.echo(f"{path} was there already, perhaps mended: it is {other} now", err=True)
