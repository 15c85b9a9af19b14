"""Runs that are killed with SIGKILL at random moments, over a real socket: no row is sent twice, and none is lost.

The figures of the kills are printed; ``pytest -n 0 -s -m "slow or endless" tests/bulk/test_kills.py`` shows them.
"""

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from bulk.killed_run import row

from lsq_service_async.bulk import State, row_of, states_in
from lsq_service_async.bulk._journal_file import Entry, JournalFile
from lsq_service_async.emulator import Emulator

ROWS, IN_FLIGHT = 120, 8
PROGRAM = Path(__file__).with_name("killed_run.py")


async def start(emulator, journal, on_unknown="skip", done=0):
    arguments = [emulator.settings["base_url"], str(journal), str(ROWS), str(done), on_unknown]
    return await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def kill_in_the_middle(process, chance, outcomes=12):
    """Wait for the first outcomes and a moment longer, then kill the process."""
    for _ in range(chance.randrange(1, outcomes)):
        if not await process.stdout.readline():
            break
    await asyncio.sleep(chance.random() * 0.02)
    if process.returncode is None:
        os.kill(process.pid, signal.SIGKILL)
    await process.communicate()


def created_twice(emulator):
    return sum(count - 1 for count in Counter(t.fields["Title"] for t in emulator.tickets.values()).values())


async def killed_run(tmp_path, number, kills, on_unknown):
    """Kill a run ``kills`` times and resume it, then let it end: rows that were sent twice, lost, unknown."""
    chance = random.Random(number)
    journal = tmp_path / f"{number}.sqlite"
    async with Emulator(window=None, jitter=0.005) as emulator:
        for _ in range(kills):
            await kill_in_the_middle(await start(emulator, journal, on_unknown), chance)
        last = await start(emulator, journal, on_unknown)
        _, errors = await last.communicate()
        assert last.returncode == 0, errors.decode()
        twice, created = created_twice(emulator), len(emulator.tickets)
    states = states_in(journal)
    done, unknown = states.get(State.DONE, 0), states.get(State.UNKNOWN, 0)
    return twice, ROWS - done - unknown + max(0, done - created), unknown


async def killed_runs(tmp_path, runs, kills, on_unknown="skip"):
    results = []
    for first in range(0, runs, 2):
        numbers = range(first, min(first + 2, runs))
        results += await asyncio.gather(*(killed_run(tmp_path, number, kills, on_unknown) for number in numbers))
    twice, lost, unknown = map(sum, zip(*results, strict=True))
    print(f"\n{runs * kills} kills, on_unknown={on_unknown}: {twice} rows sent twice, {lost} lost, {unknown} unknown")
    return results


@pytest.mark.parametrize(
    ("runs", "kills"),
    [(1, 1), pytest.param(10, 4, marks=pytest.mark.slow), pytest.param(100, 5, marks=pytest.mark.endless)],
)
async def test_a_killed_run_sends_no_row_twice_and_loses_none(tmp_path, runs, kills):
    """Only rows that were in flight at a kill are unknown afterwards."""
    results = await killed_runs(tmp_path, runs, kills)
    assert [(twice, lost) for twice, lost, _ in results] == [(0, 0)] * runs
    assert max(unknown for _, _, unknown in results) <= kills * IN_FLIGHT


@pytest.mark.parametrize(("runs", "kills"), [(1, 2), pytest.param(10, 6, marks=pytest.mark.slow)])
async def test_a_killed_look_up_doubles_and_loses_nothing(tmp_path, runs, kills):
    """Rows that were in flight at a kill, and rows that were looked up, are decided by the next run."""
    results = await killed_runs(tmp_path, runs, kills, on_unknown="look")
    assert [(twice, lost) for twice, lost, _ in results] == [(0, 0)] * runs
    assert max(unknown for _, _, unknown in results) <= IN_FLIGHT


@pytest.mark.slow
async def test_the_kills_find_rows_that_are_sent_twice(tmp_path):
    """With ``on_unknown="resend"``, the same kills create tickets twice, so the test above can fail."""
    results = await killed_runs(tmp_path, 4, 5, on_unknown="resend")
    assert sum(twice for twice, _, _ in results) > 0


def write_done_rows(journal, emulator, done):
    """A journal in which an earlier run has done many rows."""
    file = JournalFile(journal)
    file.open("created", f"{emulator.settings['base_url']}, org 22824")
    rows = [row_of(row(f"done-{number}")) for number in range(done)]
    file.write(Entry(row.key, row.digest, State.DONE, number="1") for row in rows)
    file.close()


async def killed_without_side_files(journal, number, done):
    """Kill a run, remove its side files and start it again: was one of them full, did the run end, rows sent twice."""
    async with Emulator(window=None, jitter=0.005) as emulator:
        if done:
            write_done_rows(journal, emulator, done)
        await kill_in_the_middle(await start(emulator, journal, done=done), random.Random(number), ROWS)
        side_files = [journal.with_name(journal.name + suffix) for suffix in ("-journal", "-wal", "-shm")]
        was_full = any(file.exists() and file.stat().st_size for file in side_files)
        for file in side_files:
            file.unlink(missing_ok=True)
        again = await start(emulator, journal, done=done)
        _, errors = await again.communicate()
        assert again.returncode == 0 or "restore a copy" in errors.decode(), errors.decode()
        return was_full, again.returncode == 0, created_twice(emulator)


@pytest.mark.parametrize(
    ("kills", "done"),
    [
        (1, 500),
        pytest.param(10, 0, marks=pytest.mark.slow),
        pytest.param(1, 40_000, marks=pytest.mark.slow),
        pytest.param(30, 40_000, marks=pytest.mark.endless),
    ],
)
async def test_a_killed_run_without_its_side_files_sends_no_row_twice(tmp_path, kills, done):
    """The next run ends without a doubled row, or it stops with an error that contains the fix."""
    results = [await killed_without_side_files(tmp_path / f"{number}.sqlite", number, done) for number in range(kills)]
    full, ended, twice = map(sum, zip(*results, strict=True))
    print(f"\n{kills} kills among {done} done rows, side files removed ({full} -journal files were not empty):")
    print(f"{ended} next runs ended, {kills - ended} stopped with the error, {twice} rows sent twice")
    assert twice == 0
