"""Programs that measure one thing each and print one JSON line."""

import re
import resource
import sys
from pathlib import Path


def peak() -> int:
    """Return the peak memory of this process in bytes.

    On Linux, ``ru_maxrss`` would include the peak of the process that started this one.
    """
    status = Path("/proc/self/status")
    if found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text() if status.exists() else ""):
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
