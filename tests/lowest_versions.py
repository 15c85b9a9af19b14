"""Print pip constraints that pin every dependency of the package to the lowest version that pyproject.toml allows.

The extras ``test`` and ``browser`` are left out: test tools are installed in their current versions.
"""

import re
import tomllib
from pathlib import Path


def lowest_versions(project):
    """Return one ``name==version`` for each requirement with a ``>=``; the highest floor if a name has several."""
    extras = project.get("optional-dependencies", {})
    requirements = [
        *project["dependencies"],
        *(line for name in extras if name not in {"test", "browser"} for line in extras[name]),
    ]
    floors = {}
    for name, version in re.findall(r"^([\w.-]+)(?:\[.*\])?>=([\d.]+)", "\n".join(requirements), re.MULTILINE):
        floors[name] = max(floors.get(name, version), version, key=lambda text: [int(part) for part in text.split(".")])
    return [f"{name}=={version}" for name, version in sorted(floors.items())]


if __name__ == "__main__":
    pyproject = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    print("\n".join(lowest_versions(pyproject["project"])))
