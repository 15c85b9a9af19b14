"""The file that the processes of one host share: its content, and errors."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from virtual_clock import virtual

from limits.limiters import NAME, RATE, TOKEN, File, FileBackend, processes, spend, take, time
from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.errors import ConfigurationError, NotSentError
from lsq_service_async.limits import HostLimiter, host
from lsq_service_async.limits._engine.messages import CompletedCall, SyncMessage
from lsq_service_async.limits.host import HostBackend, boot_id


@pytest.fixture
def path(tmp_path):
    """A file in a folder that holds nothing else."""
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "limit.sqlite"


@pytest.fixture
def backend(path):
    """Makes backends that use the same file."""
    return lambda: FileBackend(path)


# Opening, closing and forks.


async def test_a_host_limiter_creates_files_that_only_their_owner_may_read(path):
    """The file and the two that SQLite creates next to it have mode 0600, and no task is left at the end."""
    one, other = HostLimiter(path), HostLimiter(str(path))
    await one.open(RATE, NAME)
    await other.open(RATE, NAME)
    slots = [*(await take(one, 13)), *(await take(other, 12))]
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == {"limit.sqlite": 0o600, "limit.sqlite-wal": 0o600, "limit.sqlite-shm": 0o600}

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await other.acquire(Lane.INTERACTIVE)
    for slot in slots:
        slot.release()
    await one.aclose()
    await other.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_users_that_open_and_close_at_the_same_time_find_it_open_once(path):
    """`open` and `aclose` wait for each other."""
    limiter = HostLimiter(path)
    await asyncio.gather(*(limiter.open(RATE, NAME) for _ in range(3)))
    assert len(asyncio.all_tasks() - {asyncio.current_task()}) == 1
    await asyncio.gather(limiter.aclose(), limiter.aclose(), limiter.aclose(), limiter.open(RATE, NAME))
    (await limiter.acquire(Lane.INTERACTIVE)).release()
    await limiter.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_limiter_that_was_created_before_a_fork_works_in_each_process(path):
    """Each child of a server that forks after loading the application owns its calls, and all of them count."""
    forking = [sys.executable, Path(__file__).parent / "forking.py", path]
    done = subprocess.run(forking, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["12", "24"]


@pytest.mark.parametrize("step", ["open the file", "first message"])
async def test_an_opening_that_is_cancelled_closes_the_file(path, monkeypatch, step):
    """The thread finishes its step, and the limiter can be opened again."""
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    class Watched(sqlite3.Connection):
        def execute(self, statement, *about):
            if statement.startswith("PRAGMA journal_mode" if step == "open the file" else "SELECT boot"):
                begun.set()
                go_on.wait(10)
            return super().execute(statement, *about)

        def close(self):
            super().close()
            closed.set()

    limiter = HostLimiter(path)
    with monkeypatch.context() as patched:
        patched.setattr(host.sqlite3, "connect", functools.partial(sqlite3.connect, factory=Watched))
        opening = asyncio.create_task(limiter.open(RATE, NAME))
        await asyncio.to_thread(begun.wait, 10)
        opening.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert await asyncio.to_thread(closed.wait, 10)
    await limiter.open(RATE, NAME)
    await limiter.aclose()


def test_calls_of_a_loop_that_ended_count_as_answered(path):
    """The leases of a loop that ended are not renewed, and the next loop opens the file again."""
    limiter = HostLimiter(path)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(limiter.open(RATE, NAME))
    loop.run_until_complete(take(limiter, 20))
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    async def next_time() -> int:
        await limiter.open(RATE, NAME)
        other = HostLimiter(path)
        await other.open(RateLimit(25, per=5.0), NAME)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await take(other, 6)
        used = other.stats().used
        await other.aclose()
        await limiter.aclose()
        return used

    assert asyncio.run(next_time()) == 25


# The content of the file.


@virtual
async def test_one_file_may_hold_many_limits(backend, path):
    """Each account has its own row."""
    async with processes(1, backend) as [limiter]:
        await spend(limiter)
        file = File(path)
        await file.open("another/1")
        reply = await file.sync(SyncMessage(process_id=1, slot=2, rate=RATE))
        assert reply.state.used(time()) == 0
        await file.aclose()


LIMIT = "PRAGMA application_id = 0x4C535131; CREATE TABLE limits (name TEXT PRIMARY KEY, boot TEXT, state TEXT) STRICT;"
WRONG_DATABASES = {
    "is another program's database": ["CREATE TABLE theirs (x)", "PRAGMA application_id = 1"],
    "another program changed its": [
        f"{LIMIT} CREATE TRIGGER evil AFTER UPDATE ON limits BEGIN SELECT 1; END",
        "PRAGMA application_id = 0x4C535131; CREATE VIEW limits AS SELECT 1 AS name, 2 AS boot, 3 AS state",
    ],
}


@pytest.mark.parametrize(
    ("what", "sql"), [(what, sql) for what, statements in WRONG_DATABASES.items() for sql in statements]
)
async def test_a_database_of_another_program_is_a_configuration_error_and_stays_as_it_is(path, what, sql):
    """The application id and the schema are checked before anything is written, and no query of the file runs."""
    database = sqlite3.connect(path)
    database.executescript(sql)
    database.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=f"limit.sqlite cannot be used for a rate limit: .*{what}"):
        await HostLimiter(path).open(RATE, NAME)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["limit.sqlite"]


WRONG_FILES = {
    "limit.sqlite' is not a regular file": lambda path: path.mkdir(),
    "limit.sqlite cannot be used for a rate limit: .*not a database": lambda path: path.write_text("no database " * 99),
    "limit.sqlite cannot be used for a rate limit: .*No such file": lambda path: path.parent.rmdir(),
    "limit.sqlite' is a symbolic link": lambda path: path.symlink_to("missing"),
    "Other users can write to .*limit.sqlite'": lambda path: (path.touch(), path.chmod(0o666)),
}


@pytest.mark.parametrize("what", WRONG_FILES)
async def test_a_file_that_cannot_be_used_is_a_configuration_error(what, path):
    """The message names the file and the reason, and nothing is left open."""
    WRONG_FILES[what](path)
    with pytest.raises(ConfigurationError, match=what):
        await HostLimiter(path).open(RATE, NAME)


@virtual
async def test_after_a_reboot_what_was_used_counts_as_used_just_now(backend, monkeypatch):
    """The clock starts again, so the times in the file have no meaning."""
    async with processes(1, backend) as [limiter]:
        await spend(limiter, 20)
    await asyncio.sleep(4.9)
    monkeypatch.setattr(host, "boot_id", lambda: "another")
    async with processes(1, backend) as [limiter]:
        assert limiter.stats().used == 20
        began = time()
        await spend(limiter, 6)
        assert 5.0 < time() - began < 5.0 + TOKEN


@virtual
async def test_a_file_of_version_0_1_0_is_used_without_exceeding_the_limit(backend, path):
    """The calls of the file count: 24 were answered just now, so one is sent at once and the next waits a window."""
    file = File(path)
    await file.open(NAME)
    await file.aclose()
    answered, never = [time()] * 24, "-Infinity"
    old = f"[[[25,5.0],[25,5.0],[25,5.0],{never},{never}],[0,0,[]],[{time()},{never},{never},0.1,{answered},[]],[],[]]"
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("INSERT INTO limits VALUES (?, ?, ?)", [NAME, boot_id(), old])
    database.close()
    async with processes(1, backend) as [limiter]:
        began = time()
        await spend(limiter, 2)
        assert 5.0 < time() - began < 5.0 + TOKEN


ROWS = {
    "not enough values": "[1, 2]",
    "convert float infinity": "[[[25,5],[25,5],[12,5],0,0],[Infinity,0,[]],[0,0,0,0,[],[]],[],[]]",
    "must be a whole number": '[[["x",5],[25,5],[25,5],0,0],[0,0,[]],[0,0,0,0,[],[]],[],[]]',
}


@pytest.mark.parametrize("what", ROWS)
@virtual
async def test_while_a_row_is_not_a_state_no_call_is_sent(backend, path, what):
    """No call is sent while a row written by another program is in the file, and the message names the file."""
    async with processes(1, backend) as [limiter]:
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("UPDATE limits SET state = ?", [ROWS[what]])
        with pytest.raises(NotSentError, match=rf"backend unavailable.*limit.sqlite: .*{what}"):
            await limiter.acquire(Lane.INTERACTIVE)
        database.execute("DELETE FROM limits")
        database.close()


# The file changes while it is in use.


def clear(folder):
    shutil.rmtree(folder)
    folder.mkdir()


@virtual
async def test_a_file_that_was_deleted_is_created_again(backend, path):
    """A deleted file is created again, and the next call waits for a window because past calls are unknown."""
    async with processes(2, backend) as [one, other]:
        await spend(one, 1)
        clear(path.parent)
        began = time()
        await one.acquire(Lane.INTERACTIVE)
        assert time() - began > 5.0
        assert path.stat().st_mode & 0o777 == 0o600
        await spend(other, 1)
        assert other.stats().used == 2


@virtual
async def test_a_file_that_was_replaced_is_used_from_then_on(backend, path):
    """A process opens a file that replaced the old one, and so shares the limit with the others. It is checked, too."""
    async with processes(1, backend) as [old]:
        clear(path.parent)
        async with processes(1, backend) as [new]:
            await spend(new, 25)
            began = time()
            await old.acquire(Lane.INTERACTIVE)
            assert time() - began > 5.0
        clear(path.parent)
        path.touch(0o600)
        path.chmod(0o666)
        with pytest.raises(NotSentError, match="Other users can write to"):
            await old.acquire(Lane.INTERACTIVE)
        path.unlink()


@virtual
async def test_a_file_whose_folder_is_missing_is_used_again_when_the_folder_is_back(backend, path):
    """No call is sent while the folder is missing."""
    async with processes(1, backend) as [limiter]:
        elsewhere = path.parent.with_name("elsewhere")
        path.parent.rename(elsewhere)
        for _ in range(2):
            with pytest.raises(NotSentError, match=r"backend unavailable.*No such file"):
                await limiter.acquire(Lane.INTERACTIVE)
        elsewhere.rename(path.parent)
        began = time()
        await limiter.acquire(Lane.INTERACTIVE)
        assert time() - began < 0.1


async def test_a_process_waits_for_another_one_that_creates_the_file(path, monkeypatch):
    """The process waits for the journal mode too, for which SQLite itself does not wait."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        other.execute("COMMIT")

    monkeypatch.setattr(host.time, "sleep", sleep)
    file = HostBackend(path)
    await file.open(NAME)
    assert len(pauses) == 1
    await file.aclose()
    other.close()


