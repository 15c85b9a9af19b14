"""One upload of a file by one client."""

import asyncio
import resource
import tempfile
import time
from pathlib import Path

from . import Lag, config, peak


async def this(origin: str, path: Path, digests: bool = True) -> None:
    from lsq_service_async import NewTicket, ServiceClient

    async with ServiceClient(config(origin, attachment_digests=digests)) as client:
        await client.tickets.create(NewTicket(lead_id="45b5"), attachments=[path])


async def this_without_digests(origin: str, path: Path) -> None:
    await this(origin, path, digests=False)


async def httpx(origin: str, path: Path) -> None:
    import httpx

    async with httpx.AsyncClient(timeout=60) as client:
        with path.open("rb") as file:
            answer = await client.post(f"{origin}/tickets", data={"ticketDTO": "{}"}, files={"files": file})
        answer.raise_for_status()


async def aiohttp(origin: str, path: Path) -> None:
    import aiohttp

    form = aiohttp.FormData({"ticketDTO": "{}"})
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        with path.open("rb") as file:
            form.add_field("files", file, filename=path.name)
            async with session.post(f"{origin}/tickets", data=form) as answer:
                await answer.read()


async def curl(origin: str, path: Path) -> None:
    form = ["-F", "ticketDTO={}", "-F", f"files=@{path}"]
    process = await asyncio.create_subprocess_exec("curl", "-fsSo", "/dev/null", *form, f"{origin}/tickets")
    if await process.wait():
        raise RuntimeError(f"curl failed with exit code {process.returncode}")


async def openai(origin: str, path: Path) -> None:
    """Pass a path, as the documentation of openai-python shows."""
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key="a", base_url=f"{origin}/openai", max_retries=0, timeout=60) as client:
        await client.files.create(file=path, purpose="user_data")


async def openai_open_file(origin: str, path: Path) -> None:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key="a", base_url=f"{origin}/openai", max_retries=0, timeout=60) as client:
        with path.open("rb") as file:
            await client.files.create(file=file, purpose="user_data")


async def slack_sdk(origin: str, path: Path) -> None:
    from slack_sdk.web.async_client import AsyncWebClient

    client = AsyncWebClient(token="a", base_url=f"{origin}/slack/", timeout=60)
    await client.files_upload_v2(file=str(path), filename=path.name)


CLIENTS = {
    "this": this,
    "this, no digests": this_without_digests,
    "httpx files=": httpx,
    "aiohttp FormData": aiohttp,
    "openai-python, path": openai,
    "openai-python, open file": openai_open_file,
    "slack_sdk files_upload_v2": slack_sdk,
    "curl": curl,
}


def cpu(client: str) -> float:
    """Return the CPU time in seconds of curl or of this process."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN if client == "curl" else resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def upload(client: str, origin: str, path: str) -> dict[str, float]:
    """Return the time, the memory, the longest stall and the CPU time of an upload.

    The client first uploads a small file, so that no import is measured. Memory is the growth of the peak memory after
    this first upload. A stall is the delay of a task that sleeps in the same event loop.
    """
    with tempfile.NamedTemporaryFile() as small:
        small.write(b"small")
        small.flush()
        await CLIENTS[client](origin, Path(small.name))
    lag = Lag()
    watcher = asyncio.create_task(lag.measure())
    await asyncio.sleep(0.002)
    idle, used, started = peak(), cpu(client), time.perf_counter()
    await CLIENTS[client](origin, Path(path))
    seconds, used, grown = time.perf_counter() - started, cpu(client) - used, (peak() - idle) / (1 << 20)
    await asyncio.sleep(0.002)  # so that a stall at the end is counted
    watcher.cancel()
    return {"s": seconds, "peak_mib": grown, "stall_ms": lag.longest * 1000, "cpu_s": used}
