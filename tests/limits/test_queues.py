"""Waiting calls: order, lanes, cancelling, large uploads, and log messages."""

from __future__ import annotations

import asyncio
import itertools
import math

import pytest
from virtual_clock import virtual

from limits.limiters import (
    NAME,
    RATE,
    TOKEN,
    FakeBackend,
    Process,
    Server,
    both_kinds,
    call,
    opened,
    spend,
    take,
    ticks,
    time,
)
from lsq_service_async.config import Lane
from lsq_service_async.errors import NotSentError, QueueTimeoutError
from lsq_service_async.limits import LocalLimiter
from lsq_service_async.limits._engine.messages import Request
from lsq_service_async.limits.queues import FifoQueue, Waiter


@virtual
async def test_a_lane_is_served_in_the_order_of_arrival():
    """Calls are granted in the order of arrival, even if more calls arrive meanwhile."""
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
async def test_retries_are_served_before_the_other_calls_of_their_lane(lane: Lane):
    """Retries are served first and in their own order, and a large upload that has to wait delays no other call."""
    async with opened() as limiter, asyncio.TaskGroup() as tasks:
        order: list[str] = []
        await spend(limiter)
        for name in ("c", "d", "e"):
            tasks.create_task(call(limiter, lane, name, order))
        await ticks()
        for name in ("a", "b"):
            tasks.create_task(call(limiter, lane, name, order, is_retry=True, is_large=name == "b"))
    assert order == ["a", "b", "c", "d", "e"]


@virtual
async def test_a_new_call_does_not_take_a_slot_that_returns_for_a_waiting_one():
    """A call that arrives when the slot returns, before the queue was served, waits behind the older call."""
    async with opened() as limiter:
        slots = await take(limiter, 25)
        first = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(1)
        slots[0].cancel()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await limiter.acquire(Lane.INTERACTIVE)
        assert first.done()


@both_kinds
@virtual
async def test_bulk_gets_one_grant_in_five_while_interactive_calls_wait(pair):
    """About one grant in five is for bulk, although those calls arrived last; exactly one in a single process."""
    async with pair() as (one, other):
        order: list[str] = []
        await spend(one)
        async with asyncio.TaskGroup() as tasks:
            for limiter, lane in ((one, Lane.INTERACTIVE), (other, Lane.BULK)):
                for _ in range(40):
                    tasks.create_task(call(limiter, lane, lane.value, order))
    assert 4 <= order[:25].count("bulk") <= 6
    assert one is not other or order[:5] == ["interactive"] * 4 + ["bulk"]


@both_kinds
@virtual
async def test_an_interactive_call_waits_about_one_token_behind_a_bulk_run(pair):
    """Bulk calls are evenly spaced, so a slot returns every token, and the interactive call is next."""
    async with pair() as (one, other):
        bulk = [asyncio.create_task(call(one, Lane.BULK, "", [])) for _ in range(200)]
        await asyncio.sleep(12.345)
        waits = []
        for _ in range(20):
            began = time()
            await call(other, Lane.INTERACTIVE, "", [])
            waits.append(time() - began)
            await asyncio.sleep(0.77)
        assert sum(waits) / 20 < 1.2 * TOKEN
        assert max(waits) < (1.2 if one is other else 2) * TOKEN
        await asyncio.gather(*bulk)


@pytest.mark.parametrize("steps", range(8))
@virtual
async def test_a_waiting_call_may_be_cancelled_at_any_moment(steps):
    """If a call is cancelled while it waits, after its grant, or with its slot, the next call gets the slot."""
    async with opened() as limiter:
        slots = await take(limiter, 25)
        await asyncio.sleep(30)
        first, second = (asyncio.create_task(limiter.acquire(Lane.INTERACTIVE)) for _ in range(2))
        await ticks()
        slots[0].cancel()
        await ticks(steps)
        got_it = not first.cancel()
        await asyncio.wait([first])

        assert got_it is not first.cancelled()
        if got_it:
            first.result().cancel()
        await second
        assert limiter.stats().waiting == {Lane.INTERACTIVE: 0, Lane.BULK: 0}
        assert limiter.stats().used == 25


@both_kinds
@virtual
async def test_large_uploads_hold_at_most_half_of_the_slots(pair):
    """Small calls pass the thirteenth large upload, which is sent when the slot of another one has returned."""
    async with pair() as (one, other):
        uploads = [await one.acquire(Lane.INTERACTIVE, is_large=True) for _ in range(12)]
        waiting = asyncio.create_task(one.acquire(Lane.INTERACTIVE, is_large=True))
        await ticks()
        began = time()
        await spend(other, 13)
        assert time() - began < 0.1
        await asyncio.sleep(6)
        assert not waiting.done()
        for slot in uploads:
            slot.release()
        began = time()
        await waiting
        assert time() - began == pytest.approx(5.0, abs=2 * TOKEN)


