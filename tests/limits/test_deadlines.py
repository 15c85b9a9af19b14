"""Those who wait and cannot wait for ever: told as soon as it is known, and never later than their deadline."""

from __future__ import annotations

import asyncio

import pytest
from virtual_clock import virtual

from limits.opened import TOKEN, call, opened, spend, take, ticks, time
from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.errors import QueueTimeoutError


@virtual
async def test_deadlines_are_kept_also_of_those_before_whom_others_come_again():
    """They are told no later than it is known, and never after their deadline."""
    async with opened() as limiter, asyncio.TaskGroup() as tasks:
        await spend(limiter)
        order: list[str] = []
        begun = time()
        waiting = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE, deadline=begun + 5.2))
        await asyncio.sleep(2)
        for number in range(5):
            tasks.create_task(call(limiter, Lane.INTERACTIVE, f"{number}", order, again=True))
        with pytest.raises(QueueTimeoutError) as caught:
            await waiting
        assert time() - begun < 2.1
        assert caught.value.retry_after == pytest.approx(0.8 + TOKEN, abs=2 * TOKEN)
        in_time = limiter.acquire(Lane.INTERACTIVE, deadline=begun + 6.2, again=True)
        (await in_time).unused()
        assert time() < begun + 6.2


@pytest.mark.parametrize("latency", [0.0, 0.15, 0.4])
@pytest.mark.parametrize("before", [12, 25, 60])
@virtual
async def test_a_wait_is_as_long_as_it_was_foretold(before, latency):
    """Within one token, from whatever state, for the first in line and for the hundredth."""
    async with opened() as limiter, asyncio.TaskGroup() as tasks:

        async def answered_later() -> None:
            slot = await limiter.acquire(Lane.INTERACTIVE)
            await asyncio.sleep(latency)
            slot.answered()

        async def foretold() -> None:
            expected = time() + limiter.stats().estimated_wait[Lane.INTERACTIVE]
            await answered_later()
            assert time() - latency == pytest.approx(expected, abs=TOKEN)

        await asyncio.gather(*(answered_later() for _ in range(before)))
        await asyncio.sleep(3)
        for _ in range(100):
            tasks.create_task(foretold())
            await ticks(1)


@virtual
async def test_a_deadline_that_cannot_be_met_fails_at_once():
    """Not after the deadline: the caller can do something else. What it is told leads to a grant."""
    async with opened() as limiter:
        await spend(limiter)
        began = time()
        with pytest.raises(QueueTimeoutError, match="after its deadline") as caught:
            await limiter.acquire(Lane.INTERACTIVE, deadline=time() + 2.0)
        assert time() == pytest.approx(began, abs=0.001)
        assert 3.0 <= caught.value.retry_after <= 3.0 + 2 * TOKEN

        await asyncio.sleep(caught.value.retry_after)
        await limiter.acquire(Lane.INTERACTIVE, deadline=time() + 2.0)


@virtual
async def test_a_deadline_that_has_passed_fails_though_slots_are_free():
    """A call that nobody wants any more is not sent."""
    async with opened() as limiter:
        with pytest.raises(QueueTimeoutError):
            await limiter.acquire(Lane.INTERACTIVE, deadline=time())
        assert limiter.stats().used == 0


@virtual
async def test_answers_that_do_not_come_make_the_forecast_later():
    """With all slots in flight, a call that has six seconds is given up once an answer would come too late for it."""
    async with opened() as limiter:
        await take(limiter, 25)
        began = time()
        with pytest.raises(QueueTimeoutError):
            await limiter.acquire(Lane.INTERACTIVE, deadline=began + 6.0)
        assert time() == pytest.approx(began + 1.0, abs=0.02)


@virtual
async def test_a_deadline_is_not_kept_late_where_nothing_was_foreseen():
    """How long uploads hold their half is anybody's guess, so only the deadline itself ends the wait."""
    async with opened(RateLimit(4, per=1.0)) as limiter:
        for _ in range(2):
            await limiter.acquire(Lane.INTERACTIVE, heavy=True)
        deadline = time() + 3.0
        with pytest.raises(QueueTimeoutError):
            await limiter.acquire(Lane.INTERACTIVE, heavy=True, deadline=deadline)
        assert deadline - 0.02 <= time() <= deadline


