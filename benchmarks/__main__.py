"""``python -m benchmarks [SCENARIO ...]``: compare this package with others, and write ``results/``. See README.md."""

import argparse
import importlib
import shlex
import sys
import tempfile
import time
from pathlib import Path

from . import SCENARIOS, peers, report
from .measure import Measure


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"one of {', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds, in at most three minutes")
    where = f"where to write the results; default: {report.RESULTS}, or with --quick a new temporary folder"
    parser.add_argument("--output", metavar="FOLDER", type=Path, help=where)
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="rounds of each scenario, instead of its default number"
    )
    parser.add_argument("--list", action="store_true", help="print the scenarios")
    parser.add_argument("--readme", action="store_true", help="print the section Performance of README.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.scenarios) - set(SCENARIOS):
        parser.error(f"unknown scenario {', '.join(sorted(unknown))}; choose from {', '.join(SCENARIOS)}")
    if arguments.list or arguments.readme:
        print(*SCENARIOS if arguments.list else [report.performance()], sep="\n")
        return
    peers.restart_inside()
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    folder = arguments.output or report.RESULTS
    if arguments.quick and arguments.output is None:
        folder = Path(tempfile.mkdtemp(prefix="benchmarks-"))
    for name in arguments.scenarios or SCENARIOS:
        started = time.monotonic()
        result = importlib.import_module(f"benchmarks.{name}").run(Measure(arguments.rounds), arguments.quick)
        print(f"\n## {result.title} ({time.monotonic() - started:.0f} s)\n\n{result.text}\n", flush=True)
        print(*result.tables, sep="\n\n", flush=True)
        report.save(folder, name, result, command, peers.versions())
    print(f"\nWritten to {folder}")


main()