@virtual
async def test_a_large_upload_keeps_its_place_before_later_calls():
    """Later calls pass a large upload only while it must wait for other uploads."""
    async with opened() as limiter, asyncio.TaskGroup() as tasks:
        order: list[str] = []
        await spend(limiter)
        for name in ("1 upload", "2 small", "3 upload"):
            tasks.create_task(call(limiter, Lane.INTERACTIVE, name, order, is_large="upload" in name))
    assert order == ["1 upload", "2 small", "3 upload"]


@pytest.mark.parametrize("is_expected", [True, False])
@virtual
async def test_a_long_wait_is_logged_once(is_expected, caplog):
    """A long wait is logged with the lane and the seconds: when it is expected, otherwise when it is over."""
    async with opened() as limiter:
        limiter.pause(9 if is_expected else 4)
        waiting = asyncio.create_task(limiter.acquire(Lane.BULK))
        await ticks()
        assert ("in the bulk lane" in caplog.text) is is_expected
        limiter.pause(9)
        await waiting
    assert caplog.text.count("Wait of about 9.0 s in the bulk lane") == caplog.text.count("Wait of about") == 1


@virtual
async def test_many_calls_may_be_cancelled_in_any_order():
    """Of 300 calls with deadlines, 260 are cancelled, and a pause rejects the other 40."""
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
    """Calls that are cancelled in the turn of their grant return their slots."""
    async with opened() as limiter:
        for _ in range(25):
            limiter.pause(1e-6)
            passing = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
            while not limiter.stats().used:  # noqa: ASYNC110 -- the test needs the turn of the grant
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
async def test_closing_rejects_the_waiting_calls_a_hundred_at_a_time():
    """All waiting calls raise NotSentError, other tasks run after each hundred, and no task is left."""
    limiter = LocalLimiter()
    await limiter.open(RATE, NAME)
    await spend(limiter)
    waiting = [asyncio.create_task(limiter.acquire(lane)) for lane in [*Lane] * 500]
    await ticks()
    closing = asyncio.create_task(limiter.aclose())
    rejected = []
    while not closing.done():
        await asyncio.sleep(0)
        rejected.append(sum(task.done() for task in waiting))
    assert max(later - sooner for sooner, later in itertools.pairwise(rejected)) == 100
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert {(type(end), "client was closed" in str(end)) for end in ends} == {(NotSentError, True)}
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual
async def test_a_queue_that_was_served_while_its_task_was_created_does_not_hold_up_the_next_call():
    """An eager task may have ended before its creator sees it, if a backend answers or fails at once."""
    server = Server()
    limiter = Process(FakeBackend(server.sync), waits=False)
    await limiter.open(RATE, NAME)
    limiter.backend.down = True
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
                await asyncio.wait_for(limiter.acquire(Lane.INTERACTIVE), 5)
    finally:
        loop.create_task = create_task
    await limiter.aclose()


def waiter(number: int) -> Waiter:
    grant = asyncio.get_running_loop().create_future()
    return Waiter(Request(Lane.BULK, False), since=0.0, due=0.0, deadline=float(number), grant=grant, number=number)


def filled(count: int) -> tuple[FifoQueue, list[Waiter]]:
    """A queue of as many calls, and the calls."""
    queue, waiters = FifoQueue(), [waiter(number) for number in range(count)]
    for each in waiters:
        queue.add(each)
    return queue, waiters


@virtual
async def test_the_least_margin_is_that_of_a_call_that_still_waits():
    """Calls that were removed from the queue do not count for the least margin, however many there were."""
    queue, waiters = filled(5_000)
    for removed in waiters[10:]:
        assert queue.remove(removed)
    for removed in (waiters[0], waiters[2], waiters[1]):
        assert queue.remove(removed)
    assert not queue.remove(waiters[0])

    assert queue.least_margin() == 3.0
    assert list(queue.remove_late(5.0)) == waiters[3:5]
    assert list(queue) == waiters[5:10]


@virtual
async def test_a_thousand_earlier_calls_are_counted_at_most():
    """Counting the calls before a waiting one stays fast in a long queue; the length of a queue is exact."""
    queue, waiters = filled(2_000)
    queue.remove(waiters[1])

    assert [queue.before(number) for number in (0, 3, 1_999, math.inf)] == [0, 2, 1_000, 1_999]
