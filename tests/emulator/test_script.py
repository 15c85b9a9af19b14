"""Which fault hits which call."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from lsq_service_async.emulator import FaultScript, Latency, RateLimited, Serve, Status


def test_without_a_script_nothing_happens() -> None:
    """A call that no fault hits is served."""
    assert Serve() == FaultScript().take("GET", "/tickets/1")


def test_faults_happen_in_their_order_and_as_often_as_they_say() -> None:
    """Two times one, then the other, then none; what is left can be seen."""
    script = FaultScript()
    script.add(Status(500, times=2), Latency(1.0))
    taken = [script.take("GET", "/") for _ in range(2)]
    assert [fault.status for fault in taken if isinstance(fault, Status)] == [500, 500]
    assert (Latency(1.0),) == script.pending
    assert [Latency(1.0), Serve()] == [script.take("GET", "/") for _ in range(2)]


def test_a_fault_waits_for_the_call_that_it_is_meant_for() -> None:
    """By method and by a part of the path; other calls pass by it, and take what is behind it."""
    script = FaultScript()
    script.add(Status(500, method="PUT", path="/update"), RateLimited())
    assert RateLimited() == script.take("POST", "/tickets")
    assert Serve() == script.take("PUT", "/tickets/trash")
    assert Serve() == script.take("GET", "/tickets/1/update")
    assert Status(500, method="PUT", path="/update") == script.take("PUT", "/tickets/1/update")


def test_calls_can_be_let_pass_before_a_fault() -> None:
    """Serve in a script is a call that goes well."""
    script = FaultScript()
    script.add(Serve(times=2), Status(500))
    assert [Serve, Serve, Status, Serve] == [type(script.take("GET", "/")) for _ in range(4)]


def test_a_script_can_be_cleared() -> None:
    """What was to happen does not."""
    script = FaultScript()
    script.add(Status(500))
    assert "Status(" in repr(script)
    script.clear()
    assert (script.pending, repr(script)) == ((), "<FaultScript []>")


def test_faults_are_values() -> None:
    """Frozen, equal by what they say, and of at least one time."""
    fault = Status(500, times=2)
    with pytest.raises(FrozenInstanceError):
        fault.times = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="at least 1, not 0"):
        Status(500, times=0)
