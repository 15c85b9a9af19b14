"""Whatever stops or pauses a run: invalid input, wrong keys, an outage, a full disk."""

import asyncio
import sqlite3

import pytest
from bulk.samples import CAREFUL, changed, keyed, run, tickets, titles, watch_commits

from lsq_service_async import (
    AuthenticationError,
    BulkRow,
    InvalidRequestError,
    Lookup,
    LSQServiceError,
    NewTicket,
    RateLimitError,
    TicketUpdate,
)
from lsq_service_async.bulk import State, states_in
from lsq_service_async.emulator.faults import Serve, Status


def test_a_key_that_the_input_has_twice_stops_the_run(play, journal):
    """The second row would be lost. It is not an edit of the first one, although that one failed in this run."""

    async def main(client, emulator):
        emulator.faults.add(Status(400))
        [row] = keyed(1)
        with pytest.raises(InvalidRequestError, match="'key-0' is in this input twice"):
            await run(client.bulk.create([row, changed(row)], journal=journal, retry_failed=True))
        assert emulator.tickets == {}

    play(main)


@pytest.mark.parametrize("row", [5, "text", {"title": "x"}, TicketUpdate(), BulkRow("", None), BulkRow("k", 5)])
def test_anything_that_is_not_a_row_stops_the_run(play, journal, row):
    """Anything but a ticket or a BulkRow raises an error that names both types."""

    async def main(client, emulator):
        with pytest.raises(InvalidRequestError, match="bulk row"):
            await run(client.bulk.create([row], journal=journal))
        assert emulator.calls == ()

    play(main)


@pytest.mark.parametrize("key", ["", " ", "k" * 201, 5, "half \ud800"])
def test_a_key_is_short_text(play, journal, key):
    """A key that cannot be stored stops the run before anything is sent."""

    async def main(client, emulator):
        with pytest.raises(InvalidRequestError, match="key"):
            await run(client.bulk.create([BulkRow(key, tickets(1)[0])], journal=journal))

    play(main)


def test_a_source_that_breaks_stops_the_run(play, journal):
    """The run raises the error of the source, and the rows before it are done."""

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


def test_a_source_that_is_cancelled_stops_the_run(play, journal):
    """The run raises an error, because the rest of the input is missing, and the next run continues."""

    async def source():
        for row in tickets(3):
            yield row
        inner = asyncio.create_task(asyncio.sleep(5))
        inner.cancel()  # such as by a database pool that is closed
        await inner

    async def main(client, emulator):
        job = client.bulk.create(source(), journal=journal)
        with pytest.raises(LSQServiceError, match="was cancelled, for example a task in the source") as caught:
            await run(job)
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        await run(client.bulk.create(tickets(5), journal=journal))
        assert len(titles(emulator)) == 5

    play(main)


def test_wrong_keys_stop_the_run(play, journal, caplog):
    """The run stops after the rows in flight and one probe."""

    async def main(client, emulator):
        emulator.faults.add(Status(401, times=10_000))
        job = client.bulk.create(keyed(500), journal=journal)
        with pytest.raises(AuthenticationError):
            await run(job)
        assert len(emulator.calls) < 40

    play(main)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_quota_that_is_used_up_stops_the_run(play, journal, caplog):
    """The run raises the refusal instead of waiting for a day, and the next run sends the rows that were refused."""
    quota = Status(429, "API calls exceeded the limit of 10000 in 86400 second(s)", times=10_000)

    async def main(client, emulator):
        emulator.faults.add(Serve(times=5))
        emulator.faults.add(quota)
        with pytest.raises(RateLimitError) as caught:
            await run(client.bulk.create(keyed(100), journal=journal))
        assert (caught.value.limit, caught.value.is_quota) == ((10_000, 86_400), True)
        assert len(emulator.calls) < 5 + 40
        assert states_in(journal).keys() == {State.DONE, State.PENDING}
        emulator.faults.clear()
        await run(client.bulk.create(keyed(100), journal=journal))
        assert len(titles(emulator)) == 100

    play(main)
    assert "quota of the account is used up" in caplog.text


