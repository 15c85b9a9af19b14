"""Sends the rows of a file, shows the progress, and stops on a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import datetime
from typing import Any, Self

import attrs
import click
from rich.console import Console

from ... import AuthenticationError, Config, LSQServiceError, ServiceClient, Ticket
from ...bulk import BulkJob, RowOutcome, State
from ...bulk.progress import state_for_error
from ...errors import printable
from ...limits import Limiter, LocalLimiter, limiter_from_env
from ...records import UNSET
from ..progress import Output, ProgressDisplay, format_duration
from ..shell import INTERRUPTED, RESUMABLE, SOME_FAILED, counted, exit_code_for
from .formats import InputLine
from .input import BulkFile, FileRow, Rows
from .output import Results

_CODES = {"SIGINT": INTERRUPTED, "SIGTERM": RESUMABLE, "SIGHUP": RESUMABLE}  # Windows has no SIGHUP
_EXIT_CODES = {number: _CODES[number.name] for number in signal.Signals if number.name in _CODES}
_GRACE = 1.0  # seconds during which a closing terminal or a held key can send several signals


async def send_rows(
    file: BulkFile,
    rows: Rows,
    results: Results,
    *,
    console: Console | None = None,
    interval: float | None = None,
    applied: list[RowOutcome] | None = None,
    limiter: Limiter | None = None,
    marker: str | None = None,
    **options: Any,
) -> int:
    """Send all rows that are not finished, stop on a signal, and return the exit code.

    Progress is shown every *interval* seconds. Outcomes of applied rows are added to *applied*. The *options* are those
    of `BulkFile.job`.
    """
    # The signal handlers stay until the client is closed.
    with StopSignals() as signals:
        hooks = [results.page.note] if results.page else []
        config = Config.from_env(marker_field=marker)
        async with ServiceClient(config, limiter=limiter or limiter_from_env(), hooks=hooks) as client:
            if results.page:
                results.page.limit, results.page.origin = client.limiter.stats(), config.base_url
            with ProgressDisplay(console or Output(stderr=True, highlight=False), "rows", rows.total) as display:
                run = BulkRun(file.job(client, rows, **options), rows, results, display, signals, applied)
                code = await run.finish(interval or (0.5 if display.is_live else 10.0))
    return code if code > SOME_FAILED else signals.exit_code or code  # a signal can arrive while the client closes


class BulkRun:
    """Iterates over a job, writes the results, and shows the progress."""

    def __init__(
        self,
        job: BulkJob,
        rows: Rows,
        results: Results,
        display: ProgressDisplay,
        signals: StopSignals,
        applied: list[RowOutcome] | None,
    ) -> None:
        self._job = job
        self._results = results
        self._display = display
        self._signals = signals
        self._applied = applied
        self._bad: int = 0
        rows.on_bad = self._write_bad
        results.on_lost = self._continue_without
        signals.stop, signals.close = self._stop, display.close

    async def finish(self, interval: float) -> int:
        """Run the job until it ends or is stopped, and return the exit code."""
        if self._signals.exit_code is not None:  # a signal arrived while the client opened
            self._stop()
        progress = asyncio.create_task(self._show_progress(interval))
        outcomes: Any = aiter(self._job)
        try:
            async with aclosing(outcomes):
                async for outcome in outcomes:
                    self._write(outcome)
        except LSQServiceError as error:
            self._display.say(f"Stopped: {error}")
            if isinstance(error, AuthenticationError):
                self._display.say("Correct LSQ_ACCESS_KEY and LSQ_SECRET_KEY, then run the same command to continue.")
            return exit_code_for(error, RESUMABLE)
        finally:
            progress.cancel()
            self._show()
        if self._signals.exit_code is not None:
            self._display.say("Stopped. Run the same command to continue.")
            return self._signals.exit_code
        summary = self._job.summary()
        return SOME_FAILED if summary.failed or summary.unknown or summary.possible_duplicates or self._bad else 0

    def _write(self, outcome: RowOutcome) -> None:
        line = outcome.row.line if isinstance(outcome.row, FileRow) else None
        if self._applied is not None and outcome.state in ("created", "updated"):
            self._applied.append(outcome)
        # Rows that failed for a reason outside the row stay pending in the journal, so the report leaves them out.
        number = outcome.receipt.number if outcome.receipt else None
        is_pending = outcome.error is not None and state_for_error(outcome.error) is State.PENDING
        if line and outcome.state == "failed" and not is_pending:
            self._results.write_failed(line, outcome.error, outcome.key, number)
        else:
            marked = outcome.possible_duplicate
            self._results.write(outcome.key, line, outcome.state, number, outcome.error, possible_duplicate=marked)

    def _write_bad(self, line: InputLine) -> None:
        self._bad += 1
        self._results.write_failed(line, line.error)

    def _continue_without(self, name: str, error: OSError) -> None:
        """Stop if the reader has closed stdout (`| head`). Otherwise continue: the journal has every result."""
        if isinstance(error, BrokenPipeError):
            self._display.say("The program that reads stdout has closed it.")
            self._signals.exit_code = RESUMABLE
            self._stop()
        else:
            self._display.say(f"Cannot write to {name}: {error.strerror}. The run continues without it.")

    def _stop(self) -> None:
        self._job.stop()
        self._display.say("Stopping: waiting for the requests in flight. To exit at once, press Ctrl-C again.")

    async def _show_progress(self, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            self._show()

    def _show(self) -> None:
        summary, left = self._job.summary(), self._job.eta()
        done = summary.total - summary.failed - summary.unknown
        note = f"{done} done, {summary.failed + self._bad} failed, {summary.unknown} unknown, {self._job.rate():.1f}/s"
        if summary.possible_duplicates:
            note += f", possible duplicates: {summary.possible_duplicates}"
        if left:
            note += f", {format_duration(left)} left"
        self._display.show(summary.total + self._bad, note)


class StopSignals:
    """Calls `stop` on the first signal. On a signal that arrives at least a second later, calls `close` and exits."""

    def __init__(self) -> None:
        self.stop: Callable[[], None] = lambda: None
        self.close: Callable[[], None] = lambda: None
        self.exit_code: int | None = None
        """None, unless a signal or the reader of stdout has stopped the run."""
        self._first = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for number in _EXIT_CODES:
            is_ignored = signal.getsignal(number) is signal.SIG_IGN
            if not is_ignored or number in (signal.SIGINT, signal.SIGTERM):  # under nohup, SIGHUP stays ignored
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, before in self._before.items():
            # A second signal must not change the exit code.
            signal.signal(number, before if self.exit_code is None else signal.SIG_IGN)

    def _receive(self, number: int, frame: object) -> None:
        if self.exit_code is None:
            self.exit_code, self._first = _EXIT_CODES[signal.Signals(number)], time.monotonic()
            self._loop.call_soon_threadsafe(lambda: self.stop())
        elif time.monotonic() - self._first >= _GRACE:
            self.close()
            os._exit(self.exit_code)


async def send_first(file: BulkFile, rows: Rows, results: Results, *, first: int, **options: Any) -> int:
    """Send the first rows, print the fields that the service changed, and send the other rows if the user agrees."""
    total, applied = rows.total, list[RowOutcome]()
    limiter = limiter_from_env() or LocalLimiter()  # one limit for all clients below
    rows.narrow(first=first)
    code = await send_rows(file, rows, results, applied=applied, limiter=limiter, **options)
    left = total - rows.total
    if code not in (0, SOME_FAILED) or not left:
        return code
    async with ServiceClient.from_env(limiter=limiter) as client:
        for outcome in applied:
            await _compare(client, outcome)
    others = counted(left, "row")
    if not (sys.stdin and sys.stdin.isatty()):
        click.echo(f"Not sent: {others}. To send the rest, run the same command without --first.", err=True)
        return RESUMABLE
    click.echo(f"Send the other {others}? [y/N]: ", nl=False, err=True)  # click.confirm writes a space to stdout
    # asyncio's handler for Ctrl-C cannot run while readline blocks the event loop.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        answer = sys.stdin.readline()
    finally:
        signal.signal(signal.SIGINT, handler)
    if answer.strip().lower() not in ("y", "yes"):
        return RESUMABLE
    rows.narrow(after=rows.last_line)
    return max(code, await send_rows(file, rows, results, limiter=limiter, **options))


async def _compare(client: ServiceClient, outcome: RowOutcome) -> None:
    """Print the fields that the service changed."""
    assert outcome.receipt is not None and outcome.row is not None  # noqa: S101, PT018 -- the row was applied
    number = outcome.receipt.number
    about = f"row {printable(outcome.key, 60)}, ticket {number}"
    try:
        ticket = await client.tickets.get(number)
    except LSQServiceError as error:
        click.echo(f"{about}: cannot be read: {error}", err=True)
        return
    changes = list(_changes(outcome.row.ticket, ticket))
    for name, sent, found in changes:
        click.echo(printable(f"{about}: {name} was sent as {sent!r} and is {found!r}", 300), err=True)
    if not changes:
        click.echo(f"{about}: all fields are as sent", err=True)


def _changes(sent: Any, ticket: Ticket) -> Iterator[tuple[str, Any, Any]]:
    """Yield each changed field with its sent value and its value in the ticket."""
    is_new = not any(getattr(sent, field.name) is UNSET for field in attrs.fields(type(sent)))
    names = [field.name for field in attrs.fields(type(sent)) if field.name != "fields" and hasattr(ticket, field.name)]
    pairs = [(name, getattr(sent, name), getattr(ticket, name)) for name in names]
    pairs = [pair for pair in pairs if pair[1] is not UNSET and not (is_new and pair[1] is None)]
    pairs += [(name, value, ticket.fields.get(name)) for name, value in sent.fields.items()]
    for name, before, after in pairs:
        is_date = isinstance(before, datetime) and isinstance(after, datetime)
        if before != after if is_date else _text(name, before) != _text(name, after):
            yield name, before, after


def _text(name: str, value: Any) -> str:
    text = "" if value is None else str(value).strip()
    return text.lower() if name.lower().endswith("id") else text  # case has no meaning in a GUID
