"""A bulk run: every row accounted for, nothing sent twice, stopped and resumed at any point."""

import asyncio
import sqlite3

import pytest
from bulk.samples import CAREFUL, keyed, lost, run, tickets, titles

from lsq_service_async import (
    Attachment,
    AuthenticationError,
    BadRequestError,
    BulkRow,
    Config,
    ConfigurationError,
    InvalidRequestError,
    LSQServiceError,
    NewTicket,
    OutcomeUnknownError,
    RetryPolicy,
    ServiceClient,
    TicketReceipt,
    TicketUpdate,
)
from lsq_service_async.bulk import Plan, Summary, settle, unknown_in
from lsq_service_async.emulator import Emulator
from lsq_service_async.emulator.faults import DropConnection, Status


def test_every_row_gets_one_outcome(play, journal):
    """Created, with its receipt; none refused for speed, and as fast as the limit allows."""

    async def main(client, emulator):
        started = asyncio.get_running_loop().time()
        job = client.bulk.create(keyed(100), journal=journal)
        assert job.plan() == Plan(calls=100, seconds=20.0, done=0)
        outcomes = await run(job)
        assert sorted(outcome.key for outcome in outcomes) == sorted(f"key-{number}" for number in range(100))
        assert {outcome.state for outcome in outcomes} == {"created"}
        assert {outcome.receipt.number for outcome in outcomes} == set(emulator.tickets)
        assert job.summary() == Summary(created=100)
        assert job.summary().total == 100
        assert (emulator.refused, len(emulator.calls)) == (0, 100)
        assert job.eta() == 0.0
        return asyncio.get_running_loop().time() - started

    assert 19 < play(main) < 21


def test_a_second_run_skips_what_is_done(play, journal):
    """With the receipts of the first, and without a call."""

    async def main(client, emulator):
        first = {
            outcome.key: outcome.receipt.number for outcome in await run(client.bulk.create(keyed(10), journal=journal))
        }
        again = client.bulk.create(keyed(12), journal=journal)
        assert again.plan() == Plan(calls=2, seconds=0.4, done=10)
        outcomes = {outcome.key: outcome for outcome in await run(again)}
        assert {key: outcomes[key].receipt.number for key in first} == first
        assert again.summary() == Summary(created=2, skipped=10)
        assert len(emulator.tickets) == 12

    play(main)


@pytest.mark.parametrize("after", [1, 7, 25])
def test_a_run_that_is_stopped_goes_on_where_it_stopped(play, journal, after):
    """stop() begins no new row, what is in flight ends, nothing is unknown; the next run does the rest."""

    async def main(client, emulator):
        job = client.bulk.create(keyed(60), journal=journal)
        async for _ in job:
            if job.summary().total == after:
                job.stop()
        assert job.summary().unknown == 0
        assert after <= job.summary().total < 60
        assert len(emulator.tickets) == job.summary().created
        rest = client.bulk.create(keyed(60), journal=journal)
        await run(rest)
        assert rest.summary().created + job.summary().created == 60
        assert titles(emulator) == sorted(ticket.title for ticket in tickets(60))

    play(main)


def test_a_loop_that_is_left_early_loses_nothing(play, journal):
    """break, and what was in flight is in the journal all the same."""

    async def main(client, emulator):
        job = client.bulk.create(keyed(60), journal=journal)
        outcomes = aiter(job)
        await anext(outcomes)
        await outcomes.aclose()
        made = len(emulator.tickets)
        assert 0 < made < 60
        await run(client.bulk.create(keyed(60), journal=journal))
        assert titles(emulator) == sorted(ticket.title for ticket in tickets(60))

    play(main)


def test_plain_tickets_are_known_by_their_content(play, journal):
    """Equal ones are told apart by their occurrence, in this run and in the next."""
    rows = [NewTicket(lead_id="45b5", title="same")] * 4 + tickets(2)

    async def main(client, emulator):
        outcomes = await run(client.bulk.create(rows, journal=journal))
        assert len({outcome.key for outcome in outcomes}) == 6
        again = client.bulk.create([*rows, rows[0]], journal=journal)
        await run(again)
        assert again.summary() == Summary(created=1, skipped=6)
        assert titles(emulator) == ["row 0", "row 1", *["same"] * 5]

    play(main)


