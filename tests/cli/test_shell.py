"""Commands work if stdout and stderr are closed, full, in another encoding, or pipes without a reader."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import pytest

from lsq_service_async.__main__ import main
from lsq_service_async.cli.bulk.output import Report
from lsq_service_async.cli.shell import to_json
from lsq_service_async.emulator import Emulator, Status


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with three rows. A key has a letter that Latin-1 does not have."""
    path = tmp_path / "rows.csv"
    path.write_text("key,lead_id\nΩ,45b5\nb,45b5\nc,45b5\n")
    return path


@pytest.fixture
def full() -> Iterator[TextIO]:
    """A stream on a device that is always full."""
    stream = open("/dev/full", "w")  # noqa: SIM115 -- closed below
    yield stream
    with suppress(OSError):  # the flush fails
        stream.close()


@pytest.fixture
def unread() -> Iterator[TextIO]:
    """A pipe whose reader has closed it."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = open(writer, "w")  # noqa: SIM115 -- closed below
    yield stream
    with suppress(OSError):
        stream.close()


def test_a_run_continues_if_stdout_is_full(
    served: Emulator, file: Path, cli: Any, full: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows are sent, the exit code is that of the rows, and stderr has one sentence about the results."""
    monkeypatch.setattr(sys, "stdout", full)
    code, _, err = cli("bulk", "run", str(file))
    assert (code, len(served.tickets)) == (0, 3)
    assert err.count("Cannot write to stdout: No space left on device. The run continues without it.") == 1


