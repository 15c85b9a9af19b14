"""Those who wait: order, lanes, cancelling, uploads, and what is said about it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math

import pytest
from virtual_clock import virtual

from limits.opened import NAME, RATE, TOKEN, call, opened, spend, take, ticks, time
from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.errors import NotSentError, QueueTimeoutError
from lsq_service_async.limits import Gate, LocalLimiter
from lsq_service_async.limits.decision.state import PLAIN
from lsq_service_async.limits.local import LocalStore
from lsq_service_async.limits.queue import Queue


@virtual
async def test_a_lane_is_served_in_the_order_of_arrival():
    """Nobody overtakes, also when more come while the first are granted."""
    async with opened() as limiter, asyncio.TaskGroup() as tasks:
        order: list[str] = []
        await spend(limiter)
        for number in range(60):
            tasks.create_task(call(limiter, Lane.INTERACTIVE, f"{number:02}", order))
            await asyncio.sleep(0.15)
    assert sorted(order) == order
    assert len(order) == 60


@pytest.mark.parametrize("lane", Lane)
@virtual
async def test_who_comes_again_goes_before_those_of_its_lane_that_had_no_turn_yet(lane: Lane):
    """In the order in which they came again; an upload that has to wait holds nobody up."""
    async with opened() as limiter, asyncio.TaskGroup() as tasks:
        order: list[str] = []
        await spend(limiter)
        for name in ("c", "d", "e"):
            tasks.create_task(call(limiter, lane, name, order))
        await ticks()
        for name in ("a", "b"):
            tasks.create_task(call(limiter, lane, name, order, again=True, heavy=name == "b"))
    assert order == ["a", "b", "c", "d", "e"]


@virtual
async def test_a_newcomer_does_not_take_what_comes_free_for_those_in_line():
    """Also if it asks in the very moment, before the line has moved."""
    async with opened() as limiter:
        slots = await take(limiter, 25)
        first = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(1)
        slots[0].unused()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await limiter.acquire(Lane.INTERACTIVE)
        assert first.done()


@virtual
async def test_bulk_keeps_one_grant_in_five_while_interactive_calls_wait():
    """Neither lane starves: of twenty grants four are bulk, though bulk came last."""
    async with opened() as limiter, asyncio.TaskGroup() as tasks:
        order: list[str] = []
        await spend(limiter)
        for lane in (Lane.INTERACTIVE, Lane.BULK):
            for _ in range(40):
                tasks.create_task(call(limiter, lane, lane.value, order))
    assert order[:5] == ["interactive"] * 4 + ["bulk"]
    assert order[:20].count("bulk") == 4


@virtual
async def test_an_interactive_call_waits_about_one_token_behind_a_bulk_run():
    """The bulk run spreads its calls, so a slot comes free every token, and the interactive call is next."""
    async with opened() as limiter:
        bulk = [asyncio.create_task(call(limiter, Lane.BULK, "", [])) for _ in range(200)]
        await asyncio.sleep(12.345)
        waits = []
        for _ in range(20):
            began = time()
            await call(limiter, Lane.INTERACTIVE, "", [])
            waits.append(time() - began)
            await asyncio.sleep(0.77)
        assert max(waits) < 1.2 * TOKEN
        await asyncio.gather(*bulk)


@pytest.mark.parametrize("steps", range(8))
@virtual
async def test_a_waiter_may_be_cancelled_at_any_moment(steps):
    """Waiting, just granted, or holding the slot: what it does not get, the next in line gets."""
    async with opened() as limiter:
        slots = await take(limiter, 25)
        await asyncio.sleep(30)
        first, second = (asyncio.create_task(limiter.acquire(Lane.INTERACTIVE)) for _ in range(2))
        await ticks()
        slots[0].unused()
        await ticks(steps)
        got_it = not first.cancel()
        await asyncio.wait([first])

        assert got_it is not first.cancelled()
        if got_it:
            first.result().unused()
        await second
        assert limiter.stats().waiting == {Lane.INTERACTIVE: 0, Lane.BULK: 0}
        assert limiter.stats().used == 25


@virtual
async def test_a_waiter_that_is_granted_and_cancelled_in_the_same_tick_gives_the_slot_back():
    """The grant was on its way when the cancel came."""
    async with opened() as limiter:
        slots = await take(limiter, 25)
        waiting = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
        await ticks()
        await asyncio.sleep(1)
        slots[0].unused()
        await ticks(1)
        assert limiter.stats().used == 25  # granted, and not yet awake

        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert limiter.stats().used == 24


@virtual
async def test_uploads_hold_at_most_half_of_the_slots():
    """The third of four slots is not for uploads; small calls pass, and the upload goes when one has come back."""
    async with opened(RateLimit(4, per=1.0)) as limiter:
        order: list[str] = []
        uploads = [await limiter.acquire(Lane.INTERACTIVE, heavy=True) for _ in range(2)]
        third = asyncio.create_task(call(limiter, Lane.INTERACTIVE, "upload", order, heavy=True))
        await ticks()
        small = asyncio.create_task(call(limiter, Lane.INTERACTIVE, "small", order))
        await asyncio.sleep(10)
        assert order == ["small"]

        uploads[0].answered()
        began = time()
        await asyncio.gather(third, small)
        assert time() - began == pytest.approx(1.0, abs=0.1)
        uploads[1].answered()


@virtual
async def test_an_upload_keeps_its_place_before_later_calls():
    """It only gives way where it must."""
    async with opened() as limiter, asyncio.TaskGroup() as tasks:
        order: list[str] = []
        await spend(limiter)
        for name in ("1 upload", "2 small", "3 upload"):
            tasks.create_task(call(limiter, Lane.INTERACTIVE, name, order, heavy="upload" in name))
    assert order == ["1 upload", "2 small", "3 upload"]


@virtual
async def test_closing_sends_away_who_waits():
    """They learn that nothing was sent, and no task is left."""
    limiter = LocalLimiter()
    await limiter.open(RATE, NAME)
    await spend(limiter)
    waiting = [asyncio.create_task(limiter.acquire(lane)) for lane in Lane]
    await asyncio.sleep(1)
    await limiter.aclose()
    for task in waiting:
        with pytest.raises(NotSentError, match="closed"):
            await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


class BrokenStore(LocalStore):
    """Fails when asked for somebody who waits, until it is mended."""

    broken = True

    async def take(self, wants, waiting):
        if self.broken and asyncio.current_task().get_name() == "lsq_service_async limit":
            raise OSError("the store is gone")
        return await super().take(wants, waiting)


@virtual
async def test_a_store_that_fails_leaves_nobody_waiting():
    """All in line learn that nothing was sent, and the next may wait again."""
    store = BrokenStore()
    gate = Gate(store)
    await gate.open(RATE, NAME)
    await spend(gate)
    waiting = [asyncio.create_task(gate.acquire(lane)) for lane in Lane]
    for task in waiting:
        with pytest.raises(NotSentError, match="store of the limit failed") as caught:
            await task
        assert isinstance(caught.value.__cause__, OSError)

    store.broken = False
    await gate.acquire(Lane.INTERACTIVE)
    await gate.aclose()


class SlowStore(LocalStore):
    """Takes a second over each decision, as one across a network might."""

    async def take(self, wants):
        verdict = await super().take(wants)
        await asyncio.sleep(1)
        return verdict


@virtual
async def test_a_grant_for_somebody_who_has_left_goes_back():
    """The only one in line is cancelled while the store decides."""
    gate = Gate(SlowStore())
    await gate.open(RATE, NAME)
    gate.pause(2)
    waiting = asyncio.create_task(gate.acquire(Lane.INTERACTIVE))
    await asyncio.sleep(3.5)
    waiting.cancel()
    await asyncio.sleep(2)
    assert gate.stats().used == 0
    await gate.aclose()


def lines_about_waiting(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "lsq_service_async" and r.levelno == logging.INFO]


@virtual
async def test_a_long_wait_is_said_once(caplog):
    """When it is foreseen: with its lane and how long it will take."""
    expected = "a call waits longer than 5 s for the limit of 25 calls per 5 s: lane bulk, about 5.0 s"
    async with opened() as limiter:
        await spend(limiter)
        waiting = asyncio.create_task(limiter.acquire(Lane.BULK))
        await ticks()
        assert lines_about_waiting(caplog) == [expected]
        await waiting
    assert lines_about_waiting(caplog) == [expected]


@virtual
async def test_a_wait_that_became_long_is_said_once_too(caplog):
    """When it is over, as nobody knew before."""
    async with opened() as limiter:
        limiter.pause(4)
        waiting = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
        await ticks()
        assert lines_about_waiting(caplog) == []
        limiter.pause(9)
        await waiting
    assert [line.split(": ")[1] for line in lines_about_waiting(caplog)] == ["lane interactive, about 9.0 s"]


@virtual
async def test_many_may_give_up_in_any_order():
    """Of 300 with deadlines those who are cancelled leave no trace, and a pause still finds the others."""
    async with opened() as limiter:
        await spend(limiter)
        waiting = [
            asyncio.create_task(limiter.acquire(Lane.INTERACTIVE, deadline=time() + 100 + number % 7))
            for number in range(300)
        ]
        await ticks()
        for task in waiting[:20] + waiting[40:280]:
            task.cancel()
        await ticks()
        assert limiter.stats().waiting[Lane.INTERACTIVE] == 40

        limiter.pause(200)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert sum(isinstance(result, QueueTimeoutError) for result in results) == 40


@virtual
async def test_slots_that_were_granted_and_never_used_are_not_lost():
    """However many are cancelled in the tick of their grant, the bucket is asked before a slot is taken."""
    async with opened() as limiter:
        for _ in range(25):
            limiter.pause(1e-6)
            passing = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
            while not limiter.stats().used:  # noqa: ASYNC110 -- the very tick of the grant is wanted
                await asyncio.sleep(0)
            passing.cancel()
            await asyncio.wait([passing])
            await ticks()
        waiting = [asyncio.create_task(limiter.acquire(Lane.INTERACTIVE)) for _ in range(20)]
        await asyncio.sleep(0.05)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        assert limiter.stats().used == 0


@virtual
async def test_a_thousand_are_sent_away_a_hundred_at_a_time():
    """The loop has its turn in between."""
    limiter = LocalLimiter()
    await limiter.open(RATE, NAME)
    await spend(limiter)
    waiting = [asyncio.create_task(limiter.acquire(Lane.BULK)) for _ in range(1000)]
    await ticks()
    closing = asyncio.create_task(limiter.aclose())
    left = []
    while not closing.done():
        await asyncio.sleep(0)
        left.append(len(limiter._queue.lanes))
    assert max(before - after for before, after in itertools.pairwise(left)) == 100
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(end) for end in ends} == {NotSentError}


@virtual
async def test_a_line_that_was_served_while_its_task_was_made_is_clear_again():
    """So it is with eager tasks and a store that answers, or fails, at once."""

    class Down(LocalStore):
        async def take(self, wants, waiting):
            raise NotSentError("down")

    store = Down()
    await store.open(RATE, NAME)
    queue = Queue(store)
    queue.open(RATE)
    loop = asyncio.get_running_loop()
    create_task = loop.create_task

    def eager(coroutine, **about):
        try:
            coroutine.send(None)
        except StopIteration:
            ended = loop.create_future()
            ended.set_result(None)
            return ended
        raise AssertionError("it waits for something")

    loop.create_task = eager
    try:
        for _ in range(2):
            with pytest.raises(NotSentError, match="down"):
                await asyncio.wait_for(queue.wait(PLAIN, math.inf, again=False), 5)
            assert queue.is_clear()
    finally:
        loop.create_task = create_task
