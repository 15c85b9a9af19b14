"""Creates without an answer: `client.tickets.look_up`, and ``RetryPolicy(repeat_creates="look")``."""

import asyncio
import copy
import pickle
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from scripted import Script, Slow
from virtual_clock import run_virtual

from lsq_service_async import (
    Absent,
    AuthenticationError,
    Config,
    ConfigurationError,
    Found,
    InvalidRequestError,
    NewTicket,
    OutcomeUnknownError,
    RetryPolicy,
    ServerError,
    ServiceClient,
    TicketReceipt,
    Unclear,
)
from lsq_service_async.emulator import Emulator, TicketStore, faults

MARKER = "CustomData.ClientRef"
LOST = faults.AnswerLost(method="POST")
DROPPED = faults.DropConnection("after_body", method="POST")
APPLIED_500 = faults.Status(500, method="POST", applied=True)
PLAIN_500 = faults.Status(500, method="POST")


def ticket(title):
    return NewTicket(lead_id="45b5", title=title, status="Open")


def play(main, *, facts=None, events=None, **settings):
    """Run ``main(client, emulator)`` on a virtual clock. The client has created two tickets."""

    async def whole():
        emulator = Emulator(window=None, facts=facts, store=TicketStore(first_number=70))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=emulator.app)) as http:
            config = Config(**emulator.settings, **settings)
            hooks = [] if events is None else [events.append]
            async with ServiceClient(config, http_client=http, hooks=hooks) as client:
                for number in range(2):
                    await client.tickets.create(ticket(f"Before {number}"))
                return await main(client, emulator)

    return run_virtual(whole())


async def lose(client, emulator, fault, title="Router down", **about):
    emulator.faults.add(fault)
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.tickets.create(ticket(title), **about)
    return caught.value


@pytest.mark.parametrize("settings", [{}, {"marker_field": MARKER}], ids=["by content", "by marker"])
@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (LOST, Found(TicketReceipt(number="72", ticket_id="", key="#072"))),
        (faults.AppliedLater(50, method="POST"), Found(TicketReceipt(number="72", ticket_id="", key="#072"))),
        (DROPPED, Absent()),
    ],
    ids=["answer lost", "applied later", "not applied"],
)
def test_a_lost_create_is_found_or_absent_after_the_next_one(fault, verdict, settings):
    """The result is certain after a create that was sent 60 s later. Until then it is unclear, and nothing is read."""

    async def main(client, emulator):
        error = await lose(client, emulator, fault)
        await asyncio.sleep(30)
        assert "look it up no earlier than 60 s after" in (await client.tickets.look_up(error)).reason
        await asyncio.sleep(30)
        assert "has been answered yet" in (await client.tickets.look_up(error)).reason
        assert all(call.method == "POST" for call in emulator.calls)
        await client.tickets.create(ticket("After"))
        found = await client.tickets.look_up(error)
        assert await client.tickets.look_up(error) == found
        if isinstance(found, Found):
            assert (found.receipt.number, found.receipt.key) == (verdict.receipt.number, verdict.receipt.key)
            assert emulator.tickets[found.receipt.number].fields["Title"] == "Router down"
        else:
            assert found == verdict

    play(main, **settings)


def test_the_error_of_a_lost_create_has_the_question():
    """The error has the ticket, the time, the highest number that was known and the reference of the caller."""

    async def main(client, emulator):
        before = datetime.now(UTC)
        error = await lose(client, emulator, LOST, reference="erp-4711")
        assert (error.ticket, error.above, error.reference) == (ticket("Router down"), 71, "erp-4711")
        assert before - timedelta(seconds=1) < error.sent_at < datetime.now(UTC) + timedelta(seconds=1)
        for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert (other.ticket, other.above, other.sent_at, str(other)) == (None, 71, error.sent_at, str(error))
            with pytest.raises(InvalidRequestError, match="in this process"):
                await client.tickets.look_up(other)
        assert "Router" not in repr(error) + str(error)

    play(main)


@pytest.mark.parametrize("wrong", [ValueError("x"), None, OutcomeUnknownError("of an update")])
def test_only_the_error_of_a_create_can_be_looked_up(wrong):
    """Any other argument raises InvalidRequestError."""

    async def main(client, emulator):
        with pytest.raises(InvalidRequestError, match="OutcomeUnknownError that a create raised"):
            await client.tickets.look_up(wrong)

    play(main)


def test_the_reference_of_the_caller_is_everywhere():
    """The reference is in the marker field, in the events and in the receipt's call. The default is a random one."""
    events = []

    async def main(client, emulator):
        await client.tickets.create(ticket("Router"), reference="erp:4711")
        return [stored.fields[MARKER] for stored in emulator.tickets.values()]

    *random, given = play(main, events=events, marker_field=MARKER)
    assert (len({*random}), {len(text) for text in random}, given) == (2, {16}, "erp:4711")
    assert [event.reference for event in events if type(event).__name__ == "CallEnded"] == [*random, given]


