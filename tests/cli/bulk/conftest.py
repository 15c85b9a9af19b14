"""`bulk ...` on a file of three rows and an emulator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lsq_service_async.emulator import Emulator

ROWS = "key,title,lead_phone\na,one,+91 1\nb,two,+91 2\nc,three,+91 3\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """rows.csv in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "rows.csv"
    path.write_text(ROWS)
    return path


@pytest.fixture
def bulk(served: Emulator, file: Path, cli: Any) -> Any:
    """A function that runs `bulk ...` and returns the exit code, the JSON lines and the text on stderr."""

    def call(*argv: str) -> tuple[int, list[Any], str]:
        code, out, err = cli("bulk", *argv)
        return code, [json.loads(line) for line in out.splitlines()], err

    return call


def states(results: list[Any]) -> dict[str, str]:
    return {result["key"]: result["state"] for result in results}