async def test_a_file_that_stays_locked_is_a_configuration_error(path):
    """A file that another program locks for seconds raises ConfigurationError."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ConfigurationError, match="database is locked"):
        await HostBackend(path, busy_timeout=0.0).open(NAME)
    other.close()


async def test_a_process_that_waited_long_for_the_file_does_not_take_that_for_a_clock_that_was_set(path):
    """A long wait for the file does not count all slots as used, because the monotonic clock cannot be set."""
    file = HostBackend(path, clock=lambda: 100.0)
    await file.open(NAME)
    completed = [CompletedCall(1, 4.0, is_large=False)]
    state = (await file.sync(SyncMessage(process_id=1, slot=2, rate=RATE, completed=completed))).state
    later = (await file.sync(SyncMessage(process_id=1, slot=3, rate=RATE, expected=96.0))).state
    assert later.answered == state.answered == [96.0]
    await file.aclose()


OTHER_PROCESS = f"""
import asyncio, pathlib, sys
from lsq_service_async.limits.host import HostBackend
file = HostBackend(pathlib.Path(sys.argv[1]))
asyncio.run(file.open({NAME!r}))
asyncio.run(file.aclose())
"""


async def test_another_process_that_closes_the_file_does_not_harm_one_that_uses_it_twice(path):
    """The last process that closes the file deletes -wal and -shm. SQLite finds it with locks.

    A process that closes any descriptor of a file loses all its locks on the file.
    """
    one, other = HostBackend(path), HostBackend(path)
    await one.open(NAME)
    await other.open(NAME)
    before = sorted(path.parent.iterdir())
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", OTHER_PROCESS, path], check=True)
    assert sorted(path.parent.iterdir()) == before != [path]
    await one.aclose()
    await other.aclose()


# Platforms.


def test_each_start_of_the_machine_has_an_id():
    """The id of a start is not empty and the same for all processes."""
    assert boot_id() == boot_id() != ""


def test_the_id_of_a_start_of_macos_is_read_with_sysctl(monkeypatch):
    """The id is the output of sysctl without the newline."""
    done = subprocess.CompletedProcess([], 0, stdout="2C6A2F2B-0B6D\n")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(host.subprocess, "run", lambda *about, **settings: done)
    assert boot_id() == "2C6A2F2B-0B6D"


async def test_a_host_limiter_is_a_configuration_error_on_windows(path, monkeypatch):
    """On Windows, whose monotonic clock may differ between processes, no file is created."""
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ConfigurationError, match="On win32 use RedisLimiter"):
        await HostLimiter(path).open(RATE, NAME)
    assert os.listdir(path.parent) == []