def test_rows_come_from_any_iterable_and_are_pulled_one_by_one(play, journal):
    """A generator is not read ahead of the workers; its length is not known, so the plan has none."""
    pulled = []

    async def source():
        for ticket in tickets(1000):
            pulled.append(ticket)
            yield ticket

    async def main(client, emulator):
        job = client.bulk.create(source(), journal=journal)
        assert (job.plan(), job.eta()) == (Plan(None, None, 0), None)
        async for _ in job:
            if job.summary().total == 30:
                job.stop()
        assert len(pulled) < 30 + 25 + 5

    play(main)


def test_updates_are_runs_too(play, journal):
    """Each row names its target; a row without one fails for itself."""

    async def main(client, emulator):
        numbers = [(await client.tickets.create(ticket)).number for ticket in tickets(3)]
        rows = [BulkRow(number, TicketUpdate(status="On Hold"), target=number) for number in numbers]
        bad = [BulkRow("no target", TicketUpdate(status="x")), BulkRow("no update", tickets(1)[0], target="1")]
        job = client.bulk.update([*rows, *bad], journal=journal)
        outcomes = {outcome.key: outcome for outcome in await run(job)}
        assert job.summary() == Summary(updated=3, failed=2)
        assert isinstance(outcomes["no target"].error, InvalidRequestError)
        assert {ticket.fields["Status"] for ticket in emulator.tickets.values()} == {"On Hold"}
        with pytest.raises(ConfigurationError, match="updated"):
            await run(client.bulk.create(tickets(1), journal=journal))
        [outcome] = await run(client.bulk.create([BulkRow("k", TicketUpdate())], journal=journal.with_name("other")))
        assert "no NewTicket" in str(outcome.error)

    play(main)


async def test_attachments_of_a_row_are_sent(journal, tmp_path):
    """As those of any create; here on a real socket, because files are read in threads."""
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"photo")
    async with Emulator() as emulator, ServiceClient(Config(**emulator.settings)) as client:
        row = BulkRow("k", tickets(1)[0], [photo, Attachment.from_bytes(b"x", name="x.txt")])
        [outcome] = await run(client.bulk.create([row], journal=journal))
        assert outcome.state == "created"
        assert [file.name for file in emulator.calls[0].files] == ["photo.jpg", "x.txt"]


def test_a_refused_row_fails_and_waits_for_a_retry(play, journal):
    """The others go on; the next run reports it, and sends it again when asked to."""

    async def main(client, emulator):
        emulator.faults.add(Status(400, body="no such field"))
        job = client.bulk.create(keyed(5), journal=journal)
        [failed] = [outcome for outcome in await run(job) if outcome.state == "failed"]
        assert isinstance(failed.error, BadRequestError)
        again = client.bulk.create(keyed(5), journal=journal)
        [still] = [outcome for outcome in await run(again) if outcome.state == "failed"]
        assert (still.key, again.summary()) == (failed.key, Summary(skipped=4, failed=1))
        assert "BadRequestError" in str(still.error)
        retried = client.bulk.create(keyed(5), journal=journal, retry_failed=True)
        await run(retried)
        assert retried.summary() == Summary(created=1, skipped=4)

    play(main)


def test_a_row_that_was_not_sent_goes_again(play, journal):
    """A connection that was never made is nobody's fault."""

    async def main(client, emulator):
        emulator.faults.add(DropConnection(times=5))
        first = client.bulk.create(keyed(1), journal=journal)
        [outcome] = await run(first)
        assert outcome.state in ("failed", "unknown")
        return outcome.state

    play(main)


def test_an_unknown_row_is_never_sent_again_by_itself(play, journal):
    """Not in this run, not in the next, whatever else happens."""

    async def main(client, emulator):
        emulator.faults.add(lost())
        careful = client.with_options(retry=CAREFUL)
        job = careful.bulk.create(keyed(5), journal=journal)
        [unknown] = [outcome for outcome in await run(job) if outcome.state == "unknown"]
        assert isinstance(unknown.error, OutcomeUnknownError)
        assert job.summary() == Summary(created=4, unknown=1)
        again = careful.bulk.create(keyed(5), journal=journal)
        [still] = [outcome for outcome in await run(again) if outcome.state == "unknown"]
        assert (still.key, again.summary()) == (unknown.key, Summary(skipped=4, unknown=1))
        assert "may or may not have been applied" in str(still.error)
        assert len(emulator.tickets) == 5

    play(main)


