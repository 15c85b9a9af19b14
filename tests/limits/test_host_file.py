"""The file while it is in use: deleted, replaced, moved away, opened by many at the same moment."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys

import pytest
from virtual_clock import virtual

from limits.ledgers import FileOnTheSpot, loop_time, processes
from limits.opened import NAME, RATE, spend
from lsq_service_async.config import Lane
from lsq_service_async.errors import ConfigurationError, NotSentError
from lsq_service_async.limits import host_file
from lsq_service_async.limits.decision.ask import Ask, Ended
from lsq_service_async.limits.host_file import HostFile


@pytest.fixture
def path(tmp_path):
    """Where the file is, in a folder that holds nothing else."""
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "limit.sqlite"


@pytest.fixture
def ledger(path):
    """Makes ledgers that are the same file."""
    return lambda: FileOnTheSpot(path)


def clear(folder):
    shutil.rmtree(folder)
    folder.mkdir()


@virtual
async def test_a_file_that_was_deleted_is_made_anew(ledger, path):
    """What stood there is lost, so a whole window passes before the next call."""
    async with processes(2, ledger) as [one, other]:
        await spend(one, 1)
        clear(path.parent)
        began = loop_time()
        await one.acquire(Lane.INTERACTIVE)
        assert loop_time() - began > 5.0
        assert path.stat().st_mode & 0o777 == 0o600
        await spend(other, 1)
        assert other.stats().used == 2


@virtual
async def test_who_finds_another_file_under_the_name_shares_that_one(ledger, path):
    """Or it would have an allowance of its own beside those who came later."""
    async with processes(1, ledger) as [old]:
        clear(path.parent)
        async with processes(1, ledger) as [new]:
            await spend(new, 25)
            began = loop_time()
            await old.acquire(Lane.INTERACTIVE)
            assert loop_time() - began > 5.0


@virtual
async def test_a_file_that_cannot_be_made_anew_yet_is_down(ledger, path):
    """Its folder is gone; once it is back, so is the file, also if it is the old one."""
    async with processes(1, ledger) as [gate]:
        elsewhere = path.parent.with_name("elsewhere")
        path.parent.rename(elsewhere)
        for _ in range(2):
            with pytest.raises(NotSentError, match=r"the limit cannot be asked.*No such file"):
                await gate.acquire(Lane.INTERACTIVE)
        elsewhere.rename(path.parent)
        began = loop_time()
        await gate.acquire(Lane.INTERACTIVE)
        assert loop_time() - began < 0.1


def test_who_is_first_waits_for_another_who_is(path, monkeypatch):
    """In this SQLite does not wait, whatever it was told."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        other.execute("COMMIT")

    monkeypatch.setattr(host_file.time, "sleep", sleep)
    file = HostFile(path)
    file.open(NAME)
    assert len(pauses) == 1
    file.close()
    other.close()


def test_but_not_for_ever(path, monkeypatch):
    """Who holds it for seconds does something else with it."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(host_file, "_BUSY", -1)
    with pytest.raises(ConfigurationError, match="database is locked"):
        HostFile(path).open(NAME)
    other.close()


def test_who_waited_long_for_the_file_has_not_seen_its_clock_jump(path):
    """That clock cannot be set, so what somebody expected of it before says nothing."""
    file = HostFile(path, clock=lambda: 100.0)
    file.open(NAME)
    ended = [Ended(1, 4.0, heavy=False)]
    state = file.exchange(Ask(owner=1, slot=2, rate=RATE, ended=ended)).state
    assert file.exchange(Ask(owner=1, slot=3, rate=RATE, expected=96.0)).state.answered == state.answered == [96.0]
    file.close()


OTHER_PROCESS = f"""
import pathlib, sys
from lsq_service_async.limits.decision.ask import Ask, Ended
from lsq_service_async.limits.host_file import HostFile
file = HostFile(pathlib.Path(sys.argv[1]))
file.open({NAME!r})
file.close()
"""


def test_another_process_that_closes_the_file_takes_nothing_from_those_who_use_it_twice(path):
    """SQLite deletes what is beside the file when the last one closes it, and tells so by locks.

    A process loses its locks on a file as soon as it closes it once.
    """
    one, other = HostFile(path), HostFile(path)
    one.open(NAME)
    other.open(NAME)
    before = sorted(path.parent.iterdir())
    subprocess.run([sys.executable, "-c", OTHER_PROCESS, path], check=True)
    assert sorted(path.parent.iterdir()) == before != [path]
    one.close()
    other.close()
