"""The layers of the package: imports point down only, class names are unique, and module maps match the folders."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lsq_service_async"
ROOT = PACKAGE.name

OPERATIONS = {"_wire", "records", "attachments", "errors"}
CORE = {"errors", "events", "records", "attachments", "config", "_wire", "limits", "_transport", "bulk"}
CORE |= {"tickets", "metadata", "leads"}
MAY_IMPORT = {
    "_version": set(),
    "errors": set(),
    "_private_files": {"errors"},
    "_logging": {"errors"},
    "events": set(),
    "records": set(),
    "emulator": set(),
    "attachments": {"errors"},
    "config": {"errors", "_logging"},
    "_wire": {"errors", "records", "attachments"},
    "tickets": OPERATIONS,
    "metadata": OPERATIONS | {"_logging"},
    "leads": OPERATIONS,
    "limits": {"config", "errors", "events", "_logging", "_private_files"},
    "_transport": {"_logging", "_wire", "attachments", "config", "errors", "events", "limits"},
    "bulk": {"records", "attachments", "config", "errors", "events", "_logging", "_private_files"},
    "client": CORE | {"_version"},
    "integrations": {"__init__", "_logging", "bulk", "events", "limits", "emulator"},
    "cli": {"__init__", "bulk", "errors", "events", "limits", "emulator", "records", "_private_files", "_logging"},
    "__main__": {"__init__", "bulk", "limits", "emulator", "cli"},
    "__init__": CORE | {"client", "_version"},
}
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
PRIVATE_PART = {
    "_attachment_sources": "attachments",
    "_attachment_types": "attachments",
    "_config_validators": "config",
}
ONLY_IN = {
    "httpx": {"_transport", "client", "integrations/pytest_plugin.py"},
    "httpx2": {"_transport"},
    "tenacity": {"_transport/retry.py"},
    "aiolimiter": {"limits"},
    "cattrs": {"_wire/parse.py"},
    "redis": {"limits/redis.py"},
    "starlette": {"emulator"},
    "uvicorn": {"emulator"},
    "fastapi": {"integrations"},
    "pydantic": {"integrations", "records/_pydantic.py"},
    "pydantic_core": {"records/_pydantic.py"},
    "rich": {"cli"},
    "opentelemetry": {"integrations/opentelemetry.py"},
    "click": {"cli"},
    "python_calamine": {"cli/bulk/formats.py"},
}


def part_of(path: Path) -> str:
    """Return the layer that a file of the package belongs to."""
    name = path.parts[0] if len(path.parts) > 1 else path.stem
    return PRIVATE_PART.get(name, name)


def imported(path: Path, source: str) -> Iterator[str]:
    """Yield the absolute names of everything that a file imports, also inside of functions."""
    package = [ROOT, *path.parts[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, node.module] if node.module else base)
            yield from ([f"{module}.{alias.name}" for alias in node.names] if module == ROOT else [module])


def own_part(name: str) -> str | None:
    """Return the layer of an imported name, or None if it belongs to another package."""
    root, *rest = name.split(".")
    if root != ROOT:
        return None
    known = rest and ((PACKAGE / rest[0]).is_dir() or (PACKAGE / f"{rest[0]}.py").is_file())
    return PRIVATE_PART.get(rest[0], rest[0]) if known else "__init__"


def wrong_imports(path: Path, source: str) -> list[str]:
    """Return the imports of a file that are not allowed in its layer."""
    part = part_of(path)
    parts = {other for name in imported(path, source) if (other := own_part(name)) not in (None, part)}
    wrong = [f"{path}: {part} -> {other}" for other in sorted(parts - MAY_IMPORT[part])]
    for name in imported(path, source):
        homes = ONLY_IN.get(name.split(".")[0])
        if homes is not None and not homes & {part, path.as_posix()}:
            wrong.append(f"{path}: {name}")
    return wrong


def sources() -> Iterator[tuple[Path, str]]:
    """Yield the path of each module in the package, and its text."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE), path.read_text(encoding="utf-8")


