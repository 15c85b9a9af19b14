"""Bulk runs on a virtual clock: a journal whose commits happen at once, and a scripted or emulated service."""

import asyncio

import httpx
import pytest
from virtual_clock import run_virtual

from lsq_service_async import Config, ServiceClient
from lsq_service_async.bulk.journal import Journal
from lsq_service_async.emulator import Emulator


@pytest.fixture
def inline_journal(monkeypatch):
    """A thread under a virtual clock would be overtaken by its timers."""

    async def at_once(self, act, *given):
        return self._guarded(act, *given)

    monkeypatch.setattr(Journal, "_in_thread", at_once)


@pytest.fixture
def play(inline_journal):
    """Run ``main(client, emulator)`` on a virtual clock, against a strict emulator in process."""

    def run(main, *, emulator=None, **settings):
        async def whole():
            service = emulator() if emulator else virtual_emulator()
            transport = httpx.ASGITransport(app=service.app)
            async with httpx.AsyncClient(transport=transport) as http:
                config = Config(**service.settings, **settings)
                async with ServiceClient(config, http_client=http) as client:
                    return await main(client, service)

        return run_virtual(whole())

    return run


def virtual_emulator(**options):
    """One that lives by the clock of the running loop."""
    loop = asyncio.get_running_loop()
    return Emulator(clock=loop.time, sleep=asyncio.sleep, **options)


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "run.sqlite"
