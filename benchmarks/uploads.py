"""Large attachments: time, memory and event loop stalls of this package, bare httpx, aiohttp and curl."""

import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from benchmarks.hashing_server import hashing_server
from benchmarks.table import show
from benchmarks.upload_peers import PEERS

MIB = 1 << 20
Figures = tuple[float, ...]


def available() -> list[str]:
    """Return the peers that are installed: aiohttp and curl are optional."""
    absent = {"aiohttp, open file": find_spec("aiohttp") is None, "curl": shutil.which("curl") is None}
    return [peer for peer in PEERS if not absent.get(peer)]


def measured(peer: str, origin: str, path: Path, count: int) -> Figures:
    command = [sys.executable, "-m", "benchmarks.upload_peers", peer, origin, str(path), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return tuple(map(float, done.stdout.split()))


def compared(origin: str, path: Path, count: int, rounds: int) -> list[tuple[object, ...]]:
    taken: dict[str, list[Figures]] = {peer: [] for peer in available()}
    for _ in range(rounds):
        for peer in taken:
            taken[peer].append(measured(peer, origin, path, count))
    medians = {peer: [statistics.median(column) for column in zip(*runs, strict=True)] for peer, runs in taken.items()}
    base = medians["bare httpx, open file"][0]
    return [(peer, median[0], median[0] / base, *median[1:]) for peer, median in medians.items()]


def run() -> None:
    head = ["client", "s", "ratio to httpx", "peak growth MiB", "stall p99 ms", "stall max ms"]
    with tempfile.TemporaryDirectory() as folder, hashing_server() as origin:
        path = Path(folder) / "large.bin"
        (path.with_name("small.bin")).write_bytes(bytes(MIB))
        for size, count, rounds in ((1024, 1, 5), (128, 8, 3)):
            with path.open("wb") as file:
                for number in range(size):
                    file.write(number.to_bytes(4, "big") * (MIB // 4))
            title = f"{count} x {size} MiB to a server that hashes, median of {rounds} rounds in fresh processes"
            show(title, head, compared(origin, path, count, rounds))
