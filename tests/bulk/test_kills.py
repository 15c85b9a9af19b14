"""Runs that are killed with -9 at random moments, over a real socket: nothing twice, nothing lost."""

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from lsq_service_async.bulk import State, states_in
from lsq_service_async.emulator import Emulator

ROWS, IN_FLIGHT = 120, 8
PROGRAM = Path(__file__).with_name("killed_run.py")


async def start(emulator, journal, on_unknown):
    arguments = [emulator.settings["base_url"], str(journal), str(ROWS), on_unknown]
    return await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def kill_in_the_middle(process, chance):
    """Wait for the first outcomes, and a little longer; then kill -9, in the middle of whatever it does."""
    for _ in range(chance.randrange(1, 12)):
        if not await process.stdout.readline():
            break
    await asyncio.sleep(chance.random() * 0.02)
    if process.returncode is None:
        os.kill(process.pid, signal.SIGKILL)
    await process.communicate()


async def killed_run(tmp_path, number, kills, on_unknown):
    """A run that is killed ``kills`` times and resumed, then let go: (created twice, lost, unknown)."""
    chance = random.Random(number)
    journal = tmp_path / f"{number}.sqlite"
    async with Emulator(window=None, jitter=0.005) as emulator:
        for _ in range(kills):
            await kill_in_the_middle(await start(emulator, journal, on_unknown), chance)
        last = await start(emulator, journal, on_unknown)
        _, errors = await last.communicate()
        assert last.returncode == 0, errors.decode()
        made = Counter(ticket.fields["Title"] for ticket in emulator.tickets.values())
    states = states_in(journal)
    done, unknown = states.get(State.DONE, 0), states.get(State.UNKNOWN, 0)
    twice = sum(count - 1 for count in made.values())
    lost = ROWS - done - unknown + max(0, done - len(made))
    return twice, lost, unknown


async def killed_runs(tmp_path, runs, kills, on_unknown="skip"):
    results = []
    for first in range(0, runs, 2):
        numbers = range(first, min(first + 2, runs))
        results += await asyncio.gather(*(killed_run(tmp_path, number, kills, on_unknown) for number in numbers))
    return results


def check(results, kills):
    """Nothing twice, nothing lost, and no more in doubt than was on its way at each kill."""
    assert [(twice, lost) for twice, lost, _ in results] == [(0, 0)] * len(results)
    assert max(unknown for _, _, unknown in results) <= kills * IN_FLIGHT


@pytest.mark.slow
async def test_sixty_kills_leave_nothing_twice_and_nothing_lost(tmp_path):
    """Twelve runs, each killed five times and resumed."""
    check(await killed_runs(tmp_path, 12, 5), 5)


@pytest.mark.slow
async def test_sending_again_what_was_in_flight_is_caught_by_the_same_test(tmp_path):
    """The control: with on_unknown="resend" the runs above make tickets twice."""
    results = await killed_runs(tmp_path, 4, 5, on_unknown="resend")
    assert sum(twice for twice, _, _ in results) > 0


@pytest.mark.endless
async def test_five_hundred_kills(tmp_path):
    """As above, for an hour that nobody waits for."""
    check(await killed_runs(tmp_path, 100, 5), 5)
