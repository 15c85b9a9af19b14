"""Shows the progress of a run: a bar on a terminal, lines in a file or pipe."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from .shell import printable_lines

_LOG = logging.getLogger("lsq_service_async")


class Output(Console):
    """A console that ignores a closed pipe, so that `demo | head` continues."""

    def on_broken_pipe(self) -> None:
        # rich raises SystemExit here, which would end the run.
        with suppress(SystemExit):
            super().on_broken_pipe()


def print_paragraph(console: Console, text: str, style: str = "") -> None:
    """Print text: wrapped on a terminal, on one line in a file or pipe."""
    console.print(printable_lines(text, 4000), style=style, markup=False, soft_wrap=not console.is_terminal)


def format_duration(seconds: float) -> str:
    """Format a duration, such as 45 s, 33 min or 2 h 5 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class _LogHandler(logging.Handler):
    """Prints the warnings of the package."""

    def __init__(self, display: ProgressDisplay) -> None:
        super().__init__(logging.WARNING)
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        self._display.say(f"Warning: {record.getMessage()}")


class _Bar(Progress):
    """A progress bar with a note below it."""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        yield from (Text(task.fields["note"]) for task in self.tasks if task.fields["note"])


class ProgressDisplay:
    """Shows messages, and how many of *total* items are done."""

    def __init__(self, console: Console, name: str, total: int) -> None:
        self._console = console
        self._name = name
        self._total = total
        columns = (TextColumn(name), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn())
        # rich must print results above the bar on a terminal, but must not change results in a file.
        self._bar = _Bar(*columns, console=console, redirect_stdout=sys.stdout is not None and sys.stdout.isatty())
        self._task = self._bar.add_task(name, total=total, note="")
        self._done = 0
        self._handler = _LogHandler(self)

    def __enter__(self) -> Self:
        if not _LOG.handlers:  # with LSQ_LOG, another handler prints the warnings
            _LOG.addHandler(self._handler)
        if self.is_live:
            self._bar.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
        _LOG.removeHandler(self._handler)

    def close(self) -> None:
        """Restore the terminal."""
        if self.is_live:
            self._bar.stop()

    @property
    def is_live(self) -> bool:
        """Whether progress is shown as a bar."""
        return self._console.is_interactive

    def say(self, message: str) -> None:
        print_paragraph(self._console, message)

    def step(self) -> None:
        """Count one more item. Without a bar, print a line for every tenth item and for the last item."""
        self._done += 1
        if self.is_live or self._done % 10 == 0 or self._done == self._total:
            self.show(self._done)

    def show(self, done: int, note: str = "") -> None:
        self._bar.update(self._task, completed=done, note=note)
        if not self.is_live:
            self.say(f"{self._name}: {done} of {self._total}{note and ', '}{note}")
