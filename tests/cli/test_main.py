"""The command line as a whole, and ``python -m lsq_service_async`` where something is missing."""

from __future__ import annotations

import asyncio
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from lsq_service_async import __version__
from lsq_service_async.__main__ import main
from lsq_service_async.cli.main import commands


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The modules of the command line and the emulator, as if none had been imported yet."""
    for name in list(sys.modules):
        if name.startswith(("lsq_service_async.cli", "lsq_service_async.emulator")):
            monkeypatch.delitem(sys.modules, name)
    return monkeypatch


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with 0."""
    assert main(["--version"]) == 0
    assert f"lsq-service-async {__version__}\n" == capsys.readouterr().out


def test_help_names_every_command() -> None:
    """And where to begin."""
    result = CliRunner().invoke(commands, ["--help"])
    assert result.exit_code == 0
    assert {"demo", "emulator"} <= set(result.output.split())


@pytest.mark.parametrize("argv", [["nope"], ["demo", "--fast"], ["emulator", "--port", "70000"]])
def test_what_cannot_be_understood_ends_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The reason and the usage are on stderr."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Usage:" in err
    assert "Error:" in err


def test_a_command_that_ends_without_a_word_has_done_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve` returns after Ctrl-C, which is how it ends."""
    monkeypatch.setattr("lsq_service_async.emulator.serve", lambda port, say: None)
    assert main(["emulator"]) == 0


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_the_emulator_says_its_settings_and_ends_on_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The settings alone are on stdout, so that they can be pasted or piped."""
    monkeypatch.setattr("asyncio.Event.wait", _press_ctrl_c)
    assert main(["emulator", "--port", "0"]) == 0
    out, err = capsys.readouterr()
    assert [line.removeprefix("export ").partition("=")[0] for line in out.splitlines()] == [
        "LSQ_ACCESS_KEY",
        "LSQ_SECRET_KEY",
        "LSQ_ORG_ID",
        "LSQ_BASE_URL",
        "LSQ_METADATA_URL",
        "LSQ_LEADS_URL",
    ]
    assert err.startswith("Serving until Ctrl-C.")


async def _press_ctrl_c(event: Any) -> None:
    signal.raise_signal(signal.SIGINT)
    await asyncio.sleep(60)


def test_a_port_that_is_taken_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with 1, and has not promised to serve."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["emulator", "--port", str(port)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"Error: cannot serve on port {port}: ")


@pytest.mark.parametrize("module", ["click", "rich"])
def test_without_its_libraries_it_says_what_to_install(
    forgotten: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str
) -> None:
    """One line on stderr, whatever was asked for, and 2."""
    forgotten.setitem(sys.modules, module, None)
    for name in [name for name in sys.modules if name.startswith(f"{module}.")]:
        forgotten.setitem(sys.modules, name, None)
    assert main([]) == 2
    assert ("", f'this command needs {module}: pip install "lsq-service-async[demo]"\n') == capsys.readouterr()


@pytest.mark.parametrize("command", ["demo", "emulator"])
def test_without_the_emulator_s_libraries_only_its_commands_fail(
    forgotten: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """The help is there; the commands say what to install."""
    forgotten.setitem(sys.modules, "starlette.requests", None)
    assert main(["--help"]) == 0
    capsys.readouterr()
    assert main([command]) == 2
    assert capsys.readouterr() == ("", 'this command needs starlette: pip install "lsq-service-async[demo]"\n')


def test_a_broken_installation_is_shown_as_it_is(forgotten: pytest.MonkeyPatch) -> None:
    """A module of this package that is missing is not blamed on an extra."""
    forgotten.setitem(sys.modules, "lsq_service_async.cli.main", None)
    with pytest.raises(ImportError, match=r"lsq_service_async\.cli\.main"):
        main([])


def test_importing_it_needs_none_of_the_libraries() -> None:
    """`lsq_service_async.__main__` loads them when it is called, not before."""
    program = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['click', 'rich', 'starlette', 'uvicorn', 'python_multipart']))\n"
        "import lsq_service_async.__main__\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_as_a_module_it_ends_with_the_code_of_its_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m lsq_service_async` reads the arguments of the process."""
    monkeypatch.setattr(sys, "argv", ["lsq_service_async", "--version"])
    monkeypatch.delitem(sys.modules, "lsq_service_async.__main__")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("lsq_service_async", run_name="__main__")
    assert ended.value.code == 0
    assert __version__ in capsys.readouterr().out
