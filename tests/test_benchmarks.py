"""The command of the benchmarks: where it writes its results."""

import importlib
import runpy
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("options", "folder"), [([], "results"), (["--quick"], "benchmarks-*"), (["--quick", "--output", "mine"], "mine")]
)
def test_quick_results_do_not_replace_the_committed_ones(monkeypatch, tmp_path, capsys, options, folder):
    """The results of a quick run are written to a temporary folder, whose path is printed, unless a folder is named."""
    monkeypatch.syspath_prepend(ROOT)
    peers, report = (importlib.import_module(f"benchmarks.{name}") for name in ("peers", "report"))
    scenario = SimpleNamespace(run=lambda measure, quick: report.Result("Rate limit", "Some text.", []))
    monkeypatch.setitem(sys.modules, "benchmarks.limits", scenario)
    monkeypatch.setattr(peers, "restart_inside", lambda: None)
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["benchmarks", *options, "limits"])
    monkeypatch.chdir(tmp_path)
    runpy.run_module("benchmarks", run_name="__main__")
    (written,) = tmp_path.iterdir()
    assert written.match(folder)
    assert sorted(path.name for path in written.iterdir()) == ["README.md", "limits.json"]
    assert capsys.readouterr().out.strip().endswith(written.name)
