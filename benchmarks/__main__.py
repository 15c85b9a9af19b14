"""``python -m benchmarks [NAME ...]``: measure, and print a table for each name; without one, all of them.

Machines are shared and noisy: peers are measured in turns within one run, and the ratios of medians are what counts.
"""

import sys

from benchmarks import fastapi_workers, imports, overhead, servers, uploads

BENCHMARKS = {
    "fastapi_workers": fastapi_workers.run,
    "imports": imports.run,
    "overhead": overhead.run,
    "servers": servers.run,
    "uploads": uploads.run,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        BENCHMARKS[name]()
    return 0


sys.exit(main(sys.argv[1:]))
