"""The command `emulator`: its options and its output."""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

SEED = '{"number": "143", "title": "Router down", "lead_id": "45b5"}\n'
NEW = {"TypeId": "1", "LeadId": "45b5", "Fields": [], "RelatedTicketTypeId": 1}


@pytest.fixture
def served(cli: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command, sends these requests (method, path, JSON) to it, and presses Ctrl-C.

    Returns the status of each response, the bodies, and the output on stderr.
    """
    from lsq_service_async.emulator import Emulator

    emulators = []
    opened = Emulator.__aenter__

    async def open_and_remember(emulator: Emulator) -> Emulator:
        emulators.append(emulator)
        return await opened(emulator)

    def run(arguments: list[str], *requests: tuple[str, str, object]) -> tuple[list[int], list[str], str]:
        responses: list[httpx.Response] = []

        async def send(event: Any) -> None:
            patch.undo()
            settings = emulators[-1].settings
            keys = {"X-LSQ-ACCESS-KEY": settings["access_key"], "X-LSQ-SECRET-KEY": settings["secret_key"]}
            base = f"{settings['base_url']}/api/tenants/22824"
            async with httpx.AsyncClient(base_url=base, headers=keys, trust_env=False) as client:
                for method, path, json in requests:
                    responses.append(await client.request(method, path, json=json))
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(60)

        with monkeypatch.context() as patch:
            patch.setattr("asyncio.Event.wait", send)
            code, _, err = cli("emulator", "--port", "0", *arguments)
        assert code == 0, err
        return [response.status_code for response in responses], [response.text for response in responses], err

    monkeypatch.setattr(Emulator, "__aenter__", open_and_remember)
    return run


def test_each_request_is_a_line_on_stderr(served: Any) -> None:
    """A line has time, status, duration, method, path and the reason of a refusal; no path can control the terminal."""
    _, _, err = served(["--limit", "1/60", "--window", "fixed"], ("GET", "/a%1b[2J", None), ("GET", "/b", None))
    serving, _, first, second = err.splitlines()
    assert re.fullmatch(r"Serving until Ctrl-C\. Requests and tickets are shown at http://127\.0\.0\.1:\d+/", serving)
    assert re.fullmatch(r"\d\d:\d\d:\d\d +404 +\d+ ms  GET  /api/tenants/22824/a%1B%5B2J", first)
    assert re.fullmatch(r"\d\d:\d\d:\d\d +429 +\d+ ms  GET  /api/tenants/22824/b  over the limit", second)


def test_mandatory_fields_are_enforced_unless_switched_off(served: Any) -> None:
    """A ticket without Title and Status is a 400 by default, and accepted with --no-mandatory."""
    assert served([], ("POST", "/tickets", NEW))[0] == [400]
    assert served(["--no-mandatory"], ("POST", "/tickets", NEW))[0] == [200]


def test_tickets_are_kept_in_a_file_that_begins_with_a_seed(served: Any, tmp_path: Path) -> None:
    """The seed is used once; the second run has its ticket and the new one, and continues the numbering."""
    (tmp_path / "seed.jsonl").write_text(SEED)
    options = ["--seed", str(tmp_path / "seed.jsonl"), "--persist", str(tmp_path / "tickets.sqlite"), "--no-mandatory"]
    requests = [("GET", "/tickets/143", None), ("GET", "/tickets/144", None), ("POST", "/tickets", NEW)]
    first, second = served(options, *requests), served(options, *requests)
    assert (first[0], second[0]) == ([200, 404, 200], [200, 200, 200])
    assert '"Id": "145"' in second[1][2]


def test_the_emulator_behaves_like_the_account_of_the_facts(served: Any, tmp_path: Path) -> None:
    """--facts reads the file that `doctor --learn` writes."""
    (tmp_path / "facts.json").write_text('{"unknown_ticket": {"status": 400, "body": "no"}}')
    statuses, bodies, _ = served(["--facts", str(tmp_path / "facts.json")], ("GET", "/tickets/7", None))
    assert (statuses, bodies) == ([400], ["no"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *((["--limit", text], "is not a limit. Write calls and seconds, such as 25/5.") for text in
          ("25", "0/5", "25/0", "25/0.0", "-1/5", "25/inf", "25/1e3", "٣/5", "25/5/1", "")),
        (["--window", "rolling"], "'rolling' is not one of 'sliding', 'fixed', 'bucket', 'estimate'"),
        (["--seed", "missing.jsonl"], "cannot open missing.jsonl: No such file or directory"),
        (["--facts", "missing.json"], "cannot open missing.json: No such file or directory"),
        (["--seed", "bad.jsonl"], "bad.jsonl, line 1: "),
        (["--persist", "bad.jsonl"], "bad.jsonl cannot be used for tickets: file is not a database."),
        (["--persist", "nowhere/tickets.sqlite"], "cannot open nowhere/tickets.sqlite: No such file or directory"),
        (["--persist", "shared.sqlite"], "Other users can write to 'shared.sqlite'"),
    ],
)  # fmt: skip
def test_an_option_that_cannot_be_used_is_one_clear_error(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    """Nothing is served, and the error names the option or the file."""
    monkeypatch.chdir(tmp_path)
    Path("bad.jsonl").write_text("no JSON\n" * 1000)
    Path("bad.jsonl").chmod(0o600)
    Path("shared.sqlite").touch()
    Path("shared.sqlite").chmod(0o666)
    exit_code, out, err = cli("emulator", "--port", "0", *arguments)
    assert (exit_code, out, message in err) == (2, "", True), err