def test_an_unknown_row_is_settled_by_the_users_word(play, journal):
    """stop raises; a function looks, and brings the receipt or says that it is not there; resend sends it."""

    async def main(client, emulator):
        emulator.faults.add(lost(2))
        await run(client.bulk.create(keyed(3), journal=journal))
        with pytest.raises(LSQServiceError, match="may have been applied"):
            await run(client.bulk.create(keyed(3), journal=journal, on_unknown="stop"))
        asked = []

        async def look(row):
            asked.append(row.key)
            for number, ticket in emulator.tickets.items():
                if ticket.fields["Title"] == row.ticket.title and len(asked) == 1:
                    return TicketReceipt(number=number)
            return None

        found = client.bulk.create(keyed(3), journal=journal, on_unknown=look)
        await run(found)
        assert (len(asked), found.summary()) == (2, Summary(created=2, skipped=1))
        assert len(emulator.tickets) == 4
        emulator.faults.add(lost())
        await run(client.bulk.create([BulkRow("one more", tickets(1)[0])], journal=journal))
        resent = client.bulk.create([BulkRow("one more", tickets(1)[0])], journal=journal, on_unknown="resend")
        await run(resent)
        assert resent.summary() == Summary(created=1)

    play(main)


def test_a_plan_counts_what_will_be_sent(play, journal):
    """Failed rows only for a retry, unknown ones only by the user's word."""

    async def main(client, emulator):
        emulator.faults.add(Status(400), lost(2))
        await run(client.bulk.create(keyed(10), journal=journal))

        def calls(**options):
            plan = client.bulk.create(keyed(13), journal=journal, **options).plan()
            assert (plan.done, plan.seconds) == (7, plan.calls * 0.2)
            return plan.calls

        async def look(row):
            return None

        assert (calls(), calls(on_unknown="stop"), calls(retry_failed=True)) == (3, 3, 4)
        assert (calls(on_unknown="resend"), calls(on_unknown=look)) == (5, 5)
        assert calls(retry_failed=True, on_unknown="resend") == 6

    play(main)


def test_a_plan_takes_what_a_dead_run_had_in_flight_for_unknown(play, journal):
    """As the run will."""

    async def main(client, emulator):
        await run(client.bulk.create(keyed(2), journal=journal))
        database = sqlite3.connect(journal, isolation_level=None)
        database.execute("UPDATE rows SET state = 'in_flight' WHERE key = 'key-0'")
        database.close()
        assert client.bulk.create(keyed(3), journal=journal).plan() == Plan(calls=1, seconds=0.2, done=1)

    play(main)


def test_a_resumed_run_that_is_stopped_while_it_waits_ends_at_once(play, journal):
    """Nobody who pressed Ctrl-C waits for a window to pass."""

    async def main(client, emulator):
        await run(client.bulk.create(keyed(1), journal=journal))
        loop = asyncio.get_running_loop()
        job, began = client.bulk.create(keyed(2), journal=journal), loop.time()
        loop.call_later(1, job.stop)
        assert [outcome.state for outcome in await run(job)] == ["skipped"]
        assert loop.time() - began == pytest.approx(1, abs=0.01)
        assert len(emulator.calls) == 1

    play(main)


def test_a_resumed_run_does_not_reckon_with_time_for_what_it_skips(play, journal):
    """But with the wait before its first call, from its first outcome on, which is of one of them."""

    async def main(client, emulator):
        await run(client.bulk.create(keyed(60), journal=journal))
        again = client.bulk.create(keyed(70), journal=journal)
        outcomes = aiter(again)
        assert (await anext(outcomes)).state == "skipped"
        first = again.eta()
        left = [outcome.state async for outcome in outcomes]
        assert (left.count("skipped"), left.count("created"), again.eta()) == (59, 10, 0.0)
        return first

    assert play(main) == pytest.approx(5 + 9 * 0.2, abs=0.1)


def test_a_resumed_run_waits_until_earlier_calls_have_passed(play, journal):
    """Before its first call, and no longer."""

    async def main(client, emulator):
        await run(client.bulk.create(keyed(1), journal=journal))
        loop = asyncio.get_running_loop()
        began = loop.time()
        skipped_at, created_at = [loop.time() async for _ in client.bulk.create(keyed(2), journal=journal)]
        assert (skipped_at - began, created_at - began) == pytest.approx((0, 5), abs=0.1)

    play(main)


