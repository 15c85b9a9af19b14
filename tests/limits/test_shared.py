"""Several processes and one allowance: leases, lanes, reports, and a ledger that is down. In virtual time."""

from __future__ import annotations

import asyncio
import logging
import os

import pytest
from virtual_clock import virtual

from limits.ledgers import FileOnTheSpot, loop_time, processes
from limits.opened import NAME, RATE, TOKEN, spend, take, ticks
from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.errors import NotSentError, QueueTimeoutError
from lsq_service_async.limits import HostLimiter
from lsq_service_async.limits.decision.ask import Want


@pytest.fixture
def ledger(tmp_path):
    """Makes ledgers that are the same file."""
    return lambda: FileOnTheSpot(tmp_path / "limit.sqlite")


def die(gate) -> None:
    """As with kill -9: nothing is said any more."""
    gate._store._keeper.cancel()
    gate.ledger.down = True


async def call(gate, lane: Lane, seconds: float = 0.05) -> None:
    slot = await gate.acquire(lane)
    await asyncio.sleep(seconds)
    slot.answered()


@virtual
async def test_processes_share_one_allowance(ledger):
    """Thirteen calls of one and twelve of the other are all there is."""
    async with processes(2, ledger) as [one, other]:
        await spend(one, 13)
        await spend(other, 12)
        began = loop_time()
        await other.acquire(Lane.INTERACTIVE)
        assert 5.0 < loop_time() - began < 5.0 + 2 * TOKEN


@virtual
async def test_a_limiter_that_is_opened_after_a_fork_leaves_the_calls_to_its_parent(ledger, monkeypatch):
    """Who opens it again in its own process still has its calls on their way; a child would hold them for ever."""
    async with processes(1, ledger) as [gate]:
        await take(gate, 5)
        for process, held in ((os.getpid(), 5), (os.getpid() + 1, 0)):
            monkeypatch.setattr(os, "getpid", lambda process=process: process)
            await gate.aclose()
            await gate.open(RATE, NAME)
            await asyncio.sleep(4)
            assert sum(len(ask.held) for ask in gate.ledger.asks) == held
            gate.ledger.asks.clear()


@virtual
async def test_a_process_that_dies_gives_its_slots_back_by_itself(ledger):
    """Ten seconds after it was last heard of its calls are taken for answered; a window later the slots are free."""
    async with processes(2, ledger) as [one, other]:
        await take(one, 25)
        await asyncio.sleep(7)
        die(one)
        began = loop_time()
        await other.acquire(Lane.INTERACTIVE)
        assert 6 + 5 < loop_time() - began < 10 + 5 + 2 * TOKEN


@virtual
async def test_a_call_that_takes_long_keeps_its_slot(ledger):
    """Its lease is made longer while its process lives."""
    async with processes(2, ledger) as [one, other]:
        slots = await take(one, 25)
        await asyncio.sleep(60)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await other.acquire(Lane.INTERACTIVE)
        assert other.stats().used == 25
        for slot in slots:
            slot.answered()


@virtual
async def test_a_slot_whose_lease_ended_before_it_was_handed_over_is_not_used(ledger, monkeypatch):
    """A process that was stopped between grant and send asks again."""
    async with processes(1, ledger) as [gate]:
        held = iter([False])
        honest = gate._store.holds
        monkeypatch.setattr(gate._store, "holds", lambda slot: next(held, True) and honest(slot))
        await gate.acquire(Lane.INTERACTIVE)
        await asyncio.sleep(2)
        assert gate.stats().used == 1


@virtual
async def test_reports_go_with_the_next_question_or_after_a_second(ledger):
    """One call a second costs two exchanges, a call that is followed by another at once costs one."""
    async with processes(1, ledger) as [gate]:
        asks = gate.ledger.asks
        for _ in range(10):
            await spend(gate, 1)
        assert len(asks) == 1 + 10
        await asyncio.sleep(2)
        assert [len(ask.ended) for ask in asks] == [0, 0] + [1] * 10
        await asyncio.sleep(15)
        assert len(asks) == 12


