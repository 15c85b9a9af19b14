"""``python -m benchmarks [NAME ...]``: run these benchmarks, or all of them, and print a table for each.

Machines are shared and noisy, so peers are measured alternately in one run: compare the ratios, not the seconds.
"""

import importlib
import sys

BENCHMARKS = ("fastapi_workers", "imports", "limiters", "overhead", "servers", "uploads")


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"unknown benchmark: {', '.join(unknown)}; choose from {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        # Imported here, because each benchmark needs other libraries.
        importlib.import_module(f"benchmarks.{name}").run()
    return 0


sys.exit(main(sys.argv[1:]))