def test_a_user_s_look_at_unknown_rows_waits_for_earlier_calls_too(play, journal):
    """It asks the same service."""

    async def main(client, emulator):
        emulator.faults.add(lost())
        looked_at, clock = [], asyncio.get_running_loop().time

        async def look(row):
            looked_at.append(clock())

        [outcome] = await run(client.bulk.create(keyed(1), journal=journal))
        assert outcome.state == "unknown"
        began = clock()
        await run(client.bulk.create(keyed(1), journal=journal, on_unknown=look))
        assert looked_at == [pytest.approx(began + 5, abs=0.1)]

    play(main)


def test_the_rate_is_that_of_rows_that_are_sent(play, journal):
    """From the first of them on: the wait of a resumed run and what it skips say nothing of it."""

    async def main(client, emulator):
        emulator.faults.add(Status(400))
        first = client.bulk.create(keyed(50), journal=journal)
        assert first.rate() == 0.0
        await run(first)
        no_tickets = [BulkRow(f"no ticket {number}", TicketUpdate()) for number in range(50)]
        second = client.bulk.create([*keyed(150), *no_tickets], journal=journal)
        rates = [second.rate() async for _ in second]
        assert second.summary() == Summary(created=100, skipped=49, failed=51)
        assert (rates[0], second.rate()) == (0.0, pytest.approx(5, rel=0.05))

    play(main)


def test_rows_are_settled_by_word(play, journal):
    """Applied ones are skipped from then on, with their number where it was said; the others are sent."""

    async def main(client, emulator):
        emulator.faults.add(lost(3))
        await run(client.bulk.create(keyed(3), journal=journal))
        settle(journal, applied={"key-0": "143", "key-1": None}, not_applied=["key-2"])
        outcomes = {outcome.key: outcome for outcome in await run(client.bulk.create(keyed(3), journal=journal))}
        assert [outcomes[f"key-{number}"].state for number in range(3)] == ["skipped", "skipped", "created"]
        assert (outcomes["key-0"].receipt, outcomes["key-1"].receipt) == (TicketReceipt(number="143"), None)
        assert titles(emulator) == ["row 0", "row 1", "row 2", "row 2"]

    play(main)


def test_input_that_changed_under_its_key_stops_the_run(play, journal):
    """So does a key that comes twice: nobody knows which of them was meant."""

    async def main(client, emulator):
        await run(client.bulk.create([BulkRow("k", tickets(1)[0])], journal=journal))
        with pytest.raises(InvalidRequestError, match="not what it was"):
            await run(client.bulk.create([BulkRow("k", tickets(1, 5)[0])], journal=journal))
        with pytest.raises(InvalidRequestError, match="comes twice"):
            await run(client.bulk.create([BulkRow("k", tickets(1)[0])] * 2, journal=journal))
        assert len(emulator.tickets) == 1

    play(main)


@pytest.mark.parametrize("row", [5, "text", {"title": "x"}, TicketUpdate(), BulkRow("", None), BulkRow("k", 5)])
def test_what_is_no_row_stops_the_run(play, journal, row):
    """With what a row is."""

    async def main(client, emulator):
        with pytest.raises(InvalidRequestError, match="bulk row"):
            await run(client.bulk.create([row], journal=journal))
        assert emulator.calls == ()

    play(main)


@pytest.mark.parametrize("key", ["", " ", "k" * 201, 5])
def test_a_key_is_short_text(play, journal, key):
    """It stands in a file for years."""

    async def main(client, emulator):
        with pytest.raises(InvalidRequestError, match="key"):
            await run(client.bulk.create([BulkRow(key, tickets(1)[0])], journal=journal))

    play(main)


def test_a_source_that_breaks_stops_the_run(play, journal):
    """Its error comes out; the rows before it are done."""

    def source():
        yield from tickets(3)
        raise RuntimeError("the file ended in the middle")

    async def main(client, emulator):
        job = client.bulk.create(source(), journal=journal)
        with pytest.raises(RuntimeError, match="in the middle"):
            await run(job)
        rest = client.bulk.create(tickets(5), journal=journal)
        await run(rest)
        assert titles(emulator) == [f"row {number}" for number in range(5)]

    play(main)


def test_a_job_that_is_stopped_before_it_begins_does_nothing(play, journal):
    """It ends at once."""

    async def main(client, emulator):
        job = client.bulk.create(tickets(3), journal=journal)
        job.stop()
        assert await run(job) == []
        assert emulator.calls == ()

    play(main)


