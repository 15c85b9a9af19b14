"""Sends the rows of a file: results, report, progress, signals, exit code."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from rich.console import Console

from ... import AuthenticationError, Config, LSQServiceError, ServiceClient
from ...bulk import BulkJob, RowOutcome, State
from ...bulk.progress import state_for_error
from ...limits import limiter_from_env
from ..progress import Output, ProgressDisplay, format_duration
from ..shell import RESUMABLE, SOME_FAILED, exit_code_for
from .formats import InputLine
from .input import BulkFile, FileRow, Rows
from .output import Results
from .signals import StopSignals


async def send_rows(
    file: BulkFile,
    rows: Rows,
    results: Results,
    *,
    console: Console | None = None,
    interval: float | None = None,
    applied: list[RowOutcome] | None = None,
    marker: str | None = None,
    **options: Any,
) -> int:
    """Send all rows that are not finished, stop on a signal, and return the exit code.

    *marker* is the setting `Config.marker_field`, and *options* are those of `client.bulk.create`. Progress is shown
    every *interval* seconds: by default 0.5 with a bar, else 10. Rows that this run has applied are added to *applied*.
    """
    # The signal handlers stay until the client is closed, which takes time too.
    with StopSignals() as signals:
        hooks = [results.page.note] if results.page else []
        config = Config.from_env(marker_field=marker)
        async with ServiceClient(config, limiter=limiter_from_env(), hooks=hooks) as client:
            if results.page:
                results.page.limit, results.page.origin = client.limiter.stats(), config.base_url
            with ProgressDisplay(console or Output(stderr=True, highlight=False), "rows", rows.total) as display:
                run = BulkRun(file.job(client, rows, **options), rows, results, display, signals, applied)
                return await run.finish(interval or (0.5 if display.is_live else 10.0))


class BulkRun:
    """Iterates a job once, writes the result of each row, and shows the progress."""

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
        """Process all rows and return the exit code."""
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
        # A row that did not cause its error needs no correction: the next run sends it from the original file. In the
        # report it would be a second copy.
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
