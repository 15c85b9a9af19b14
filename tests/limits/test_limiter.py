"""The limiter as its users see it: opening, closing, slots, stats, and the loop that it belongs to."""

from __future__ import annotations

import asyncio
import threading

import pytest
from virtual_clock import VirtualLoop, run_virtual, virtual

from limits.limiters import NAME, RATE, TOKEN, both_kinds, opened, spend, take, ticks, time
from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.errors import ConfigurationError, InvalidRequestError, LSQServiceError, NotSentError
from lsq_service_async.limits import LimiterStats, LocalLimiter


@virtual
async def test_after_a_rest_a_whole_window_of_calls_is_sent_at_once():
    """25 calls do not wait, even if the last thirteen are made later; the next one waits for the window."""
    async with opened() as limiter:
        began = time()
        await spend(limiter, 12)
        await asyncio.sleep(3)
        await spend(limiter, 13)
        assert time() - began < 3.001
        await limiter.acquire(Lane.INTERACTIVE)
        assert 5.0 < time() - began < 5.0 + 2 * TOKEN


@virtual
async def test_bulk_calls_are_evenly_spaced_from_the_first_one():
    """Bulk calls never use the burst: ten calls take nine tokens."""
    async with opened() as limiter:
        began = time()
        for slot in await take(limiter, 10, Lane.BULK):
            slot.release()
        assert time() - began == pytest.approx(9 * TOKEN, abs=0.02)


@virtual
async def test_a_slot_returns_a_window_after_its_answer():
    """A slot is not used again until a window after its answer, however long the answer takes."""
    async with opened() as limiter:
        slots = await take(limiter, 25)
        await asyncio.sleep(60)
        for slot in slots:
            slot.release()
        answered = time()
        await limiter.acquire(Lane.INTERACTIVE)
        assert time() - answered > 5.0


@both_kinds
@virtual
async def test_a_cancelled_slot_is_granted_again_at_once(pair):
    """A cancelled slot is free at once, because nothing reached the service."""
    async with pair() as (limiter, _):
        slots = await take(limiter, 25)
        waiting = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(1)
        for slot in slots[:5]:
            slot.cancel()
        await ticks()
        assert waiting.done()
        assert (limiter.stats().used, limiter.stats().free) == (21, 4)


@virtual
async def test_calls_that_are_never_sent_pass_the_bucket():
    """A dead network is tried 25 times at once, then once per token."""
    async with opened() as limiter:
        began = time()
        for _ in range(50):
            (await limiter.acquire(Lane.INTERACTIVE)).cancel()
        assert time() - began == pytest.approx(25 * TOKEN, abs=TOKEN)


@virtual
async def test_lanes_hold_while_the_bucket_is_empty():
    """Calls do not wait inside the bucket: an interactive call is served before waiting bulk calls."""
    async with opened() as limiter:
        for _ in range(25):
            (await limiter.acquire(Lane.INTERACTIVE)).cancel()
        bulk = [asyncio.create_task(limiter.acquire(Lane.BULK)) for _ in range(3)]
        interactive = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(0)
        assert limiter.stats().waiting == {Lane.INTERACTIVE: 1, Lane.BULK: 3}
        await interactive
        assert not any(task.done() for task in bulk)
        await asyncio.gather(*bulk)


@virtual
async def test_only_the_first_end_of_a_slot_counts():
    """A slot that was released stays released, and one that was cancelled stays cancelled."""
    async with opened() as limiter:
        one, other = await take(limiter, 2)
        one.release()
        one.release()
        one.cancel()
        other.cancel()
        other.release()
        assert limiter.stats().used == 1


@virtual
async def test_stats_show_the_slots_the_queues_and_the_expected_waits():
    """Stats have the used and free slots, the number of waiting calls, and the wait of a new call."""
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
async def test_an_expected_wait_is_never_negative():
    """While calls are sent at once, a new call waits for exactly 0 seconds."""
    async with opened() as limiter:
        for _ in range(20):
            assert set(limiter.stats().estimated_wait.values()) == {0.0}
            await spend(limiter, 1)
            await asyncio.sleep(1)


@pytest.mark.parametrize(
    ("used", "lane", "expected"),
    [(0, Lane.BULK, (0.0, 20 * TOKEN)), (25, Lane.INTERACTIVE, (5.0 + 20 * TOKEN, 5.0 + 4 * TOKEN))],
    ids=["pace", "share"],
)
@virtual
async def test_the_expected_wait_of_a_bulk_call_counts_its_pace_and_its_share(used, lane, expected):
    """Bulk calls are sent a token apart, and of twenty interactive calls four are sent before the bulk call."""
    async with opened() as limiter:
        await spend(limiter, used)
        waiting = [asyncio.create_task(limiter.acquire(lane)) for _ in range(20)]
        await asyncio.sleep(0)
        assert tuple(limiter.stats().estimated_wait.values()) == pytest.approx(expected, abs=TOKEN / 2)
        await asyncio.gather(*waiting)