def test_a_run_stops_if_the_reader_of_stdout_has_closed_it(
    served: Emulator, tmp_path: Path, cli: Any, unread: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`| head` stops the run like SIGTERM does: exit code 75, and the next run sends the other rows."""
    file = tmp_path / "rows.csv"
    file.write_text("lead_id\n" + "45b5\n" * 60)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", unread)
        patched.setenv("LSQ_RATE_LIMIT", "5/0.05")
        code, _, err = cli("bulk", "run", str(file))
    assert (code, 0 < len(served.tickets) < 60) == (75, True)
    assert "The program that reads stdout has closed it." in err
    assert err.endswith("Stopped. Run the same command to continue.\n")
    assert (cli("bulk", "run", str(file))[0], len(served.tickets)) == (0, 60)


def test_a_run_continues_if_the_report_cannot_be_written(
    served: Emulator, file: Path, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The results are complete, and the run prints how to send the failed rows again without a report."""

    def fail(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Report, "add", fail)
    served.faults.add(Status(400, times=2))
    code, out, err = cli("bulk", "run", str(file), "--errors", f"{file}.bad")
    assert (code, len(served.tickets), len(out.splitlines())) == (1, 1, 3)
    assert err.count("Cannot write to the report of failed rows: No space left on device.") == 1


def test_a_report_that_cannot_be_created_is_named(served: Emulator, file: Path, cli: Any) -> None:
    """Nothing is sent, and the message names the file."""
    code, _, err = cli("bulk", "run", str(file), "--errors", "/dev/full", "--format", "csv")
    assert (code, len(served.tickets)) == (1, 0)
    assert "cannot write the report '/dev/full': No space left on device" in err


def test_a_dry_run_continues_if_stdout_is_full(
    served: Emulator, file: Path, cli: Any, full: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan and the number of rows that would fail are printed on stderr."""
    file.write_text("key,lead_id\na,\nb,\n")
    monkeypatch.setattr(sys, "stdout", full)
    code, _, err = cli("bulk", "run", str(file), "--dry-run")
    assert (code, err.count("Cannot write to stdout: No space left on device.")) == (1, 1)
    assert "2 of 2 rows would fail" in err


@pytest.mark.parametrize("stream", ["full", "unread"])
def test_stderr_that_cannot_be_written_is_ignored(
    served: Emulator, file: Path, cli: Any, request: pytest.FixtureRequest, stream: str, monkeypatch: Any
) -> None:
    """The results and the exit code are the same as with a terminal."""
    monkeypatch.setattr(sys, "stderr", request.getfixturevalue(stream))
    code, out, _ = cli("bulk", "run", str(file))
    assert (code, len(out.splitlines()), len(served.tickets)) == (0, 3, 3)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "utf-16"])
def test_results_are_json_in_every_encoding(
    served: Emulator, file: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Characters that the encoding does not have are escaped as JSON."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    assert main(["bulk", "run", str(file)]) == 0
    assert main(["bulk", "status", str(file)]) == 0
    results = [json.loads(line) for line in written.getvalue().decode(encoding).splitlines()]
    assert {result.get("key") for result in results} == {"Ω", "b", "c", None}


@pytest.mark.parametrize(
    ("text", "shown"), [("Ω", "Ω"), ("a\x9bb", r"a\u009bb"), ("a\u202eb", r"a\u202eb"), ("\ud83d", r"\ud83d")]
)
def test_characters_that_a_terminal_obeys_are_escaped(text: str, shown: str) -> None:
    """JSON on stdout has no control characters, no marks that change the direction of text, and no half characters."""
    assert to_json({"a": text}) == f'{{"a": "{shown}"}}'


def test_the_result_of_one_call_is_not_lost_if_stdout_is_full(
    served: Emulator, cli: Any, full: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipt of a ticket is printed on stderr, and the exit code is 1."""
    monkeypatch.setattr(sys, "stdout", full)
    code, _, err = cli("ticket", "create", "--lead-id", "45b5")
    assert (code, len(served.tickets)) == (1, 1)
    assert '"number": "1"' in err


@pytest.mark.parametrize("argv", [["--version"], ["emulator", "--port", "0"]], ids=" ".join)
def test_other_output_that_cannot_be_written_is_one_sentence(
    cli: Any, full: TextIO, monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    """A command whose output does not fit exits with 1. A file that cannot be used is named."""
    name = "x" * 300
    assert cli("bulk", "status", "x", "--journal", name)[2] == f"Error: '{name}' cannot be used: File name too long\n"
    monkeypatch.setattr(sys, "stdout", full)
    code, out, err = cli(*argv)
    assert (code, out, err.splitlines()[-1]) == (1, "", "Error: cannot write to stdout: No space left on device")


@pytest.mark.parametrize("closed", [("stdout",), ("stderr",), ("stdout", "stderr")], ids=" and ".join)
def test_a_closed_descriptor_is_opened_on_the_null_device(
    served: Emulator,
    file: Path,
    capsys: pytest.CaptureFixture[str],
    closed: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No other file gets the number of stdout or stderr, and stderr has a sentence if stdout is closed."""
    opened, open_file, stat = [], os.open, os.fstat

    def fstat(number: int) -> os.stat_result:
        if number in [{"stdout": 1, "stderr": 2}[name] for name in closed]:
            raise OSError(9, os.strerror(9))
        return stat(number)

    def record(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if path != os.devnull:
            return open_file(path, flags, *rest, **options)
        opened.append(flags)
        return -1

    monkeypatch.setattr(os, "fstat", fstat)
    monkeypatch.setattr(os, "open", record)
    for name in closed:
        monkeypatch.setattr(sys, name, None)
    assert main(["bulk", "run", str(file)]) == 0
    assert (len(opened), len(served.tickets)) == (len(closed), 3)
    assert ("stdout is closed, so results are not printed." in capsys.readouterr().err) == (closed == ("stdout",))


@pytest.mark.parametrize(
    ("redirections", "said"),
    [(">&-", "stdout is closed"), ("<&- >&- 2>&-", "")],
)
def test_closed_descriptors_do_not_change_a_run(served: Emulator, file: Path, redirections: str, said: str) -> None:
    """The rows are sent and the exit code is 0, whichever of the three descriptors the process begins without."""
    words = f'exec "$0" -m lsq_service_async bulk run "$1" {redirections}'
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(["sh", "-c", words, sys.executable, str(file)], env=env, capture_output=True, timeout=60)
    assert (done.returncode, len(served.tickets)) == (0, 3)
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr


HOSTILE = "\x1b]52;c;Y3VybA==\x07\x9b31m\u202egpj\x7f\r"
SAFE = r"\u001b]52;c;Y3VybA==\u0007\u009b31m\u202egpj\u007f\u000d"


@pytest.mark.parametrize("command", ["plan", "run", "status", "unknown"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("twice.csv", f"title,X{HOSTILE},X{HOSTILE}\n1,2,3\n"),
        ("unknown.csv", f"title,{HOSTILE}abc\n1,2\n"),
        ("cells.csv", f"key,title\na,b,{HOSTILE}\n{HOSTILE},\n"),
        ("name.jsonl", '{"key": "k\x9b\u202e", "title": "t", "lead_id": "1", "X\x9b2J": {"a": 1}}\n'),
        ("surrogate.jsonl", '{"key": "\\ud800", "title": "\\ud800", "T\\ud800": "x", "lead_id": "1"}\n'),
        (f"file{HOSTILE}.csv", "title,status\nx,y\n"),
    ],
)
def test_a_hostile_file_does_not_reach_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Any, command: str, name: str, content: str
) -> None:
    """No command prints control or bidi characters of a file, of its name, or of its column names."""
    monkeypatch.chdir(tmp_path)
    for variable, value in {"ACCESS_KEY": "key-1", "SECRET_KEY": "key-2", "ORG_ID": "1"}.items():
        monkeypatch.setenv(f"LSQ_{variable}", value)
    monkeypatch.setenv("LSQ_BASE_URL", "http://127.0.0.1:9")
    Path(name).write_text(content, encoding="utf-8")
    errors = ["--errors", f"bad-{name}"] if command == "run" else []
    for _ in range(2):
        _, out, err = cli("bulk", command, name, *errors)
        assert out + err
        assert (out + err).replace("\n", "").isprintable()


def test_texts_of_the_service_are_printed_as_json(served: Emulator, cli: Any) -> None:
    """A ticket is printed with its invisible characters escaped, so that JSON gives the same text again."""
    cli("ticket", "create", "--lead-id", "45b5", "--status", "Open", "--title", f"नमस्ते {HOSTILE}")
    code, out, _ = cli("ticket", "get", "1")
    assert code == 0
    assert f'"नमस्ते {SAFE}"' in out.replace("\\r", r"\u000d")
    assert json.loads(out)["title"] == f"नमस्ते {HOSTILE}"
