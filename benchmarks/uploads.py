"""Upload of a large file: time, memory, stalls of the event loop and CPU time, compared with other clients."""

import shutil
import tempfile
from pathlib import Path

from .measure import Measure
from .report import Plot, Result, Table, bars
from .workers.uploads import CLIENTS

BASE = "httpx files="
TEXT = """The file is sent to a server in another process, which discards it. Memory is the growth of the peak memory
during the upload. A stall is the longest delay of a task that sleeps in the same event loop. Memory and stalls are
not measured for curl, which is a separate process. With digests, this package returns the SHA-256 of the file that
it sent."""


def run(measure: Measure, quick: bool) -> Result:
    size = 64 if quick else 1024  # MiB
    clients = [client for client in CLIENTS if client != "curl" or shutil.which("curl")]
    with measure.running("raw_server.serve") as server, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.bin")
        with path.open("wb") as file:
            file.truncate(size << 20)  # sparse, so that no disk limits the speed
        seen = measure.interleaved(
            2 if quick else 5,
            clients,
            lambda client: measure.run("uploads.upload", client, server["origin"], str(path)),
        )
    base = seen[BASE]["s"].median
    stalls = {client: figures["stall_ms"].median for client, figures in seen.items() if client != "curl"}
    rows = [
        [
            client,
            f"{figures['s']:.2f}",
            f"{figures['s'].median / base:.2f}",
            f"{figures['peak_mib'].median:,.0f}" if client in stalls else "",
            f"{stalls[client]:,.0f}" if client in stalls else "",
            f"{figures['cpu_s'].median:.2f}",
        ]
        for client, figures in seen.items()
    ]
    head = ["client", "s (lowest to highest)", "of httpx", "memory MiB", "longest stall ms", "CPU s"]
    plot = Plot("uploads", f"Longest stall of the event loop during an upload of {size} MiB", bars(stalls, "ms"))
    text = TEXT + ("" if "curl" in clients else " curl is not installed.")
    return Result("Upload of a large file", text, [Table(f"{size} MiB", head, rows)], [plot])
