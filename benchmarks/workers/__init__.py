"""Programs that measure one thing each: ``python -m benchmarks.workers MODULE.FUNCTION [ARGUMENT ...]``."""

import asyncio
import json
import re
import resource
import socket
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

ORG_ID = "22824"


def command(function: str, *arguments: object) -> list[str]:
    """Return the command that calls a function, such as ``uploads.upload``, and prints its result as JSON."""
    return [sys.executable, "-m", __name__, function, *map(json.dumps, arguments)]


def config(origin: str, **options: Any) -> Any:
    """Return the settings of this package for a server, with the keys of the emulator."""
    from lsq_service_async import Config

    options |= {"access_key": "emulator-access-key", "secret_key": "emulator-secret-key"}
    return Config(org_id=ORG_ID, base_url=origin, **options)


def peak() -> int:
    """Return the peak memory of this process in bytes.

    On Linux, ``ru_maxrss`` would include the peak of the process that started this one.
    """
    status = Path("/proc/self/status")
    if found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text() if status.exists() else ""):
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Lag:
    """The longest delay in seconds of a task that sleeps for a millisecond in the same event loop."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def measure(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.001
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, loop.time() - due)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@asynccontextmanager
async def daemon(port: int, *program: str) -> AsyncIterator[None]:
    """Run a server during the block. The block begins when the server listens on its port."""
    process = await asyncio.create_subprocess_exec(*program, stdout=DEVNULL)
    try:
        async with asyncio.timeout(10):
            while not await _listens(port):  # noqa: ASYNC110 -- another program has no event for it
                await asyncio.sleep(0.05)
        yield
    finally:
        process.terminate()
        await process.wait()


async def _listens(port: int) -> bool:
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False
