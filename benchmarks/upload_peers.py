"""One upload by one client in a fresh process: ``python -m benchmarks.upload_peers PEER ORIGIN PATH COUNT``.

Prints seconds, the growth of peak memory in MiB, and the 99th percentile and maximum of the event loop's stalls in ms.
"""

import asyncio
import hashlib
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

TICK = 0.001


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Stalls:
    """Delays of a task that sleeps in the same event loop, as every other task would see them."""

    def __init__(self) -> None:
        self.late: list[float] = []

    async def measure(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK
            await asyncio.sleep(TICK)
            self.late.append(loop.time() - due)

    @property
    def figures(self) -> tuple[float, float]:
        ordered = sorted(self.late) or [0.0]
        return ordered[int(len(ordered) * 0.99)] * 1000, ordered[-1] * 1000


async def ours(origin: str, path: Path, count: int, *, digests: bool = True) -> None:
    from lsq_service_async import Config, NewTicket, ServiceClient

    config = Config(access_key="a", secret_key="b", org_id="1", base_url=origin, attachment_digests=digests)
    async with ServiceClient(config) as client:
        ticket = NewTicket(lead_id="45b5")
        await asyncio.gather(*(client.tickets.create(ticket, attachments=[path]) for _ in range(count)))


async def without_digests(origin: str, path: Path, count: int) -> None:
    await ours(origin, path, count, digests=False)


class Hashed:
    """A file that hashes its bytes as they are read: gives bare httpx the digest that our receipts have."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self._digest.update(chunk)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


async def httpx(origin: str, path: Path, count: int, *, wrapped: Callable[[BinaryIO], Any] = lambda file: file) -> None:
    import httpx

    async with httpx.AsyncClient(timeout=60) as client:

        async def upload() -> None:
            with path.open("rb") as file:
                await client.post(f"{origin}/tickets", data={"ticketDTO": "{}"}, files={"files": wrapped(file)})

        await asyncio.gather(*(upload() for _ in range(count)))


async def httpx_hashing(origin: str, path: Path, count: int) -> None:
    await httpx(origin, path, count, wrapped=Hashed)


async def aiohttp(origin: str, path: Path, count: int) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session:

        async def upload() -> None:
            with path.open("rb") as file:
                form = aiohttp.FormData({"ticketDTO": "{}"})
                form.add_field("files", file, filename=path.name)
                async with session.post(f"{origin}/tickets", data=form) as answer:
                    await answer.read()

        await asyncio.gather(*(upload() for _ in range(count)))


async def curl(origin: str, path: Path, count: int) -> None:
    async def upload() -> None:
        form = ["-F", "ticketDTO={}", "-F", f"files=@{path}"]
        process = await asyncio.create_subprocess_exec("curl", "-sSo", "/dev/null", *form, f"{origin}/tickets")
        await process.wait()

    await asyncio.gather(*(upload() for _ in range(count)))


PEERS = {
    "this": ours,
    "this, no digests": without_digests,
    "bare httpx, open file": httpx,
    "bare httpx, hashing it": httpx_hashing,
    "aiohttp, open file": aiohttp,
    "curl": curl,
}


async def main(peer: str, origin: str, path: Path, count: int) -> None:
    stalls = Stalls()
    small = path.with_name("small.bin")
    await PEERS[peer](origin, small, 1)  # lazy imports are not part of the upload
    before, started = peak(), time.perf_counter()
    task = asyncio.create_task(stalls.measure())
    await PEERS[peer](origin, path, count)
    seconds = time.perf_counter() - started
    task.cancel()
    print(seconds, peak() - before, *stalls.figures)


if __name__ == "__main__":
    _, peer, origin, path, count = sys.argv
    asyncio.run(main(peer, origin, Path(path), int(count)))
