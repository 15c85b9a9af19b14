"""Fails when a wheel holds more or less than the package: ``python tests/wheel_content.py dist/*.whl``."""

import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGE = "lsq_service_async"


def expected(root: Path) -> set[str]:
    """The files of the package that git tracks."""
    listed = subprocess.run(["git", "ls-files", PACKAGE], cwd=root, capture_output=True, text=True, check=True)
    return set(listed.stdout.split())


def found(wheel: Path) -> set[str]:
    """The files of the wheel but for its own records."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


if __name__ == "__main__":
    want, have = expected(Path(__file__).parents[1]), found(Path(sys.argv[1]))
    for name in sorted(want ^ have):
        print("missing" if name in want else "too much", name)
    sys.exit(want != have)
