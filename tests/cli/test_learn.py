"""`doctor --learn` finds the facts of an account, and an emulator with these facts behaves like it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from bulk.conftest import virtual_emulator
from cli.conftest import serving
from virtual_clock import run_virtual

from lsq_service_async import Config, ServiceClient
from lsq_service_async.cli import learn
from lsq_service_async.emulator import (
    AnswerLost,
    BadJson,
    Emulator,
    Latency,
    RateLimited,
    Serve,
    Status,
    TicketStore,
    TwoBucketEstimate,
)

MARKER = "CustomData.ClientRef"
FIELDS = [{"SchemaName": f"CustomData.Field{n}", "DisplayName": f"Field {n}"} for n in range(40)]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn, "_PAUSE", 0.0)


def facts_of(emulator: Emulator, cli: Any, path: Path, *options: str) -> tuple[dict[str, Any], str, int]:
    """Learn the facts of an emulator, and return them with the table and the number of reads."""
    before = len(emulator.calls)
    code, out, errors = cli("doctor", "--learn", str(path), *options)
    assert code == 0, errors
    writes = [call for call in emulator.calls[before:] if call.method == "PUT" or call.path.endswith("/tickets")]
    return json.loads(path.read_text()), out, len(emulator.calls) - before - len(writes)


@pytest.mark.parametrize("offset", ["from_zero", "from_one", "page"])
def test_the_facts_of_an_account_are_found(
    monkeypatch: pytest.MonkeyPatch, cli: Any, tmp_path: Path, offset: Any
) -> None:
    """All facts that a user can see are found with at most 30 reads. The test ticket is trashed."""
    facts = {
        "ids_in_urls": ["number"],
        "unknown_ticket": {"status": 400, "body": "no such ticket"},
        "metadata_offset": offset,
        "fields": FIELDS,
        "marker_field": MARKER,
        "rewrites": {"Title": "[{number}] {value}", "Status": "Assigned"},
    }
    with serving(monkeypatch, Emulator(rate_limit=(1000, 1), window=None, facts=facts)) as emulator:
        found, table, reads = facts_of(emulator, cli, tmp_path / "facts.json", "--write", "--marker", MARKER)
        assert reads <= 30
        assert not emulator.tickets
        assert [stored.fields[MARKER] for stored in emulator.trashed.values()] == ["lsq-service-doctor"]
    names = [field["SchemaName"] for field in found.pop("fields")]
    assert {field["SchemaName"] for field in FIELDS} | {MARKER} <= set(names)
    expected = {name: value for name, value in facts.items() if name != "fields"}
    assert {name: found[name] for name in expected} == expected
    assert f"field {MARKER}" in table
    Emulator(facts=tmp_path / "facts.json")


def test_without_write_nothing_is_created(served: Emulator, cli: Any, tmp_path: Path) -> None:
    """Without --write, questions about tickets have no answer if no ticket can be found."""
    found, table, reads = facts_of(served, cli, tmp_path / "facts.json")
    assert (reads <= 30, list(served.tickets), found.get("ids_in_urls")) == (True, [], None)
    assert "not known: no ticket could be read; use --write" in table


def test_an_existing_ticket_is_found_by_a_few_reads(monkeypatch: pytest.MonkeyPatch, cli: Any, tmp_path: Path) -> None:
    """The tickets next to the found one belong to other users, and this user cannot read them."""
    store = TicketStore(first_number=97)
    for number in range(97, 104):
        store.create("lead", {"Title": "x"}, by_others=number != 100)
    emulator = Emulator(rate_limit=(1000, 1), window=None, store=store, facts={"neighbours_readable": False})
    with serving(monkeypatch, emulator):
        found, table, _ = facts_of(emulator, cli, tmp_path / "facts.json", "--marker", "CustomData.None")
    assert (found["ids_in_urls"], found["neighbours_readable"], found["marker_field"]) == (
        ["number", "guid"],
        False,
        None,
    )
    assert "0 of 6 around ticket 100" in table
    assert "does not exist" in table


def test_numbers_ascend_if_the_new_ticket_has_the_highest_number(
    monkeypatch: pytest.MonkeyPatch, cli: Any, tmp_path: Path
) -> None:
    """Some tickets with lower numbers exist next to the new one, and none with a higher number."""
    store = TicketStore()
    for _ in range(3):
        store.create("lead", {"Title": "x"})
    emulator = Emulator(rate_limit=(1000, 1), window=None, store=store)
    with serving(monkeypatch, emulator):
        found, _, _ = facts_of(emulator, cli, tmp_path / "facts.json", "--write")
    assert (found["numbers_ascend"], found["neighbours_readable"], found["rewrites"]) == (True, True, {})


def test_a_user_without_rights_learns_less(monkeypatch: pytest.MonkeyPatch, cli: Any, tmp_path: Path) -> None:
    """Keys that are not those of an admin read no metadata, and cannot trash the test ticket: it is named."""
    emulator = Emulator(rate_limit=(1000, 1), window=None, admin=False, facts={"ids_in_urls": ["guid"]})
    with serving(monkeypatch, emulator):
        found, table, _ = facts_of(emulator, cli, tmp_path / "facts.json", "--write")
    assert (found["ids_in_urls"], "fields" in found) == (["guid"], False)
    assert "cannot be read with these keys" in table
    assert "NOT TRASHED; trash it yourself" in table


def test_a_refused_create_is_an_answer(served: Emulator, cli: Any, tmp_path: Path) -> None:
    """The other questions are answered all the same."""
    served.faults.add(Status(400, '{"Message": "a field is missing"}', method="POST", path="/tickets"))
    served.faults.add(Status(400, method="POST", path="/tickets"))
    _, table, _ = facts_of(served, cli, tmp_path / "facts.json", "--write")
    assert "refused:" in table


def test_a_ticket_that_cannot_be_trashed_is_named(served: Emulator, cli: Any, tmp_path: Path) -> None:
    """The user has to trash it, whatever the error is. Also if the create got no answer, because it may exist."""
    served.faults.add(AnswerLost(method="PUT"))
    _, table, _ = facts_of(served, cli, tmp_path / "facts.json", "--write")
    assert "NOT TRASHED; trash it yourself" in table
    served.faults.add(AnswerLost(method="POST", path="/22824/tickets"))
    code, table, _ = cli("doctor", "--learn", str(tmp_path / "facts.json"), "--write")
    assert (code, "MAY EXIST; trash it yourself if it does" in table) == (0, True)


def test_an_account_with_many_fields_and_a_very_high_number(served: Emulator, cli: Any, tmp_path: Path) -> None:
    """At most ten pages of fields are read. If even ticket 999999999999 exists, its status is not a fact."""
    served.faults.add(*[BadJson(json.dumps({"TicketsFields": FIELDS[:25]}), path="/fields/filter")] * 20)
    served.faults.add(BadJson('{"Id": "999999999999", "Fields": []}', path="/tickets/999999999999"))
    found, _, reads = facts_of(served, cli, tmp_path / "facts.json", "--burst")
    assert (len(found["fields"]), reads <= 30 + 4 * 40, "unknown_ticket" in found) == (25, True, False)
    assert (found["window"], found["rate_limit"]) == ("sliding", [40, 0.02])


def test_the_rate_limit_ends_the_test(served: Emulator, cli: Any, tmp_path: Path) -> None:
    """Another program uses the account, so the facts would be wrong; no file is written."""
    served.faults.add(Serve(), RateLimited())
    code, _, _ = cli("doctor", "--learn", str(tmp_path / "facts.json"))
    assert (code, list(tmp_path.iterdir())) == (1, [])


class LateEstimate:
    """A gateway that estimates, and whose windows begin 100 ms after a multiple of 5 s from its first call."""

    calls, per = 25, 5.0

    def __init__(self) -> None:
        self._window: TwoBucketEstimate | None = None

    def allows(self, now: float) -> bool:
        if self._window is None:
            self._window = TwoBucketEstimate(self.calls, self.per, phase=now + 0.1 - self.per)
        return self._window.allows(now)


@pytest.mark.parametrize(
    ("window", "kind", "words"),
    [
        ("sliding", "sliding", 'not estimate the number of calls. Set LSQ_RATE_LIMIT="25/5 sliding", or RateLimit(25'),
        ("fixed", "sliding", 'not estimate the number of calls. Set LSQ_RATE_LIMIT="25/5 sliding"'),
        ("estimate", "estimate", 'estimates the number of calls. Set LSQ_RATE_LIMIT=25/5, without "sliding"'),
        (LateEstimate(), "estimate", "the gateway estimates the number of calls"),
    ],
    ids=["sliding", "fixed", "estimate", "late estimate"],
)
def test_the_window_of_the_gateway_is_measured(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, window: Any, kind: str, words: str
) -> None:
    """A gateway that estimates the number of calls refuses some reads of the second group, or of the fourth."""

    async def main() -> tuple[dict[str, Any], str]:
        emulator = virtual_emulator(window=window)
        emulator.faults.add(Latency(0.01, times=100))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=emulator.app)) as http:
            monkeypatch.setattr(learn, "ServiceClient", partial(ServiceClient, http_client=http))
            return await learn.measure_window(Config(**emulator.settings))

    facts, answer = run_virtual(main())
    assert (facts, words in answer) == ({"rate_limit": [25, 5.0], "window": kind}, True)
    assert not [message for message in caplog.messages if "Rate limit hit" in message]  # refusals are expected


def test_the_command_prints_how_the_service_counts(monkeypatch: pytest.MonkeyPatch, cli: Any) -> None:
    """It sends four groups of reads, and prints the limit that was set."""
    with serving(monkeypatch, Emulator(window=None), rate_limit="10/0.1 sliding") as emulator:
        code, out, _ = cli("doctor", "--burst")
        assert len(emulator.calls) == 41
    assert (code, "All four groups of 10 reads were answered" in out) == (0, True)
    assert "10 calls in 0.1 s (sliding); set LSQ_RATE_LIMIT to change it" in out


def test_a_burst_whose_reads_fail_has_no_result(served: Emulator, cli: Any) -> None:
    """Reads that the service does not answer may not count, so that a lack of refusals means nothing."""
    served.faults.add(Serve(), *[Status(503)] * 3)
    code, out, _ = cli("doctor", "--burst")
    assert (code, "3 of 40 reads failed, so nothing was measured" in out) == (0, True)


def test_a_burst_on_a_busy_account_has_no_result(monkeypatch: pytest.MonkeyPatch, cli: Any) -> None:
    """The advice is to stop other programs."""
    with serving(monkeypatch, Emulator(rate_limit=(4, 0.5)), rate_limit="10/0.5"):
        code, out, _ = cli("doctor", "--burst")
    assert (code, "another program uses the account" in out) == (0, True)


def test_the_answers_are_written_to_a_private_file(served: Emulator, cli: Any, tmp_path: Path) -> None:
    """An earlier file is replaced, and no link is followed."""
    path, link = tmp_path / "facts.json", tmp_path / "link.json"
    path.touch(0o600)
    path.write_text("x" * 100_000)
    facts_of(served, cli, path)
    link.symlink_to(path)
    code, _, errors = cli("doctor", "--learn", str(link))
    assert (code, "is a symbolic link, which is not followed" in errors) == (2, True)


@pytest.mark.parametrize(
    ("path", "code", "words"), [("", 2, "not ''"), ("gone/facts.json", 1, "No such file"), (".", 1, "Is a directory")]
)
def test_a_file_that_cannot_be_written_is_reported_before_tickets_are_read(
    served: Emulator, cli: Any, path: str, code: int, words: str
) -> None:
    """No ticket is created. The name may be that of a shell variable that is not set."""
    for options in (["--write"], ["--burst"]):
        found, _, errors = cli("doctor", "--learn", path, *options)
        assert (found, words in errors) == (code, True)
    assert (len(served.calls) <= 2, served.trashed) == (True, {})


def test_write_needs_learn(served: Emulator, cli: Any) -> None:
    """Nothing is sent."""
    assert (cli("doctor", "--write")[0], len(served.calls)) == (2, 0)


def test_an_account_that_cannot_be_used_is_not_learned(served: Emulator, cli: Any, tmp_path: Path) -> None:
    """Rejected keys end the command after one call."""
    served.faults.add(Status(401))
    assert (cli("doctor", "--learn", str(tmp_path / "facts.json"))[0], len(served.calls)) == (4, 1)
