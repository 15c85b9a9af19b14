"""One run at a command line: results, report, progress, signals, and what the process ends with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any

from ... import AuthenticationError, LSQServiceError, NotSentError, RateLimitError
from ...bulk import BulkJob, RowOutcome
from ..endings import RESUMABLE, SOME_FAILED, exit_code_of
from ..screen import Screen
from .reading import BadRow, FileRow, Rows
from .signals import Signals
from .writing import Report, Results

_LIVE, _LINES = 0.5, 10.0  # s
_NOT_OF_THE_ROW = NotSentError | AuthenticationError | RateLimitError


class Source:
    """The rows for a job. Those that cannot be read are told to ``tell_bad`` and counted, and the others go on."""

    def __init__(self, rows: Rows, tell_bad: Callable[[BadRow], None] = lambda row: None) -> None:
        self._rows = rows
        self._tell_bad = tell_bad
        self.bad: int = 0

    def __len__(self) -> int:
        return self._rows.count - self.bad

    def __iter__(self) -> Iterator[FileRow]:
        for row in self._rows:
            if isinstance(row, BadRow):
                self.bad += 1
                self._tell_bad(row)
            else:
                yield row


class Run:
    """Carries a job through, once."""

    def __init__(
        self,
        rows: Rows,
        job_of: Callable[[Source], BulkJob],
        screen: Screen,
        report: Report | None,
        signals: Signals,
    ) -> None:
        self._source = Source(rows, self._tell_bad)
        self._job = job_of(self._source)
        self._screen = screen
        self._report = report
        self._results = Results()
        self._signals = signals
        self.refused: int = 0
        """How many rows failed for what is in them."""
        signals.ask, signals.leave = self._stop, screen.close

    async def to_its_end(self) -> int:
        """Do all rows that are left, or until a signal; the exit code."""
        progress = asyncio.create_task(self._show_progress())
        try:
            await self._tell_all()
        except LSQServiceError as error:
            self._screen.say(f"Stopped: {error}")
            if isinstance(error, AuthenticationError):
                self._screen.say("Correct LSQ_ACCESS_KEY and LSQ_SECRET_KEY; the same command goes on from here.")
            return exit_code_of(error, RESUMABLE)
        finally:
            progress.cancel()
            self._show()
        return self._exit_code()

    async def _tell_all(self) -> None:
        outcomes: Any = aiter(self._job)
        async with aclosing(outcomes):
            async for outcome in outcomes:
                self._tell(outcome)

    def _tell(self, outcome: RowOutcome) -> None:
        number = outcome.receipt.number if outcome.receipt else None
        line = outcome.row.line if isinstance(outcome.row, FileRow) else None
        self._results.tell(outcome.key, line, outcome.state, number, outcome.error)
        # What says nothing of its row has nothing to mend: this journal sends it again, and a mended copy would be a
        # second one.
        refused = outcome.state == "failed" and not isinstance(outcome.error, _NOT_OF_THE_ROW)
        self.refused += refused
        if self._report and refused and isinstance(outcome.row, FileRow):
            self._report.add(outcome.row.record, outcome.error, outcome.key)

    def _tell_bad(self, row: BadRow) -> None:
        key: Any = row.record.get("key")
        self._results.tell(str(key) if key else None, row.line, "failed", None, row.error)
        if self._report:
            self._report.add(row.record, row.error)

    def _exit_code(self) -> int:
        if self._signals.code is not None:
            self._screen.say("Stopped. The same command goes on from here.")
            return self._signals.code
        summary = self._job.summary()
        return SOME_FAILED if summary.failed or summary.unknown or self._source.bad else 0

    def _stop(self) -> None:
        self._job.stop()
        self._screen.say("Stopping: no new rows; what is on its way ends first. Once more leaves at once.")

    async def _show_progress(self) -> None:
        while True:
            await asyncio.sleep(_LIVE if self._screen.is_live else _LINES)
            self._show()

    def _show(self) -> None:
        self._screen.show(self._job.summary().total + self._source.bad, self._note())

    def _note(self) -> str:
        summary, left = self._job.summary(), self._job.eta()
        failed = summary.failed + self._source.bad
        done = summary.total - summary.failed - summary.unknown
        ahead = f", {in_words(left)} left" if left else ""
        return f"{done} done, {failed} failed, {summary.unknown} unknown, {self._job.rate():.1f}/s{ahead}"


def in_words(seconds: float) -> str:
    """Such as 45 s, 33 min or 2 h 5 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
