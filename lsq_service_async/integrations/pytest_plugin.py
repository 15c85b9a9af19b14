"""Fixtures for pytest: an emulator in the process of the tests, and clients whose waits take no time::

    async def test_a_ticket_is_created(lsq_client, lsq_emulator):
        receipt = await lsq_client.tickets.create(NewTicket(lead_id="45b5", title="Router down", status="Open"))
        assert lsq_emulator.tickets[receipt.number].fields["Title"] == "Router down"

The fixtures work with pytest-asyncio, anyio and `asyncio.run`. Needs the extra ``emulator``. pytest loads this module
in every run, so only the fixtures import the rest of the package.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pytest

if TYPE_CHECKING:
    from .. import Config, ServiceClient
    from ..emulator import Emulator

_CLOSE_TIMEOUT = 60.0  # seconds
_GRACE = 0.002  # seconds that a loop waits for sockets and threads before its clock jumps


_real_time = asyncio.BaseEventLoop.time
_ahead: WeakKeyDictionary[asyncio.AbstractEventLoop, float] = WeakKeyDictionary()
"""The seconds by which the clock of each event loop is ahead. They never decrease."""


def _time(loop: asyncio.BaseEventLoop) -> float:
    return _real_time(loop) + _ahead.get(loop, 0.0)


class _JumpingClock:
    """A hook that skips waits. While calls are open, the clock of an idle event loop jumps to the next timer."""

    def __init__(self) -> None:
        self.loops: dict[asyncio.AbstractEventLoop, int] = {}
        """The number of open calls in each event loop."""

    def __call__(self, event: object, /) -> None:
        loop: Any = asyncio.get_running_loop()
        if loop not in self.loops:
            with suppress(AttributeError):  # uvloop has no selector, so its waits take real time
                loop._selector.select = partial(self._jump, loop, type(loop._selector).select)
        change = {"CallStarted": 1, "CallEnded": -1}.get(type(event).__name__, 0)
        self.loops[loop] = self.loops.get(loop, 0) + change

    def _jump(self, loop: Any, select: Callable[[Any, float | None], Any], timeout: float | None) -> Any:
        if timeout is None or timeout <= _GRACE or not self.loops[loop]:
            return select(loop._selector, timeout)
        events = select(loop._selector, _GRACE)
        _ahead[loop] = _ahead.get(loop, 0.0) + (0.0 if events else timeout - _GRACE)
        return events


@pytest.fixture
def _lsq_clock() -> _JumpingClock:
    asyncio.BaseEventLoop.time = _time  # type: ignore[method-assign, assignment]
    return _JumpingClock()


@pytest.fixture
def lsq_emulator() -> Emulator:
    """An emulator without a socket. Check its ``tickets`` and ``calls``; add faults with ``faults.add(...)``."""
    from ..emulator import Emulator

    return Emulator(clock=lambda: asyncio.get_running_loop().time())


@pytest.fixture
def lsq_config(lsq_emulator: Emulator, _lsq_clock: _JumpingClock, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The Config for ``lsq_emulator``.

    During the test, every client with the ``base_url`` of this Config calls the emulator without a socket.
    """
    import httpx

    from .. import Config, ServiceClient

    class InProcess(httpx.ASGITransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            try:
                return await super().handle_async_request(request)
            except ConnectionResetError as error:  # a fault dropped the connection
                raise httpx.ReadError(str(error), request=request) from error

    settings = lsq_emulator.settings
    make = ServiceClient.__init__

    def make_in_process(
        self: ServiceClient, config: Any, *, http_client: Any = None, hooks: Any = (), **rest: Any
    ) -> None:
        if http_client is None and isinstance(config, Config) and config.base_url == settings["base_url"]:
            http_client = httpx.AsyncClient(transport=InProcess(lsq_emulator.app))
            hooks = [*hooks, _lsq_clock] if isinstance(hooks, Sequence) else hooks
        make(self, config, http_client=http_client, hooks=hooks, **rest)

    monkeypatch.setattr(ServiceClient, "__init__", make_in_process)
    return Config(**settings)


@pytest.fixture
def lsq_client(lsq_config: Config) -> Iterator[ServiceClient]:
    """A client of ``lsq_emulator`` whose waits take no time. You need not open or close it."""
    from .. import ServiceClient

    loops: set[asyncio.AbstractEventLoop] = set()
    client = ServiceClient(lsq_config, hooks=[lambda event: loops.add(asyncio.get_running_loop())])
    yield client
    for loop in loops:
        if loop.is_closed():
            with suppress(StopIteration):  # aclose does not wait if the loop is closed
                client.aclose().send(None)
        elif loop.is_running():  # in another thread, such as the thread of a TestClient
            asyncio.run_coroutine_threadsafe(client.aclose(), loop).result(_CLOSE_TIMEOUT)
        else:
            loop.run_until_complete(client.aclose())
