"""The group `bulk`: plan, run, retry, status and unknown."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from ...bulk import State, states_in, unknown_in
from .dry_run import check_rows, print_plan
from .input import BulkFile, has_jsonl_suffix
from .output import Results, open_report, print_unknown, resolve_unknown
from .run import send_rows

Command = Callable[..., Any]


@click.group()
def bulk() -> None:
    """Create or change a ticket for each row of a file.

    FILE is CSV or JSONL (.jsonl, .ndjson), or - for a pipe. Columns are fields, such as title, lead_email or status,
    or schema names, such as CustomData.X. The column "key" identifies a row permanently, "target" is the number of the
    ticket to change, and "attachments" lists files (a.jpg;b.pdf).

    A journal records what is done. The same command again continues, and sends no row twice.

    Failed rows are written to the --errors report with the reason. Correct them and send the report with the same
    journal:

    \b
        bulk run rows.csv --errors bad.csv
        bulk retry bad.csv --journal rows.csv.journal

    Set LSQ_LIMIT_FILE to a file to share the rate limit with other programs on this machine.

    Exit codes: 0 all rows done, 1 rows failed or unknown, 2 wrong usage or settings, 4 rejected keys, 75 stopped and
    can continue, 130 Ctrl-C.
    """


def _takes_file(command: Command) -> Command:
    """Add FILE and its options, passed to the command as a `BulkFile`."""

    @functools.wraps(command)
    def with_file(
        file: str, journal: Path | None, operation: str, delimiter: str, format: str | None, **options: Any
    ) -> Any:
        if journal is None and file == "-":
            raise click.UsageError("rows from a pipe (-) need --journal")
        path = journal or Path(f"{file}.journal")
        given = BulkFile(path=file, journal=path, operation=operation, delimiter=delimiter, format=format)
        return command(given, **options)

    for option in (
        click.option("--format", type=click.Choice(["csv", "jsonl"]), help="Default: by the suffix of FILE."),
        click.option("--delimiter", default=",", show_default=True, callback=_one_character, help="Between CSV cells."),
        click.option("--operation", type=click.Choice(["create", "update"]), default="create", show_default=True),
        click.option("--journal", type=click.Path(dir_okay=False, path_type=Path), help="Default: FILE.journal."),
        click.argument("file"),
    ):
        with_file = option(with_file)
    return with_file


def _one_character(context: click.Context, parameter: click.Parameter, value: str) -> str:
    value = value.replace("\\t", "\t")
    if len(value) != 1 or value in '"\r\n':
        raise click.BadParameter("expected one character, such as ; or \\t")
    return value


def _sends(command: Command) -> Command:
    """Add the options of commands that send rows."""
    unknown = click.Choice(["skip", "stop", "resend"])
    for option in (
        click.option("--errors", type=click.Path(dir_okay=False, path_type=Path), help="Report of failed rows."),
        click.option(
            "--on-unknown", type=unknown, default="skip", show_default=True, help="Rows that may have been applied."
        ),
    ):
        command = option(command)
    return command


@bulk.command()
@_takes_file
def plan(file: BulkFile) -> None:
    """Print how many calls are left, and how long they take at the rate limit. Sends nothing."""
    with file.open() as rows:
        asyncio.run(print_plan(file, rows))


@bulk.command()
@_sends
@click.option("--dry-run", is_flag=True, help="Check every row and send nothing.")
@_takes_file
def run(file: BulkFile, dry_run: bool, errors: Path | None, on_unknown: str) -> int:
    """Send all rows that are left. Prints one JSON line for each row."""
    return _run(file, errors, dry_run=dry_run, on_unknown=on_unknown)


@bulk.command()
@_sends
@_takes_file
def retry(file: BulkFile, errors: Path | None, on_unknown: str) -> int:
    """Send all rows that are left, and those that failed.

    FILE is the file that was run, or its corrected --errors report with the --journal of that run. A corrected row
    keeps its key.
    """
    return _run(file, errors, on_unknown=on_unknown, retry_failed=True)


def _run(file: BulkFile, errors: Path | None, *, dry_run: bool = False, **options: Any) -> int:
    with file.open() as rows:
        _check_report(file, errors)
        with open_report(errors, rows.format) if errors else nullcontext() as report:
            results = Results(report)
            code = asyncio.run((check_rows if dry_run else send_rows)(file, rows, results, **options))
    if report and report.rows and not dry_run:
        click.echo(f"Correct the rows in {report.path}, then run: {file.retry_command(report.path)}", err=True)
    elif not report and results.rejected and file.path != "-":
        click.echo(f"To send the failed rows again, run: {file.retry_command(file.path)}", err=True)
        click.echo("To correct them first, add --errors FILE, which writes them to a file.", err=True)
    return code


def _check_report(file: BulkFile, errors: Path | None) -> None:
    if errors is None:
        return
    if errors.resolve() in (Path(file.path).resolve(), file.journal.resolve()):
        raise click.UsageError("--errors would overwrite the input or its journal; use another name")
    if not file.format and has_jsonl_suffix(errors) != has_jsonl_suffix(file.path):
        raise click.UsageError("--errors is written in the format of FILE; use the same suffix")


@bulk.command()
@_takes_file
def status(file: BulkFile) -> None:
    """Print how many rows are in each state. Reads only the journal: rows that no run has reached are not counted."""
    _check_journal(file)
    states = states_in(file.journal)
    click.echo(json.dumps({state.value: states.get(state, 0) for state in State}))


@bulk.command()
@click.option("--applied", multiple=True, metavar="KEY[=NUMBER]", help="Applied, to ticket NUMBER. Repeatable.")
@click.option("--not-applied", multiple=True, metavar="KEY", help="Not applied: the next run sends it. Repeatable.")
@_takes_file
def unknown(file: BulkFile, applied: tuple[str, ...], not_applied: tuple[str, ...]) -> None:
    """List the rows that may have been applied, or resolve them.

    Look for their tickets in the service, then record the results by the keys of the list. Either all of them are
    recorded or none:

    \b
        bulk unknown rows.csv --applied 17=143 --not-applied 18

    To send all unknown rows again instead, use "bulk run --on-unknown resend".
    """
    _check_journal(file)
    if applied or not_applied:
        resolve_unknown(file.journal, applied, not_applied)
    else:
        with file.open() as rows:
            print_unknown(rows, unknown_in(file.journal))


def _check_journal(file: BulkFile) -> None:
    if not file.journal.exists():
        raise click.UsageError(f"no journal at {str(file.journal)!r}; run \"bulk run\" first, or pass --journal")
