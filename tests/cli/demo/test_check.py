"""Every way in which the demo can fail is found and named."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from lsq_service_async import NotSentError
from lsq_service_async.bulk import Summary
from lsq_service_async.cli.demo.demo import DemoResult, check_result
from lsq_service_async.emulator import Latency, RateLimited, Status


def problems(result: DemoResult) -> dict[str, str]:
    return {check.name: check.problem for check in check_result(result) if check.problem}


async def test_all_checks_pass_after_a_good_run(quick: Any, played: Any) -> None:
    """The table has a number for every promise, the repeats and the least time."""
    result = await played(quick(Status(500), RateLimited(retry_after=0), Latency(0.01)))
    checks = {check.name: (check.found, check.meaning) for check in check_result(result)}
    assert problems(result) == {}
    assert checks["resumed"][0] == f"{result.resumed.created} of {8 - result.interrupted.total}"
    assert {name: found for name, (found, _) in checks.items() if name not in ("seconds", "resumed")} == {
        "tickets": "8 of 8",
        "attachments": "2 of 2",
        "read back": "1 of 1",
        "updated": "1 of 1",
        "calls": "12",
        "over the limit": "0",
        "faults": "3 of 3",
        "duplicates": "0",
        "lost": "0",
    }
    assert checks["calls"][1] == "2 of them were repeats"
    assert checks["seconds"][1].startswith("12 calls at 10 in 0.01 s take 0.0 s")


def with_emulator(result: DemoResult, **seen: Any) -> DemoResult:
    """The result with other contents of the emulator."""
    names = ("tickets", "calls", "refused", "faults")
    emulator: Any = SimpleNamespace(**{**{name: getattr(result.emulator, name) for name in names}, **seen})
    return attrs.evolve(result, emulator=emulator)


def with_ticket(result: DemoResult, key: str, **changes: Any) -> DemoResult:
    """The result with another ticket of a row in the emulator."""
    number = result.receipts[key].number
    tickets = dict(result.emulator.tickets)
    return with_emulator(result, tickets={**tickets, number: replace(tickets[number], **changes)})


def without_ticket(result: DemoResult) -> DemoResult:
    number = result.receipts["demo-05"].number
    return with_emulator(result, tickets={name: it for name, it in result.emulator.tickets.items() if name != number})


def with_second_ticket(result: DemoResult) -> DemoResult:
    tickets = result.emulator.tickets
    return with_emulator(result, tickets={**tickets, "99": tickets[result.receipts["demo-05"].number]})


def with_error(result: DemoResult) -> DemoResult:
    receipts = {key: receipt for key, receipt in result.receipts.items() if key != "demo-05"}
    return attrs.evolve(result, receipts=receipts, errors={"demo-05": NotSentError("closed")})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(with_error, {"tickets": "no receipt: demo-05 (closed)"}, id="no receipt"),
        pytest.param(without_ticket, {"lost": "no ticket: demo-05"}, id="no ticket"),
        pytest.param(
            lambda result: attrs.evolve(result, receipts={**result.receipts, "demo-05": result.receipts["demo-02"]}),
            {"lost": "no ticket: demo-05"},
            id="receipt of another row",
        ),
        pytest.param(with_second_ticket, {"duplicates": "two tickets: demo-05"}, id="two tickets"),
        pytest.param(
            lambda result: attrs.evolve(result, resumed=Summary(created=1)),
            {"resumed": "skipped 0 of {created} finished rows"},
            id="not resumed",
        ),
        pytest.param(
            lambda result: with_ticket(result, "demo-07", files=()),
            {"attachments": "different in demo-07"},
            id="no file",
        ),
        pytest.param(
            lambda result: with_ticket(result, "demo-01", fields={"CustomData.DemoRow": "demo-01", "Status": "Open"}),
            {"updated": "status is Open"},
            id="not updated",
        ),
        pytest.param(lambda result: attrs.evolve(result, updated=None), {"updated": "no receipt"}, id="not confirmed"),
        pytest.param(
            lambda result: attrs.evolve(result, read=attrs.evolve(result.read, status=None, channel="Fax")),
            {"read back": "different: status, channel"},
            id="fields changed",
        ),
        pytest.param(
            lambda result: attrs.evolve(result, read=None),
            {"read back": "different: title, description, type and 3 more"},
            id="not read",
        ),
        pytest.param(lambda result: with_emulator(result, refused=1), {"over the limit": "exceeded"}, id="limit"),
        pytest.param(
            lambda result: with_emulator(result, faults=SimpleNamespace(pending=[Latency(2.0, times=2)])),
            {"faults": "2 did not happen"},
            id="faults missing",
        ),
        pytest.param(lambda result: attrs.evolve(result, seconds=30.1), {"seconds": "more than 30"}, id="too slow"),
    ],
)
async def test_a_problem_fails_its_own_check(quick: Any, played: Any, change: Any, expected: dict[str, str]) -> None:
    """The check names the rows or fields, and all other checks pass."""
    result = await played(quick())
    found = problems(change(result))
    assert found == {name: text.format(created=result.interrupted.created) for name, text in expected.items()}
