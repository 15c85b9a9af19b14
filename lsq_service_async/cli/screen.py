"""How far a run is: a bar where somebody watches, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_LOG = logging.getLogger("lsq_service_async")


class Output(Console):
    """The process's output, whose reader may leave (``| head``): what runs goes on unseen, and its exit code tells."""

    def on_broken_pipe(self) -> None:
        # rich would raise SystemExit right where something was printed, which is in the middle of open calls.
        with suppress(SystemExit):
            super().on_broken_pipe()


def say(console: Console, text: str, style: str = "") -> None:
    """A paragraph: wrapped between words on a terminal, in one piece in a file, where it may be searched and copied."""
    console.print(text, style=style, markup=False, soft_wrap=not console.is_terminal)


class _Remarks(logging.Handler):
    """Warnings of the library are remarks of the run."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.say(record.getMessage())


class Screen:
    """Counts ``total`` steps of one kind, and shows remarks in between.

    On a terminal a bar stays below the remarks; elsewhere (a file, a pipe, a dumb terminal) every tenth step is a line.
    """

    def __init__(self, console: Console, what: str, total: int) -> None:
        self._console = console
        self._what = what
        self._total = total
        note = TextColumn("{task.fields[note]}", markup=False)
        columns = (TextColumn(what), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), note)
        # Results that go to a file are not for the screen, and those that go to the terminal stand above the bar.
        self._bar = Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty())
        self._task = self._bar.add_task(what, total=total, note="")
        self._done = 0
        self._log = _Remarks(self)

    def __enter__(self) -> Self:
        _LOG.addHandler(self._log)
        if self._console.is_interactive:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        _LOG.removeHandler(self._log)

    def close(self) -> None:
        """Leave the terminal as it was; again does nothing."""
        if self._console.is_interactive:
            self._bar.stop()

    @property
    def is_live(self) -> bool:
        """Whether there is a bar, which may be changed as often as one likes."""
        return self._console.is_interactive

    def say(self, remark: str) -> None:
        """A remark of its own, above the bar."""
        say(self._console, remark)

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        self._bar.advance(self._task)
        if not self._console.is_interactive and (self._done % 10 == 0 or self._done == self._total):
            self.say(f"{self._what}: {self._done} of {self._total}")

    def show(self, done: int, note: str) -> None:
        """How far it is, and what else there is to know: beside the bar, or as a line."""
        self._bar.update(self._task, completed=done, note=note)
        if not self._console.is_interactive:
            self.say(f"{self._what}: {done} of {self._total}, {note}")
