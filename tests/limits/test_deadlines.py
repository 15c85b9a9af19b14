"""Calls with deadlines: rejected as soon as it is known that they will be late, and never after their deadline."""

from __future__ import annotations

import asyncio

import pytest
from virtual_clock import virtual

from limits.limiters import TOKEN, both_kinds, call, opened, processes, spend, take, ticks, time
from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.errors import QueueTimeoutError


@virtual
async def test_a_call_is_rejected_as_soon_as_retries_are_served_before_it():
    """The call is rejected at the fifth retry, which makes it late, and not at its deadline."""
    async with opened() as limiter, asyncio.TaskGroup() as tasks:
        await spend(limiter)
        order: list[str] = []
        begun = time()
        waiting = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE, deadline=begun + 5.2))
        await asyncio.sleep(2)
        for number in range(5):
            tasks.create_task(call(limiter, Lane.INTERACTIVE, f"{number}", order, is_retry=True))
        with pytest.raises(QueueTimeoutError) as caught:
            await waiting
        assert time() - begun < 2.1
        assert caught.value.retry_after == pytest.approx(0.8 + TOKEN, abs=2 * TOKEN)
        in_time = limiter.acquire(Lane.INTERACTIVE, deadline=begun + 6.2, is_retry=True)
        (await in_time).cancel()
        assert time() < begun + 6.2


@pytest.mark.parametrize("is_large", [True, False])
@virtual
async def test_calls_of_the_other_size_count_as_ahead_of_a_call_that_waits_behind_them(is_large):
    """The call is rejected at the fifth retry, which makes it late, although ten calls wait in the other queue."""
    async with opened() as limiter, asyncio.TaskGroup() as tasks:
        await spend(limiter)
        order: list[str] = []
        begun = time()
        for _ in range(10):
            tasks.create_task(call(limiter, Lane.INTERACTIVE, "", order, is_large=not is_large))
        await ticks()
        deadline = begun + 5.2 + 10 * TOKEN
        waiting = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE, deadline=deadline, is_large=is_large))
        await asyncio.sleep(2)
        for _ in range(5):
            tasks.create_task(call(limiter, Lane.INTERACTIVE, "", order, is_retry=True))
        with pytest.raises(QueueTimeoutError) as caught:
            await waiting
        assert time() - begun < 2.1
        assert caught.value.retry_after == pytest.approx(0.8 + TOKEN, abs=2 * TOKEN)


@virtual
async def test_a_call_is_not_rejected_because_of_uploads_that_it_passes():
    """Repeated uploads that must wait for other uploads do not delay a small call, so it is not rejected."""
    async with opened() as limiter:
        uploads = [await limiter.acquire(Lane.INTERACTIVE, is_large=True) for _ in range(12)]
        await spend(limiter, 13)
        deadline = time() + 5.5
        waiting = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE, deadline=deadline))
        await ticks()
        repeated = [
            asyncio.create_task(limiter.acquire(Lane.INTERACTIVE, is_large=True, is_retry=True)) for _ in range(20)
        ]
        (await waiting).release()
        assert time() < deadline
        for task in repeated:
            task.cancel()
        await asyncio.wait(repeated)
        for slot in uploads:
            slot.release()


@pytest.mark.parametrize("latency", [0.0, 0.15, 0.4])
@pytest.mark.parametrize("before", [12, 25, 60])
@virtual
async def test_a_wait_is_as_long_as_expected(before, latency):
    """The expected wait is right within one token, for the first call of the queue and for the hundredth."""
    async with opened() as limiter, asyncio.TaskGroup() as tasks:

        async def answered_later() -> None:
            slot = await limiter.acquire(Lane.INTERACTIVE)
            await asyncio.sleep(latency)
            slot.release()

        async def expected() -> None:
            expected = time() + limiter.stats().estimated_wait[Lane.INTERACTIVE]
            await answered_later()
            assert time() - latency == pytest.approx(expected, abs=TOKEN)

        await asyncio.gather(*(answered_later() for _ in range(before)))
        await asyncio.sleep(3)
        for _ in range(100):
            tasks.create_task(expected())
            await ticks(1)


@both_kinds
@virtual
async def test_a_deadline_that_cannot_be_met_fails_at_once(pair):
    """The call raises an error, whichever process took the slots, and gets a slot ``retry_after`` seconds later."""
    async with pair() as (one, other):

        async def exchange() -> None:
            other.pause(0)
            await asyncio.sleep(0.1)

        await spend(one)
        await exchange()
        began = time()
        with pytest.raises(QueueTimeoutError, match="after its deadline") as caught:
            await other.acquire(Lane.INTERACTIVE, deadline=time() + 2.0)
        assert time() == pytest.approx(began, abs=0.001)
        assert 2.8 <= caught.value.retry_after <= 3.0 + 2 * TOKEN

        await asyncio.sleep(caught.value.retry_after)
        await exchange()
        await other.acquire(Lane.INTERACTIVE, deadline=time() + 2.0)


@virtual
async def test_a_deadline_that_has_passed_fails_although_slots_are_free():
    """A call whose deadline has passed is not sent, even if slots are free."""
    async with opened() as limiter:
        with pytest.raises(QueueTimeoutError):
            await limiter.acquire(Lane.INTERACTIVE, deadline=time())
        assert limiter.stats().used == 0


