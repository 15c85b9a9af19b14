"""A service that stands still: one call at a time is sent as a probe, and all others wait until an answer arrives."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager
from itertools import pairwise

import attrs
import httpx
import pytest
from scripted import created
from virtual_clock import run_virtual, virtual

from limits.limiters import FakeBackend, FakeRedis, FileBackend, Process, Server, opened, processes, spend, take, time
from lsq_service_async import RateLimit, ServiceClient
from lsq_service_async.config import Lane
from lsq_service_async.emulator import SlidingWindow
from lsq_service_async.errors import QueueTimeoutError
from lsq_service_async.limits import LocalLimiter

TIMEOUT = 1.5


@asynccontextmanager
async def one_process(tmp_path):
    async with opened() as limiter:
        yield [limiter, limiter]


def two_processes(tmp_path):
    return processes(2)


def two_processes_with_a_file(tmp_path):
    return processes(2, lambda: FileBackend(tmp_path / "limit.sqlite"))


def two_processes_with_redis(tmp_path):
    return processes(2, FakeRedis(0.002, 0.002, 0.5).backend)


kinds = pytest.mark.parametrize(
    "kind", [one_process, two_processes, two_processes_with_a_file, two_processes_with_redis]
)


async def time_out(slots, *, silence=TIMEOUT):
    """Wait for the timeouts of calls that got no answer."""
    await asyncio.sleep(silence)
    for slot in slots:
        slot.release(silence=silence)
    await asyncio.sleep(0.01)


async def unanswered(limiter, sent, lane=Lane.INTERACTIVE, **about):
    """Make a call that times out, and append when it was sent."""
    slot = await limiter.acquire(lane, **about)
    sent.append(time())
    await time_out([slot])


@kinds
def test_one_call_at_a_time_is_sent_until_an_answer_arrives(kind, tmp_path):
    """A probe is sent at once, the next one after its timeout. The slots return a window after the first answer."""

    async def main():
        async with kind(tmp_path) as [one, other]:
            await time_out(await take(one, 25))
            sent = [time()]
            calls = [asyncio.create_task(unanswered(limiter, sent)) for limiter in (one, other, one, other)]
            await asyncio.sleep(1)
            for limiter in (one, other):
                assert all(0 <= wait < 20 for wait in limiter.stats().estimated_wait.values())
                with pytest.raises(QueueTimeoutError) as caught:
                    await limiter.acquire(Lane.INTERACTIVE, deadline=time() + 0.1)
                assert 0 < caught.value.retry_after < 20
            await asyncio.gather(*calls)
            first, *others = [later - earlier for earlier, later in pairwise(sent)]
            assert first < 0.1
            assert all(TIMEOUT < gap < TIMEOUT + 1.1 for gap in others)

            await spend(one, 1)
            answered = time()
            assert one.stats().used == 30
            (await one.acquire(Lane.INTERACTIVE)).cancel()
            assert 5.0 < time() - answered < 6.0  # 30 calls must fade to less than 25

    run_virtual(main())


@pytest.mark.parametrize(
    ("silence", "heard"),
    [
        pytest.param(TIMEOUT, True, id="another answer has arrived"),
        pytest.param(0.0, False, id="the connection broke"),
    ],
)
@kinds
def test_a_call_without_an_answer_counts_as_answered_unless_the_service_stands_still(kind, silence, heard, tmp_path):
    """The slot of a call without an answer returns a window later, and other calls are sent meanwhile."""

    async def main():
        async with kind(tmp_path) as [one, other]:
            slots = await take(one, 20)
            await asyncio.sleep(0.5)
            if heard:
                await spend(other, 1)
            await asyncio.sleep(TIMEOUT - 0.5)
            for slot in slots:
                slot.release(silence=silence)
            began = time()
            await take(other, 4)
            assert time() - began < 0.1
            await asyncio.sleep(5.2)
            assert other.stats().used == 4

    run_virtual(main())


@virtual
async def test_only_an_answer_ends_a_standstill():
    """A broken connection or an unsent call does not end a standstill, and probes are a token apart at least."""
    async with opened() as limiter:
        await time_out(await take(limiter, 25))
        began = time()
        for number in range(5):
            slot = await limiter.acquire(Lane.INTERACTIVE)
            slot.release(silence=0.0) if number % 2 else slot.cancel()
        assert time() - began == pytest.approx(4 * 0.2, abs=0.1)
        await limiter.acquire(Lane.INTERACTIVE)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(limiter.acquire(Lane.INTERACTIVE), 60)


@virtual
async def test_a_probe_is_sent_although_the_token_bucket_is_empty():
    """The bucket is empty if calls time out sooner than a token returns."""
    async with opened() as limiter:
        await time_out(await take(limiter, 25), silence=0.05)
        began = time()
        await take(limiter, 1)
        assert time() - began < 0.01


@virtual
async def test_a_refused_probe_does_not_lower_the_rate(caplog):
    """The service counted the calls of the standstill together. A call that was sent later is refused in earnest."""
    async with opened() as limiter:
        await time_out(await take(limiter, 25))
        slot, sent = await limiter.acquire(Lane.INTERACTIVE), time()
        await asyncio.sleep(1)
        slot.release()
        [paused] = limiter.refused("r", None, None, sent=sent)
        assert (limiter.stats().calls, paused.seconds < 1.1, "Slowing down" in caplog.text) == (25, True, False)
        await asyncio.sleep(1)
        limiter.refused("r", None, None, sent=time() - 0.5)
        assert limiter.stats().calls == 24
        assert "Slowing down to 24 calls in" in caplog.text


@pytest.mark.parametrize("about", [{"lane": Lane.BULK}, {"is_large": True}, {"deadline": 0.5}], ids=str)
@kinds
def test_any_call_can_be_the_probe(kind, about, tmp_path):
    """A bulk call, a large upload and a call with a deadline are sent as probes, if no other call waits."""

    async def main():
        async with kind(tmp_path) as [one, other]:
            await time_out([await one.acquire(Lane.INTERACTIVE, is_large=number < 12) for number in range(25)])
            for limiter in (one, other):
                began, sent = time(), []
                options = about | ({"deadline": time() + about["deadline"]} if "deadline" in about else {})
                await unanswered(limiter, sent, **options)
                assert sent[0] - began < 0.1

    run_virtual(main())


@virtual
async def test_stuck_calls_of_a_process_that_dies_count_until_its_lease_ends():
    """A process that lives keeps the slots of its stuck calls; after its death they return ten seconds later."""
    async with processes(2) as [one, other]:
        await time_out(await take(one, 25))
        await asyncio.sleep(60)
        other.pause(0)
        await asyncio.sleep(0.1)
        assert other.stats().used == 25
        one.backend.down = True
        began = time()
        await take(other, 2)
        assert 7 + 5 < time() - began < 10 + 5.5


def test_a_limiter_that_was_left_in_a_standstill_starts_without_one():
    """Calls of a loop that has closed count as answered."""
    limiter = LocalLimiter()

    async def left():
        await limiter.open(RateLimit(25, per=5.0), "name")
        await time_out(await take(limiter, 25))

    async def next_time():
        await limiter.open(RateLimit(25, per=5.0), "name")
        began = time()
        await take(limiter, 1)
        await limiter.aclose()
        return time() - began

    run_virtual(left())
    assert run_virtual(next_time()) == pytest.approx(5.0, abs=0.3)


class Standing(httpx.AsyncBaseTransport):
    """A service that stands still for a while. Then it counts the requests that have arrived meanwhile, in order."""

    def __init__(self, begins, seconds):
        self.begins, self.ends = begins, begins + seconds
        self.window, self.arrivals, self.refused, self.queued = SlidingWindow(25, 1.0), [], 0, 0

    def count(self):
        self.arrivals.append(time())
        allowed = self.window.allows(time())
        self.refused += not allowed
        return httpx.Response(429) if not allowed else created()

    async def handle_async_request(self, request):
        b"".join([chunk async for chunk in request.stream])
        await asyncio.sleep(0.005)
        if not self.begins <= time() < self.ends:
            return self.count()
        self.queued += 1
        counted = asyncio.get_running_loop().create_future()
        at = self.ends + self.queued / 10_000
        asyncio.get_running_loop().call_at(at, lambda: counted.set_result(self.count()))
        done, _ = await asyncio.wait([counted], timeout=request.extensions["timeout"]["read"])
        if not done:
            raise httpx.ReadTimeout("no answer")
        return counted.result()


@pytest.mark.parametrize("count", [0, 3], ids=["local", "three processes"])
@pytest.mark.parametrize("busy", [True, False], ids=["at full pace", "after a rest"])
def test_when_a_service_goes_on_it_gets_one_window_of_calls_and_the_probes(config, count, busy):
    """25 calls in 1 s, a timeout of 1.5 s, and a standstill of 5 s."""

    async def main():
        server, service = Server(), Standing(time() + 10.3, 5.0)
        shared = [Process(FakeBackend(server.sync), waits=False) for _ in range(count)]
        mine = attrs.evolve(config, rate_limit=RateLimit(25, per=1.0), timeout=TIMEOUT)
        async with httpx.AsyncClient(transport=service) as http:
            clients = [ServiceClient(mine, limiter=limiter, http_client=http) for limiter in shared or [LocalLimiter()]]
            for client in clients:
                await client.__aenter__()
            await asyncio.sleep(8 if busy else 10.4)
            calls = [clients[number % len(clients)].tickets.get("34") for number in range(200)]
            await asyncio.gather(*calls)
            rates = {client.limiter.stats().calls for client in clients}
            for client in clients:
                await client.aclose()
        return service, rates

    service, rates = run_virtual(main())
    most = max(sum(start <= arrival < start + 1.0 for arrival in service.arrivals) for start in service.arrivals)
    assert (most <= 29, service.refused <= 4, rates) == (True, True, {25})
    assert math.isclose(len(service.arrivals), 200 + 28, abs_tol=2)
