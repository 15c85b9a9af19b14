"""Whether the doctor tells one illness from another, with one read."""

from __future__ import annotations

import pytest

from lsq_service_async.__main__ import main
from lsq_service_async.emulator import DropConnection, Emulator, Fault, RateLimited, Status


def test_a_healthy_account_is_well(served: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """It shows the settings but for the keys, and has made one call."""
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()] == ["keys", "org", "host", "limit", "shared", "service"]
    assert "40 calls in 0.02 s" in out
    assert "shared   with nobody (LSQ_LIMIT_FILE names a file)" in out
    assert "this account has no ticket 1" in out
    assert served.settings["access_key"] not in out
    assert len(served.calls) == 1


def test_a_ticket_that_is_there_is_well_too(served: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody needs to have one."""
    assert main(["ticket", "create", "--lead-email", "a@example.com"]) == 0
    assert main(["doctor"]) == 0
    assert "a ticket was read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fault", "words", "code"),
    [
        pytest.param(Status(401), "NO ACCESS: check LSQ_ACCESS_KEY", 4, id="keys"),
        pytest.param(Status(403), "NO ACCESS: the keys are right", 4, id="user"),
        pytest.param(Status(404), "NO SUCH API: check LSQ_ORG_ID", 1, id="api"),
        pytest.param(RateLimited(), "BUSY: the limit is used up by somebody else; it says", 1, id="limit"),
        pytest.param(Status(429, body="no"), "BUSY: the limit is used up by somebody else. Wait", 1, id="mute limit"),
        pytest.param(Status(500), "FAILED: the service answers", 1, id="service"),
        pytest.param(DropConnection(times=9), "NOT REACHED: check LSQ_BASE_URL", 1, id="network"),
    ],
)
def test_each_illness_has_its_words(
    served: Emulator, capsys: pytest.CaptureFixture[str], fault: Fault, words: str, code: int
) -> None:
    """And its exit code."""
    served.faults.add(fault)
    assert main(["doctor"]) == code
    assert words in capsys.readouterr().out
    assert len(served.calls) == 1


def test_settings_that_are_wrong_end_with_2(served: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is sent."""
    monkeypatch.setenv("LSQ_BASE_URL", "http://example.com")
    assert main(["doctor"]) == 2
    assert len(served.calls) == 0