@pytest.mark.parametrize("reference", ["", "a b", "x" * 65, "é", "a\n", 4711, b"x"])
def test_a_wrong_reference_is_an_error(reference):
    """Nothing is sent."""

    async def main(client, emulator):
        calls = len(emulator.calls)
        with pytest.raises(InvalidRequestError, match="a reference is 1 to 64"):
            await client.tickets.create(ticket("Router"), reference=reference)
        assert len(emulator.calls) == calls

    play(main)


@pytest.mark.parametrize("field", ["", "a b", "é", 5, "x" * 129])
def test_a_wrong_marker_field_is_an_error(field):
    """ConfigurationError names the setting."""
    with pytest.raises(ConfigurationError, match="marker_field must be the schema name"):
        Config(access_key="a", secret_key="b", org_id="1", marker_field=field)


@pytest.mark.parametrize(("field", "about"), [(MARKER, {"fields": {MARKER: "x"}}), ("Title", {})])
def test_a_marker_is_not_given_twice(field, about):
    """A ticket that has the field already is refused before anything is sent."""

    async def main(client, emulator):
        with pytest.raises(InvalidRequestError, match=f"{field} is Config.marker_field"):
            await client.tickets.create(NewTicket(lead_id="45b5", title="x", status="Open", **about))

    async def whole():
        emulator = Emulator(window=None)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=emulator.app)) as http:
            async with ServiceClient(Config(**emulator.settings, marker_field=field), http_client=http) as client:
                await main(client, emulator)
        assert not emulator.calls

    run_virtual(whole())


def test_an_answer_after_the_deadline_needs_no_look_up():
    """While the request is in flight the result is unclear; when it has been answered, its receipt is the result."""

    async def main(client, emulator):
        emulator.faults.add(faults.Latency(20, method="POST"))
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.with_options(deadline=5).tickets.create(ticket("Slow"))
        assert "in flight" in (await client.tickets.look_up(caught.value)).reason
        await asyncio.sleep(20)
        found = await client.tickets.look_up(caught.value)
        assert (found.receipt.number, found.receipt.message) == ("72", None)
        assert all(call.method == "POST" for call in emulator.calls)

    play(main)


@pytest.mark.parametrize(("first", "is_doubtful"), [(APPLIED_500, True), (faults.Status(429, method="POST"), False)])
def test_a_late_receipt_is_marked_if_an_earlier_attempt_may_have_been_applied(first, is_doubtful):
    """The result of the look-up and the event of the attempt are marked, like the receipt of a call that waits."""
    events = []

    async def main(client, emulator):
        emulator.faults.add(first, faults.Latency(25, method="POST"))
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.with_options(deadline=20).tickets.create(ticket("Slow"))
        await asyncio.sleep(20)
        found = await client.tickets.look_up(caught.value)
        assert events[-1].abandoned
        assert [found.receipt.possible_duplicate, events[-1].result.possible_duplicate] == [is_doubtful] * 2

    play(main, events=events)


@pytest.mark.parametrize("status", [400, 408, 429])
def test_a_create_that_is_refused_after_the_deadline_is_absent(config, status):
    """No other create and no read is needed for the result. Another client knows no more than this one."""

    async def main():
        script = Script(Slow(20, httpx.Response(status)))
        async with (
            httpx.AsyncClient(transport=script) as http,
            ServiceClient(config, http_client=http) as client,
            ServiceClient(config, http_client=http) as other,
        ):
            with pytest.raises(OutcomeUnknownError) as caught:
                await client.with_options(deadline=5).tickets.create(ticket("Slow"))
            assert "in flight" in (await client.tickets.look_up(caught.value)).reason
            assert "in flight" in (await other.tickets.look_up(caught.value)).reason
            await asyncio.sleep(20)
            assert await client.tickets.look_up(caught.value) == Absent()
            assert await other.tickets.look_up(caught.value) == Absent()
            assert len(script.seen) == 1

    run_virtual(main())


@pytest.mark.parametrize(
    ("fault", "result"),
    [
        (faults.Status(404, method="GET", times=9), Unclear),
        (faults.Status(403, method="GET", times=9), Unclear),
        (faults.Status(400, method="GET", times=9), Unclear),
        (faults.Status(500, '{"ExceptionType": "MXNoTicket"}', method="GET", times=9), Unclear),
        (faults.Status(500, method="GET", times=99), ServerError),
        (faults.Status(401, method="GET", times=9), AuthenticationError),
    ],
)
def test_a_refused_read_is_no_proof_and_a_failed_read_is_an_error(fault, result):
    """A ticket that cannot be read may be the lost one. Errors that do not concern the ticket are raised."""

    async def main(client, emulator):
        error = await lose(client, emulator, DROPPED)
        await asyncio.sleep(60)
        await client.tickets.create(ticket("After"))
        emulator.faults.add(fault)
        [found] = await asyncio.gather(client.tickets.look_up(error), return_exceptions=True)
        assert isinstance(found, result)

    play(main)


