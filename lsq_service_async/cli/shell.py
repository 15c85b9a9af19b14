"""Parts that all commands share: exit codes, options, and output to streams that may be closed or full."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, tzinfo
from typing import Any, TextIO

import click

from .. import AuthenticationError, ConfigurationError, InvalidRequestError, LSQServiceError, PermissionDeniedError
from ..errors import printable

SOME_FAILED = 1
USAGE = 2
NO_ACCESS = 4
RESUMABLE = 75
"""The run stopped, and the same command continues it (EX_TEMPFAIL in sysexits.h)."""
INTERRUPTED = 130
"""The exit code that shells use after Ctrl-C."""


def exit_code_for(error: LSQServiceError, default: int = SOME_FAILED) -> int:
    """Return 4 for wrong keys or a missing permission, 2 for wrong settings or arguments, and otherwise *default*."""
    if isinstance(error, AuthenticationError | PermissionDeniedError):
        return NO_ACCESS
    return USAGE if isinstance(error, ConfigurationError | InvalidRequestError) else default


def reject_options(*names: str, without: str) -> None:
    """Raise UsageError if any of the options *names* is given. *without* names the option that they need."""
    source_of = click.get_current_context().get_parameter_source
    for name in names:
        if source_of(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} needs {without}")


def _time_zone(context: click.Context, parameter: click.Parameter, value: str | None) -> tzinfo | None:
    from ..bulk.columns import time_zone_of

    try:
        return time_zone_of(value)
    except InvalidRequestError as error:
        raise click.BadParameter(str(error)) from None


TIME_ZONE = click.Option(
    ["--time-zone"],
    envvar="LSQ_TIME_ZONE",
    callback=_time_zone,
    help="Time zone, such as Asia/Kolkata, for dates without a time zone. By default, such dates are errors.",
)


class _Lenient:
    """Wraps stderr and ignores write errors, which no other stream could report."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def reliable_streams() -> Iterator[None]:
    """Make stdout and stderr safe: a write raises OSError only if stdout is full or has no reader.

    The null device replaces a closed stream. Otherwise, the next opened file would get the descriptor of the stream.
    """
    for number in range(3):
        with suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)  # `number` is the lowest free descriptor
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    before = sys.stderr
    if before is not None:
        sys.stderr = _Lenient(before)
        if sys.stdout is None:
            print("stdout is closed, so results are not printed.", file=sys.stderr)
    try:
        yield
    finally:
        sys.stderr = before


def print_json(value: Any, *, indent: int | None = None) -> None:
    """Print JSON to stdout and flush."""
    # click.echo would write into the progress bar.
    print(to_json(value, encoding=getattr(sys.stdout, "encoding", None), indent=indent), flush=True)


def to_json(value: Any, *, encoding: str | None = None, indent: int | None = None) -> str:
    """Return JSON with invisible characters escaped. If *encoding* lacks a character, the result is pure ASCII."""
    text = printable_lines(json.dumps(value, ensure_ascii=False, indent=indent, default=_as_text))
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        text = printable_lines(json.dumps(value, indent=indent, default=_as_text))
    return text


def printable_lines(text: str, limit: int | None = None) -> str:
    """Escape the invisible characters of a text, except line breaks. Cut each line to *limit* characters."""
    return "\n".join(printable(line, limit) for line in text.split("\n"))


def counted(number: int, thing: str) -> str:
    """Return a number with its noun, such as "2,000 rows"."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def discard_stdout() -> None:
    """Send the rest of stdout to the null device, because the flush at exit would fail again."""
    with suppress(OSError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