@both_kinds
@virtual
async def test_a_pause_holds_the_calls_that_wait_and_those_that_come_later(pair):
    """The calls are sent when the pause is over. A shorter pause does not replace a longer one."""
    async with pair() as (one, other):
        await spend(other)
        began = time()
        waiting = asyncio.create_task(other.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(1)
        one.pause(20.0)
        one.pause(2.0)
        await ticks()
        assert one.stats().estimated_wait[Lane.INTERACTIVE] == pytest.approx(20.0, abs=2 * TOKEN)
        await asyncio.gather(waiting, other.acquire(Lane.INTERACTIVE))
        assert time() - began == pytest.approx(21.0, abs=2 * TOKEN)


@virtual
async def test_all_users_of_a_limiter_must_use_the_same_rate_and_name():
    """Another rate or account is refused, and the first user still gets slots."""
    async with opened() as limiter:
        sliding = RateLimit(25, per=5.0, window="sliding")
        for rate, name in ((RateLimit(10, per=5.0), NAME), (RATE, "host/other"), (sliding, NAME)):
            with pytest.raises(ConfigurationError, match="use another limiter") as caught:
                await limiter.open(rate, name)
            expected = f"is already open with {RATE} for {NAME}; use another limiter with {rate} for {name}"
            assert expected in str(caught.value)
        await limiter.acquire(Lane.INTERACTIVE)


OPENINGS = {
    "rate must be a RateLimit, such as .*, not None": (None, NAME),
    "rate must be a RateLimit, such as .*, not '25/5'": ("25/5", NAME),
    "name of a limit must be printable text, not None": (RATE, None),
    "name of a limit must be printable text, not \\['x'\\]": (RATE, ["x"]),
    "name of a limit must be printable text, not '.ud800'": (RATE, "\ud800"),
}


@pytest.mark.parametrize("what", OPENINGS)
@virtual
async def test_a_limiter_is_not_opened_with_a_wrong_rate_or_name(what):
    """A wrong argument raises ConfigurationError before a backend gets it."""
    limiter = LocalLimiter()
    with pytest.raises(ConfigurationError, match=what):
        await limiter.open(*OPENINGS[what])
    assert repr(limiter) == "<LocalLimiter: closed>"


@pytest.mark.parametrize("lane", ["interactive", None, ["bulk"]])
@pytest.mark.parametrize("free", [25, 0])
@virtual
async def test_a_lane_that_does_not_exist_is_an_invalid_request(free, lane):
    """A lane must be a Lane, whether the call has to wait or not."""
    async with opened() as limiter:
        await spend(limiter, 25 - free)
        with pytest.raises(InvalidRequestError, match=r"lane must be Lane\.INTERACTIVE or Lane\.BULK, not"):
            await limiter.acquire(lane)


@pytest.mark.parametrize("seconds", ["x", float("nan")])
@virtual
async def test_a_deadline_or_a_pause_that_is_not_a_number_is_an_invalid_request(seconds):
    """Deadlines and pauses are numbers."""
    async with opened() as limiter:
        with pytest.raises(InvalidRequestError, match="deadline must be a number of seconds, not"):
            await limiter.acquire(Lane.INTERACTIVE, deadline=seconds)
        with pytest.raises(InvalidRequestError, match="seconds must be a number of seconds up to 3"):
            limiter.pause(seconds)


@pytest.mark.parametrize("seconds", [float("inf"), 1e308, 10**400])
@virtual
async def test_a_pause_ends(seconds):
    """Calls would otherwise wait forever, even after the limiter was opened again."""
    async with opened() as limiter:
        with pytest.raises(InvalidRequestError, match="seconds must be a number of seconds up to 3"):
            limiter.pause(seconds)
        await limiter.acquire(Lane.INTERACTIVE)


@both_kinds
@virtual
async def test_flags_of_a_call_may_be_any_value(pair):
    """A flag counts as its truth value, as in an if statement."""
    async with pair() as (limiter, _):
        await limiter.acquire(Lane.BULK, is_large="yes", is_retry="no answer")
        assert limiter.stats().used == 1


@virtual
async def test_a_limiter_is_open_until_it_was_closed_as_often_as_opened():
    """A limiter that two users opened works until both have closed it, and then raises an error."""
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


def test_a_limiter_cannot_be_used_in_two_loops():
    """`acquire` checks this when it has to wait; a client checks it before every call."""
    limiter = LocalLimiter()

    with asyncio.Runner(loop_factory=VirtualLoop) as home:
        home.run(limiter.open(RATE, NAME))
        home.run(spend(limiter))
        for use in (lambda: limiter.acquire(Lane.INTERACTIVE), lambda: limiter.open(RATE, NAME), limiter.aclose):
            with pytest.raises(LSQServiceError, match="another event loop"):
                run_virtual(use())


async def test_of_two_threads_that_open_a_limiter_one_gets_an_error_and_the_other_works():
    """The limiter belongs to the loop that began to open it first, until that one has closed it."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow(LocalLimiter):
        async def _open_state(self, name: str) -> None:
            begun.set()
            await asyncio.to_thread(go_on.wait, 10)
            await super()._open_state(name)

    limiter = Slow()

    async def use() -> LimiterStats:
        await limiter.open(RATE, NAME)
        await spend(limiter)
        stats = limiter.stats()
        await limiter.aclose()
        return stats

    first = asyncio.create_task(asyncio.to_thread(asyncio.run, use()))
    await asyncio.to_thread(begun.wait, 10)
    with pytest.raises(LSQServiceError, match="belongs to another event loop; create a client in each loop"):
        await limiter.open(RATE, NAME)
    go_on.set()
    assert (await first).used == 25
    await limiter.open(RATE, NAME)
    assert limiter.stats().used == 25
    await limiter.aclose()


def test_a_limiter_that_was_left_open_by_a_loop_can_be_opened_in_the_next_one():
    """Past calls still count, and calls that waited are forgotten."""
    limiter, left = LocalLimiter(), []

    async def leave_one_waiting() -> None:
        await limiter.open(RATE, NAME)
        await spend(limiter)
        left.append(asyncio.ensure_future(limiter.acquire(Lane.INTERACTIVE)))
        await asyncio.sleep(0)

    loop = VirtualLoop()
    loop.set_exception_handler(lambda loop, context: None)  # its tasks are destroyed while they wait
    loop.run_until_complete(leave_one_waiting())
    loop.close()

    async def next_time() -> None:
        await limiter.open(RATE, NAME)
        assert (limiter.stats().used, limiter.stats().waiting[Lane.INTERACTIVE]) == (25, 0)
        await spend(limiter, 1)
        await limiter.aclose()

    run_virtual(next_time())
    with pytest.raises(LSQServiceError, match="not open"):
        run_virtual(limiter.acquire(Lane.INTERACTIVE))


@both_kinds
@pytest.mark.parametrize("turns", range(1, 6))
@virtual
async def test_a_closing_that_is_cancelled_continues(pair, turns):
    """The waiting calls raise NotSentError, and the limiter can be opened again."""
    async with pair() as (limiter, _):
        await spend(limiter)
        waiting = [asyncio.create_task(limiter.acquire(Lane.INTERACTIVE)) for _ in range(200)]
        await ticks()
        closing = asyncio.create_task(limiter.aclose())
        await ticks(turns)
        closing.cancel()
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(end) for end in ends} == {NotSentError}
        await limiter.open(RATE, NAME)


@virtual
async def test_a_limiter_that_was_closed_before_its_queue_was_served_can_be_used_again():
    """A task that is cancelled before its first step never cleans up after itself."""
    async with opened() as limiter:
        await spend(limiter)
        with pytest.raises(NotSentError):
            await asyncio.gather(limiter.acquire(Lane.INTERACTIVE), limiter.aclose())
        await ticks()
        await limiter.open(RATE, NAME)
        (await limiter.acquire(Lane.INTERACTIVE)).release()


@pytest.mark.parametrize("is_answered", [True, False])
def test_past_calls_count_after_a_limiter_was_closed_and_opened(is_answered):
    """Past calls still count after a limiter was opened again in another loop."""
    limiter = LocalLimiter()

    async def first() -> None:
        await limiter.open(RATE, NAME)
        await asyncio.sleep(1)
        for slot in await take(limiter, 25):
            if is_answered:
                slot.release()
        await limiter.aclose()

    async def second() -> float:
        await limiter.open(RATE, NAME)
        began = time()
        await limiter.acquire(Lane.INTERACTIVE)
        await limiter.aclose()
        return time() - began

    run_virtual(first())
    assert run_virtual(second()) > 5.0


@virtual
async def test_calls_in_flight_count_after_a_limiter_was_closed_and_opened_in_the_same_loop():
    """Calls in flight keep their slots, and their answers are still counted."""
    limiter = LocalLimiter()
    await limiter.open(RATE, NAME)
    slots = await take(limiter, 25)
    await limiter.aclose()
    await limiter.open(RATE, NAME)
    await asyncio.sleep(9)
    assert limiter.stats().used == 25

    for slot in slots:
        slot.release()
    await asyncio.sleep(5.1)
    assert limiter.stats().used == 0
    await limiter.aclose()
