"""The gate as its users see it: opening, closing, slots, stats, and the loop it belongs to."""

from __future__ import annotations

import asyncio

import pytest
from virtual_clock import VirtualLoop, run_virtual, virtual

from limits.opened import NAME, RATE, TOKEN, opened, spend, take, ticks, time
from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.errors import ConfigurationError, LSQServiceError, NotSentError
from lsq_service_async.limits import Gate, LimiterStats, LocalLimiter
from lsq_service_async.limits.local import LocalStore


@virtual
async def test_a_full_allowance_goes_at_once_after_a_rest():
    """25 calls wait for nothing; the 26th waits for the window."""
    async with opened() as limiter:
        began = time()
        await spend(limiter)
        assert time() - began < 0.001

        await limiter.acquire(Lane.INTERACTIVE)
        assert 5.0 < time() - began < 5.0 + TOKEN


@virtual
async def test_a_part_of_the_allowance_leaves_the_rest_for_later():
    """Twelve calls, and thirteen more a moment later, wait for nothing."""
    async with opened() as limiter:
        await spend(limiter, 12)
        await asyncio.sleep(3)
        began = time()
        await spend(limiter, 13)
        assert time() - began < 0.001


@virtual
async def test_bulk_is_evenly_paced_from_its_first_call():
    """It never uses the burst: ten calls take nine tokens of time."""
    async with opened() as limiter:
        began = time()
        for slot in await take(limiter, 10, Lane.BULK):
            slot.answered()
        assert time() - began == pytest.approx(9 * TOKEN, abs=0.02)


@virtual
async def test_a_slot_is_held_until_a_window_after_its_answer():
    """However long the answer takes, the slot is not used again before."""
    async with opened() as limiter:
        slots = await take(limiter, 25)
        await asyncio.sleep(60)
        for slot in slots:
            slot.answered()
        answered = time()
        await limiter.acquire(Lane.INTERACTIVE)
        assert time() - answered > 5.0


@virtual
async def test_an_unused_slot_is_back_at_once():
    """Nothing reached the service, so nothing counts."""
    async with opened() as limiter:
        slots = await take(limiter, 25)
        for slot in slots[:5]:
            slot.unused()
        assert (limiter.stats().used, limiter.stats().free) == (20, 5)


@virtual
async def test_attempts_that_never_leave_still_pass_the_burst():
    """A dead network is knocked at 25 times at once, then once per token."""
    async with opened() as limiter:
        began = time()
        for _ in range(50):
            (await limiter.acquire(Lane.INTERACTIVE)).unused()
        assert time() - began == pytest.approx(25 * TOKEN, abs=TOKEN)


@virtual
async def test_who_waits_for_the_burst_waits_in_line():
    """Nobody waits inside the bucket, where the lanes mean nothing: an interactive call passes those of bulk."""
    async with opened() as limiter:
        for _ in range(25):
            (await limiter.acquire(Lane.INTERACTIVE)).unused()
        bulk = [asyncio.create_task(limiter.acquire(Lane.BULK)) for _ in range(3)]
        interactive = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(0)
        assert limiter.stats().waiting == {Lane.INTERACTIVE: 1, Lane.BULK: 3}
        await interactive
        assert not any(task.done() for task in bulk)
        await asyncio.gather(*bulk)


@virtual
async def test_only_the_first_end_of_a_slot_counts():
    """Answered and then unused is answered; unused and then answered is unused."""
    async with opened() as limiter:
        one, other = await take(limiter, 2)
        one.answered()
        one.unused()
        other.unused()
        other.answered()
        assert limiter.stats().used == 1


class CountingStore(LocalStore):
    """Knows how often something was given back."""

    returns = 0

    def give_back(self, slot, *, used):
        self.returns += 1
        return super().give_back(slot, used=used)


@virtual
async def test_a_store_hears_of_the_end_of_a_slot_once():
    """A store across a network is not asked twice."""
    store = CountingStore()
    gate = Gate(store)
    await gate.open(RATE, NAME)
    slot = await gate.acquire(Lane.INTERACTIVE)
    slot.answered()
    slot.answered()
    slot.unused()
    assert store.returns == 1
    await gate.aclose()


