"""The virtual environment of the benchmarks: this checkout, and the packages that it is compared with."""

import os
import subprocess
import sys
import venv
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = Path(__file__).parent / ".venv"
PYTHON = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
PEERS = (
    "httpx",
    "httpx2",
    "aiohttp",
    "aiolimiter",
    "tenacity",
    "pyrate-limiter",
    "limits",
    "throttled-py",
    "openai",
    "slack_sdk",
    "stripe",
    "githubkit",
    "hishel<2",  # githubkit 0.16 allows hishel 2.0, but cannot be imported with it
    "opentelemetry-sdk",
    "redis",
    "matplotlib",
)


def install() -> None:
    """Create the environment on first use. Install the packages again if the list of needed packages has changed."""
    done, needed = FOLDER / "installed", "\n".join([*PEERS, (ROOT / "pyproject.toml").read_text(encoding="utf-8")])
    if done.exists() and done.read_text(encoding="utf-8") == needed:
        return
    print(f"Installing the packages to compare with into {FOLDER} ...", flush=True)
    if not PYTHON.exists():
        venv.create(FOLDER, with_pip=True)
    pip = [str(PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "-e", f"{ROOT}[emulator,cli,redis,otel]"], check=True)
    missing = subprocess.run([*pip, *PEERS]).returncode  # if one cannot be installed, pip installs none of them
    for peer in PEERS if missing else ():
        subprocess.run([*pip, peer])
    done.write_text(needed, encoding="utf-8")


def restart_inside() -> None:
    """Restart this program with the Python of the environment, unless that Python already runs it."""
    if Path(sys.prefix).resolve() != FOLDER.resolve():
        install()
        os.execv(PYTHON, [str(PYTHON), "-m", "benchmarks", *sys.argv[1:]])


def versions() -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    found = {}
    for name in ("lsq-service-async", *(peer.partition("<")[0] for peer in PEERS)):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