@virtual
async def test_a_pause_turns_away_at_once_who_cannot_meet_his_deadline_any_more():
    """The others stay in line."""
    async with opened() as limiter:
        await spend(limiter)
        began = time()
        short = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE, deadline=began + 6))
        long = asyncio.create_task(limiter.acquire(Lane.BULK, deadline=began + 60))
        await asyncio.sleep(1)
        limiter.pause(20)
        with pytest.raises(QueueTimeoutError):
            await short
        assert time() == pytest.approx(began + 1, abs=0.001)
        await long
        assert time() == pytest.approx(began + 21, abs=TOKEN)


@virtual
async def test_who_is_turned_away_and_cancelled_in_the_same_tick_is_cancelled():
    """Neither the error nor the cancel leaves anything behind."""
    async with opened() as limiter:
        await spend(limiter)
        waiting = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE, deadline=time() + 6))
        await ticks()
        limiter.pause(20)
        await ticks(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert limiter.stats().waiting == {Lane.INTERACTIVE: 0, Lane.BULK: 0}


@virtual
async def test_a_waiter_cancelled_and_late_at_once_is_cancelled():
    """The pause finds a waiter whose task has not yet heard that it is cancelled; the next in line is unharmed."""
    async with opened() as limiter:
        await spend(limiter)
        waiting = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE, deadline=time() + 6))
        other = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
        await ticks()
        limiter.pause(20)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await other
        assert limiter.stats().waiting == {Lane.INTERACTIVE: 0, Lane.BULK: 0}


@virtual
async def test_a_deadline_holds_although_those_in_front_have_left():
    """What the head of the line was foretold when many stood before it says nothing of the others."""
    async with opened() as limiter:
        await spend(limiter)
        many = [asyncio.create_task(limiter.acquire(Lane.INTERACTIVE)) for _ in range(100)]
        await ticks()
        head = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
        await ticks()
        for task in many:
            task.cancel()
        await ticks()
        deadline = time() + 6
        second = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE, deadline=deadline))
        await ticks()
        limiter.pause(20)
        with pytest.raises(QueueTimeoutError) as caught:
            await second
        assert time() <= deadline + 0.001
        assert caught.value.retry_after == pytest.approx(14 + TOKEN, abs=2 * TOKEN)
        (await head).answered()


@virtual
async def test_a_deadline_holds_while_the_store_takes_its_time(monkeypatch: pytest.MonkeyPatch):
    """Nobody asks it for a slot meanwhile, and what it gives then goes to the next."""
    async with opened() as limiter:
        take_from_store = limiter._store.take

        async def slow(*about: object) -> object:
            await asyncio.sleep(3)
            return await take_from_store(*about)

        monkeypatch.setattr(limiter._store, "take", slow)
        monkeypatch.setattr(limiter._store, "take_at_once", lambda want: None)
        began = time()
        patient = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE, deadline=began + 60))
        await ticks()
        with pytest.raises(QueueTimeoutError):
            await limiter.acquire(Lane.INTERACTIVE, deadline=began + 0.5)
        assert time() - began == pytest.approx(0.5, abs=0.001)
        (await patient).answered()


@virtual
async def test_uploads_that_wait_for_their_half_are_no_reason_to_turn_others_away():
    """Others pass them, and are told so. They themselves wait for each other."""
    async with opened() as limiter:
        uploads = [await limiter.acquire(Lane.INTERACTIVE, heavy=True) for _ in range(12)]
        waiting = [
            asyncio.create_task(limiter.acquire(lane, heavy=True)) for lane in [Lane.INTERACTIVE, Lane.BULK] * 50
        ]
        await ticks()
        assert max(limiter.stats().estimated_wait.values()) < 0.001
        (await limiter.acquire(Lane.INTERACTIVE, deadline=time() + 0.1)).unused()
        with pytest.raises(QueueTimeoutError):
            await limiter.acquire(Lane.INTERACTIVE, deadline=time() + 1, heavy=True)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        for slot in uploads:
            slot.answered()
