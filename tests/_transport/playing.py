"""Runs calls on a virtual clock against a scripted service."""

import asyncio

import httpx
import pytest
from virtual_clock import run_virtual

from lsq_service_async import NewTicket, ServiceClient

TICKET = NewTicket(lead_id="45b5")


async def cancelled(task):
    """Cancel, and return how long the task took to end."""
    started = asyncio.get_running_loop().time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return asyncio.get_running_loop().time() - started


def play(config, script, main, *, hooks=(), **more):
    """Run ``main(client, events)`` on a virtual clock, and return its result and the events."""
    events = []

    async def whole():
        async with httpx.AsyncClient(transport=script) as http:
            async with ServiceClient(config, http_client=http, hooks=[events.append, *hooks], **more) as client:
                return await main(client, events)

    return run_virtual(whole()), events


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]
