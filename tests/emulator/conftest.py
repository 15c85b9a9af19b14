"""Bare httpx clients of the emulator, a clock that tests move, and the vendor's examples."""

import json
from pathlib import Path

import httpx
import pytest

from lsq_service_async.emulator import Emulator

SAMPLES = Path(__file__).parents[1] / "samples"


class FakeTime:
    """A clock that moves when something sleeps, or when a test changes ``now``."""

    def __init__(self):
        self.now = 1000.0
        self.slept = []

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def fake_time():
    return FakeTime()


@pytest.fixture
def sample():
    """Reads one of the bodies that the vendor's pages print."""
    return lambda name: json.loads((SAMPLES / f"{name}.json").read_text())


@pytest.fixture
def new_ticket(sample):
    """The vendor's request for a new ticket."""
    return sample("create-request")


@pytest.fixture
def connect():
    """Makes an httpx client with the right keys for one of the two APIs: on the socket if the emulator is open."""

    def client(emulator, *, marketing=False):
        settings = emulator.settings
        keys, origin = (settings["access_key"], settings["secret_key"]), settings["base_url"]
        names = ("x-LSQ-AccessKey", "x-LSQ-SecretKey") if marketing else ("X-LSQ-ACCESS-KEY", "X-LSQ-SECRET-KEY")
        path = "/v2/LeadManagement.svc" if marketing else f"/api/tenants/{settings['org_id']}"
        transport = httpx.ASGITransport(app=emulator.app) if origin == "http://localhost" else None
        headers = dict(zip(names, keys, strict=True))
        return httpx.AsyncClient(base_url=origin + path, headers=headers, transport=transport, trust_env=False)

    return client


@pytest.fixture
def emulator(fake_time):
    """In process, without a rate limit, in fake time."""
    return Emulator(window=None, clock=fake_time.clock, sleep=fake_time.sleep)


@pytest.fixture
async def client(emulator, connect):
    async with connect(emulator) as client:
        yield client


@pytest.fixture
async def leads(emulator, connect):
    async with connect(emulator, marketing=True) as client:
        yield client
