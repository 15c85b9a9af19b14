"""The README: its commands are the first thing a newcomer pastes, and its programs run as they stand."""

import asyncio
import re
import threading
from pathlib import Path

import pytest
from integrations.browsers import TestClient
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from lsq_service_async.emulator import Emulator

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PROGRAMS = list(Sybil(parsers=[PythonCodeBlockParser()]).parse(README).examples())


@pytest.fixture
def emulator(monkeypatch, tmp_path):
    """An emulator in a thread of its own, named by the environment; and a folder with a photo in it."""
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
    """Pasted into a file, against the emulator."""
    program.namespace["__name__"] = "__main__"
    program.evaluate()
    assert emulator.refused == 0
    assert "Traceback" not in capsys.readouterr().err


def test_the_backend_serves(emulator):
    """The program for FastAPI ends at once, and its app creates a ticket, shows it and takes a photo for it."""
    (program,) = [program for program in PROGRAMS if "FastAPI(" in program.parsed]
    program.evaluate()
    with TestClient(program.namespace["app"]) as browser:
        created = browser.post("/tickets", json={"lead_id": "45b5", "title": "Router down"})
        number = created.json()["number"]
        photo = browser.post(f"/tickets/{number}/files", files={"file": ("photo.jpg", bytes(3 << 20))})
        ticket = browser.get(f"/tickets/{number}")
    assert (created.status_code, photo.status_code, ticket.status_code) == (201, 200, 200)
    assert ticket.json()["title"] == "Router down"
    assert [file.name for call in emulator.calls for file in call.files] == ["photo.jpg"]


def test_the_first_two_blocks_are_the_two_commands():
    """One line each, for a machine with only Python and pip."""
    blocks = re.findall(r"```console\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    begin = '$ python3 -m venv .venv && .venv/bin/python -m pip install -q -e ".[{}]" && .venv/bin/python -m {}\n'
    assert blocks == [begin.format("demo", "lsq_service_async demo"), begin.format("test", "pytest -q")]


def test_the_programs_are_all_there():
    """A script, attachments, many calls, a backend, tests, tickets checked, a bulk run, hooks."""
    assert len(PROGRAMS) == 8
