"""Rows that failed, were not sent, or may have been applied, in the next run."""

import httpx
import pytest
from bulk.samples import CAREFUL, keyed, lost, run, tickets, titles

from lsq_service_async import (
    Attachment,
    BadRequestError,
    BulkRow,
    Config,
    ConfigurationError,
    LSQServiceError,
    NotSentError,
    OutcomeUnknownError,
    RetryPolicy,
    ServiceClient,
    TicketReceipt,
    TicketUpdate,
)
from lsq_service_async.bulk import Summary, possible_duplicates_in, resolve, unknown_in
from lsq_service_async.emulator.faults import Status


def test_a_refused_row_fails_and_waits_for_a_retry(play, journal):
    """The other rows are created. The next run reports the row, and sends it with retry_failed."""

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


def test_a_row_that_was_not_sent_is_sent_by_the_next_run(play, journal, monkeypatch):
    """A row whose connection was refused needs no decision."""

    async def main(client, emulator):
        handle = httpx.ASGITransport.handle_async_request
        monkeypatch.setattr(httpx.ASGITransport, "handle_async_request", refuse_connection)
        [outcome] = await run(client.bulk.create(keyed(1), journal=journal))
        assert (outcome.state, type(outcome.error)) == ("failed", NotSentError)
        monkeypatch.setattr(httpx.ASGITransport, "handle_async_request", handle)
        [outcome] = await run(client.bulk.create(keyed(1), journal=journal))
        assert (outcome.state, len(emulator.tickets)) == ("created", 1)

    play(main)


async def refuse_connection(transport, request):
    raise httpx.ConnectError("refused")


@pytest.mark.parametrize("how", ["offline", "refused"])
def test_a_row_stays_unknown_until_it_is_done_or_resolved(play, journal, monkeypatch, how):
    """A row stays unknown if sending it again fails, because the first send may have been applied."""

    async def main(client, emulator):
        emulator.faults.add(lost())
        await run(client.bulk.create(keyed(1), journal=journal))
        with monkeypatch.context() as offline:
            if how == "offline":
                offline.setattr(httpx.ASGITransport, "handle_async_request", refuse_connection)
            else:
                emulator.faults.add(Status(400))
            [outcome] = await run(client.bulk.create(keyed(1), journal=journal, on_unknown="resend"))
        assert outcome.state == "unknown"
        [outcome] = await run(client.bulk.create(keyed(1), journal=journal, retry_failed=True))
        assert (outcome.state, len(emulator.tickets)) == ("unknown", 1)

    play(main)


def test_an_unknown_row_is_never_sent_again_by_itself(play, journal):
    """Neither this run nor the next one sends a row that may have been applied."""

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
        assert "may have been applied" in str(still.error)
        assert len(emulator.tickets) == 5

    play(main)


def test_a_run_stops_at_an_unknown_row_or_looks_it_up(play, journal):
    """A function returns the receipt, or None for a row that was not applied: it is sent, and its result counts."""

    async def main(client, emulator):
        emulator.faults.add(lost(), Status(502), Status(400))
        once = client.with_options(retry=RetryPolicy(attempts=1))
        await run(once.bulk.create(keyed(2), journal=journal))
        assert unknown_in(journal) == dict.fromkeys(["key-0", "key-1"], "OutcomeUnknownError")
        with pytest.raises(LSQServiceError, match="may have been applied"):
            await run(client.bulk.create(keyed(2), journal=journal, on_unknown="stop"))

        async def look(row):
            found = [
                number for number, ticket in emulator.tickets.items() if ticket.fields["Title"] == row.ticket.title
            ]
            return TicketReceipt(number=found[0]) if found else None

        outcomes = await run(client.bulk.create(keyed(2), journal=journal, on_unknown=look))
        assert {outcome.key: outcome.state for outcome in outcomes} == {"key-0": "created", "key-1": "failed"}
        [again] = await run(client.bulk.create(keyed(1), journal=journal, on_unknown=look))
        assert (again.state, again.receipt.number, titles(emulator)) == ("skipped", "1", ["row 0"])

    play(main)


def test_resolved_rows_are_skipped_or_sent(play, journal):
    """The next run skips applied rows, with the number if it is known, and sends the others."""

    async def main(client, emulator):
        emulator.faults.add(lost(3))
        await run(client.bulk.create(keyed(3), journal=journal))
        resolve(journal, applied={"key-0": "143", "key-1": None}, not_applied=["key-2"])
        outcomes = {outcome.key: outcome for outcome in await run(client.bulk.create(keyed(3), journal=journal))}
        assert [outcomes[f"key-{number}"].state for number in range(3)] == ["skipped", "skipped", "created"]
        assert (outcomes["key-0"].receipt, outcomes["key-1"].receipt) == (TicketReceipt(number="143"), None)
        assert titles(emulator) == ["row 0", "row 1", "row 2", "row 2"]

    play(main)


