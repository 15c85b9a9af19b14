"""The file that the processes of one host share: what it is, and what may be wrong with it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from virtual_clock import virtual

from limits.ledgers import FileOnTheSpot, loop_time, processes
from limits.opened import NAME, RATE, TOKEN, spend, take
from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.errors import ConfigurationError, NotSentError
from lsq_service_async.limits import HostLimiter, host_file
from lsq_service_async.limits.host_file import HostFile, boot_id


async def test_a_limiter_of_the_host_works_with_a_file_that_only_its_owner_may_read(tmp_path):
    """Also the two files that SQLite puts beside it; nothing of it runs on the loop or is left at the end."""
    path = tmp_path / "limit.sqlite"
    one, other = HostLimiter(path), HostLimiter(str(path))
    await one.open(RATE, NAME)
    await other.open(RATE, NAME)
    slots = [*(await take(one, 13)), *(await take(other, 12))]
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in os.listdir(tmp_path)}
    assert modes == {"limit.sqlite": 0o600, "limit.sqlite-wal": 0o600, "limit.sqlite-shm": 0o600}

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await other.acquire(Lane.INTERACTIVE)
    for slot in slots:
        slot.answered()
    await one.aclose()
    await other.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_users_that_come_and_go_at_the_same_time_find_it_open_once(tmp_path):
    """Opening and closing take a while, and who comes meanwhile waits for that."""
    limiter = HostLimiter(tmp_path / "limit.sqlite")
    await asyncio.gather(*(limiter.open(RATE, NAME) for _ in range(3)))
    keeper = asyncio.all_tasks() - {asyncio.current_task()}
    assert len(keeper) == 1
    await asyncio.gather(limiter.aclose(), limiter.aclose(), limiter.aclose(), limiter.open(RATE, NAME))
    (await limiter.acquire(Lane.INTERACTIVE)).answered()
    await limiter.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_limiter_that_is_made_before_a_fork_is_another_one_after_it(tmp_path):
    """As in a server that loads the application before it forks: nobody takes the calls of another for its own."""
    forking = [sys.executable, Path(__file__).parent / "forking.py", tmp_path / "limit.sqlite"]
    done = subprocess.run(forking, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["12", "24"]


async def test_an_opening_that_is_cancelled_leaves_nothing_open(tmp_path, monkeypatch):
    """Neither a thread nor a file; the next one opens as if it were the first."""
    limiter = HostLimiter(tmp_path / "limit.sqlite")
    ledger = limiter._store._ledger
    closed, asked, never = [], asyncio.Event(), asyncio.Event()
    close = ledger.aclose

    async def exchange(ask):
        asked.set()
        await never.wait()

    async def aclose():
        closed.append(True)
        await close()

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "exchange", exchange)
        patched.setattr(ledger, "aclose", aclose)
        opening = asyncio.create_task(limiter.open(RATE, NAME))
        await asked.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert closed == [True]
    await limiter.open(RATE, NAME)
    await limiter.aclose()


async def test_an_opening_that_is_cancelled_while_its_thread_works_closes_the_file(tmp_path, monkeypatch):
    """What a thread has begun, it ends; then it lets go of the file."""
    limiter = HostLimiter(tmp_path / "limit.sqlite")
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()
    open_file, close_file = HostFile.open, HostFile.close

    def slowly(file, name):
        begun.set()
        go_on.wait(10)
        open_file(file, name)

    def close(file):
        close_file(file)
        closed.set()

    monkeypatch.setattr(HostFile, "open", slowly)
    monkeypatch.setattr(HostFile, "close", close)
    opening = asyncio.create_task(limiter.open(RATE, NAME))
    await asyncio.to_thread(begun.wait, 10)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    go_on.set()
    assert await asyncio.to_thread(closed.wait, 10)


@virtual
async def test_one_file_may_hold_many_limits(tmp_path):
    """Each account has an allowance of its own, whoever shares the file."""
    async with processes(1, lambda: FileOnTheSpot(tmp_path / "limit")) as [gate]:
        await spend(gate)
        other = HostFile(tmp_path / "limit", clock=loop_time)
        other.open("another/1")
        assert other._read(loop_time()) is None
        other.close()


def with_something_else(path):
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE theirs (x)")
    database.close()


WRONG_FILES = {
    "unable to open": lambda path: path.mkdir(),
    "not a database": lambda path: path.write_text("hello, this is no database at all"),
    "something else": with_something_else,
    "No such file": lambda path: path.rmdir() if path.exists() else path.parent.rmdir(),
}


@pytest.mark.parametrize("what", WRONG_FILES)
async def test_a_file_that_cannot_be_used_is_a_matter_of_configuration(what, tmp_path):
    """The message names it and says what is wrong; nothing is left open, and nothing of the file was changed."""
    path = tmp_path / "folder" / "limit.sqlite"
    path.parent.mkdir()
    WRONG_FILES[what](path)
    with pytest.raises(ConfigurationError, match=f"limit.sqlite cannot be used for a limit: .*{what}"):
        await HostLimiter(path).open(RATE, NAME)


async def test_a_file_that_may_only_be_read_is_refused(tmp_path, monkeypatch):
    """Root may write anything, so the system's answer is put into its mouth."""

    def refuse(*about: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(host_file.os, "open", refuse)
    with pytest.raises(ConfigurationError, match="Permission denied"):
        await HostLimiter(tmp_path / "limit.sqlite").open(RATE, NAME)


@virtual
async def test_two_rates_in_one_file_are_refused_while_somebody_uses_it(tmp_path):
    """The first goes on; when it has left, the other rate is as good as any."""

    def ledger() -> FileOnTheSpot:
        return FileOnTheSpot(tmp_path / "limit")

    async with processes(1, ledger) as [gate]:
        with pytest.raises(ConfigurationError, match=r"in use at 25 calls in 5 s by another process.* 10 in 5 s"):
            async with processes(1, ledger, rate=RateLimit(10, per=5.0)):
                pass
        await gate.acquire(Lane.INTERACTIVE)
    async with processes(1, ledger, rate=RateLimit(10, per=5.0)) as [gate]:
        assert gate.stats().calls == 10


@virtual
async def test_a_process_that_was_silent_for_long_and_finds_another_rate_sends_nothing(tmp_path):
    """It was taken for dead; its callers learn why they cannot go."""
    async with processes(1, lambda: FileOnTheSpot(tmp_path / "limit")) as [gate]:
        gate.ledger.down = True
        await asyncio.sleep(100)
        gate.ledger.down = False
        async with processes(1, lambda: FileOnTheSpot(tmp_path / "limit"), rate=RateLimit(10, per=5.0)):
            with pytest.raises(NotSentError, match=r"store of the limit failed.*in use at 10 calls") as caught:
                await gate.acquire(Lane.INTERACTIVE)
            assert isinstance(caught.value.__cause__, ConfigurationError)


@virtual
async def test_after_a_reboot_what_was_used_is_taken_for_used_just_now(tmp_path, monkeypatch):
    """The clock begins anew, so nobody knows when it was."""

    def ledger() -> FileOnTheSpot:
        return FileOnTheSpot(tmp_path / "limit")

    async with processes(1, ledger) as [gate]:
        await spend(gate, 20)
    await asyncio.sleep(4.9)
    monkeypatch.setattr(host_file, "boot_id", lambda: "another")
    async with processes(1, ledger) as [gate]:
        assert gate.stats().used == 20
        began = loop_time()
        await spend(gate, 6)
        assert 5.0 < loop_time() - began < 5.0 + TOKEN


ROWS = {
    "not enough values": "[1, 2]",
    "convert float infinity": "[[[25,5],[25,5],[12,5],-Infinity,-Infinity],[0,0,[]],[0,0,0,0,[],[]],[],[]]",
    "must be a whole number": '[[["x",5],[25,5],[25,5],0,0],[0,0,[]],[0,0,0,0,[],[]],[],[]]',
}


@virtual
@pytest.mark.parametrize("what", ROWS)
async def test_a_row_that_is_no_state_lets_nobody_go(tmp_path, what):
    """Somebody wrote into the file; the message names it."""
    async with processes(1, lambda: FileOnTheSpot(tmp_path / "limit")) as [gate]:
        database = sqlite3.connect(tmp_path / "limit", isolation_level=None)
        database.execute("UPDATE limits SET state = ?", [ROWS[what]])
        with pytest.raises(NotSentError, match=rf"the limit cannot be asked.*limit: .*{what}"):
            await gate.acquire(Lane.INTERACTIVE)
        database.execute("DELETE FROM limits")
        database.close()


def test_each_start_of_the_machine_has_an_id():
    """The same for all who ask until the next."""
    assert boot_id() == boot_id() != ""


def test_macos_has_one_too(monkeypatch):
    """It is asked for with sysctl."""
    done = subprocess.CompletedProcess([], 0, stdout="2C6A2F2B-0B6D\n")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(host_file.subprocess, "run", lambda *about, **settings: done)
    assert boot_id() == "2C6A2F2B-0B6D"


async def test_where_it_cannot_hold_it_says_so(tmp_path, monkeypatch):
    """On Windows no clock is known to be one for all processes."""
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ConfigurationError, match="on win32 use RedisLimiter"):
        await HostLimiter(tmp_path / "limit.sqlite").open(RATE, NAME)
    assert os.listdir(tmp_path) == []
