"""The group `bulk`: plan, run, retry, look, status and unknown."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import click

from ... import Lookup
from ...bulk import State, account_in, operation_in, states_in
from ...errors import printable
from ..shell import TIME_ZONE, print_json, reject_options
from .dry_run import check_rows, print_plan
from .formats import Jsonl
from .input import BulkFile, Rows, has_jsonl_suffix, is_regular
from .output import NUMBER, Results, open_report, print_unknown, resolve_unknown
from .report import open_page
from .run import send_first, send_rows


@click.group()
def bulk() -> None:
    """Create or update a ticket for each row of a file.

    FILE is CSV, JSONL (.jsonl, .ndjson) or an Excel workbook, or - for stdin. Each column has the name of a field,
    such as title, lead email or status, or a schema name, such as CustomData.X. The column "key" identifies a row in
    all runs. The column "target" has the number of the ticket to update. The column "attachments" lists files
    (a.jpg;b.pdf) in the folder of FILE or below it.

    A journal records every row. After an interruption, the same command continues and skips finished rows.

    The option --errors writes failed rows and their errors to a report. Correct the report, and send it with the same
    journal:

    \b
        bulk run rows.csv --errors bad.csv
        bulk retry bad.csv --journal rows.csv.journal

    To share the rate limit with other programs, set LSQ_LIMIT_FILE to a file on this machine, or LSQ_LIMIT_REDIS to the
    address of a Redis server.

    Exit codes: 0 all rows done, 1 a row failed, is unknown or may have been applied twice, 2 wrong usage or settings,
    4 wrong API keys or a missing permission, 75 the run stopped and can continue, 130 Ctrl-C.
    """


def _one_character(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    value = value and value.replace("\\t", "\t")
    if value is not None and (len(value) != 1 or value in '"\r\n'):
        raise click.BadParameter("expected one character, such as ; or \\t")
    return value


def _text_encoding(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    try:
        "".encode(value or "utf-8")
    except (LookupError, ValueError):
        raise click.BadParameter(f"{value!r} is not an encoding; write one such as cp1252 or utf-16") from None
    return value


_MAX_FILE_BYTES = 100 << 20
_INPUT_OPTIONS = ("delimiter", "encoding", "format", "time_zone", "attachments_from")
_PATH = click.Path(dir_okay=False, path_type=Path)
_ON_UNKNOWN = click.Choice(["skip", "stop", "resend", "look"])
_FILE: list[click.Parameter] = [
    click.Argument(["path"], metavar="FILE"),
    click.Option(["--journal"], type=_PATH, help="File that records every row. Default: FILE.journal."),
    click.Option(
        ["--operation"],
        type=click.Choice(["create", "update"]),
        help="Create a ticket for each row, or update its target. Default: the operation in the journal, or create.",
    ),
    click.Option(
        ["--delimiter"],
        callback=_one_character,
        help="Character between CSV cells. Default: detected in the first line.",
    ),
    click.Option(
        ["--encoding"],
        callback=_text_encoding,
        help="Encoding of FILE, such as cp1252. Ignored if FILE has a byte order mark or is UTF-16. Default: UTF-8.",
    ),
    click.Option(
        ["--format"],
        type=click.Choice(["csv", "jsonl"]),
        help="Format of FILE. Default: detected from its suffix and its first bytes.",
    ),
    TIME_ZONE,
    click.Option(
        ["--attachments-from"],
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Folder of the attachments. Default: the folder of FILE, or the current folder for a pipe.",
    ),
    click.Option(
        ["--max-file-bytes"],
        type=click.IntRange(min=1),
        default=_MAX_FILE_BYTES,
        show_default=True,
        help="Maximum size of an attachment.",
    ),
]
_LOOK: list[click.Parameter] = [
    click.Option(
        ["--marker"],
        metavar="FIELD",
        help="Custom field that stores the reference of each row, so that a look-up recognizes the ticket.",
    ),
    click.Option(
        ["--quiet"],
        type=click.FloatRange(0, 3600),
        default=60.0,
        show_default=True,
        help="Look up an unknown row only after a run has created a ticket at least this many seconds after the row's "
        "request.",
    ),
    click.Option(
        ["--max-reads"],
        type=click.IntRange(0),
        default=200,
        show_default=True,
        help="Maximum number of reads that a run makes for look-ups.",
    ),
]
_SEND: list[click.Parameter] = [
    click.Option(
        ["--on-unknown"],
        type=_ON_UNKNOWN,
        default="skip",
        show_default=True,
        help="Action for rows that may have been applied. With look, read the tickets that they may have created.",
    ),
    *_LOOK,
    click.Option(
        ["--fence"],
        is_flag=True,
        help="With --on-unknown look: hold back the last four rows until all other rows are finished, so that each "
        "unknown row can be looked up.",
    ),
    click.Option(["--errors"], type=_PATH, help="Write failed rows to this file."),
    click.Option(["--report"], type=_PATH, help="Write a page about the run to this .html file."),
    click.Option(
        ["--results", "applied"], type=_PATH, help="Write applied rows to this file, with their ticket numbers."
    ),
]


@bulk.command(params=[*_FILE])
def plan(**options: Any) -> None:
    """Print how many calls a run would make, and how long it would take. Sends no request."""
    file = _bulk_file(**options)
    with file.open() as rows:
        asyncio.run(print_plan(file, rows))


@bulk.command(params=[*_FILE, *_SEND])
@click.option("--dry-run", is_flag=True, help="Check every row against the field metadata of the account; send no row.")
@click.option(
    "--first",
    type=click.IntRange(min=1),
    metavar="N",
    help="Send the first N rows, print the fields that the service changed, and ask before the other rows are sent.",
)
def run(dry_run: bool, first: int | None, **options: Any) -> int:
    """Send all rows that are not finished. Prints one JSON line for each row."""
    if first is None:
        return _run(check_rows if dry_run else send_rows, **options)
    if dry_run:
        raise click.UsageError("--dry-run checks every row; leave out --first")
    return _run(partial(send_first, first=first), **options)


@bulk.command(params=[*_FILE, *_SEND])
def retry(**options: Any) -> int:
    """Send failed rows again, and all rows that are not finished.

    FILE is the file of an earlier run, or the corrected --errors report of that run. With a report, pass the --journal
    of the run. Do not change the keys of the rows.
    """
    return _run(partial(send_rows, retry_failed=True), **options)


@bulk.command(params=[*_FILE, *_LOOK])
def look(**options: Any) -> int:
    """Look up unknown rows without sending them.

    Reads every ticket that an unknown row may have created. Prints one JSON line for each unknown row, with its
    new state: created, unknown or failed. If an unknown row is now failed, it was not applied, and the next run sends
    it. Rows of FILE that are invalid or have changed are also printed as failed, but the next run does not send them.

    A row can be looked up only after a run with this journal has created a later ticket.
    """
    file = _bulk_file(**options)
    if file.operation == "update":
        raise click.UsageError("look finds only created tickets; these rows are updates")
    _existing_journal(file)
    return _run(partial(send_rows, only_look_up=True), on_unknown="look", fence=False, **options)


@bulk.command(params=[*_FILE])
def status(**options: Any) -> None:
    """Print how many rows of the journal are in each state.

    Lines that cannot be read as rows, and rows that no run has reached, are not in the journal.
    """
    states = states_in(_existing_journal(_bulk_file(**options)))
    print_json({state.value: states.get(state, 0) for state in State})


@bulk.command(params=[*_FILE])
@click.option(
    "--applied", multiple=True, metavar="KEY[=NUMBER]", help="Record a row as applied, with ticket NUMBER. Repeatable."
)
@click.option(
    "--not-applied",
    multiple=True,
    metavar="KEY",
    help="Record a row as not applied. The next run sends it. Repeatable.",
)
def unknown(applied: tuple[str, ...], not_applied: tuple[str, ...], **options: Any) -> None:
    """List or resolve unknown rows and possible duplicates.

    An unknown row may have been applied. A possible duplicate may have been applied twice. Look for the
    tickets of these rows in the service, or use "bulk look" for unknown rows. Then record the result for each key:

    \b
        bulk unknown rows.csv --applied 17=143 --not-applied 18

    For an unknown row, "sent_at" is the time when the row was sent. The number of its ticket is higher than "above"
    and, if "below" is known, lower than "below". If the row has a lead_id, "lead_tickets" is the address of a page with
    all tickets of the lead.

    For a possible duplicate, --applied KEY=NUMBER records the ticket that you keep. If a key or a ticket number is
    invalid, no result is recorded. To send all unknown rows again, use "bulk run --on-unknown resend".
    """
    file = _bulk_file(**options)
    journal = _existing_journal(file)
    if applied or not_applied:
        resolve_unknown(journal, applied, not_applied)
    else:
        with file.open() as rows:
            print_unknown(rows, journal)


def _bulk_file(path: str, journal: Path | None, operation: str | None, **options: Any) -> BulkFile:
    """Return FILE with its journal and its input options."""
    # `BulkFile.open` rejects folders and missing files.
    is_file = is_regular(path) or os.path.isdir(path) or not os.path.exists(path)
    if journal is None and (path == "-" or not is_file):
        raise click.UsageError(f"rows from a pipe or a device ({path}) need --journal")
    journal = journal or Path(f"{path}.journal")
    recorded = operation_in(journal)
    is_update = operation == "update" or (operation is None and recorded == "updated")
    given = {name: options[name] for name in (*_INPUT_OPTIONS, "max_file_bytes")}
    return BulkFile(path=path, journal=journal, operation="update" if is_update else "create", **given)


def _existing_journal(file: BulkFile) -> Path:
    """Return the path of the journal, and print its account."""
    if not file.journal.exists():
        raise click.UsageError(f'no journal at {str(file.journal)!r}; run "bulk run" first, or pass --journal')
    account = account_in(file.journal) or "not recorded yet; the next run records it"
    click.echo(f"account: {printable(account, 300)}", err=True)
    return file.journal


def _run(
    send: Callable[..., Coroutine[Any, Any, int]],
    *,
    on_unknown: str,
    marker: str | None,
    quiet: float,
    max_reads: int,
    fence: bool,
    errors: Path | None = None,
    applied: Path | None = None,
    report: Path | None = None,
    **options: Any,
) -> int:
    """Open the input and all outputs, call *send*, and print the next commands."""
    if on_unknown != "look":
        reject_options("quiet", "max_reads", "fence", without="--on-unknown look")
    lookup = Lookup(quiet=quiet, max_reads=max_reads, fence=fence)
    file = _bulk_file(**options)
    with ExitStack() as stack:
        rows = stack.enter_context(file.open())
        _check_outputs(file, rows, {"--errors": errors, "--results": applied})
        failed = stack.enter_context(open_report(errors, rows.format)) if errors else None
        done = stack.enter_context(open_report(applied, rows.format, NUMBER)) if applied else None
        results = Results(failed, stack.enter_context(open_page(report, file.path)) if report else None, done)
        action = lookup if on_unknown == "look" else on_unknown
        code = asyncio.run(send(file, rows, results, marker=marker, on_unknown=action))
    has_failed = failed is not None and failed.rows > 0 and send is not check_rows
    _print_next_commands(file, results, errors if has_failed else None)
    return code


def _check_outputs(file: BulkFile, rows: Rows, outputs: Mapping[str, Path | None]) -> None:
    """Raise UsageError if an output would overwrite another file, or has the suffix of another format."""
    is_jsonl = isinstance(rows.format, Jsonl)
    paths = {Path(file.path).resolve(): "the input", file.journal.resolve(): "the journal"}
    for option, path in outputs.items():
        if path is None:
            continue
        if path.resolve() in paths:
            raise click.UsageError(f"{option} would overwrite {paths[path.resolve()]}; use another name")
        if not file.format and path.suffix != Path(file.path).suffix and has_jsonl_suffix(path) != is_jsonl:
            suffix = ".jsonl" if is_jsonl else ".csv"
            raise click.UsageError(f"{option} is written in the format of FILE; use the same suffix, or {suffix}")
        if path.suffix.lower().startswith((".xls", ".ods")):
            raise click.UsageError(f"{option} cannot write a workbook; use a name that ends with .csv")
        paths[path.resolve()] = f"the file of {option}"


def _print_next_commands(file: BulkFile, results: Results, errors: Path | None) -> None:
    """Print the commands for unknown and failed rows. *errors* is a report with rows that `retry` can send."""
    if results.in_doubt and file.path != "-":
        click.echo(f"To list unknown rows and possible duplicates, run: {_command(file, 'unknown')}", err=True)
    if errors:
        text = f"Correct the rows in {printable(str(errors))}, then run: {_command(file, 'retry', errors)}"
        click.echo(text, err=True)
    elif results.rejected and file.path != "-":
        click.echo(f"To send the failed rows again, run: {_command(file, 'retry')}", err=True)
        run = f"{_command(file, 'run')} --errors REPORT"
        click.echo(f"To correct these rows first, write them to REPORT: {run}", err=True)


def _command(file: BulkFile, name: str, path: Path | None = None) -> str:
    """Return a command line to paste, with the same journal and input options."""
    given = str(path or file.path)
    if path is not None:  # a report is always UTF-8
        is_same = path.parent.resolve() == file.folder.resolve()
        file = attrs.evolve(file, encoding=None, attachments_from=file.attachments_from if is_same else file.folder)
    path_to_paste = f"./{given}" if given.startswith("-") else given
    words = [str(click.get_current_context().find_root().info_name), "bulk", name, _quoted(path_to_paste)]
    words += [] if str(file.journal) == f"{given}.journal" else ["--journal", _quoted(str(file.journal))]
    for option in _INPUT_OPTIONS:
        if (value := getattr(file, option)) is not None:
            words += [f"--{option.replace('_', '-')}", _quoted(str(value))]
    words += [] if file.max_file_bytes == _MAX_FILE_BYTES else ["--max-file-bytes", str(file.max_file_bytes)]
    return " ".join(words)


def _quoted(path: str) -> str:
    """Quote a path for a shell, without invisible characters."""
    if path.isprintable():
        return shlex.quote(path)
    plain = bytes(set(range(0x20, 0x7F)) - set(b"'\\"))
    return "$'" + "".join(chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in os.fsencode(path)) + "'"
