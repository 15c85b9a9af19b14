"""The layers: who may import whom. A folder is a layer, and imports point down only."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lsq_service_async"
ROOT = PACKAGE.name

CORE = {
    "errors",
    "events",
    "records",
    "attachments",
    "config",
    "_wire",
    "limits",
    "_transport",
    "tickets",
    "metadata",
    "leads",
    "bulk",
}
MAY_IMPORT = {
    "_version": set(),
    "errors": set(),
    "events": set(),
    "records": set(),
    "emulator": set(),
    "attachments": {"errors"},
    "config": {"errors"},
    "_wire": {"errors", "records", "attachments"},
    "tickets": {"_wire", "records", "attachments", "errors"},
    "metadata": {"_wire", "records", "attachments", "errors"},
    "leads": {"_wire", "records", "attachments", "errors"},
    "limits": {"config", "errors", "events"},
    "bulk": {"records", "attachments", "config", "errors", "events"},
    "_transport": {"_wire", "attachments", "config", "errors", "events", "limits"},
    "client": CORE | {"_version"},
    "cli": {"__init__", "bulk", "limits", "emulator"},
    "integrations": {"__init__", "limits"},
    "__main__": {"__init__", "cli", "emulator"},
    "__init__": CORE | {"client", "_version"},
}
PRIVATE_HALVES = {"_attachment_sources": "attachments", "_config_validators": "config"}
ONLY_IN = {
    # One who opens clients passes an httpx client on.
    "httpx": {"_transport", "client", "integrations/fastapi.py"},
    "tenacity": {"_transport/retry.py"},
    "aiolimiter": {"limits"},
    "cattrs": {"_wire/parse.py"},
    "redis": {"limits/redis.py"},
    "starlette": {"emulator"},
    "uvicorn": {"emulator"},
    "fastapi": {"integrations"},
    "pydantic": {"integrations"},
    "pydantic_core": {"records/_pydantic.py"},
    "rich": {"cli"},
    "click": {"cli"},
}


def part_of(path: Path) -> str:
    name = path.parts[0] if len(path.parts) > 1 else path.stem
    return PRIVATE_HALVES.get(name, name)


def imported(path: Path, source: str) -> Iterator[str]:
    """Absolute names of all that a file imports, wherever in the file it does."""
    package = [ROOT, *path.parts[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, node.module] if node.module else base)
            yield from ([f"{module}.{alias.name}" for alias in node.names] if module == ROOT else [module])


def own_part(name: str) -> str | None:
    """The part of this package that an imported name belongs to; None for other packages."""
    root, *rest = name.split(".")
    if root != ROOT:
        return None
    known = rest and ((PACKAGE / rest[0]).is_dir() or (PACKAGE / f"{rest[0]}.py").is_file())
    return PRIVATE_HALVES.get(rest[0], rest[0]) if known else "__init__"


def wrong_arrows(path: Path, source: str) -> list[str]:
    part = part_of(path)
    arrows = {arrow for name in imported(path, source) if (arrow := own_part(name)) not in (None, part)}
    wrong = [f"{path}: {part} -> {arrow}" for arrow in sorted(arrows - MAY_IMPORT[part])]
    for name in imported(path, source):
        homes = ONLY_IN.get(name.split(".")[0])
        if homes is not None and not homes & {part, path.as_posix()}:
            wrong.append(f"{path}: {name}")
    return wrong


def sources() -> Iterator[tuple[Path, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE), path.read_text(encoding="utf-8")


def test_every_import_points_down():
    """No file imports a part above its own, and each outside library is known in one place."""
    assert [arrow for path, source in sources() for arrow in wrong_arrows(path, source)] == []


def test_no_two_modules_import_each_other():
    """The import graph of the modules has no cycle."""
    graph = {".".join([ROOT, *path.with_suffix("").parts]): set(imported(path, source)) for path, source in sources()}
    graph = {name: {target for target in targets if target in graph} for name, targets in graph.items()}
    while leaves := [name for name, targets in graph.items() if not targets]:
        graph = {name: targets.difference(leaves) for name, targets in graph.items() if name not in leaves}
    assert graph == {}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("records.py", "from ._wire.parse import to_wire"),
        ("_wire/call.py", "from .._transport import pipeline"),
        ("_wire/call.py", "import httpx"),
        ("limits/gate.py", "from lsq_service_async import client"),
        ("tickets.py", "from .config import Config"),
        ("client.py", "from .integrations import fastapi"),
        ("records/tickets.py", "from pydantic_core import core_schema"),
        ("integrations/fastapi.py", "from .._wire.parse import to_wire"),
        ("emulator/app.py", "from .. import ServiceClient"),
        ("_transport/pipeline.py", "def f():\n    from ..records import Ticket"),
    ],
)
def test_a_planted_wrong_import_is_found(path, line):
    """The check can fail: each of these imports is an arrow upwards or a library out of its place."""
    assert wrong_arrows(Path(path), line)


def test_the_core_imports_without_any_extra():
    """Importing the package loads nothing but the five libraries it depends on, and what those need."""
    # Without click and rich, which httpx itself imports where they are installed.
    extras = {
        "starlette",
        "uvicorn",
        "multipart",
        "python_multipart",
        "redis",
        "fastapi",
        "pydantic",
        "pydantic_core",
        "opentelemetry",
    }
    code = f"import sys, {ROOT}; print(*({extras!r} & {{name.split('.')[0] for name in sys.modules}}))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
