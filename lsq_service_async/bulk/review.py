"""A journal between runs: what it says of its rows, and the user's word on those that are in doubt."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, InvalidRequestError
from .journal_file import JournalFile, State

_IN_DOUBT = (State.UNKNOWN, State.IN_FLIGHT)  # what nobody holds and is in flight was left so by a run that died


def states_in(path: str | os.PathLike[str]) -> dict[State, int]:
    """How many rows of a journal are in which state; none where there is no such file. Blocks."""
    found = _selected(path, "SELECT state, count(*) FROM rows GROUP BY state")
    return {State(state): count for state, count in found}


def unknown_in(path: str | os.PathLike[str]) -> dict[str, str | None]:
    """Keys of the rows that may have been applied, each with the class of its error. Those that a run has in flight
    are among them, as they would be if it died. Blocks."""
    return dict(_selected(path, "SELECT key, error FROM rows WHERE state IN ('unknown', 'in_flight')"))


def _selected(path: str | os.PathLike[str], select: str) -> list[Any]:
    if not Path(path).exists():
        return []
    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=rw", uri=True, timeout=1)) as database:
            return database.execute(select).fetchall()
    except sqlite3.Error as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read as a journal: {error}") from None


def settle(
    path: str | os.PathLike[str],
    *,
    applied: Mapping[str, str | None] | None = None,
    not_applied: Iterable[str] = (),
) -> None:
    """Say of unknown rows, by their keys, whether they were applied: all of it is believed, or nothing. Blocks.

    ``applied`` brings the number of each row's ticket, None where nobody knows it: the row is done, and skipped from
    now on. What is ``not_applied`` is sent by the next run.

    InvalidRequestError for a row that is not unknown, and for what is no number; ConfigurationError while a run has
    the journal.
    """
    numbers = dict(applied or {})
    for number in numbers.values():
        _check_number(number)
    file = JournalFile(path)
    with file.translated():
        file.open(make=False)
        try:
            _settle(file.database, numbers, not_applied)
        finally:
            file.close()


def _settle(database: sqlite3.Connection, applied: Mapping[str, str | None], not_applied: Iterable[str]) -> None:
    with database:
        database.execute("BEGIN IMMEDIATE")
        for key, number in applied.items():
            _decide(database, key, State.DONE, number)
        for key in not_applied:
            _decide(database, key, State.PENDING)


def _decide(database: sqlite3.Connection, key: str, state: State, number: str | None = None) -> None:
    found = database.execute("SELECT state FROM rows WHERE key = ?", (key,)).fetchone()
    if found is None:
        raise InvalidRequestError(f"there is no row {key!r} in the journal; nothing was changed")
    if State(found[0]) not in _IN_DOUBT:
        raise InvalidRequestError(f"the row {key!r} is {found[0]}, not unknown; nothing was changed")
    update = "UPDATE rows SET state = ?, number = ?, error = NULL WHERE key = ?"
    database.execute(update, (state.value, number, key))


def _check_number(number: str | None) -> None:
    if number is not None and not re.fullmatch(r"[0-9]{1,64}", number):
        raise InvalidRequestError(f"a ticket's number is digits, such as 143, not {number!r:.40}; nothing was changed")
