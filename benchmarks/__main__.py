"""``python -m benchmarks [NAME ...]``: measure, and print a table for each name; without one, all of them.

Machines are shared and noisy: peers are measured in turns within one run, and the ratios of medians are what counts.
"""

import importlib
import sys

BENCHMARKS = ("fastapi_workers", "imports", "limiters", "overhead", "servers", "uploads")


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        # Each needs libraries of its own, and only those.
        importlib.import_module(f"benchmarks.{name}").run()
    return 0


sys.exit(main(sys.argv[1:]))
