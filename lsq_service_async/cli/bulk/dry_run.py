"""`plan` and `run --dry-run`: count the calls of a run, and find rows that would fail."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import click

from ... import (
    Attachment,
    AuthenticationError,
    InvalidRequestError,
    LSQServiceError,
    NewTicket,
    ServiceClient,
    TicketUpdate,
)
from ...bulk import Plan, State
from ...bulk.columns import FILES
from ...bulk.journal import match_rows
from ..progress import format_duration
from ..shell import SOME_FAILED, counted
from .formats import InputLine
from .input import BulkFile, FileRow, Rows
from .output import Results

_MAX_PROBLEMS = 20
Validate = Callable[[NewTicket | TicketUpdate], Awaitable[list[str]]]


async def print_plan(file: BulkFile, rows: Rows) -> None:
    """Print the plan, and how many rows would fail."""
    failed, files = 0, _Files()
    states: Counter[State] = Counter()
    async with ServiceClient.from_env() as client:
        job = file.job(client, rows)
        job.plan()  # rejects the journal of another account
        for row, entry, _ in match_rows(file.journal, rows):
            states[entry.state] += 1
            failed += entry.state is not State.DONE and bool(await files.problems_of(row))
        _print_plan(job.plan(states))
    files.print()
    if failed:
        click.echo(f"Rows with files that cannot be sent: {failed}. To print the reasons, use run --dry-run.", err=True)
    if rows.bad:
        click.echo(f"Invalid rows, not counted: {rows.bad}. To print the reasons, use run --dry-run.", err=True)


def _print_plan(plan: Plan) -> None:
    seconds = format_duration(plan.seconds or 0.0)
    done = f"{counted(plan.done, 'row')} {'is' if plan.done == 1 else 'are'} done"
    click.echo(f"{counted(plan.calls or 0, 'call')}, at least {seconds} at the rate limit; {done}", err=True)


async def check_rows(file: BulkFile, rows: Rows, results: Results, marker: str | None = None, **options: Any) -> int:
    """Write a result for each row that would fail, print each problem, and return the exit code."""
    failed, files = rows.bad, _Files()
    counts: Counter[str] = Counter()
    states: Counter[State] = Counter()
    first: dict[str, int] = {}

    def write(line: InputLine, problems: Iterable[str]) -> None:
        for problem in problems:
            counts[problem] += 1
            first.setdefault(problem, line.number)
        results.write_failed(line, line.error or f"line {line.number}: {'; '.join(problems)}")

    # Without the line number, equal problems are counted together.
    rows.on_bad = lambda line: write(line, [re.sub(r"^line \d+[,:] ", "", line.error or "")])
    async with ServiceClient.from_env() as client:
        job = file.job(client, rows, **options)
        job.plan()
        validate = await _validator(client)
        for row, entry, changed in match_rows(file.journal, rows):
            states[entry.state] += 1
            problems = [] if changed is None else [changed]
            if entry.state is not State.DONE:
                problems = [*await validate(row.ticket), *problems, *await files.problems_of(row)]
            if problems:
                failed += 1
                write(row.line, problems)
    for problem, count in counts.most_common(_MAX_PROBLEMS):
        click.echo(f"{counted(count, 'row')}: {problem} (first: line {first[problem]})", err=True)
    if len(counts) > _MAX_PROBLEMS:
        click.echo(f"{len(counts) - _MAX_PROBLEMS:,} more problems; stdout has all problems of each row", err=True)
    _print_plan(job.plan(states))
    files.print()
    click.echo(f"{failed} of {rows.total} rows would fail; no row was sent", err=True)
    return SOME_FAILED if failed else 0


async def _validator(client: ServiceClient) -> Validate:
    """Return a function that checks a ticket by the field metadata. Without metadata, it checks only the lead."""

    async def by_metadata(ticket: NewTicket | TicketUpdate) -> list[str]:
        return [problem.message for problem in await client.metadata.validate(ticket)]

    async def by_lead(ticket: NewTicket | TicketUpdate) -> list[str]:
        if isinstance(ticket, TicketUpdate) or ticket.names_lead:
            return []
        return ["the lead is missing: give lead_id, lead_email or lead_phone"]

    try:
        await client.metadata.validate(NewTicket())
    except AuthenticationError:
        raise  # every row would fail
    except LSQServiceError as error:
        click.echo(f"Checked without the account's field metadata, which only an admin can read: {error}", err=True)
        return by_lead
    return by_metadata


class _Files:
    def __init__(self) -> None:
        self._lengths: list[int] = []

    async def problems_of(self, row: FileRow) -> list[str]:
        """Count the attachments of a row, and return the reasons why some cannot be sent."""
        problems = []
        for file in row.attachments:
            try:
                assert isinstance(file, Attachment)  # noqa: S101 -- rows of a file have no other attachments
                self._lengths.append((await file).length or 0)
            except InvalidRequestError as error:
                problems.append(f"column {FILES}: {error}")
        return problems

    def print(self) -> None:
        if self._lengths:
            click.echo(f"{counted(len(self._lengths), 'file')} to attach, {sum(self._lengths):,} bytes", err=True)