@virtual
async def test_stats_show_the_moment():
    """Used and free slots, who waits, and what a new call would wait."""
    async with opened() as limiter:
        await spend(limiter)
        waiting = [asyncio.create_task(limiter.acquire(lane)) for lane in (Lane.BULK, Lane.INTERACTIVE, Lane.BULK)]
        await asyncio.sleep(0)

        stats = limiter.stats()
        assert LimiterStats(25, 5.0, 25, 0, stats.waiting, stats.estimated_wait) == stats
        assert stats.waiting == {Lane.INTERACTIVE: 1, Lane.BULK: 2}
        assert stats.estimated_wait[Lane.INTERACTIVE] == pytest.approx(5.0 + TOKEN, abs=TOKEN)
        assert stats.estimated_wait[Lane.BULK] == pytest.approx(5.0 + 3 * TOKEN, abs=TOKEN)
        await asyncio.gather(*waiting)


@virtual
async def test_the_wait_of_a_bulk_call_is_that_of_its_pace():
    """Though the window is wide open, the fourth bulk call goes three tokens after the first."""
    async with opened() as limiter:
        waiting = [asyncio.create_task(limiter.acquire(Lane.BULK)) for _ in range(3)]
        await asyncio.sleep(0)
        assert limiter.stats().estimated_wait[Lane.BULK] == pytest.approx(3 * TOKEN, abs=0.01)
        assert limiter.stats().estimated_wait[Lane.INTERACTIVE] == pytest.approx(0.0, abs=0.001)
        await asyncio.gather(*waiting)


@virtual
async def test_the_wait_of_a_bulk_call_knows_its_floor():
    """Twenty interactive calls wait, but only four go before it."""
    async with opened() as limiter:
        await spend(limiter)
        waiting = [asyncio.create_task(limiter.acquire(Lane.INTERACTIVE)) for _ in range(20)]
        await asyncio.sleep(0)
        assert limiter.stats().estimated_wait[Lane.BULK] == pytest.approx(5.0 + 4 * TOKEN, abs=TOKEN / 2)
        await asyncio.gather(*waiting)


@virtual
async def test_a_pause_lets_nobody_through():
    """Neither those who wait nor those who come; a longer one stays."""
    async with opened() as limiter:
        began = time()
        limiter.pause(7.0)
        limiter.pause(2.0)
        assert limiter.stats().estimated_wait[Lane.INTERACTIVE] == pytest.approx(7.0, abs=0.01)

        await limiter.acquire(Lane.INTERACTIVE)
        assert time() - began == pytest.approx(7.0, abs=0.01)


@virtual
async def test_a_pause_reaches_those_who_wait_already():
    """They go when it is over, not when they were to go."""
    async with opened() as limiter:
        await spend(limiter)
        began = time()
        waiting = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(1)
        limiter.pause(20.0)
        await waiting
        assert time() - began == pytest.approx(21.0, abs=0.01)


@virtual
async def test_users_of_one_limiter_must_agree():
    """Another rate or another account is refused, and the first goes on."""
    async with opened() as limiter:
        for rate, name in ((RateLimit(10, per=5.0), NAME), (RATE, "host/other")):
            with pytest.raises(ConfigurationError, match="needs one of its own"):
                await limiter.open(rate, name)
        await limiter.acquire(Lane.INTERACTIVE)


@virtual
async def test_the_last_user_closes_it():
    """It is open until it was closed as often as opened."""
    limiter = LocalLimiter()
    await limiter.open(RATE, NAME)
    await limiter.open(RATE, NAME)
    assert repr(limiter) == "<LocalLimiter: open 2 times, 0 waiting>"

    await limiter.aclose()
    await limiter.acquire(Lane.INTERACTIVE)
    await limiter.aclose()
    assert repr(limiter) == "<LocalLimiter: closed>"
    with pytest.raises(LSQServiceError, match="not open"):
        await limiter.acquire(Lane.INTERACTIVE)


