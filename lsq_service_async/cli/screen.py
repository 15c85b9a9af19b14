"""How far a run is: a bar where somebody watches, plain lines elsewhere."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Output(Console):
    """The process's output, whose reader may leave (``| head``): what runs goes on unseen, and its exit code tells."""

    def on_broken_pipe(self) -> None:
        # rich would raise SystemExit right where something was printed, which is in the middle of open calls.
        with suppress(SystemExit):
            super().on_broken_pipe()


def say(console: Console, text: str, style: str = "") -> None:
    """A paragraph: wrapped between words on a terminal, in one piece in a file, where it may be searched and copied."""
    console.print(text, style=style, markup=False, soft_wrap=not console.is_terminal)


class Screen:
    """Counts ``total`` steps of one kind, and shows remarks in between.

    On a terminal a bar stays below the remarks; elsewhere (a file, a pipe, a dumb terminal) every tenth step is a line.
    """

    def __init__(self, console: Console, what: str, total: int) -> None:
        self._console = console
        self._what = what
        self._total = total
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console)
        self._task = self._bar.add_task(what, total=total)
        self._done = 0

    def __enter__(self) -> Self:
        if self._console.is_interactive:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_interactive:
            self._bar.stop()

    def say(self, remark: str) -> None:
        """A remark of its own, above the bar."""
        say(self._console, remark)

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        self._bar.advance(self._task)
        if not self._console.is_interactive and (self._done % 10 == 0 or self._done == self._total):
            self.say(f"{self._what}: {self._done} of {self._total}")