def test_every_import_points_down():
    """No file imports a layer above its own, and each outside library is imported in one place."""
    assert [wrong for path, source in sources() for wrong in wrong_imports(path, source)] == []


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
        ("records.py", "from ._wire.parse import parse"),
        ("_wire/call.py", "from .._transport import pipeline"),
        ("_wire/call.py", "import httpx"),
        ("_wire/responses.py", "import cattrs"),
        ("limits/limiter.py", "from lsq_service_async import client"),
        ("bulk/job.py", "from ..limits import LocalLimiter"),
        ("tickets.py", "from .config import Config"),
        ("_attachment_sources.py", "from ._config_validators import Secret"),
        ("client.py", "from .integrations import fastapi"),
        ("records/tickets.py", "from pydantic_core import core_schema"),
        ("integrations/fastapi.py", "from .._wire.parse import parse"),
        ("emulator/routes.py", "from .. import ServiceClient"),
        ("_transport/pipeline.py", "def f():\n    from ..records import Ticket"),
    ],
)
def test_a_planted_wrong_import_is_found(path, line):
    """An import of a higher layer, or of a library outside of its place, is found."""
    assert wrong_imports(Path(path), line)


def twice_defined(files: list[tuple[Path, str]]) -> dict[str, list[str]]:
    """Return the public class names that are defined more than once, with their files."""
    places = defaultdict(list)
    for path, source in files:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path.as_posix())
    return {name: paths for name, paths in places.items() if len(paths) > 1}


@pytest.mark.parametrize("is_emulator", [False, True], ids=["client", "emulator"])
def test_no_public_class_name_is_defined_twice(is_emulator):
    """Each public class name is defined once in the client, and once in the emulator."""
    twice = twice_defined([(path, text) for path, text in sources() if (part_of(path) == "emulator") is is_emulator])
    assert twice == {}


def test_a_class_name_that_is_defined_twice_is_found():
    """Two public classes of one name are found, also in one file; private ones may share a name."""
    files = [(Path("a.py"), "class A: ...\nclass _B: ..."), (Path("b.py"), "class A: ...\nclass _B: ...")]
    assert twice_defined(files) == {"A": ["a.py", "b.py"]}


def missing_files(path: Path, source: str) -> list[str]:
    """Return the files in docstrings of a module that do not exist."""
    documented = [node for node in ast.walk(ast.parse(source)) if isinstance(node, DOCUMENTED)]
    text = "\n".join(ast.get_docstring(node) or "" for node in documented)
    named = re.findall(r"(?<![\w./])((?:\w+/)*\w+\.py)\b", text)
    folders = (PACKAGE / path.parent, PACKAGE)
    return [f"{path}: {name}" for name in named if not any((folder / name).exists() for folder in folders)]


def map_errors(path: Path, source: str) -> set[str]:
    """Return the differences between a module map and its folder. A map may leave out modules with an underscore."""
    folder = PACKAGE / path.parent
    # An entry of a map is a line with a file or folder, blanks, and its purpose.
    entries = re.findall(r"^ *(\w+(?:\.py|/))  ", ast.get_docstring(ast.parse(source)) or "", re.MULTILINE)
    modules = {entry.name for entry in folder.glob("*.py")} | {
        f"{entry.parent.name}/" for entry in folder.glob("*/*.py")
    }
    missing = {entry for entry in entries if not (folder / entry).exists()}
    return missing | {name for name in modules - set(entries) if not name.startswith("_")} if entries else set()


def test_docstrings_name_files_that_exist():
    """Every file in a docstring exists, and every module map has all files and folders of its folder."""
    assert [missing for path, source in sources() for missing in missing_files(path, source)] == []
    maps = [(path, source) for path, source in sources() if path.name == "__init__.py"]
    assert {str(path): map_errors(path, source) for path, source in maps if map_errors(path, source)} == {}


@pytest.mark.parametrize("docstring", ["Reads `gone.py`.", "See _wire/gone.py.", "A map.\n\n    gone.py  nothing"])
def test_a_docstring_that_names_a_missing_file_is_found(docstring):
    """A missing file in a docstring is found."""
    assert missing_files(Path("__init__.py"), f'"""{docstring}"""')


def test_a_module_map_with_errors_is_found():
    """An entry of a map that does not exist is found, and so is a module that the map leaves out."""
    errors = map_errors(
        Path("records/__init__.py"), '"""A map.\n\n    gone/         nothing\n    tickets.py    ...\n"""'
    )
    assert errors == {"gone/", "attempts.py", "constants.py", "lookup.py", "metadata.py"}


def test_the_core_imports_without_any_extra():
    """Importing the package loads only its five dependencies and theirs."""
    # click and rich are not checked, because httpx imports them if they are installed.
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
        "python_calamine",
    }
    code = f"import sys, {ROOT}; print(*({extras!r} & {{name.split('.')[0] for name in sys.modules}}))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
