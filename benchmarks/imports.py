"""Import time and installed size of libraries, each installed with its dependencies into a separate folder."""

import os
import resource
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .measure import Measure
from .peers import ROOT
from .report import Plot, Result, Table, bars

# For each library: the packages that pip installs, and the line that imports its asyncio client. `import NAME` alone
# would not be fair, because some libraries load their modules only when a name is first used. The asyncio clients of
# slack_sdk and stripe need another library. githubkit 0.16 allows hishel 2.0, but cannot be imported with it.
LIBRARIES = {
    "httpx": (["httpx"], "from httpx import AsyncClient"),
    "lsq_service_async": ([str(ROOT)], "from lsq_service_async import ServiceClient"),
    "lsq_service_async[cli]": ([f"{ROOT}[cli]"], ""),
    "httpx2": (["httpx2"], "from httpx2 import AsyncClient"),
    "aiohttp": (["aiohttp"], "from aiohttp import ClientSession"),
    "openai": (["openai"], "from openai import AsyncOpenAI"),
    "slack_sdk": (["slack_sdk", "aiohttp"], "from slack_sdk.web.async_client import AsyncWebClient"),
    "stripe": (["stripe[async]"], "from stripe import StripeClient"),
    "githubkit": (["githubkit", "hishel<2"], "from githubkit import GitHub"),
}
CLICK, VERSION = "import click, httpx", "lsq-service --version"
TEXT = """Each library is installed with its dependencies into a separate folder. The time is the CPU time of a
process that runs the program in the first column, including the start of Python. The size is that of the folder as
pip installs it, including compiled modules."""


def run(measure: Measure, quick: bool) -> Result:
    names = ["httpx", "lsq_service_async"] if quick else list(LIBRARIES)
    with tempfile.TemporaryDirectory() as target, ThreadPoolExecutor(os.cpu_count()) as threads:
        folders = {name: Path(target, name) for name in names}
        list(threads.map(install, folders.values()))
        lines = {name: line for name in names if (line := LIBRARIES[name][1])}
        programs = {name: (folders[name], ["-c", line]) for name, line in lines.items()}
        programs["lsq_service_async, not used"] = folders["lsq_service_async"], ["-c", "import lsq_service_async"]
        if command_line := folders.get("lsq_service_async[cli]"):
            programs[CLICK] = command_line, ["-c", CLICK]
            programs[VERSION] = command_line, ["-m", "lsq_service_async", "--version"]
        seen = measure.interleaved(9 if quick else 11, programs, lambda name: {"ms": milliseconds(*programs[name])})
        sizes = {name: megabytes(folder) for name, folder in folders.items()}
    times = {name: figures["ms"] for name, figures in seen.items()}
    rows = [
        [f"`{lines.get(name, name)}`", f"{ms:.0f}", f"{ms.median / times['httpx'].median:.2f}"]
        for name, ms in times.items()
    ]
    tables = [
        Table("Import", ["program", "CPU ms (lowest to highest)", "of httpx"], rows),
        Table(
            "Installed size",
            ["package", "MB", "of httpx"],
            [[name, f"{size:.1f}", f"{size / sizes['httpx']:.1f}"] for name, size in sizes.items()],
        ),
    ]
    drawn = {name: times[name].median for name in lines}
    return Result(
        "Import time and size", TEXT, tables, [Plot("imports", "Time of the first import", bars(drawn, "CPU ms"))]
    )


def install(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", str(folder), *LIBRARIES[folder.name][0]], check=True)


def milliseconds(folder: Path, arguments: list[str]) -> float:
    """Return the CPU time of a process that can import only the standard library and the modules in the folder."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-S", *arguments]
    subprocess.run(command, env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