def test_an_update_that_the_server_failed_is_in_doubt(play, journal):
    """Its last word was no refusal."""

    async def main(client, emulator):
        emulator.faults.add(Status(500, times=9))
        once = client.with_options(retry=RetryPolicy(attempts=1))
        [outcome] = await run(once.bulk.update([BulkRow("k", TicketUpdate(status="x"), target="1")], journal=journal))
        assert outcome.state == "unknown"

    play(main)


def test_an_async_source_may_end(play, journal):
    """All of its rows are done then."""

    async def source():
        for ticket in tickets(3):
            yield ticket

    async def main(client, emulator):
        assert len(await run(client.bulk.create(source(), journal=journal))) == 3

    play(main)


def test_a_job_is_iterated_once(play, journal):
    """Another run is another job."""

    async def main(client, emulator):
        job = client.bulk.create(tickets(1), journal=journal)
        await run(job)
        with pytest.raises(LSQServiceError, match="once"):
            await run(job)

    play(main)


def test_wrong_keys_stop_the_run(play, journal):
    """After one refusal and one probe, not after ten thousand."""

    async def main(client, emulator):
        emulator.faults.add(Status(401, times=10_000))
        job = client.bulk.create(keyed(500), journal=journal)
        with pytest.raises(AuthenticationError):
            await run(job)
        assert len(emulator.calls) < 40

    play(main)


def test_an_outage_pauses_the_run(play, journal):
    """Half an hour of it leaves a few rows in doubt, not thousands: a read looks whether the service is back."""

    async def main(client, emulator):
        loop = asyncio.get_running_loop()
        job = client.with_options(retry=CAREFUL).bulk.create(keyed(400), journal=journal)
        began = None
        async for _ in job:
            if job.summary().created == 100 and began is None:
                began = loop.time()
                emulator.faults.add(Status(503, times=1_000_000))
                loop.call_later(1800, emulator.faults.clear)
        took = loop.time() - began
        assert job.summary().unknown <= 12 + 25
        assert job.summary().total == 400
        assert took < 1800 + 60 + 80
        probes = [call for call in emulator.calls if call.method == "GET"]
        assert 25 <= len(probes) <= 40
        return job.summary().unknown

    assert play(main) > 0


def test_a_full_disk_sends_nothing_more(play, journal, monkeypatch):
    """A row whose intent cannot be written is not sent, and the run says why it ended."""
    from lsq_service_async.bulk.journal import Journal

    written = Journal._set
    calls = []

    def full(self, *given):
        calls.append(given)
        if len(calls) > 20:
            raise sqlite3.OperationalError("database or disk is full")
        return written(self, *given)

    monkeypatch.setattr(Journal, "_set", full)

    async def main(client, emulator):
        with pytest.raises(LSQServiceError, match="disk is full"):
            await run(client.bulk.create(keyed(200), journal=journal))
        return len(emulator.tickets)

    assert play(main) <= 20


def test_bulk_gives_way_to_people(play, journal):
    """A read of a person waits about one token behind a run, not a window."""

    async def main(client, emulator):
        job = client.bulk.create(keyed(150), journal=journal)
        waits = []
        clock = asyncio.get_running_loop().time
        async for _ in job:
            if job.summary().total in (60, 80, 100):
                asked = clock()
                await client.tickets.get("1")
                waits.append(clock() - asked)
        return waits

    assert max(play(main)) < 0.6


def test_a_row_may_leave_its_key_to_the_content(play, journal):
    """As a plain ticket does; the outcome brings the row that was given."""
    rows = [BulkRow(None, tickets(1)[0]), BulkRow(None, tickets(1)[0]), tickets(1)[0]]

    async def main(client, emulator):
        outcomes = await run(client.bulk.create(rows, journal=journal))
        assert len({outcome.key for outcome in outcomes}) == 3
        assert all(outcome.row == BulkRow(None, tickets(1)[0]) for outcome in outcomes)
        again = client.bulk.create(rows, journal=journal)
        await run(again)
        assert again.summary() == Summary(skipped=3)

    play(main)


def test_unknown_rows_can_be_listed(play, journal):
    """By key, with the class of their error."""

    async def main(client, emulator):
        emulator.faults.add(lost())
        await run(client.bulk.create(keyed(1), journal=journal))

    assert unknown_in(journal) == {}
    play(main)
    assert unknown_in(journal) == {"key-0": "OutcomeUnknownError"}
