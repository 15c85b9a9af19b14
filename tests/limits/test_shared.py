"""Several processes that share one limit, in virtual time: fairness, leases, reports, and a backend that is down."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os

import attrs
import pytest
from virtual_clock import virtual

from limits.limiters import (
    NAME,
    RATE,
    TOKEN,
    FakeBackend,
    FileBackend,
    Process,
    Server,
    call,
    processes,
    spend,
    take,
    ticks,
    time,
)
from limits.strict_servers import CALLS, PER
from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.emulator import SlidingWindow, TwoBucketEstimate
from lsq_service_async.errors import ConfigurationError, NotSentError, QueueTimeoutError
from lsq_service_async.limits._backend import BackendUnavailableError

SLOW = 0.05  # s; how long a call takes


def backends(server: Server):
    """Make backends that share one server."""
    return lambda: FakeBackend(server.sync)


async def exchange(limiter: Process) -> None:
    """Make a process exchange messages now."""
    limiter.pause(0)
    await asyncio.sleep(0.1)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@virtual
async def test_a_limiter_that_is_opened_after_a_fork_leaves_the_calls_to_its_parent(monkeypatch):
    """A limiter that is opened again in the same process renews its leases; a child does not."""
    async with processes(1) as [limiter]:
        await take(limiter, 5)
        for process, renewed in ((os.getpid(), 5), (os.getpid() + 1, 0)):
            monkeypatch.setattr(os, "getpid", lambda process=process: process)
            await limiter.aclose()
            await limiter.open(RATE, NAME)
            await asyncio.sleep(4)
            assert sum(len(message.active) for message in limiter.backend.messages) == renewed
            limiter.backend.messages.clear()


@virtual
async def test_a_process_that_dies_loses_its_slots():
    """Calls of a dead process count as answered ten seconds after its last message, and their slots return later."""
    async with processes(2) as [one, other]:
        await take(one, 25)
        await asyncio.sleep(7)
        one.backend.down = True
        began = time()
        await other.acquire(Lane.INTERACTIVE)
        assert 6 + 5 < time() - began < 10 + 5 + 2 * TOKEN


@virtual
async def test_a_call_that_takes_long_keeps_its_slot():
    """The lease of a long call is renewed while its process lives."""
    async with processes(2) as [one, other]:
        slots = await take(one, 25)
        await asyncio.sleep(60)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await other.acquire(Lane.INTERACTIVE)
        assert other.stats().used == 25
        for slot in slots:
            slot.release()


@virtual
async def test_a_slot_whose_lease_ended_before_it_was_handed_over_is_not_used(tmp_path):
    """A process that was stopped between the request and the reply sends another request."""
    async with processes(1, lambda: FileBackend(tmp_path / "limit.sqlite")) as [limiter]:
        limiter.backend.delay = 11
        waiting = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(1)
        limiter.backend.delay = 0
        await waiting
        assert len({message.slot for message in limiter.backend.messages if message.slot}) == 2
        assert limiter.stats().used == 2  # the first counts as answered when its lease ended


@virtual
async def test_a_lease_that_ended_is_never_valid_again():
    """A slot stays invalid after its lease has ended, although the process then reports the call as in flight."""
    async with processes(2) as [one, other]:
        [slot] = await take(one, 1)
        one.backend.down = True  # as if it stood still
        await asyncio.sleep(9.9)
        assert slot.is_valid()
        await asyncio.sleep(0.2)
        assert not slot.is_valid()
        one.backend.down = False
        await asyncio.sleep(5)
        await exchange(other)
        assert (slot.is_valid(), other.stats().used) == (False, 1)
        messages = len(one.backend.messages)
        await asyncio.sleep(10)
        assert len(one.backend.messages) <= messages + 4
        slot.cancel()
        assert not slot.is_valid()


@virtual
async def test_reports_are_sent_with_the_next_request_or_after_a_second():
    """Ten calls cost one message each, and the last is reported a second later. Then one is sent every 20 s."""
    async with processes(1) as [limiter]:
        messages = limiter.backend.messages
        for _ in range(10):
            await spend(limiter, 1)
        assert len(messages) == 1 + 10
        await asyncio.sleep(2)
        assert [len(message.completed) for message in messages] == [0, 0] + [1] * 10
        await asyncio.sleep(15)
        assert len(messages) == 12
        await asyncio.sleep(100)
        assert len(messages) == 17


@virtual
async def test_processes_take_turns():
    """Processes that wait in the same lane get about the same number of grants, and each keeps its own order."""
    order: list[str] = []
    async with processes(3) as limiters, asyncio.TaskGroup() as tasks:
        await spend(limiters[0])
        for number in range(20):
            for process, limiter in enumerate(limiters):
                tasks.create_task(call(limiter, Lane.INTERACTIVE, f"{process} {number:02}", order, seconds=SLOW))
    for process in range(3):
        own = [name for name in order if name[0] == str(process)]
        assert own == sorted(own)
        assert 8 <= sum(name[0] == str(process) for name in order[:30]) <= 12


@virtual
async def test_a_process_whose_last_waiting_call_is_cancelled_reports_it_at_once():
    """A process reports the cancellation at once, so that the other one does not wait for it."""
    async with processes(2) as [one, other]:
        await spend(one)
        waiting = asyncio.create_task(one.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.wait([waiting])
        await ticks()
        assert one.backend.messages[-1].requests == []
        began = time()
        await other.acquire(Lane.INTERACTIVE)
        assert time() - began < 4 + 2 * TOKEN


@virtual
async def test_a_process_that_dies_while_it_waits_delays_the_others_by_half_a_second():
    """The others wait half a second for the overdue message of a dead process, and then continue."""
    async with processes(2) as [one, other]:
        await spend(one)
        waiting = asyncio.create_task(one.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(1)
        one.backend.down = True
        began = time()
        await other.acquire(Lane.INTERACTIVE)
        assert time() - began < 4 + 0.5 + 3 * TOKEN
        with pytest.raises(NotSentError):
            await waiting


@virtual
async def test_a_refusal_lowers_the_rate_of_all_processes():
    """A refusal takes the burst and a call from every process, and a later one of any process halves the rate."""
    async with processes(2) as [one, other]:
        slot = await other.acquire(Lane.INTERACTIVE)
        sent = time()
        one.refused("r", 1.0, None)
        await ticks()
        other.refused("r", 1.0, None, sent=sent)
        await ticks()
        assert (one.stats().calls, other.stats().calls) == (24, 24)
        slot.release()
        began = time()
        await asyncio.gather(spend(one, 3), spend(other, 3))
        assert time() - began == pytest.approx(1.0 + 5 * 5 / 24, abs=0.1)
        other.refused("r", 1.0, None, sent=began + 1)
        await ticks()
        await exchange(one)
        assert (one.stats().calls, other.stats().calls) == (12, 12)
        await asyncio.sleep(5.1)
        assert (one.stats().calls, other.stats().calls) == (13, 13)


@virtual
async def test_estimates_count_the_calls_of_other_processes():
    """Estimates are right within two tokens while each process has ten calls waiting."""
    async with processes(3) as limiters, asyncio.TaskGroup() as tasks:
        await spend(limiters[0])
        for limiter in limiters:
            for _ in range(10):
                tasks.create_task(call(limiter, Lane.INTERACTIVE, "", []))
            await ticks()
        await asyncio.sleep(5.6)
        expected = limiters[2].stats().estimated_wait[Lane.INTERACTIVE]
        began = time()
        await limiters[2].acquire(Lane.INTERACTIVE)
        assert time() - began == pytest.approx(expected, abs=2 * TOKEN)


# The backend is down, or loses a reply.


@virtual
async def test_while_the_backend_is_down_calls_fail_at_once(caplog):
    """Calls fail at once during an outage, and a warning is logged when it begins and when it ends."""
    async with processes(1) as [limiter]:
        limiter.backend.down = True
        for _ in range(3):
            with pytest.raises(NotSentError, match="so the call was not sent: Fake: it is down"):
                await limiter.acquire(Lane.INTERACTIVE)
        limiter.backend.down = False
        await spend(limiter, 2)
    assert [warning.partition(";")[0] for warning in warnings(caplog)] == [
        "Rate-limit backend unavailable",
        "Rate-limit backend available again",
    ]


@virtual
async def test_a_limiter_that_waits_asks_again_at_least_every_two_seconds():
    """A waiting limiter sends a request every two seconds, keeps deadlines, and its messages do not grow."""
    async with processes(1, waits=True) as [limiter]:
        limiter.backend.down = True
        began = time()
        waiting = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
        late = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE, deadline=began + 3))
        await asyncio.sleep(30)
        assert 15 <= len(limiter.backend.messages) <= 40
        assert isinstance(late.exception(), QueueTimeoutError)
        await asyncio.sleep(3600)
        assert len(limiter.backend.messages[-1].completed) == 1
        began, limiter.backend.down = time(), False
        await waiting
        assert time() - began <= 2.1


@virtual
async def test_a_refusal_while_the_backend_is_down_does_not_make_it_ask_more_often():
    """An urgent message waits for the next attempt, too (otherwise this test would not end)."""
    async with processes(1, waits=True) as [limiter]:
        limiter.backend.down = True
        waiting = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(8)
        limiter.backend.messages.clear()
        limiter.refused("r", 1.0, None)
        await asyncio.sleep(10)
        assert 5 <= len(limiter.backend.messages) <= 15
        limiter.backend.down = False
        await waiting


@virtual
async def test_a_refusal_is_reported_when_the_backend_is_back():
    """A refusal during an outage is reported at most two seconds after it, although no call is made."""
    async with processes(2) as [one, other]:
        one.backend.down = True
        one.refused("r", 1.0, None)
        await asyncio.sleep(15)
        one.backend.down = False
        await asyncio.sleep(2.1)
        await exchange(other)
        assert other.stats().calls == 24


@virtual
async def test_text_of_a_backend_is_escaped_and_cut_in_the_log(caplog):
    """The text of a backend can neither add lines to the log nor fill it."""

    def explode(message):
        raise BackendUnavailableError("\x1b[2J\n" + "x" * 999)

    async with processes(1) as [limiter]:
        decide, limiter.backend.decide = limiter.backend.decide, explode
        with pytest.raises(NotSentError):
            await limiter.acquire(Lane.INTERACTIVE)
        limiter.backend.decide = decide
    assert r": \u001b[2J\u000axxx" in warnings(caplog)[0]
    assert len(warnings(caplog)[0]) < 400


@virtual
async def test_a_backend_that_raises_anything_is_down(caplog):
    """One warning names the error, and the slots of calls in flight are kept until it works again."""

    def explode(message):
        raise RuntimeError("boom")

    async with processes(2) as [one, other]:
        slots = await take(one, 25)
        decide, one.backend.decide = one.backend.decide, explode
        await asyncio.sleep(5)
        with pytest.raises(NotSentError, match=r"so the call was not sent: RuntimeError\('boom'\)"):
            await one.acquire(Lane.INTERACTIVE)
        one.backend.decide = decide
        await asyncio.sleep(60)
        await exchange(other)
        assert other.stats().used == 25
        for slot in slots:
            slot.release()
    assert len(warnings(caplog)) == 2
    assert "RuntimeError('boom')" in warnings(caplog)[0]


@virtual
async def test_a_limiter_opens_while_its_backend_is_down():
    """A limiter that was opened during an outage works as soon as the backend is back."""
    server = Server()

    def down() -> FakeBackend:
        backend = FakeBackend(server.sync)
        backend.down = True
        return backend

    async with processes(1, down) as [limiter]:
        limiter.backend.down = False
        await asyncio.sleep(1)
        await limiter.acquire(Lane.INTERACTIVE)


@virtual
async def test_a_limiter_whose_opening_fails_closes_its_backend():
    """A ConfigurationError of the first message is raised by `open`. Later, it is the cause of a NotSentError."""
    closed = []

    def decide(message):
        raise ConfigurationError("Fake: no login")

    def refusing() -> FakeBackend:
        backend = FakeBackend(decide)

        async def aclose() -> None:
            closed.append(True)

        backend.aclose = aclose
        return backend

    with pytest.raises(ConfigurationError, match="Fake: no login"):
        async with processes(1, refusing):
            pass
    assert closed == [True]
    async with processes(1) as [limiter]:
        limiter.backend.decide = decide
        with pytest.raises(NotSentError, match=r"rate limiter failed.*Fake: no login") as caught:
            await limiter.acquire(Lane.INTERACTIVE)
        assert isinstance(caught.value.__cause__, ConfigurationError)


# Processes with different rates.

SMALL = RateLimit(25, per=5.0)
DIFFERENT = [
    (SMALL, RateLimit(50, per=20.0), RateLimit(25, per=10.0)),
    (SMALL, RateLimit(20, per=5.0), RateLimit(20, per=5.0)),
    (SMALL, RateLimit(10, per=1.0), RateLimit(10, per=2.0)),
    (RateLimit(7, per=0.7), RateLimit(30, per=4.0), RateLimit(7, per=14 / 15)),
    (RateLimit(7, per=0.7, window="sliding"), RateLimit(30, per=4.0, window="sliding"), RateLimit(7, per=14 / 15)),
    (SMALL, attrs.evolve(SMALL, window="sliding"), SMALL),
    (attrs.evolve(SMALL, window="sliding"), SMALL, SMALL),
]


@pytest.mark.parametrize(("first", "second", "both"), DIFFERENT)
@virtual
async def test_the_limits_of_all_processes_hold_if_they_are_configured_differently(first, second, both, caplog):
    """Strict servers of all limits refuse no call, each process warns once, and the limit is used to the full."""
    server, services = Server(), [SlidingWindow(rate.calls, rate.per) for rate in (first, second)]
    services.append(TwoBucketEstimate(both.calls, both.per))

    async def one_call(limiter):
        slot = await limiter.acquire(Lane.INTERACTIVE)
        assert [service.allows(time()) for service in services] == [True] * 3
        slot.release()

    async with processes(1, backends(server), rate=first) as [one]:
        async with processes(1, backends(server), rate=second) as [other]:
            began = time()
            async with asyncio.TaskGroup() as tasks:
                for number in range(8 * both.calls):
                    tasks.create_task(one_call((one, other)[number % 2]))
            assert time() - began < 1.1 * 8 * both.per
            for limiter in (one, other):
                await exchange(limiter)
                assert (limiter.stats().calls, limiter.stats().per) == (both.calls, pytest.approx(both.per))
            assert one.refused("r", None, None)[0].seconds >= both.per
        await exchange(one)
        assert one.stats().per == first.per
    assert len(warnings(caplog)[:2]) == 2
    for warning in warnings(caplog)[:2]:
        assert f"So that no rate is exceeded, at most {both.calls} calls in {both.per:g} s are sent" in warning
        assert (str(first) in warning, str(second) in warning) == (True, True)


@virtual
async def test_the_rate_of_a_process_that_died_holds_for_a_minute():
    """A process that starts with another rate works at once, and its own rate holds alone after a minute."""
    server = Server()
    async with processes(1, backends(server)) as [dead]:
        dead.backend.down = True
        async with processes(1, backends(server), rate=RateLimit(50, per=5.0)) as [limiter]:
            await spend(limiter, 25)
            assert limiter.stats().calls == 25
            await asyncio.sleep(61)
            began = time()
            await spend(limiter, 50)
            assert time() - began < 0.1


@virtual
async def test_answers_during_an_outage_are_reported_after_it():
    """Calls in flight that the others have given up are leased again."""
    async with processes(2, waits=True) as [one, other]:
        slots = await take(one, 25)
        one.backend.down = True
        for slot in slots[:20]:
            slot.release()
        await asyncio.sleep(30)
        one.backend.down = False
        await asyncio.sleep(3)
        await exchange(other)
        assert other.stats().used == 5


@pytest.mark.parametrize("fault", ["down", "loses_replies"])
@virtual
async def test_a_request_without_a_reply_takes_no_slot_however_often_it_is_sent(fault):
    """Each request undoes the one before it, which may have been granted, and the messages do not grow."""
    async with processes(1) as [limiter]:
        setattr(limiter.backend, fault, True)
        for _ in range(100):
            with pytest.raises(NotSentError):
                await limiter.acquire(Lane.INTERACTIVE)
        assert {len(message.completed) for message in limiter.backend.messages} == {0, 1}
        setattr(limiter.backend, fault, False)
        await limiter.acquire(Lane.INTERACTIVE)
        assert limiter.stats().used == 1


@virtual
async def test_an_answer_counts_once_however_often_it_is_reported():
    """A report that was processed, and repeated after its reply was lost, counts once."""
    server = Server()
    async with processes(2, backends(server)) as [one, other]:
        await spend(one, 12)
        one.backend.loses_replies = True
        await asyncio.sleep(3)
        one.backend.loses_replies = False
        await asyncio.sleep(1.5)
        await spend(one, 1)
        await asyncio.sleep(2.5)
        await spend(other, 1)
        await exchange(other)
        assert len(server.state.answered) == 12 + 1 + 1


@virtual
async def test_an_answer_after_the_end_of_the_lease_counts_again():
    """The end of the lease was too early: the service may have counted the call until it was answered."""
    async with processes(2) as [one, other]:
        [slot] = await take(one, 1)
        one.backend.down = True
        await asyncio.sleep(30)
        slot.release()
        await asyncio.sleep(3)
        one.backend.down = False
        await asyncio.sleep(1.5)
        await spend(other, 1)
        assert other.stats().used == 2


@virtual
async def test_an_answer_counts_again_if_the_state_was_lost():
    """An answer that was reported to a lost state is reported again and counts."""
    server = Server()
    async with processes(2, backends(server)) as [one, other]:
        await spend(one, 12)
        one.backend.loses_replies = True
        await asyncio.sleep(2.5)
        one.backend.loses_replies = False
        server.text = None
        await exchange(other)
        assert len(server.state.answered) == 25
        await asyncio.sleep(2)
        await exchange(other)
        assert len(server.state.answered) == 25 + 12


@virtual
async def test_an_older_state_is_not_used_to_exceed_the_limit():
    """After a failover to an older copy of the state, the next call waits for a window."""
    server = Server()
    async with processes(2, backends(server)) as [one, other]:
        await exchange(one)
        older = server.text
        await spend(one, 12)
        await spend(other, 13)
        await asyncio.sleep(1.5)
        server.text, began = older, time()
        await asyncio.gather(spend(one, 1), spend(other, 1))
        assert 5.0 < time() - began < 6.0 + TOKEN


@virtual
async def test_calls_in_flight_are_reported_at_once_to_a_state_that_was_lost():
    """Calls in flight are reported at once to a new state, so that other processes cannot use their slots."""
    server = Server()
    async with processes(1, backends(server), rate=RateLimit(25, per=1.0)) as [limiter]:
        slots = await take(limiter, 25)
        server.text = None
        waiting = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
        await ticks()
        assert len(limiter.backend.messages[-1].active) == 25
        await asyncio.sleep(30)
        assert not waiting.done()
        for slot in slots:
            slot.release()
        await waiting


# Replies that take almost a second.


@virtual
async def test_a_call_that_is_cancelled_during_its_request_leaves_no_slot_behind():
    """The slot that is granted to a cancelled request is returned."""
    async with processes(1) as [limiter]:
        limiter.backend.delay = 0.9
        waiting = asyncio.create_task(limiter.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(0.5)
        waiting.cancel()
        await asyncio.sleep(4)
        assert limiter.stats().used == 0


@virtual
async def test_a_request_that_is_cancelled_by_closing_leaves_no_slot_behind():
    """The last message before closing returns a slot that may have been granted."""
    server = Server()
    async with processes(2, backends(server)) as [one, other]:
        one.backend.delay = 0.9
        waiting = asyncio.create_task(one.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(0.5)
        await one.aclose()
        with pytest.raises(NotSentError):
            await waiting
        await exchange(other)
        assert other.stats().used == 0
        await one.open(RATE, NAME)


@virtual
async def test_an_answer_during_an_exchange_is_reported_with_the_next():
    """An answer that arrives during an exchange is in the next message."""
    async with processes(1) as [limiter]:
        limiter.backend.delay = 0.9
        messages = limiter.backend.messages
        slot = await limiter.acquire(Lane.INTERACTIVE)
        await asyncio.sleep(2.5)
        assert len(messages[-1].active) == 1
        slot.release()
        await asyncio.sleep(1)
        assert limiter.stats().used == 1
        await asyncio.sleep(2)
        assert [len(message.completed) for message in messages] == [0, 0, 0, 1]


# Another user writes the state.

NAN, NEVER, DAY = math.nan, -math.inf, 86_400.0
PLANTED = {
    "a pause": {(2, 1): 1e15},
    "a pause that is not a number": {(2, 1): NAN},
    "a pace": {(2, 2): 1e15},
    "a round trip": {(2, 3): 1e15},
    "a negative round trip": {(2, 3): -1e15},
    "future answers": {(2, 4): [1e15, NAN, *[5e14] * 30]},
    "future uploads": {(2, 5): [NAN, *[1e15] * 30]},
    "a higher rate": {(0, 1): [1_000_000, 0.001], (0, 2): [1_000_000, 0.001]},
    "a rate above the plan": {(0, 2): [1_000_000, 5.0]},
    "a higher configured rate": {(0, index): [1_000_000, 0.001] for index in range(3)},
    "a lower rate": {(0, 1): [1, 1e300], (0, 2): [1, 1e300], (0, 6): 1e300},
    "a lower rate for years": {(0, 2): [1, 5.0], (0, 3): 1e15, (0, 4): 1e15},
    "a lower plan for years": {(0, 1): [5, 5.0], (0, 2): [5, 5.0], (0, 3): 1e15, (0, 6): 1e15, (0, 7): 1e15},
    "a lower rate since ever": {(0, 2): [1, 5.0], (0, 3): NEVER, (0, 4): NEVER},
    "calls in flight": {(3,): [[slot, 1, -1e308, 1e308, True] for slot in range(30)]},
    "a process": {(4,): [[1, 1e15, 1, 1e300]]},
    "waiting calls": {(1,): [-1e9, 0, [[1, 0, -5, 1e15, False, 10**30], [1, 1, -5, 1e15, True, 10**30]]]},
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
@virtual
async def test_a_state_that_another_user_wrote_stops_no_call_for_long_and_exceeds_no_limit(planted):
    """Every time, pause and rate is bounded when it is read: after a minute calls continue, and the limit holds."""
    server, service = Server(), SlidingWindow(CALLS, PER)
    async with processes(1, backends(server)) as [limiter]:
        assert service.allows(time())
        await spend(limiter, 1)
        state = json.loads(server.text)
        for (part, *index), value in planted.items():
            (state[part] if index else state)[index[0] if index else part] = value
        server.text = json.dumps(state)
        await exchange(limiter)
        began = time()
        for lane in (Lane.INTERACTIVE, Lane.BULK) * 25:
            slot = await limiter.acquire(lane)
            assert service.allows(time())
            slot.release()
        assert time() - began < 60 + 10 * PER
        slots = await take(limiter, limiter.stats().calls)
        large = asyncio.create_task(limiter.acquire(Lane.BULK, is_large=True, deadline=time() + 700))
        await ticks()
        for slot in slots:
            slot.release()
        await large
        adaptive = server.state.adaptive
        assert max(adaptive.halved_at, adaptive.quiet_since - 60, adaptive.named_until - DAY) <= time()


# The clock of the server is set.


@pytest.mark.parametrize("step", [2.0, 4.0, 10.0, 3600.0, -2.0, -3600.0])
@virtual
async def test_a_clock_that_is_set_permits_no_more_calls(step):
    """A change of the clock delays calls by two windows at most, because all used slots count as used just then."""
    server, service, allowed = Server(), SlidingWindow(CALLS, PER), []

    async def one_call(limiter):
        slot = await limiter.acquire(Lane.INTERACTIVE)
        allowed.append(service.allows(time()))
        await asyncio.sleep(SLOW)
        slot.release()

    async def set_clock():
        await asyncio.sleep(7.3)
        server.ahead = step

    async with processes(2, backends(server)) as limiters:
        began = time()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(set_clock())
            for number in range(300):
                tasks.create_task(one_call(limiters[number % 2]))
    assert allowed == [True] * 300
    assert time() - began < 300 / 25 * PER + 2 * PER


@virtual
async def test_a_process_that_sends_nothing_for_a_minute_does_not_take_that_for_a_clock_that_was_set():
    """A process that sends nothing for a minute knows the delay, and does not count all slots as used."""
    async with processes(1) as [limiter]:
        await spend(limiter, 20)
        await asyncio.sleep(6)
        limiter.backend.down = True
        await asyncio.sleep(60)
        limiter.backend.down = False
        await exchange(limiter)
        began = time()
        await take(limiter, 25)
        assert time() - began < 0.1
