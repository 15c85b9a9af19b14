"""Stores tickets in a SQLite file, and creates tickets from a JSONL file."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from .multipart import ReceivedFile
from .store import StoredConversation, StoredTicket, TicketStore, Value, lead_details, load_data, parse_json

_APPLICATION = 0x4C535145
"""The SQLite application id of a file of this emulator: "LSQE" in ASCII."""

_SCHEMA = (
    f"PRAGMA application_id = {_APPLICATION}",
    "CREATE TABLE tickets (number INTEGER PRIMARY KEY, is_trashed INTEGER NOT NULL, ticket TEXT NOT NULL)",
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL)",
)

_FIELDS, _IDENTITY, _OTHER_COLUMNS = (load_data("seed")[names] for names in ("fields", "identity", "others"))
"""Special names in a seed file: short names of fields, names of ids, and names that are ignored."""


class TicketFile(TicketStore):
    """A store that saves each change of its tickets in a SQLite file. No change is lost if the process is killed.

    A new file can be read by this user only. Raises ValueError if the file is not a file of an emulator, if another
    user owns it or can write to it, or if another emulator uses it. Raises OSError if the path cannot be opened, or is
    a folder or a symbolic link.
    """

    def __init__(self, path: str | os.PathLike[str], **options: Any) -> None:
        super().__init__(**options)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        with open(os.open(path, flags, 0o600), "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
        is_foreign = hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or status.st_mode & 0o022)
        if is_foreign or not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{os.fspath(path)} must be a regular file, owned by this user and writable by no other")
        self._file = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            self._load()
        except Exception as error:
            self._file.close()
            reason = "another emulator uses it" if "locked" in str(error) else str(error)
            if not isinstance(error, sqlite3.Error):
                reason = "a ticket or a counter in it is damaged"
            raise ValueError(f"{os.fspath(path)} cannot be used for tickets: {reason}. Name another file.") from error

    def _load(self) -> None:
        # With synchronous = OFF, commits survive the end of the process, but not a power failure.
        for statement in ("PRAGMA locking_mode = EXCLUSIVE", "PRAGMA synchronous = OFF", "BEGIN IMMEDIATE"):
            self._file.execute(statement)
        if not self._file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in _SCHEMA:
                self._file.execute(statement)
        if self._file.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
            raise sqlite3.DatabaseError("it is the database of another program")
        for is_trashed, text in self._file.execute("SELECT is_trashed, ticket FROM tickets ORDER BY number"):
            ticket = _ticket(json.loads(text))
            super().put(ticket)
            if details := lead_details(ticket.fields):
                self.leads.find_or_create(details, ticket.lead_id)
            if is_trashed:
                super().trash(ticket.number)
        counters = dict(self._file.execute("SELECT name, value FROM counters"))
        self._first_free = max(self._first_free, counters.get("first_free", 0))
        self._messages = max(0, counters.get("messages", 0))
        self._file.execute("COMMIT")

    def put(self, ticket: StoredTicket) -> StoredTicket:
        super().put(ticket)
        self._save(ticket, is_trashed=False)
        return ticket

    def trash(self, number: str) -> bool:
        is_done = super().trash(number)
        if is_done:
            self._save(self.trashed[number], is_trashed=True)
        return is_done

    def clear(self) -> None:
        super().clear()
        self._file.execute("DELETE FROM tickets")

    def close(self) -> None:
        """Close the file, so that another emulator can use it."""
        self._file.close()

    def _save(self, ticket: StoredTicket, *, is_trashed: bool) -> None:
        text = json.dumps(asdict(ticket), default=datetime.isoformat)
        counters = {"first_free": self._first_free, "messages": self._messages}
        try:
            with self._file:
                self._file.execute("BEGIN")
                self._file.execute("REPLACE INTO tickets VALUES (?, ?, ?)", (int(ticket.number), is_trashed, text))
                self._file.executemany("REPLACE INTO counters VALUES (?, ?)", counters.items())
        except sqlite3.Error as error:
            raise HTTPException(507, f"The emulator cannot write its file of tickets: {error}") from error


def _ticket(saved: Mapping[str, Any]) -> StoredTicket:
    conversations = (
        {**each, "created_on": datetime.fromisoformat(each["created_on"]), "attachments": tuple(each["attachments"])}
        for each in saved["conversations"]
    )
    return StoredTicket(
        **{
            **saved,
            "files": tuple(ReceivedFile(**file) for file in saved["files"]),
            "notes": tuple(saved["notes"]),
            "conversations": tuple(StoredConversation(**each) for each in conversations),
        }
    )


def seed(store: TicketStore, path: str | os.PathLike[str]) -> int:
    """Create a ticket for each line of a JSONL file, and return the number of tickets.

    A line is a row of a bulk run (with names such as ``lead_email``, or schema names), the output of `lsq-service
    ticket get` on one line, or a ticket as the service returns it. If a line has a ticket number, the ticket gets this
    number. If a line cannot be used, the ValueError names the line, and no ticket is created. If the store is full, the
    ValueError names the file, and only the first tickets are created.
    """
    entries: list[dict[str, Any]] = []
    used: set[str] = set()
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{os.fspath(path)} is not UTF-8: {error}") from error
    for place, line in enumerate(lines, 1):
        if line.strip():
            try:
                entry = _seed_entry(parse_json(line))
                for name in {str(entry[name]).lower() for name in ("number", "ticket_id") if entry.get(name)}:
                    if name in used or name in store.trashed or store.find(name):
                        raise ValueError(f"there is a ticket {name} already")
                    used.add(name)
            except ValueError as error:
                raise ValueError(f"{os.fspath(path)}, line {place}: {error}") from error
            entries.append(entry)
    try:
        for entry in sorted(entries, key=lambda entry: "number" not in entry):  # first the lines that have a number
            store.create(**entry)
    except HTTPException as error:
        raise ValueError(f"{os.fspath(path)}: {error.detail}") from error
    return len(entries)


def _seed_entry(line: Any) -> dict[str, Any]:
    """Return the arguments of `TicketStore.create` for one line."""
    if not isinstance(line, dict):
        raise ValueError(f"expected a JSON object, not {type(line).__name__}")
    identity = {own: line[name] for name, own in _IDENTITY.items() if line.get(name) is not None}
    if "number" in identity:
        text = str(identity["number"]).removeprefix("#")
        if not re.fullmatch("[0-9]{1,18}", text) or int(text) == 0:
            raise ValueError(f"{identity['number']!r} is not a ticket number")
        identity["number"] = int(text)
    if not all(isinstance(identity.get(name, ""), str) for name in ("ticket_id", "lead_id")):
        raise ValueError("the id of a ticket or a lead must be text")
    return {"lead_id": None, **identity, "fields": dict(_seed_fields(line))}


def _seed_fields(line: dict[str, Any]) -> Iterator[tuple[str, Value]]:
    """Yield the schema name and value of each field in a line."""
    try:
        if "Fields" in line:
            pairs = [(entry["SchemaName"], entry["Value"]) for entry in line["Fields"]]
        else:
            pairs = [
                (_FIELDS.get(name, name), line[name]) for name in line if name not in {*_IDENTITY, *_OTHER_COLUMNS}
            ]
            if "fields" in line:  # in the output of `ticket get`, names in lower case are not fields
                pairs = [(name, value) for name, value in pairs if not name[:1].islower()]
                pairs += dict(line["fields"]).items()
        if not all(isinstance(name, str) for name, _ in pairs):
            raise TypeError
    except (TypeError, KeyError, ValueError):
        raise ValueError(
            "Fields must be a list of objects with a SchemaName and a Value, and fields must be an object"
        ) from None
    for name, value in pairs:
        if not re.fullmatch(r"[A-Za-z][\w.]*", name) or name.islower():
            raise ValueError(f"{name!r} is not a field; use a name such as title, or a schema name")
        if isinstance(value, bool) or not isinstance(value, str | int | float | None):
            raise ValueError(f"the value of {name} must be text, a number or null")
        yield name, value