def test_another_loop_is_told_so():
    """A limiter cannot be used from two loops: their clocks and tasks are not the same.

    `acquire` says so where it would have to wait, and a client before it comes to that.
    """
    limiter = LocalLimiter()

    with asyncio.Runner(loop_factory=VirtualLoop) as home:
        home.run(limiter.open(RATE, NAME))
        home.run(spend(limiter))
        for use in (lambda: limiter.acquire(Lane.INTERACTIVE), lambda: limiter.open(RATE, NAME), limiter.aclose):
            with pytest.raises(LSQServiceError, match="another event loop"):
                run_virtual(use())


def test_a_loop_that_ended_without_closing_it_takes_its_users_along():
    """The next loop opens it anew, and past calls count."""
    limiter = LocalLimiter()

    async def left_open() -> None:
        await limiter.open(RATE, NAME)
        await spend(limiter, 20)

    async def next_time() -> int:
        await limiter.open(RATE, NAME)
        used = limiter.stats().used
        await limiter.aclose()
        return used

    run_virtual(left_open())
    assert run_virtual(next_time()) == 20
    with pytest.raises(LSQServiceError, match="not open"):
        run_virtual(limiter.acquire(Lane.INTERACTIVE))


def test_those_who_waited_in_a_loop_that_was_closed_are_gone_with_it():
    """The next loop begins with an empty line."""
    limiter, left = LocalLimiter(), []

    async def leave_one_waiting() -> None:
        await limiter.open(RATE, NAME)
        await spend(limiter)
        left.append(asyncio.ensure_future(limiter.acquire(Lane.INTERACTIVE)))
        await asyncio.sleep(0)

    loop = VirtualLoop()
    loop.run_until_complete(leave_one_waiting())
    loop.close()

    async def next_time() -> None:
        await limiter.open(RATE, NAME)
        assert limiter.stats().waiting[Lane.INTERACTIVE] == 0
        await spend(limiter)
        await limiter.aclose()

    run_virtual(next_time())


@virtual
async def test_one_that_was_closed_before_its_line_was_served_can_be_used_again():
    """A task that is cancelled before its first step never cleans up after itself."""
    async with opened() as limiter:
        await spend(limiter)
        with pytest.raises(NotSentError):
            await asyncio.gather(limiter.acquire(Lane.INTERACTIVE), limiter.aclose())
        await ticks()
        await limiter.open(RATE, NAME)
        (await limiter.acquire(Lane.INTERACTIVE)).answered()


@pytest.mark.parametrize("answered", [True, False])
def test_past_calls_count_after_a_new_opening(answered):
    """Closing and opening, in another loop too, gives nobody a second allowance."""
    limiter = LocalLimiter()

    async def first() -> None:
        await limiter.open(RATE, NAME)
        await asyncio.sleep(1)
        for slot in await take(limiter, 25):
            if answered:
                slot.answered()
        await limiter.aclose()

    async def second() -> float:
        await limiter.open(RATE, NAME)
        began = time()
        await limiter.acquire(Lane.INTERACTIVE)
        await limiter.aclose()
        return time() - began

    run_virtual(first())
    assert run_virtual(second()) > 5.0


def test_one_may_wait_in_a_second_loop_too():
    """Nothing of the first loop is left in the line."""
    limiter = LocalLimiter()

    async def wait() -> None:
        await limiter.open(RATE, NAME)
        await spend(limiter)
        await spend(limiter, 1)
        await limiter.aclose()

    run_virtual(wait())
    run_virtual(wait())


@virtual
async def test_flights_go_on_counting_through_a_reopening_in_the_same_loop():
    """They are reported when they end, so until then they are in flight."""
    limiter = LocalLimiter()
    await limiter.open(RATE, NAME)
    slots = await take(limiter, 25)
    await limiter.aclose()
    await limiter.open(RATE, NAME)
    await asyncio.sleep(9)
    assert limiter.stats().used == 25

    for slot in slots:
        slot.answered()
    await asyncio.sleep(5.1)
    assert limiter.stats().used == 0
    await limiter.aclose()