def test_a_create_that_was_repeated_after_a_500_is_a_possible_duplicate(play, journal):
    """The outcome, the receipt and the summary are marked. Later runs know the mark and do not count it again."""

    async def main(client, emulator):
        emulator.faults.add(Status(500, applied=True))
        first = client.bulk.create(keyed(3), journal=journal)
        [outcome] = [outcome for outcome in await run(first) if outcome.possible_duplicate]
        assert (outcome.state, outcome.receipt.possible_duplicate) == ("created", True)
        assert first.summary() == Summary(created=3, possible_duplicates=1)
        assert possible_duplicates_in(journal) == {outcome.key: outcome.receipt.number}
        second = client.bulk.create(keyed(3), journal=journal)
        marked = {later.key for later in await run(second) if later.possible_duplicate}
        assert (marked, second.summary()) == ({outcome.key}, Summary(skipped=3))
        resolve(journal, applied={outcome.key: outcome.receipt.number})
        third = await run(client.bulk.create(keyed(3), journal=journal))
        assert not any(later.possible_duplicate or later.receipt.possible_duplicate for later in third)

    play(main)


def test_a_row_that_is_sent_again_by_resend_is_a_possible_duplicate(play, journal, caplog):
    """Both sends of the unknown row may have been applied. One warning names both references."""

    async def main(client, emulator):
        emulator.faults.add(lost())
        [unknown] = await run(client.bulk.create(keyed(1), journal=journal))
        again = client.bulk.create(keyed(1), journal=journal, on_unknown="resend")
        [outcome] = await run(again)
        assert (outcome.state, outcome.possible_duplicate) == ("created", True)
        assert (outcome.receipt.possible_duplicate, again.summary().possible_duplicates) == (True, 1)
        assert possible_duplicates_in(journal) == {"key-0": outcome.receipt.number}
        [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert unknown.error.reference in warning
        assert warning.count("reference") == 2

    play(main)


def test_an_update_that_is_sent_again_by_resend_is_no_duplicate_without_files(play, journal):
    """A second update changes the same fields to the same values; only its files would be there twice."""
    rows = [
        BulkRow("plain", TicketUpdate(status="x"), target="1"),
        BulkRow("files", TicketUpdate(status="x"), [Attachment.from_bytes(b"a", name="a.txt")], target="1"),
    ]

    async def main(client, emulator):
        await client.tickets.create(tickets(1)[0])
        emulator.faults.add(Status(502, times=2))
        once = client.with_options(retry=RetryPolicy(attempts=1))
        await run(once.bulk.update(rows, journal=journal))
        outcomes = await run(client.bulk.update(rows, journal=journal, on_unknown="resend"))
        assert {outcome.key: outcome.possible_duplicate for outcome in outcomes} == {"plain": False, "files": True}

    play(main)


@pytest.mark.parametrize("other", [{"org_id": "11111"}, {"base_url": "http://localhost:8080"}])
def test_a_journal_of_another_account_is_refused_by_runs_and_plans(play, journal, other):
    """A run against the real account after one against a test account sends nothing, and names both."""

    async def main(client, emulator):
        await run(client.bulk.create(keyed(2), journal=journal))
        settings = emulator.settings | other
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=emulator.app)) as http:
            async with ServiceClient(Config(**settings), http_client=http) as second:
                job = second.bulk.create(keyed(3), journal=journal)
                both = r"http://localhost, org 22824.*http://localhost"
                with pytest.raises(ConfigurationError, match=both):
                    job.plan()
                with pytest.raises(ConfigurationError, match=both):
                    await run(job)
        assert len(emulator.calls) == 2

    play(main)


def test_the_same_account_may_be_written_in_another_way(play, journal):
    """The case of the host, the default port and a slash at the end do not make another account."""

    async def main(client, emulator):
        await run(client.bulk.create(keyed(2), journal=journal))
        settings = emulator.settings | {"base_url": "http://LOCALHOST:80/"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=emulator.app)) as http:
            async with ServiceClient(Config(**settings), http_client=http) as second:
                assert second.bulk.create(keyed(2), journal=journal).plan().done == 2

    play(main)
