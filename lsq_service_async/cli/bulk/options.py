"""What the commands of ``bulk`` are told: the input, how to read it, and the journal."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import attrs
import click

from ... import NewTicket, ServiceClient, TicketUpdate
from ...bulk import BulkJob
from ..columns import Kind
from .reading import Rows, opened

Command = Callable[..., Any]


@attrs.frozen(kw_only=True)
class Job:
    """Which rows, and which journal."""

    path: str
    journal: Path
    operation: str
    delimiter: str
    jsonl: bool | None

    def rows(self) -> AbstractContextManager[Rows]:
        """The input, opened; see `opened`."""
        return opened(self.path, kind=self.kind, delimiter=self.delimiter, jsonl=self.jsonl)

    @property
    def kind(self) -> Kind:
        return NewTicket if self.operation == "create" else TicketUpdate

    def on(self, client: ServiceClient, source: Any, **options: Any) -> BulkJob:
        """The job of the library."""
        start = client.bulk.create if self.operation == "create" else client.bulk.update
        return start(source, journal=self.journal, **options)

    def retry_of(self, report: Path) -> str:
        """The command that sends the rows of a mended report, with the journal that knows them."""
        words = [str(click.get_current_context().find_root().info_name), "bulk retry"]
        words += [shlex.quote(str(report)), "--journal", shlex.quote(str(self.journal))]
        words += ["--operation update"] if self.operation == "update" else []
        words += [] if self.delimiter == "," else ["--delimiter", shlex.quote(self.delimiter)]
        words += [] if self.jsonl is None else ["--format", "jsonl" if self.jsonl else "csv"]
        return " ".join(words)


def takes_file(command: Command) -> Command:
    """FILE and the options that say how to read it, given to the command as a `Job`."""

    def with_job(
        file: str, journal: Path | None, operation: str, delimiter: str, format: str | None, **options: Any
    ) -> Any:
        if journal is None and file == "-":
            raise click.UsageError("rows from a pipe need a --journal of their own")
        jsonl = None if format is None else format == "jsonl"
        where = journal or Path(f"{file}.journal")
        job = Job(path=file, journal=where, operation=operation, delimiter=delimiter, jsonl=jsonl)
        return command(job, **options)

    with_job.__doc__, with_job.__name__ = command.__doc__, command.__name__
    for decorate in (
        click.option("--format", type=click.Choice(["csv", "jsonl"]), help="By default as the suffix of FILE says."),
        click.option("--delimiter", default=",", show_default=True, callback=_one_character, help="Between CSV cells."),
        click.option("--operation", type=click.Choice(["create", "update"]), default="create", show_default=True),
        click.option("--journal", type=click.Path(dir_okay=False, path_type=Path), help="By default FILE.journal."),
        click.argument("file"),
    ):
        with_job = decorate(with_job)
    return with_job


def _one_character(context: click.Context, parameter: click.Parameter, value: str) -> str:
    value = value.replace("\\t", "\t")
    if len(value) != 1 or value in '"\r\n':
        raise click.BadParameter("one character, such as ; or \\t")
    return value


def runs(command: Command) -> Command:
    """The options of commands that send."""
    for decorate in (
        click.option("--errors", type=click.Path(dir_okay=False, path_type=Path), help="Failed rows, to be mended."),
        click.option(
            "--on-unknown",
            type=click.Choice(["skip", "stop", "resend"]),
            default="skip",
            show_default=True,
            help="What to do with rows that may have been applied.",
        ),
    ):
        command = decorate(command)
    return command
