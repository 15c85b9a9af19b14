"""The README: its commands and programs work as printed, and its tables are complete."""

import asyncio
import re
import threading
from pathlib import Path

import attrs
import pytest
from fastapi import HTTPException
from integrations.browsers import TestClient
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

import lsq_service_async
from lsq_service_async import Config
from lsq_service_async.emulator import Emulator
from lsq_service_async.integrations.fastapi import client_of

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
PROGRAMS = list(Sybil(parsers=[PythonCodeBlockParser()]).parse(README).examples())


@pytest.fixture
def emulator(monkeypatch, tmp_path):
    """Run an emulator in a thread, set the environment variables for it, and enter a folder with a photo."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    emulator = Emulator(rate_limit=(25, 0.5))
    asyncio.run_coroutine_threadsafe(emulator.__aenter__(), loop).result()
    for name, value in emulator.settings.items():
        monkeypatch.setenv(f"LSQ_{name.upper()}", value)
    monkeypatch.setenv("LSQ_RATE_LIMIT", "25/0.5")
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").write_bytes(bytes(3 << 20))
    yield emulator
    asyncio.run_coroutine_threadsafe(emulator.aclose(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.parametrize("program", PROGRAMS, ids=[f"line {program.line}" for program in PROGRAMS])
def test_each_program_runs_as_it_stands(program, emulator, capsys):
    """Each program of the README runs against the emulator without a refused call and without a traceback."""
    program.namespace["__name__"] = "__main__"
    program.evaluate()
    assert emulator.refused == 0
    assert "Traceback" not in capsys.readouterr().err


@pytest.fixture
def backend(emulator):
    """A browser of the FastAPI program, and the names of the program."""
    (program,) = [program for program in PROGRAMS if "FastAPI(" in program.parsed]
    program.evaluate()
    with TestClient(program.namespace["app"]) as browser:
        yield browser, program.namespace


PROBLEM = {"title": "Router down", "description": "No light"}


def test_the_backend_serves(backend, emulator):
    """The FastAPI program creates a ticket, returns it, and accepts a photo for it."""
    browser, _ = backend
    created = browser.post("/tickets", json=PROBLEM)
    number = created.json()["number"]
    photo = browser.post(f"/tickets/{number}/files", files={"file": ("photo.jpg", bytes(3 << 20))})
    ticket = browser.get(f"/tickets/{number}")
    assert (created.status_code, photo.status_code, ticket.status_code) == (201, 200, 200)
    assert ticket.json() == created.json() == {"number": number, "title": "Router down", "status": "Open"}
    assert [file.name for call in emulator.calls for file in call.files] == ["photo.jpg"]


@pytest.mark.parametrize(
    "more",
    [{"agent_id": "boss"}, {"cc_emails": "a@b.c"}, {"lead_id": "1"}, {"status": "Closed"}, {"fields": {"SLA": 1}},
     {"title": ""}, {"title": "x" * 201}, {"description": "x" * 5001}, {"title": None}],
)  # fmt: skip
def test_a_customer_can_set_only_what_the_backend_names(backend, emulator, more):
    """A field that the model of the request does not have is a 422, and nothing is sent."""
    browser, _ = backend
    assert browser.post("/tickets", json=PROBLEM | more).status_code == 422
    assert not emulator.calls


def test_the_backend_shows_no_ticket_of_another_customer(backend, emulator):
    """Reads and uploads of a ticket of another lead are a 404. Without authentication, every request is a 401."""
    browser, names = backend
    number = browser.post("/tickets", json=PROBLEM).json()["number"]
    names["app"].dependency_overrides[names["lead_of_customer"]] = lambda: "other-lead"
    files = {"file": ("photo.jpg", b"x")}
    answers = browser.get(f"/tickets/{number}"), browser.post(f"/tickets/{number}/files", files=files)
    assert [answer.status_code for answer in answers] == [404, 404]

    def refuse():
        raise HTTPException(401)

    names["app"].dependency_overrides[names["lead_of_customer"]] = refuse
    answers = (
        browser.get("/tickets/1"),
        browser.post("/tickets/1/files", files=files),
        browser.post("/tickets", json=PROBLEM),
    )
    assert [answer.status_code for answer in answers] == [401, 401, 401]


@pytest.mark.parametrize("headers", [{"content-length": str(21 << 20)}, {"transfer-encoding": "chunked"}])
def test_the_backend_refuses_large_requests(backend, emulator, headers):
    """A request that is too large, or does not name its length, is a 413, and nothing is sent."""
    browser, _ = backend
    answer = browser.post("/tickets/1/files", content=iter([b"x"]), headers=headers)
    assert answer.status_code == 413
    assert not emulator.calls


def test_the_backend_refuses_calls_that_would_wait_too_long(backend, emulator):
    """If the queue of the rate limit is longer than the deadline, the answer is 503 with Retry-After."""
    browser, names = backend
    client = browser.portal.call(client_of, names["app"])
    browser.portal.call(client.limiter.refused, "other", 60.0, None)  # a 429 that pauses all calls
    for answer in (browser.post("/tickets", json=PROBLEM), browser.get("/tickets/1")):
        assert (answer.status_code, 0 < int(answer.headers["retry-after"]) <= 60) == (503, True)
    assert not emulator.calls


def test_the_recipe_for_crash_reporters_removes_keys(emulator, monkeypatch):
    """The function of the section Security removes both keys from texts at any depth, and from names."""
    (program,) = [program for program in PROGRAMS if "def without_keys" in program.parsed]
    program.evaluate()
    monkeypatch.setenv("LSQ_ACCESS_KEY", "CANARY-access")
    monkeypatch.setenv("LSQ_SECRET_KEY", "CANARY-secret")
    event = {"a": ["CANARY-access", ("x CANARY-secret y",), {"CANARY-secret": None}], "level": 3}
    assert program.namespace["without_keys"](event, {}) == {"a": ["***", ["x *** y"], {"***": None}], "level": 3}
    monkeypatch.setenv("LSQ_ACCESS_KEY", "")
    assert program.namespace["without_keys"]("x") == "x"


def test_the_first_two_blocks_are_the_two_commands():
    """The first two console blocks are one line each, and need only Python and pip."""
    blocks = re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
    begin = '$ python3 -m venv .venv && .venv/bin/python -m pip install -q -e ".[{}]" && .venv/bin/python -m {}\n'
    assert blocks == [begin.format("demo", "lsq_service_async demo"), begin.format("test", "pytest -q")]


def test_the_sections_with_programs_are_known():
    """The README has programs in exactly these sections."""
    sections = {part.partition("\n")[0]: part for part in TEXT.split("\n## ")}
    with_program = {name for name, part in sections.items() if "```python" in part}
    assert with_program == {
        "# lsq_service_async",
        "Creating and updating tickets",
        "Handling errors",
        "Retries and duplicates",
        "Sharing the rate limit",
        "Attachments",
        "FastAPI",
        "Bulk",
        "Testing with the emulator",
        "Hooks and logging",
        "Every operation",
        "Security",
    }


def test_every_link_of_the_contents_has_its_heading():
    """The contents name all headings, in their order."""
    links = re.findall(r"\]\(#([a-z-]+)\)", TEXT.partition("**Contents**")[2].partition("\n\n")[0])
    headings = [heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", TEXT, re.MULTILINE)]
    assert links == headings


def test_the_table_of_settings_is_complete():
    """The table under Configuration has every setting of Config, and every environment variable that is read."""
    table = TEXT.partition("## Configuration")[2].partition("\n## ")[0]
    rows = [row.split("|")[1:3] for row in table.splitlines() if row.startswith("| ")]
    settings = {name for setting, _ in rows for name in re.findall(r"`(\w+)`", setting)}
    variables = {name for _, variable in rows for name in re.findall(r"`(LSQ_\w+)`", variable)}
    assert settings == {field.alias for field in attrs.fields(Config)}
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "lsq_service_async").rglob("*.py"))
    origins = {"LSQ_BASE_URL", "LSQ_METADATA_URL", "LSQ_LEADS_URL"}  # built from the names of the settings
    assert variables == set(re.findall(r"\bLSQ_[A-Z_]+[A-Z]\b", source)) | origins


def test_the_table_of_errors_is_complete():
    """The table under Handling errors has every exception of the package but the root."""
    table = TEXT.partition("## Handling errors")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+Error)`", table))
    public = {name for name in lsq_service_async.__all__ if name.endswith("Error")}
    assert named == public
