"""Fail if the files of a wheel differ from those of the package: ``python tests/wheel_content.py dist/*.whl``."""

import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGE = "lsq_service_async"


def expected(root: Path) -> set[str]:
    """Return the files of the package that git tracks."""
    listed = subprocess.run(["git", "ls-files", PACKAGE], cwd=root, capture_output=True, text=True, check=True)
    return set(listed.stdout.split())


def found(wheel: Path) -> set[str]:
    """Return the files of the wheel, without its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


if __name__ == "__main__":
    tracked, packed = expected(Path(__file__).parents[1]), found(Path(sys.argv[1]))
    for name in sorted(tracked ^ packed):
        print("missing in the wheel:" if name in tracked else "not tracked by git:", name)
    sys.exit(tracked != packed)
