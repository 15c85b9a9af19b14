"""The published package: version, public names, error tree and top-level files."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lsq_service_async
from lsq_service_async import errors

ROOT = Path(__file__).parents[1]


def test_the_version_is_the_same_everywhere():
    """The package, its metadata and the top of the changelog have the same version."""
    top = re.search(r"^## \[([0-9.]+)\] - \d{4}-\d{2}-\d{2}$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert lsq_service_async.__version__ == importlib.metadata.version("lsq-service-async") == top[1]


def test_all_names_exist_and_are_sorted():
    """Every name in __all__ can be imported, and the names are sorted and unique."""
    names = lsq_service_async.__all__
    assert names == sorted(set(names))
    assert [name for name in names if not hasattr(lsq_service_async, name)] == []


def test_modules_are_imported_when_they_are_needed(monkeypatch):
    """The import of the package loads no dependency, and that of ServiceClient only those of every program."""
    code = "import lsq_service_async as p, sys; print('attrs' in sys.modules); p.ServiceClient"
    code += "; print(*sys.modules.keys() & {'attrs', 'aiolimiter', 'cattrs', 'sqlite3', 'tenacity'})"
    code += "; print(p.limits.HostLimiter.__name__, p.errors.LSQServiceError.__name__)"
    env = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}  # coverage imports sqlite3
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.split() == ["False", "attrs", "HostLimiter", "LSQServiceError"]
    assert set(lsq_service_async.__all__) <= set(dir(lsq_service_async))
    monkeypatch.delattr(lsq_service_async, "leads", raising=False)
    assert lsq_service_async.leads.Leads
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lsq_service_async.nothing
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lsq_service_async.limits.nothing


def test_every_error_is_public_and_drawn_in_the_tree():
    """The tree in the docstring of errors.py has every error, and each is public."""
    kinds = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)]
    assert [name for name in kinds if name not in lsq_service_async.__all__] == []
    drawn = re.findall(r"^ {4,}([A-Z]\w+Error)", errors.__doc__, re.MULTILINE)
    assert drawn == kinds


def test_the_top_level_has_only_expected_files():
    """The project has only the expected files and folders at the top level."""
    expected = {"pyproject.toml", "README.md", "lsq_service_async", "tests", "benchmarks", "CHANGELOG.md"}
    expected.add("PKG-INFO")  # which a source distribution brings
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".") and path.name != "dist"}
    assert found - expected == set()


def test_the_package_works_without_posix(tmp_path):
    """Calls, uploads, bulk runs with a journal and the command line work as on Windows; HostLimiter is refused."""
    program = Path(__file__).with_name("on_windows.py")
    ran = subprocess.run([sys.executable, program, tmp_path], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "locks with SoftFileLock"), ran.stderr
