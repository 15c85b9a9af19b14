from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from lsq_service_async.emulator import Emulator

SAMPLES = Path(__file__).parent.parent / "samples"


class FakeTime:
    """A clock that only moves when somebody sleeps, or is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def sample() -> Callable[[str], Any]:
    """Reads one of the vendor's printed bodies."""
    return lambda name: json.loads((SAMPLES / f"{name}.json").read_text())


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def emulator(fake_time: FakeTime) -> Emulator:
    """In process, without a limit, in fake time."""
    return Emulator(window=None, clock=fake_time.clock, sleep=fake_time.sleep)


def headers_of(emulator: Emulator) -> dict[str, str]:
    settings = emulator.settings
    return {"X-LSQ-ACCESS-KEY": settings["access_key"], "X-LSQ-SECRET-KEY": settings["secret_key"]}


def base_of(emulator: Emulator) -> str:
    settings = emulator.settings
    return f"{settings['base_url']}/api/tenants/{settings['org_id']}"


@pytest.fixture
def in_process() -> Callable[[Emulator], httpx.AsyncClient]:
    """A bare httpx client of an emulator that is not open."""

    def client(emulator: Emulator) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=emulator.app)
        return httpx.AsyncClient(transport=transport, base_url=base_of(emulator), headers=headers_of(emulator))

    return client


@pytest.fixture
def marketing() -> Callable[[Emulator], httpx.AsyncClient]:
    """The same for the marketing API, whose keys go by other names."""

    def client(emulator: Emulator) -> httpx.AsyncClient:
        settings = emulator.settings
        keys = {"x-LSQ-AccessKey": settings["access_key"], "x-LSQ-SecretKey": settings["secret_key"]}
        base = f"{settings['leads_url']}/v2/LeadManagement.svc"
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=emulator.app), base_url=base, headers=keys)

    return client


@pytest.fixture
def on_socket() -> Callable[[Emulator], httpx.AsyncClient]:
    """A bare httpx client of an open emulator."""
    return lambda emulator: httpx.AsyncClient(base_url=base_of(emulator), headers=headers_of(emulator), trust_env=False)


@pytest.fixture
async def client(
    emulator: Emulator, in_process: Callable[[Emulator], httpx.AsyncClient]
) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(emulator) as client:
        yield client


@pytest.fixture
def new_ticket(sample: Callable[[str], Any]) -> dict[str, Any]:
    """The vendor's request for a new ticket."""
    request: dict[str, Any] = sample("create-request")
    return request
