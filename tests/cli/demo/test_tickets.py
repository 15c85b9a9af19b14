"""The rows of the demo: sixty tickets of nobody, two of them with files."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from lsq_service_async import Attachment
from lsq_service_async.cli.demo.tickets import MARKER


def test_there_are_sixty_rows_and_no_two_alike(rows: Any) -> None:
    """Every row has a key and a title of its own, and carries its key in its ticket."""
    assert 60 == len(rows) == len({row.key for row in rows}) == len({row.ticket.title for row in rows})
    assert [row.key for row in rows] == [row.ticket.fields[MARKER] for row in rows]


def test_every_row_is_a_whole_ticket(rows: Any) -> None:
    """No column is empty."""
    names = ("title", "description", "type", "status", "priority", "channel", "lead_email")
    assert all(getattr(row.ticket, name) for row in rows for name in names)


def test_every_address_is_one_that_nobody_has(rows: Any) -> None:
    """They are on example.com, which is reserved."""
    assert all(re.fullmatch(r"[a-z0-9.]+@example\.com", row.ticket.lead_email) for row in rows)


def test_the_text_is_not_only_ascii(rows: Any) -> None:
    """What would be garbled is there to be garbled, in other scripts too."""
    text = "".join(row.ticket.description for row in rows)
    assert {"₹", "ü", "“", "श"} <= set(text)


def test_two_rows_have_files_one_on_disk_and_one_in_memory(rows: Any, tmp_path: Path) -> None:
    """The one on disk has some hundred kilobytes; each comes with the SHA-256 of its bytes."""
    log, note = [row for row in rows if row.attachments]
    (path,), (memory,) = log.attachments, note.attachments
    assert tmp_path == path.parent
    assert 300_000 < path.stat().st_size < 500_000
    assert (hashlib.sha256(path.read_bytes()).hexdigest(),) == log.digests
    assert isinstance(memory, Attachment)
    assert (hashlib.sha256(memory.source.open().read(1 << 20)).hexdigest(),) == note.digests