def test_an_outage_pauses_the_run(play, journal):
    """Half an hour of 503 leaves a few rows unknown, while a read probes the service about once a minute."""

    async def main(client, emulator):
        loop = asyncio.get_running_loop()
        job = client.with_options(retry=CAREFUL).bulk.create(keyed(200), journal=journal)
        began = None
        async for _ in job:
            if job.summary().created == 50 and began is None:
                began = loop.time()
                emulator.faults.add(Status(503, times=1_000_000))
                loop.call_later(1800, emulator.faults.clear)
        took = loop.time() - began
        assert job.summary().unknown <= 12 + 25
        assert job.summary().total == 200
        assert took < 1800 + 60 + 40
        probes = [call for call in emulator.calls if call.method == "GET"]
        assert 25 <= len(probes) <= 40
        return job.summary().unknown

    assert play(main) > 0


@pytest.mark.parametrize("commits", [20, 21])
def test_a_full_disk_sends_nothing_more(play, journal, monkeypatch, commits):
    """A row whose intent cannot be stored is not sent, and the run raises the reason."""

    def full(number):
        if number > commits:
            raise sqlite3.OperationalError("database or disk is full")

    watch_commits(monkeypatch, full)

    async def main(client, emulator):
        with pytest.raises(LSQServiceError, match="disk is full"):
            await run(client.bulk.create(keyed(200), journal=journal))
        return len(emulator.tickets), states_in(journal)

    created, states = play(main)
    assert 0 < created == states[State.DONE] + states.get(State.IN_FLIGHT, 0) < 200


@pytest.mark.parametrize("on_unknown", ["again", None, 5, ["skip"], Lookup])
def test_on_unknown_is_checked_before_the_run(play, journal, on_unknown):
    """A misspelt word is not taken for "skip"."""

    async def main(client, emulator):
        with pytest.raises(InvalidRequestError, match='"skip", "stop", "resend", a Lookup or a function'):
            client.bulk.create(keyed(1), journal=journal, on_unknown=on_unknown)

    play(main)


@pytest.mark.parametrize("retry_failed", ["no", None, 0])
def test_retry_failed_is_checked_before_the_run(play, journal, retry_failed):
    """The text "no" of a settings file is not taken for True."""

    async def main(client, emulator):
        for start in (client.bulk.create, client.bulk.update):
            with pytest.raises(InvalidRequestError, match="retry_failed must be True or False, not"):
                start(keyed(1), journal=journal, retry_failed=retry_failed)

    play(main)


@pytest.mark.parametrize("rows", [None, 5, "rows.csv", {"title": "x"}, NewTicket(lead_id="x")])
def test_rows_that_cannot_be_iterated_are_refused_at_once(play, journal, rows):
    """The error is raised by create, before the run begins."""

    async def main(client, emulator):
        with pytest.raises(InvalidRequestError, match="rows must be an iterable of NewTicket or BulkRow"):
            client.bulk.create(rows, journal=journal)

    play(main)


@pytest.mark.parametrize("answer", [200, 404])
def test_a_few_failures_of_a_working_service_do_not_pause_the_run(play, journal, caplog, answer):
    """The first probe is answered, with the ticket or with 404, and nothing is logged."""

    async def main(client, emulator):
        emulator.faults.add(Status(500, method="POST", times=5))
        if answer != 200:
            emulator.faults.add(Status(answer, method="GET"))
        careful = client.with_options(retry=CAREFUL)
        began = asyncio.get_running_loop().time()
        outcomes = await run(careful.bulk.create(keyed(10), journal=journal))
        assert [outcome.state for outcome in outcomes].count("unknown") == 5
        assert [call.status for call in emulator.calls if call.method == "GET"] == [answer]
        return asyncio.get_running_loop().time() - began

    assert play(main) < 5
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
