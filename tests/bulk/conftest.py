"""Bulk runs on a virtual clock, against a strict emulator in the same process."""

import asyncio

import httpx
import pytest
from virtual_clock import run_virtual

from lsq_service_async import Config, ServiceClient
from lsq_service_async.emulator import Emulator


def virtual_play(main, *, emulator=None, commit_seconds=0.0, **settings):
    """Run ``main(client, emulator)`` on a virtual clock. Each use of the journal takes ``commit_seconds``."""

    async def whole():
        service = emulator() if emulator else virtual_emulator()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=service.app)) as http:
            async with ServiceClient(Config(**service.settings, **settings), http_client=http) as client:
                return await main(client, service)

    return run_virtual(whole(), thread_seconds=commit_seconds)


@pytest.fixture
def play():
    return virtual_play


def virtual_emulator(**options):
    """An emulator that uses the clock of the running loop, of an account without mandatory fields."""
    loop = asyncio.get_running_loop()
    return Emulator(clock=loop.time, sleep=asyncio.sleep, enforce_mandatory=False, **options)


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "run.sqlite"
