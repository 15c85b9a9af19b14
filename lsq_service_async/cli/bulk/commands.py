"""The group ``bulk``: plan, run, retry, status and unknown."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from ...bulk import BulkJob, State, states_in, unknown_in
from ..client import client_of_env
from ..endings import SOME_FAILED
from ..screen import Output, Screen
from .check import problems
from .options import Job, runs, takes_file
from .reading import BadRow, Rows, is_jsonl
from .run import Run, Source, in_words
from .signals import Signals
from .unknown import show, take_word
from .writing import Report, Results, report

Act = Callable[[Job, Rows, Report | None], Coroutine[Any, Any, int]]


@click.group()
def bulk() -> None:
    """Create or change a ticket for each row of a file.

    FILE is CSV or JSONL (.jsonl, .ndjson); - reads it from a pipe. Columns are fields: title, lead_email, status, ...
    or schema names such as CustomData.X; "key" names a row for ever, "target" the ticket to change, "attachments"
    files (a.jpg;b.pdf). What is done is kept in a journal: the same command again goes on, and repeats nothing.

    LSQ_LIMIT_FILE names the file of a limit that others on this machine share, such as a backend.

    Failed rows are in the --errors report, with why. Mend it, and feed it back with the same journal:

    \b
        bulk run rows.csv --errors bad.csv
        bulk retry bad.csv --journal rows.csv.journal

    Ends with 0; 1 where rows failed or are unknown; 2 for usage; 4 for keys; 75 where it stopped and can go on; 130
    after Ctrl-C.
    """


@bulk.command()
@takes_file
def plan(job: Job) -> None:
    """Say how many calls are left, and how long they take at the limit. Nothing is sent."""
    with job.rows() as rows:
        asyncio.run(_plan(job, rows))


@bulk.command()
@runs
@click.option("--dry-run", is_flag=True, help="Check every row; send nothing.")
@takes_file
def run(job: Job, dry_run: bool, errors: Path | None, on_unknown: str) -> None:
    """Do all rows that are left. Results are lines of JSON on stdout."""
    act = _dry if dry_run else _wet
    _end(job, errors, act(on_unknown=on_unknown))


@bulk.command()
@runs
@takes_file
def retry(job: Job, errors: Path | None, on_unknown: str) -> None:
    """Do all rows that are left, and those that failed.

    FILE is the one that was run, or its mended --errors report together with the --journal of that run. A mended row
    keeps its key.
    """
    _end(job, errors, _wet(on_unknown=on_unknown, retry_failed=True))


@bulk.command()
@takes_file
def status(job: Job) -> None:
    """Say how many rows are in which state. Reads nothing but the journal: rows that no run reached are not counted."""
    _check_journal(job)
    states = states_in(job.journal)
    click.echo(json.dumps({state.value: states.get(state, 0) for state in State}))


@bulk.command()
@click.option("--applied", multiple=True, metavar="KEY[=NUMBER]", help="It was applied, to ticket NUMBER. Repeatable.")
@click.option("--not-applied", multiple=True, metavar="KEY", help="It was not: the next run sends it. Repeatable.")
@takes_file
def unknown(job: Job, applied: tuple[str, ...], not_applied: tuple[str, ...]) -> None:
    """Show the rows that may have been applied, or settle them.

    Look them up in the service, and say what you found by the keys that are shown. All of it is taken, or nothing:

    \b
        bulk unknown rows.csv --applied 17=143 --not-applied 18

    "run --on-unknown resend" sends all unknown rows again instead.
    """
    _check_journal(job)
    if applied or not_applied:
        take_word(job.journal, applied, not_applied)
    else:
        with job.rows() as rows:
            show(rows, unknown_in(job.journal))


def _check_journal(job: Job) -> None:
    if not job.journal.exists():
        raise click.UsageError(
            f"there is no journal {str(job.journal)!r}: nothing has run yet, or --journal is another"
        )


def _end(job: Job, errors: Path | None, act: Act) -> None:
    with job.rows() as rows:
        _check_report(job, errors)
        with report(errors, rows.format) if errors else nullcontext() as failed:
            click.get_current_context().exit(asyncio.run(act(job, rows, failed)))


def _check_report(job: Job, errors: Path | None) -> None:
    if errors is None:
        return
    if errors.resolve() in (Path(job.path).resolve(), job.journal.resolve()) or _is_one_of(errors, job):
        raise click.UsageError("--errors would overwrite the input or its journal; give another name")
    if job.jsonl is None and is_jsonl(errors) != is_jsonl(job.path):
        raise click.UsageError("--errors is written in the format of FILE; give it the same suffix")


def _is_one_of(errors: Path, job: Job) -> bool:
    """Also under another name, by a hard link."""
    return errors.exists() and any(other.exists() and errors.samefile(other) for other in (Path(job.path), job.journal))


async def _plan(job: Job, rows: Rows) -> None:
    source = Source(rows)
    source.bad = sum(isinstance(row, BadRow) for row in rows)
    async with client_of_env() as client:
        _say_plan(job.on(client, source))
    if source.bad:
        click.echo(f"{source.bad} rows cannot be read, and make no call; run --dry-run says why", err=True)


def _say_plan(job: BulkJob) -> None:
    plan = job.plan()
    seconds = in_words(plan.seconds or 0.0)
    click.echo(f"{plan.calls} calls, at least {seconds} at the limit; {plan.done} rows are done", err=True)


def _dry(**options: Any) -> Act:
    async def act(job: Job, rows: Rows, failed: Report | None) -> int:
        results, source, wrong = Results(), Source(rows), 0
        async with client_of_env() as client:
            async for row, error in problems(rows, client):
                wrong += 1
                source.bad += isinstance(row, BadRow)
                results.tell(str(row.record.get("key") or "") or None, row.line, "failed", None, error)
                if failed:
                    failed.add(row.record, error)
            _say_plan(job.on(client, source, **options))
        click.echo(f"{wrong} of {rows.count} rows would fail; nothing was sent", err=True)
        return SOME_FAILED if wrong else 0

    return act


def _wet(**options: Any) -> Act:
    async def act(job: Job, rows: Rows, failed: Report | None) -> int:
        # The signals outermost: closing the client takes time too.
        with Signals() as signals:
            async with client_of_env() as client:
                with Screen(Output(stderr=True, highlight=False), "rows", rows.count) as screen:
                    job_of = functools.partial(job.on, client, **options)
                    this_run = Run(rows, job_of, screen, failed, signals)
                    code = await this_run.to_its_end()
        if failed and failed.count:
            click.echo(f"Mend the rows in {failed.path}, then: {job.retry_of(failed.path)}", err=True)
        elif failed is None and this_run.refused and job.path != "-":
            again = job.retry_of(Path(job.path))
            click.echo(f"To send what failed once more: {again}; --errors FILE writes it out to be mended", err=True)
        return code

    return act
