"""The doctor diagnoses each problem with a single read."""

from __future__ import annotations

from typing import Any

import pytest

from lsq_service_async.emulator import BadJson, DropConnection, Emulator, Fault, RateLimited, Status
from lsq_service_async.limits import LocalLimiter


def test_working_settings_are_shown_without_the_keys(served: Emulator, cli: Any) -> None:
    """The doctor makes one call and exits with 0 if the account does not have ticket 1."""
    code, out, _ = cli("doctor")
    assert (code, len(served.calls)) == (0, 1)
    assert [line.split()[0] for line in out.splitlines()] == ["keys", "org", "host", "limit", "shared", "service"]
    assert "40 calls in 0.02 s" in out
    assert "shared   no (set LSQ_LIMIT_FILE" in out
    assert "OK: the keys work, and the service answered a read" in out
    assert served.settings["access_key"] not in out


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("FILE", "limit.sqlite", "through the file limit.sqlite"),
        ("REDIS", "redis://:hunter2@127.0.0.1:1", "through Redis"),
    ],
)
def test_the_shared_limit_is_shown(
    served: Emulator, cli: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: str, shown: str
) -> None:
    """The address of Redis may have a password, so it is not printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"LSQ_LIMIT_{name}", value)
    if name == "REDIS":
        monkeypatch.setattr("lsq_service_async.cli.doctor.limiter_from_env", LocalLimiter)
    code, out, _ = cli("doctor")
    assert (code, f"shared   {shown}" in out, "hunter2" in out) == (0, True, False)


def test_an_existing_ticket_is_fine_too(served: Emulator, cli: Any) -> None:
    """The doctor exits with 0 if ticket 1 exists."""
    assert cli("ticket", "create", "--lead-email", "a@example.com")[0] == 0
    code, out, _ = cli("doctor")
    assert (code, "OK: the keys work" in out) == (0, True)


@pytest.mark.parametrize(
    ("fault", "words", "code"),
    [
        pytest.param(Status(401), "NO ACCESS: check LSQ_ACCESS_KEY", 4, id="keys"),
        pytest.param(Status(403), "NO ACCESS: the keys work", 4, id="user"),
        pytest.param(Status(404), "NO SUCH API: check LSQ_ORG_ID", 1, id="api"),
        pytest.param(RateLimited(), "BUSY: another program uses up the rate limit", 1, id="limit"),
        pytest.param(Status(500), "FAILED: the service answered", 1, id="service"),
        pytest.param(BadJson(), "WRONG HOST: check LSQ_BASE_URL", 1, id="not the service"),
        pytest.param(DropConnection(times=9), "NOT REACHED: check LSQ_BASE_URL", 1, id="network"),
    ],
)
def test_each_problem_has_its_advice_and_exit_code(
    served: Emulator, cli: Any, fault: Fault, words: str, code: int
) -> None:
    """One call is enough for the diagnosis."""
    served.faults.add(fault)
    found, out, _ = cli("doctor")
    assert (found, words in out, len(served.calls)) == (code, True, 1)


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        (["--write"], "--write needs --learn FILE"),
        (["--marker", "CustomData.Ref"], "--marker needs --learn FILE"),
        (["--learn", "facts.json", "--lead-email", "wim@example.com"], "--lead-email needs --write"),
    ],
)
def test_an_option_without_the_one_that_it_belongs_to_is_a_usage_error(
    served: Emulator, cli: Any, options: list[str], needed: str
) -> None:
    """It would have no effect."""
    code, _, errors = cli("doctor", *options)
    assert (code, needed in errors, len(served.calls)) == (2, True, 0)


def test_wrong_settings_exit_with_2(served: Emulator, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent if a setting is wrong."""
    monkeypatch.setenv("LSQ_BASE_URL", "http://example.com")
    assert (cli("doctor")[0], len(served.calls)) == (2, 0)