@virtual
async def test_who_uses_the_limit_shows_up_now_and_then(ledger):
    """Lest another come and use it at another rate."""
    async with processes(1, ledger) as [gate]:
        await asyncio.sleep(100)
        assert 4 <= len(gate.ledger.asks) - 1 <= 5


@virtual
async def test_an_interactive_call_waits_about_one_token_behind_a_bulk_run_of_another_process(ledger):
    """The head of the bulk lane there gives way to the head of the interactive lane here."""
    async with processes(3, ledger) as [one, other, third], asyncio.TaskGroup() as tasks:
        for gate in (one, other):
            for _ in range(60):
                tasks.create_task(call(gate, Lane.BULK))
        await asyncio.sleep(7.3)
        waits = []
        for _ in range(10):
            began = loop_time()
            await call(third, Lane.INTERACTIVE, 0)
            waits.append(loop_time() - began)
            await asyncio.sleep(0.77)
        assert max(waits) < 2 * TOKEN
        assert sum(waits) / 10 < 1.2 * TOKEN


@virtual
async def test_bulk_keeps_its_floor_against_the_interactive_calls_of_another_process(ledger):
    """At least one grant in five."""
    async with processes(2, ledger) as [one, other]:
        await spend(one)
        order: list[str] = []

        async def noted(gate, lane: Lane) -> None:
            await call(gate, lane, 0)
            order.append(lane.value)

        async with asyncio.TaskGroup() as tasks:
            for gate, lane in ((one, Lane.INTERACTIVE), (other, Lane.BULK)):
                for _ in range(40):
                    tasks.create_task(noted(gate, lane))
        assert 4 <= order[:25].count("bulk") <= 6


@virtual
async def test_processes_take_turns(ledger):
    """Whoever waits in the same lane, none gets much more than another, and each keeps its own order."""
    async with processes(3, ledger) as gates, asyncio.TaskGroup() as tasks:
        order: list[tuple[int, int]] = []

        async def noted(process: int, number: int) -> None:
            await call(gates[process], Lane.INTERACTIVE)
            order.append((process, number))

        await spend(gates[0])
        for number in range(20):
            for process in range(3):
                tasks.create_task(noted(process, number))
    for process in range(3):
        assert [number for other, number in order if other == process] == list(range(20))
        assert 8 <= sum(other == process for other, _ in order[:30]) <= 12


