"""What the demo works on: the rows of ``tickets.csv``, two of them with files."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import attrs

from ... import Attachment, BulkRow, NewTicket

MARKER = "CustomData.DemoRow"
"""The field that says in each ticket which row it came from."""

LOG_ROW = "demo-07"
NOTE_ROW = "demo-23"


@attrs.frozen(kw_only=True)
class DemoRow:
    """A ticket to create, under a ``key`` that no other row has; ``digests`` are the SHA-256 of its files, in order."""

    key: str
    ticket: NewTicket
    attachments: tuple[Path | Attachment, ...] = ()
    digests: tuple[str, ...] = ()

    def for_bulk(self) -> BulkRow:
        """The row, as a bulk run takes it."""
        return BulkRow(self.key, self.ticket, self.attachments)


def demo_rows(folder: Path) -> tuple[DemoRow, ...]:
    """All rows. The file of one of them is written to ``folder``, that of another is in memory only."""
    rows = {row.key: row for row in _read()}
    rows[LOG_ROW] = _with_path(rows[LOG_ROW], folder / "gateway.log")
    rows[NOTE_ROW] = _with_bytes(rows[NOTE_ROW], b"Side door, second corridor on the left; the key is at the desk.\n")
    return tuple(rows.values())


def _read() -> Iterator[DemoRow]:
    text = files(__package__).joinpath("tickets.csv").read_text(encoding="utf-8")
    yield from map(_row, csv.DictReader(text.splitlines()))


def _row(columns: Mapping[str, Any]) -> DemoRow:
    key, fields = columns["key"], {name: text for name, text in columns.items() if name != "key"}
    return DemoRow(key=key, ticket=NewTicket(**fields, fields={MARKER: key}))


def _with_path(row: DemoRow, path: Path) -> DemoRow:
    path.write_bytes(_gateway_log())
    return attrs.evolve(row, attachments=(path,), digests=(_digest(path.read_bytes()),))


def _with_bytes(row: DemoRow, content: bytes) -> DemoRow:
    note = Attachment.from_bytes(content, name="note.txt")
    return attrs.evolve(row, attachments=(note,), digests=(_digest(content),))


def _gateway_log() -> bytes:
    """About 400 KB: a line for every ten seconds of a day."""
    lines = (f"{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02} gateway-3 {_link(at)}\n" for at in range(0, 86400, 10))
    return "".join(lines).encode()


def _link(at: int) -> str:
    return "link 3 down, trying again" if at // 60 % 60 == 40 else "links 1 to 8 up, 0 errors"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
