"""The command line as a whole, `python -m lsq_service_async` without its extras, and the command `emulator`."""

from __future__ import annotations

import asyncio
import os
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lsq_service_async import __version__
from lsq_service_async.__main__ import main
from lsq_service_async.emulator import Status


@pytest.fixture
def fresh_import(monkeypatch: pytest.MonkeyPatch, forget_modules: Any) -> pytest.MonkeyPatch:
    """Forget the modules of the command line and the emulator, so that they are imported again."""
    forget_modules("lsq_service_async.cli", "lsq_service_async.emulator")
    return monkeypatch


def test_version_is_that_of_the_package(cli: Any) -> None:
    """`--version` prints the version of the package and exits with 0."""
    assert cli("--version") == (0, f"lsq-service-async {__version__}\n", "")


def test_lsq_log_shows_retries_once(
    cli: Any, served: Any, package_log: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With LSQ_LOG, each command prints the log of the package on stderr, and a bulk run prints no warning twice."""
    monkeypatch.setenv("LSQ_LOG", "info")
    served.faults.add(Status(500), Status(503))
    code, _, err = cli("ticket", "create", "--lead-email", "wim@example.com", "--title", "x")
    assert (code, err.count("INFO lsq_service_async: tickets.create is sent again")) == (0, 2)
    served.faults.add(Status(500, times=3))
    (tmp_path / "rows.csv").write_text("title,lead_email\nx,wim@example.com\n")
    code, _, err = cli("bulk", "run", str(tmp_path / "rows.csv"))
    assert (code, err.count("is sent again"), err.count("twice")) == (1, 3, 1)
    monkeypatch.setenv("LSQ_LOG", "loud")
    code, _, err = cli("demo")
    assert (code, err) == (2, "Error: LSQ_LOG must be info or debug, not 'loud'\n")


def test_help_names_every_command(cli: Any) -> None:
    """`--help` lists the commands."""
    code, out, _ = cli("--help")
    assert (code, {"demo", "emulator", "doctor", "ticket", "bulk"} - set(out.split())) == (0, set())


@pytest.mark.parametrize("argv", [["nope"], ["demo", "--fast"], ["emulator", "--port", "70000"]], ids=" ".join)
def test_a_wrong_command_line_exits_with_2(cli: Any, argv: list[str]) -> None:
    """A wrong command line exits with 2 and prints the reason and the usage on stderr."""
    code, out, err = cli(*argv)
    assert (code, out, "Usage:" in err, "Error:" in err) == (2, "", True, True)


def test_the_emulator_prints_its_settings_and_stops_on_ctrl_c(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the settings are printed on stdout, so that they can be pasted or piped; the exit code is 0."""

    async def press_ctrl_c(event: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(60)

    monkeypatch.setattr("asyncio.Event.wait", press_ctrl_c)
    code, out, err = cli("emulator", "--port", "0")
    names = [line.removeprefix("export LSQ_").partition("=")[0] for line in out.splitlines()]
    assert names == ["ACCESS_KEY", "SECRET_KEY", "ORG_ID", "BASE_URL", "METADATA_URL", "LEADS_URL"]
    assert (code, err.startswith("Serving until Ctrl-C.")) == (0, True)


def test_a_port_in_use_is_one_clear_line(cli: Any) -> None:
    """The emulator prints no settings and exits with 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = cli("emulator", "--port", str(port))
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith(f"Error: cannot listen on port {port}: ")


@pytest.mark.parametrize("module", ["click", "rich"])
def test_a_missing_library_is_named_with_the_extra_to_install(
    fresh_import: pytest.MonkeyPatch, cli: Any, module: str
) -> None:
    """Every command prints one line on stderr and exits with 2."""
    fresh_import.setitem(sys.modules, module, None)
    for name in [name for name in sys.modules if name.startswith(f"{module}.")]:
        fresh_import.setitem(sys.modules, name, None)
    assert cli() == (2, "", f'This command needs {module}. Run: pip install "lsq-service-async[demo]"\n')


@pytest.mark.parametrize("command", ["demo", "emulator"])
def test_a_missing_library_of_the_emulator_affects_only_its_commands(
    fresh_import: pytest.MonkeyPatch, cli: Any, command: str
) -> None:
    """`--help` works, and the commands name the extra to install."""
    fresh_import.setitem(sys.modules, "starlette.requests", None)
    assert cli("--help")[0] == 0
    assert cli(command) == (2, "", 'This command needs starlette. Run: pip install "lsq-service-async[demo]"\n')


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
    # runpy cannot use the finder by which pytest rewrites the assertions of packages with plugins.
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if finder.__class__ is type])
    with pytest.raises(SystemExit) as exited:
        runpy.run_module("lsq_service_async", run_name="__main__")
    assert exited.value.code == 0
    assert __version__ in capsys.readouterr().out
