"""Bulk runs on a virtual clock, against a strict emulator in the same process."""

import asyncio

import httpx
import pytest
from virtual_clock import run_virtual

from lsq_service_async import Config, ServiceClient
from lsq_service_async.emulator import Emulator


@pytest.fixture
def play():
    """Run ``main(client, emulator)`` on a virtual clock. Each use of the journal takes ``commit_seconds``."""

    def run(main, *, emulator=None, commit_seconds=0.0, **settings):
        async def whole():
            service = emulator() if emulator else virtual_emulator()
            transport = httpx.ASGITransport(app=service.app)
            async with httpx.AsyncClient(transport=transport) as http:
                config = Config(**service.settings, **settings)
                async with ServiceClient(config, http_client=http) as client:
                    return await main(client, service)

        return run_virtual(whole(), thread_seconds=commit_seconds)

    return run


def virtual_emulator(**options):
    """An emulator that uses the clock of the running loop, of an account without mandatory fields."""
    loop = asyncio.get_running_loop()
    return Emulator(clock=loop.time, sleep=asyncio.sleep, enforce_mandatory=False, **options)


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "run.sqlite"