LOOK = RetryPolicy(repeat_creates="look", backoff=2.0)


@pytest.fixture
def _longest_pauses(monkeypatch):
    """Each pause before a repeat has its full length, so that other creates are sent during it."""
    monkeypatch.setattr("random.uniform", lambda low, high: high)


async def with_others(client, emulator, fault):
    """Create a ticket while other creates of the client are sent all the time."""
    emulator.faults.add(fault)
    call = asyncio.create_task(client.tickets.create(ticket("Router down")))
    number = 0
    while not call.done():
        await asyncio.sleep(0.01)
        number += 1
        await client.tickets.create(ticket(f"Other {number}"))
    return await call


@pytest.mark.usefixtures("_longest_pauses")
@pytest.mark.parametrize(
    ("fault", "attempts"),
    [(PLAIN_500, 2), (APPLIED_500, 1)],
    ids=["not applied", "applied"],
)
def test_a_create_is_looked_up_before_it_is_repeated(caplog, fault, attempts):
    """After a 500, a create is sent again only if the look-up does not find its ticket. There is one ticket."""
    caplog.set_level("INFO", "lsq_service_async")

    async def main(client, emulator):
        receipt = await with_others(client, emulator, fault)
        [number] = [n for n, stored in emulator.tickets.items() if stored.fields["Title"] == "Router down"]
        assert (receipt.number, receipt.possible_duplicate, len(receipt.attempts)) == (number, False, attempts)
        assert receipt.attempts[-1].outcome.value == "applied"

    play(main, retry=LOOK)
    lines = [line for line in caplog.messages if "attempt 1 failed" in line]
    assert [line[: line.index(" (")] for line in lines] == ["tickets.create is looked up in 2.0 s"]


@pytest.mark.parametrize("status", [502, 504])
def test_a_create_that_a_gateway_gave_up_is_not_repeated(status):
    """The service may still apply it, so the look-up is unclear for a minute."""

    async def main(client, emulator):
        with pytest.raises(OutcomeUnknownError, match="may still be applied") as caught:
            await with_others(client, emulator, faults.Status(status, method="POST"))
        assert len(caught.value.attempts) == 1

    play(main, retry=LOOK)


@pytest.mark.parametrize(
    ("script", "reason"),
    [([PLAIN_500], "has been answered yet"), ([PLAIN_500, faults.Status(401, method="GET")], "the look-up failed")],
)
def test_a_create_alone_is_not_repeated(script, reason):
    """Without other creates, or if the look-up fails, the error has the reason and the question."""

    async def main(client, emulator):
        emulator.faults.add(*script)
        call = asyncio.create_task(client.tickets.create(ticket("Router down")))
        if len(script) > 1:
            await asyncio.sleep(0.0001)
            await client.tickets.create(ticket("Other"))
        with pytest.raises(OutcomeUnknownError, match=reason) as caught:
            await call
        assert (len(caught.value.attempts), caught.value.ticket) == (1, ticket("Router down"))

    play(main, retry=LOOK)


def test_a_create_that_was_absent_once_has_a_new_range():
    """The attempt that was certainly not applied does not count in the error of the next one."""

    async def main(client, emulator):
        emulator.faults.add(PLAIN_500, faults.Serve(method="POST"), LOST)
        call = asyncio.create_task(client.tickets.create(ticket("Router down")))
        await asyncio.sleep(0.0001)
        await client.tickets.create(ticket("Other"))
        with pytest.raises(OutcomeUnknownError) as caught:
            await call
        assert [attempt.outcome.value for attempt in caught.value.attempts] == ["not applied", "unknown"]
        assert caught.value.above == 72

    play(main, retry=LOOK)


def test_a_look_up_ends_with_the_deadline_of_its_call():
    """A slow read does not delay the error."""

    async def main(client, emulator):
        emulator.faults.add(PLAIN_500, faults.Latency(50, method="GET", times=9))
        loop = asyncio.get_running_loop()
        started = loop.time()
        call = asyncio.create_task(client.with_options(deadline=10.0).tickets.create(ticket("Router down")))
        await asyncio.sleep(0.0001)
        await client.tickets.create(ticket("Other"))
        with pytest.raises(OutcomeUnknownError, match=r"failed \(the deadline passed\)"):
            await call
        assert loop.time() - started < 10.1

    play(main, retry=LOOK)


def test_other_calls_cannot_be_looked_up():
    """A note that got a 500 is not repeated with this policy."""

    async def main(client, emulator):
        emulator.faults.add(PLAIN_500)
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.tickets.add_note("70", "text")
        assert len(caught.value.attempts) == 1
        emulator.faults.add(faults.Status(500, method="GET"))
        assert (await client.tickets.get("70")).number == "70"

    play(main, retry=LOOK)


def test_a_wrong_policy_is_an_error():
    """ConfigurationError names the setting."""
    with pytest.raises(ConfigurationError, match='True, False or "look"'):
        RetryPolicy(repeat_creates="maybe")
