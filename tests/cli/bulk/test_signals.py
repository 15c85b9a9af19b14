"""Signals on their own, with a clock that the tests move."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import pytest

from lsq_service_async.cli.bulk.signals import StopSignals

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The calls of a run that gets signals, and the code with which it exits at once."""
    calls: list[Any] = []
    monkeypatch.setattr(os, "_exit", calls.append)
    return calls


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        ([(0.0, INT)], ["stop"]),
        ([(0.0, TERM), (0.1, TERM), (0.99, HUP)], ["stop"]),
        ([(0.0, TERM), (1.0, TERM)], ["close", 75, "stop"]),
        ([(0.0, INT), (0.5, INT), (1.2, TERM)], ["close", 130, "stop"]),
        ([(0.0, HUP), (5.0, INT)], ["close", 75, "stop"]),
    ],
)
async def test_a_signal_stops_and_one_that_arrives_a_second_later_exits(
    seen: list[Any], monkeypatch: pytest.MonkeyPatch, signals: list[tuple[float, int]], expected: list[Any]
) -> None:
    """Signals within one second count as one. The exit code is that of the first, and a blocked loop can be left."""
    with StopSignals() as stop:
        stop.stop, stop.close = (lambda: seen.append("stop")), (lambda: seen.append("close"))
        for seconds, number in signals:
            monkeypatch.setattr(time, "monotonic", lambda seconds=seconds: 1000 + seconds)
            signal.raise_signal(number)
        monkeypatch.undo()
        await asyncio.sleep(0)
    assert (seen, stop.exit_code) == (expected, 130 if signals[0][1] is INT else 75)
    assert {signal.getsignal(number) for number in (INT, TERM, HUP)} == {signal.SIG_IGN}


async def test_without_a_signal_the_handlers_are_restored() -> None:
    """The process can be interrupted before and after a run as before."""
    before = [signal.getsignal(number) for number in (INT, TERM, HUP)]
    with StopSignals() as stop:
        assert signal.getsignal(HUP) != signal.SIG_DFL
    assert stop.exit_code is None
    assert [signal.getsignal(number) for number in (INT, TERM, HUP)] == before


async def test_an_ignored_hangup_stays_ignored() -> None:
    """A command under nohup continues when its terminal is closed."""
    signal.signal(HUP, signal.SIG_IGN)
    with StopSignals() as stop:
        signal.raise_signal(HUP)
        assert signal.getsignal(HUP) == signal.SIG_IGN
    assert (stop.exit_code, signal.getsignal(TERM)) == (None, signal.SIG_DFL)
