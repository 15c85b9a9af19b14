"""Rows that may or may not have been applied: shown, and settled by the user's word."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path

import click

from ...bulk import row_of, settle, unknown_in
from .reading import BadRow, FileRow, Rows


def show(rows: Rows, keys: Mapping[str, str | None]) -> None:
    """A line of JSON for each: those of the input with their line and columns, then those that are not in it."""
    shown = set()
    for row, key in _unknown_rows(rows, keys):
        _tell(key, keys[key], row)
        shown.add(key)
    for key, error in keys.items():
        if key not in shown:
            _tell(key, error, None)


def _tell(key: str, error: str | None, row: FileRow | None) -> None:
    shown = {"key": key, "state": "unknown", "number": None, "error": error}
    place = {"line": row.line, "row": row.record} if row else {"line": None, "row": None}
    click.echo(json.dumps({**shown, **place}, ensure_ascii=False))


def _unknown_rows(rows: Rows, keys: Mapping[str, str | None]) -> Iterator[tuple[FileRow, str]]:
    """Rows without a key are known by their content and its occurrence, as the journal does."""
    bases = {key.partition("-")[0] for key in keys}
    seen: Counter[str] = Counter()
    for row in rows:
        if isinstance(row, BadRow):
            continue
        key = row.key or row_of(row).digest
        if row.key is None and key in bases:
            seen[key] += 1
            key = key if seen[key] == 1 else f"{key}-{seen[key]}"
        if key in keys:
            yield row, key


def take_word(journal: Path, applied: Iterable[str], not_applied: Iterable[str]) -> None:
    """Settle rows, given as KEY[=NUMBER] and KEY, all or none of them."""
    keys = unknown_in(journal)
    numbers = [_with_number(text, keys) for text in applied]
    twice = [key for key, times in Counter(key for key, _ in numbers).items() if times > 1]
    if twice:
        raise click.UsageError(f"--applied names the row {twice[0]!r} twice; nothing was changed")
    settle(journal, applied=dict(numbers), not_applied=not_applied)
    click.echo(f"unknown rows now: {len(unknown_in(journal))}", err=True)


def _with_number(text: str, keys: Container[str]) -> tuple[str, str | None]:
    """A key may have a = in it, too."""
    key, equals, number = text.rpartition("=")
    return (key, number) if equals and text not in keys else (text, None)