@virtual
async def test_a_call_is_rejected_if_answers_do_not_arrive():
    """With all slots in flight, a call is rejected once an answer would be too late for its deadline."""
    async with opened() as limiter:
        await take(limiter, 25)
        began = time()
        with pytest.raises(QueueTimeoutError):
            await limiter.acquire(Lane.INTERACTIVE, deadline=began + 6.0)
        assert time() == pytest.approx(began + 1.0, abs=0.02)


@virtual
async def test_a_deadline_holds_if_nothing_can_be_expected():
    """The deadline itself ends the wait for large uploads, whose duration is unknown."""
    async with opened(RateLimit(4, per=1.0)) as limiter:
        for _ in range(2):
            await limiter.acquire(Lane.INTERACTIVE, is_large=True)
        deadline = time() + 3.0
        with pytest.raises(QueueTimeoutError):
            await limiter.acquire(Lane.INTERACTIVE, is_large=True, deadline=deadline)
        assert deadline - 0.02 <= time() <= deadline


@virtual
async def test_a_pause_rejects_the_calls_that_become_late():
    """A pause rejects late calls at once, and the others stay in their queues."""
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


@pytest.mark.parametrize("is_rejected_first", [True, False])
@virtual
async def test_a_call_that_is_rejected_and_cancelled_in_the_same_turn_is_cancelled(is_rejected_first):
    """The call raises CancelledError, and the next call in the queue is not affected."""
    async with opened() as limiter:
        await spend(limiter)
        waiting = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE, deadline=time() + 6))
        other = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
        await ticks()
        limiter.pause(20)
        if is_rejected_first:
            await ticks(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await other
        assert limiter.stats().waiting == {Lane.INTERACTIVE: 0, Lane.BULK: 0}


@virtual
async def test_a_deadline_holds_although_the_calls_in_front_were_cancelled():
    """A call is not rejected because of calls in front of it that were cancelled, and keeps its own deadline."""
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
        (await head).release()


@virtual
async def test_a_deadline_holds_while_the_backend_is_slow():
    """A call is rejected at its deadline, and the next call gets the slot that the backend grants later."""
    async with processes(1) as [limiter]:
        limiter.backend.delay = 0.9
        began = time()
        patient = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE, deadline=began + 60))
        await ticks()
        with pytest.raises(QueueTimeoutError, match=r"backend unavailable, .*: Fake: no reply for 0.5 s; retry in"):
            await limiter.acquire(Lane.INTERACTIVE, deadline=began + 0.5)
        assert time() - began == pytest.approx(0.5, abs=0.001)
        (await patient).release()


@virtual
async def test_a_backend_that_does_not_reply_is_given_the_first_back_off():
    """Until a message has failed, ``retry_after`` is the first back-off: an earlier repeat would fail as well."""
    async with processes(1, rate=RateLimit(100, per=1.0)) as [limiter]:
        limiter.backend.delay = 0.9
        with pytest.raises(QueueTimeoutError, match="backend unavailable") as caught:
            await limiter.acquire(Lane.INTERACTIVE, deadline=time() + 0.5)
        assert caught.value.retry_after == 0.1


@virtual
async def test_a_deadline_that_ends_during_an_outage_names_the_backend():
    """The error has the reason as its cause, and ``retry_after`` ends no earlier than the next try of the limiter."""
    async with processes(1, waits=True) as [limiter]:
        limiter.backend.down, began = True, time()
        message = r"backend unavailable, .*: Fake: it is down; retry in 2.0 s"
        with pytest.raises(QueueTimeoutError, match=message) as caught:
            await limiter.acquire(Lane.INTERACTIVE, deadline=began + 5.0)
        assert time() - began == pytest.approx(5.0, abs=0.02)
        assert caught.value.retry_after == 2.0
        assert str(caught.value.__cause__) == "Fake: it is down"
        limiter.backend.down = False
        (await limiter.acquire(Lane.INTERACTIVE, deadline=time() + caught.value.retry_after)).release()
        with pytest.raises(QueueTimeoutError, match="rate limit: the call would be sent"):
            await limiter.acquire(Lane.INTERACTIVE, deadline=time())


@virtual
async def test_large_uploads_that_wait_for_each_other_do_not_delay_small_calls():
    """Small calls pass the waiting uploads, and their expected wait does not count the uploads."""
    async with opened() as limiter:
        uploads = [await limiter.acquire(Lane.INTERACTIVE, is_large=True) for _ in range(12)]
        waiting = [
            asyncio.create_task(limiter.acquire(lane, is_large=True)) for lane in [Lane.INTERACTIVE, Lane.BULK] * 50
        ]
        await ticks()
        assert max(limiter.stats().estimated_wait.values()) < 0.001
        (await limiter.acquire(Lane.INTERACTIVE, deadline=time() + 0.1)).cancel()
        with pytest.raises(QueueTimeoutError):
            await limiter.acquire(Lane.INTERACTIVE, deadline=time() + 1, is_large=True)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        for slot in uploads:
            slot.release()
