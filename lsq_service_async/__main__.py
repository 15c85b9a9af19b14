"""Runs the command line: ``python -m lsq_service_async``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_EXTRA = {"click", "rich", "starlette", "python_multipart", "uvicorn"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        from .cli.main import run

        return run(argv)
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        sys.stderr.write(f'This command needs {missing}. Run: pip install "lsq-service-async[demo]"\n')
        return 2


if __name__ == "__main__":
    sys.exit(main())