@virtual
async def test_those_who_leave_the_line_hold_nobody_up(ledger):
    """A process whose last waiter was cancelled says so at once."""
    async with processes(2, ledger) as [one, other]:
        await spend(one)
        waiting = asyncio.create_task(one.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.wait([waiting])
        await ticks()
        assert one.ledger.asks[-1].wants == []
        began = loop_time()
        await other.acquire(Lane.INTERACTIVE)
        assert loop_time() - began < 4 + 2 * TOKEN


@virtual
async def test_a_process_that_died_in_line_holds_nobody_up_for_long(ledger):
    """Its appointment passes, and half a second."""
    async with processes(2, ledger) as [one, other]:
        await spend(one)
        waiting = asyncio.create_task(one.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(1)
        die(one)
        began = loop_time()
        await other.acquire(Lane.INTERACTIVE)
        assert loop_time() - began < 4 + 0.5 + 3 * TOKEN
        waiting.cancel()


@virtual
async def test_an_unused_slot_lets_the_next_go_at_once(ledger):
    """In its own process; others learn it within a second."""
    async with processes(1, ledger) as [gate]:
        slots = await take(gate, 25)
        waiting = asyncio.create_task(gate.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(1)
        slots[0].unused()
        await ticks()
        assert waiting.done()


@virtual
async def test_a_pause_is_for_all(ledger):
    """Told at once, also to those who wait."""
    async with processes(2, ledger) as [one, other]:
        one.pause(20)
        await ticks()
        began = loop_time()
        assert one.stats().estimated_wait[Lane.INTERACTIVE] == pytest.approx(20, abs=0.01)
        await other.acquire(Lane.INTERACTIVE)
        assert loop_time() - began == pytest.approx(20, abs=2 * TOKEN)


@virtual
async def test_a_refusal_is_for_all(ledger):
    """The share of all is halved, and comes back slot by slot."""
    async with processes(2, ledger) as [one, other]:
        one.refused("r", 1.0, None)
        assert one.stats().calls == 12
        await ticks()
        await spend(other, 1)
        assert other.stats().calls == 12
        await asyncio.sleep(5.1)
        assert (one.stats().calls, other.stats().calls) == (13, 13)


@virtual
async def test_estimates_count_those_of_other_processes(ledger):
    """Within one token, for the first and for the thirtieth in line, while others have as many in theirs."""
    async with processes(3, ledger) as gates, asyncio.TaskGroup() as tasks:
        await spend(gates[0])
        for gate in gates:
            for _ in range(10):
                tasks.create_task(call(gate, Lane.INTERACTIVE, 0))
            await ticks()
        await asyncio.sleep(5.6)
        expected = gates[2].stats().estimated_wait[Lane.INTERACTIVE]
        began = loop_time()
        await gates[2].acquire(Lane.INTERACTIVE)
        assert loop_time() - began == pytest.approx(expected, abs=2 * TOKEN)


@virtual
async def test_a_deadline_that_cannot_be_met_fails_at_once(ledger):
    """What is known of the others is enough to see it."""
    async with processes(2, ledger) as [one, other]:
        await spend(one)
        await spend_nothing(other)
        began = loop_time()
        with pytest.raises(QueueTimeoutError):
            await other.acquire(Lane.INTERACTIVE, deadline=began + 2)
        assert loop_time() - began < 0.1


async def spend_nothing(gate) -> None:
    gate._store._urgent.set()
    await ticks()


@virtual
async def test_while_the_ledger_is_down_calls_are_not_sent(ledger, caplog):
    """They end at once, and it is said once; so is that it is back."""
    async with processes(1, ledger) as [gate]:
        gate.ledger.down = True
        for _ in range(3):
            with pytest.raises(NotSentError, match="so the call was not sent: it is down"):
                await gate.acquire(Lane.INTERACTIVE)
        gate.ledger.down = False
        await gate.acquire(Lane.INTERACTIVE)
        await gate.acquire(Lane.INTERACTIVE)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [
        "the limit cannot be asked, so nobody is sent until it can: it is down", "the limit can be asked again"
    ]  # fmt: skip


@virtual
async def test_or_they_wait_until_it_is_back(ledger):
    """Asked less and less often, at least every two seconds; a deadline holds all the same."""
    async with processes(1, ledger, waits=True) as [gate]:
        gate.ledger.down = True
        began = loop_time()
        waiting = asyncio.create_task(gate.acquire(Lane.INTERACTIVE))
        late = asyncio.create_task(gate.acquire(Lane.INTERACTIVE, deadline=began + 3))
        await asyncio.sleep(30)
        assert 15 <= len(gate.ledger.asks) <= 40
        assert isinstance(late.exception(), QueueTimeoutError)
        gate.ledger.down = False
        await waiting
        assert loop_time() - began <= 32.1


@virtual
async def test_what_the_ledger_did_not_hear_is_told_later(ledger):
    """Answers while it is down are not lost; calls in flight that it has forgotten are held again."""
    async with processes(2, ledger, waits=True) as [one, other]:
        slots = await take(one, 25)
        one.ledger.down = True
        for slot in slots[:20]:
            slot.answered()
        await asyncio.sleep(30)
        one.ledger.down = False
        await asyncio.sleep(3)
        await spend_nothing(other)
        assert other.stats().used == 5


@pytest.fixture
def slow_ledger(ledger):
    """Decides at once, and takes a second to say so."""

    def make() -> FileOnTheSpot:
        made = ledger()
        honest = made.exchange

        async def slow(ask):
            reply = await honest(ask)
            await asyncio.sleep(1)
            return reply

        made.exchange = slow
        return made

    return make


@virtual
async def test_a_question_that_was_cancelled_midway_leaves_no_slot_behind(slow_ledger):
    """It may have been granted; the next exchange gives it back."""
    async with processes(1, slow_ledger) as [gate]:
        taking = asyncio.create_task(gate._store.take([Want(Lane.INTERACTIVE, False)], (1, 0)))
        await asyncio.sleep(0.5)
        taking.cancel()
        await asyncio.wait([taking])
        await asyncio.sleep(4)
        assert gate.stats().used == 0


@virtual
async def test_a_caller_who_is_cancelled_while_his_question_is_under_way_leaves_no_slot_behind(slow_ledger):
    """Nor is what he would have got lost to the next in line."""
    async with processes(1, slow_ledger) as [gate]:
        waiting = asyncio.create_task(gate.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(0.5)
        waiting.cancel()
        await asyncio.sleep(4)
        assert gate.stats().used == 0


@virtual
async def test_an_answer_that_comes_during_an_exchange_goes_with_the_next(slow_ledger):
    """While its lease is made longer, here; until then the process itself knows better than the ledger."""
    async with processes(1, slow_ledger) as [gate]:
        asks = gate.ledger.asks
        slot = await gate.acquire(Lane.INTERACTIVE)
        await asyncio.sleep(2.5)
        assert [held.slot for held in asks[-1].held] == [slot._number]
        slot.answered()
        await asyncio.sleep(1)
        assert gate._store._state.flights == {}
        await asyncio.sleep(2)
        assert [len(ask.ended) for ask in asks] == [0, 0, 0, 1]


@virtual
async def test_a_ledger_that_lost_everything_is_met_with_care(ledger, tmp_path):
    """Others may have used all of it, so a whole window passes before the next call."""
    async with processes(1, ledger) as [gate]:
        await spend(gate, 1)
        gate.ledger._file._db.execute("DELETE FROM limits")
        began = loop_time()
        await gate.acquire(Lane.INTERACTIVE)
        assert loop_time() - began > 5.0


@virtual
async def test_a_ledger_that_lost_everything_is_told_at_once_of_the_calls_on_their_way(ledger):
    """The next window is not free for others while they last, however short it is."""
    async with processes(1, ledger, rate=RateLimit(25, per=1.0)) as [gate]:
        slots = await take(gate, 25)
        gate.ledger._file._db.execute("DELETE FROM limits")
        waiting = asyncio.create_task(gate.acquire(Lane.INTERACTIVE))
        await ticks()
        assert len(gate.ledger.asks[-1].held) == 25
        await asyncio.sleep(30)
        assert not waiting.done()
        for slot in slots:
            slot.answered()
        await waiting


@virtual
async def test_a_limiter_opens_though_its_ledger_is_down(ledger):
    """It says so, and is of use once the ledger is back."""

    def down() -> FileOnTheSpot:
        made = ledger()
        made.down = True
        return made

    async with processes(1, down) as [gate]:
        gate.ledger.down = False
        await asyncio.sleep(1)
        await gate.acquire(Lane.INTERACTIVE)


@virtual
async def test_uploads_hold_at_most_half_of_the_slots_of_all(ledger):
    """Thirteen of twenty-five are not for uploads, and nobody stands back for one that may not go."""
    async with processes(2, ledger) as [one, other]:
        uploads = [await one.acquire(Lane.INTERACTIVE, heavy=True) for _ in range(12)]
        waiting = asyncio.create_task(one.acquire(Lane.INTERACTIVE, heavy=True))
        await ticks()
        began = loop_time()
        await spend(other, 13)
        assert loop_time() - began < 0.1
        for slot in uploads:
            slot.answered()
        await waiting


def test_calls_of_a_loop_that_ended_are_taken_for_answered(tmp_path):
    """Nobody is left who could say how they went; they must not be renewed for ever."""
    gate = HostLimiter(tmp_path / "limit.sqlite")

    async def leave_some_in_flight() -> None:
        await gate.open(RATE, NAME)
        for _ in range(20):
            await gate.acquire(Lane.INTERACTIVE)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave_some_in_flight())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    file, closed = gate._store._ledger._file, []
    close = file.close
    file.close = lambda: closed.append(close())

    async def next_time() -> int:
        await gate.open(RATE, NAME)
        assert closed == [None]
        calls = len(gate._store._reports._calls)
        await gate.aclose()
        return calls

    assert asyncio.run(next_time()) == 0
