"""The command line as a whole, `python -m lsq_service_async` without its extras, and the command `emulator`."""

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
def fresh_import(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Forget the modules of the command line and the emulator, so that they are imported again."""
    for name in list(sys.modules):
        if name.startswith(("lsq_service_async.cli", "lsq_service_async.emulator")):
            monkeypatch.delitem(sys.modules, name)
    return monkeypatch


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints it and exits with 0."""
    assert main(["--version"]) == 0
    assert f"lsq-service-async {__version__}\n" == capsys.readouterr().out


def test_help_names_every_command() -> None:
    """`--help` lists the commands."""
    result = CliRunner().invoke(commands, ["--help"])
    assert result.exit_code == 0
    assert {"demo", "emulator", "doctor", "ticket", "bulk"} <= set(result.output.split())


@pytest.mark.parametrize("argv", [["nope"], ["demo", "--fast"], ["emulator", "--port", "70000"]])
def test_a_wrong_command_line_exits_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The reason and the usage are printed on stderr."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Usage:" in err
    assert "Error:" in err


@pytest.mark.usefixtures("_sigint_enabled")
def test_the_emulator_prints_its_settings_and_stops_on_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the settings are printed on stdout, so that they can be pasted or piped; the exit code is 0."""
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


def test_a_port_in_use_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The emulator prints no settings and exits with 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["emulator", "--port", str(port)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"Error: cannot listen on port {port}: ")


@pytest.mark.parametrize("module", ["click", "rich"])
def test_a_missing_library_is_named_with_the_extra_to_install(
    fresh_import: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str
) -> None:
    """Every command prints one line on stderr and exits with 2."""
    fresh_import.setitem(sys.modules, module, None)
    for name in [name for name in sys.modules if name.startswith(f"{module}.")]:
        fresh_import.setitem(sys.modules, name, None)
    assert main([]) == 2
    assert ("", f'this command needs {module}: pip install "lsq-service-async[demo]"\n') == capsys.readouterr()


@pytest.mark.parametrize("command", ["demo", "emulator"])
def test_a_missing_library_of_the_emulator_affects_only_its_commands(
    fresh_import: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """`--help` works, and the commands name the extra to install."""
    fresh_import.setitem(sys.modules, "starlette.requests", None)
    assert main(["--help"]) == 0
    capsys.readouterr()
    assert main([command]) == 2
    assert capsys.readouterr() == ("", 'this command needs starlette: pip install "lsq-service-async[demo]"\n')


def test_a_broken_installation_raises_import_error(fresh_import: pytest.MonkeyPatch) -> None:
    """A missing module of this package is not blamed on an extra."""
    fresh_import.setitem(sys.modules, "lsq_service_async.cli.main", None)
    with pytest.raises(ImportError, match=r"lsq_service_async\.cli\.main"):
        main([])


def test_importing_main_needs_none_of_the_extras() -> None:
    """`lsq_service_async.__main__` imports the extras only when `main` is called."""
    program = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['click', 'rich', 'starlette', 'uvicorn', 'python_multipart']))\n"
        "import lsq_service_async.__main__\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_running_the_module_exits_with_the_code_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m lsq_service_async` reads the arguments of the process and exits with the code of its command."""
    monkeypatch.setattr(sys, "argv", ["lsq_service_async", "--version"])
    monkeypatch.delitem(sys.modules, "lsq_service_async.__main__")
    with pytest.raises(SystemExit) as exited:
        runpy.run_module("lsq_service_async", run_name="__main__")
    assert exited.value.code == 0
    assert __version__ in capsys.readouterr().out
