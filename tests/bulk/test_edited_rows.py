"""Rows that were edited between two runs: none stops a run, and none that may have been applied is sent again."""

import re

import attrs
import pytest
from bulk.samples import changed, keyed, run, tickets, titles

from lsq_service_async import BulkRow, InvalidRequestError, LSQServiceError, TicketUpdate
from lsq_service_async.bulk import State, resolve, states_in
from lsq_service_async.bulk.journal import match_rows
from lsq_service_async.emulator.faults import AnswerLost, Serve, Status

REFUSED, UNKNOWN, APPLIED = Status(400), AnswerLost(), Serve()
AS_TICKET_1 = "was created as ticket 1, and now has other content; change the ticket with an update, or restore the row"
IN_DOUBT = "may have been applied by an earlier run, and now has other content; restore the row, and decide"
NOT_APPLIED = "was not applied by an earlier run, and now has other content; to send the new content, use retry_failed"


def without_key(row):
    return BulkRow(None, row.ticket)


async def outcomes_of(job):
    return {outcome.key: outcome for outcome in await run(job)}


@pytest.mark.parametrize(
    ("fault", "retry", "state", "number", "words"),
    [
        (APPLIED, False, "failed", "1", AS_TICKET_1),
        (APPLIED, True, "failed", "1", AS_TICKET_1),
        (UNKNOWN, True, "unknown", None, IN_DOUBT),
        (REFUSED, False, "failed", None, NOT_APPLIED),
    ],
    ids=["applied", "applied, retry", "unknown, retry", "refused"],
)
def test_an_edited_row_does_not_stop_the_run(play, journal, fault, retry, state, number, words):
    """An edited row is not sent, not even by "resend", and its entry does not change. The other rows are created."""

    async def main(client, emulator):
        emulator.faults.add(fault)
        row, *others = keyed(3)
        await run(client.bulk.create([row], journal=journal))
        before = states_in(journal)
        job = client.bulk.create([changed(row), *others], journal=journal, retry_failed=retry, on_unknown="resend")
        outcomes = await outcomes_of(job)
        edited = outcomes.pop("key-0")
        assert {outcome.state for outcome in outcomes.values()} == {"created"}
        assert (edited.state, edited.receipt and edited.receipt.number) == (state, number)
        assert isinstance(edited.error, InvalidRequestError)
        assert re.search(words, str(edited.error))
        assert states_in(journal)[State.DONE] == before.get(State.DONE, 0) + 2
        assert "row 0, edited" not in titles(emulator)
        [restored] = await run(client.bulk.create([row], journal=journal))
        assert restored.state == ("skipped" if number else state)

    play(main)


def test_an_unknown_row_that_was_edited_stops_a_run_that_stops_at_unknown_rows(play, journal):
    """``on_unknown="stop"`` does not depend on the content."""

    async def main(client, emulator):
        emulator.faults.add(UNKNOWN)
        [row] = keyed(1)
        await run(client.bulk.create([row], journal=journal))
        with pytest.raises(LSQServiceError, match="may have been applied by an earlier run"):
            await run(client.bulk.create([changed(row)], journal=journal, on_unknown="stop"))

    play(main)


def test_an_edited_update_names_its_ticket(play, journal):
    """A second update cannot create a duplicate, so a new row is suggested. A number that is not known is not named."""

    async def main(client, emulator):
        await run(client.bulk.create(tickets(1), journal=journal.with_name("creates")))
        row = BulkRow("k", TicketUpdate(status="x"), target="1")
        await run(client.bulk.update([row], journal=journal))
        edited = BulkRow("k", TicketUpdate(status="y"), target="1")
        [outcome] = await run(client.bulk.update([edited], journal=journal))
        text = "Row 'k' was applied to ticket 1, and now has other content; restore the row, or add a new row."
        assert (outcome.state, str(outcome.error)) == ("failed", text)
        emulator.faults.add(UNKNOWN)
        [row] = keyed(1)
        await run(client.bulk.create([row], journal=journal.with_name("creates")))
        resolve(journal.with_name("creates"), applied={"key-0": None})
        [outcome] = await run(client.bulk.create([changed(row)], journal=journal.with_name("creates")))
        assert (outcome.receipt, "as a ticket whose number is not known" in str(outcome.error)) == (None, True)

    play(main)


def test_a_retry_sends_an_edited_row_under_its_key(play, journal):
    """A row may be edited more than once. Its last and its first content are then reported as the same row."""

    async def main(client, emulator):
        emulator.faults.add(Status(400, times=3))
        [row] = keyed(1)
        twice = changed(changed(row))
        for given in (row, changed(row), row):
            [failed] = await run(client.bulk.create([given], journal=journal, retry_failed=True))
            assert failed.state == "failed"
        for given in (row, twice):
            [failed] = await run(client.bulk.create([given], journal=journal))
            assert failed.state == "failed"
        [made] = await run(client.bulk.create([twice], journal=journal, retry_failed=True))
        assert (made.state, titles(emulator)) == ("created", ["row 0, edited, edited"])
        for given, state in ((row, "skipped"), (twice, "skipped"), (changed(row), "failed")):
            [outcome] = await run(client.bulk.create([given], journal=journal, retry_failed=True))
            assert (outcome.state, outcome.receipt.number) == (state, made.receipt.number)
        assert states_in(journal) == {State.DONE: 1}

    play(main)


def test_a_row_that_became_unknown_after_it_was_edited_is_not_sent_with_its_first_content(play, journal):
    """A decision to send it again is about the content that may have been applied."""

    async def main(client, emulator):
        emulator.faults.add(Status(400), UNKNOWN)
        [row] = keyed(1)
        await run(client.bulk.create([row], journal=journal))
        await run(client.bulk.create([changed(row)], journal=journal, retry_failed=True))
        [first] = await run(client.bulk.create([row], journal=journal, retry_failed=True, on_unknown="resend"))
        assert (first.state, titles(emulator)) == ("unknown", ["row 0, edited"])

    play(main)


def test_an_edited_row_without_a_key_is_a_new_row(play, journal):
    """The key of such a row is its content."""

    async def main(client, emulator):
        emulator.faults.add(REFUSED)
        await run(client.bulk.create(tickets(1), journal=journal))
        await run(client.bulk.create(tickets(1, start=7), journal=journal, retry_failed=True))
        assert (titles(emulator), states_in(journal)) == (["row 7"], {State.FAILED: 1, State.DONE: 1})

    play(main)


@pytest.mark.parametrize("fault", [APPLIED, UNKNOWN, REFUSED], ids=["applied", "unknown", "refused"])
def test_a_row_that_lost_its_key_is_not_sent(play, journal, fault):
    """A row without its key fails under that key, with its ticket number. With the key, the run continues as before."""

    async def main(client, emulator):
        emulator.faults.add(fault)
        first, *others = keyed(3)
        await run(client.bulk.create([first, *others], journal=journal))
        made = titles(emulator)
        outcomes = await outcomes_of(client.bulk.create([without_key(first), *others], journal=journal))
        [(_, entry, dry)] = match_rows(journal, [without_key(first)])
        lost = outcomes["key-0"]
        assert (lost.state, entry.key) == ("unknown" if fault is UNKNOWN else "failed", "key-0")
        assert str(lost.error) == dry
        assert dry.endswith("; the input has a row with this content, but without the key: restore the key.")
        assert (lost.receipt is not None) == (fault is APPLIED)
        assert titles(emulator) == made
        assert len(outcomes) == 3

    play(main)


def test_equal_rows_of_one_input_are_not_taken_for_rows_that_lost_their_key(play, journal):
    """A row without a key is rejected only for a key of the journal that is not in the input, once for each key."""
    [row] = keyed(1)
    other = attrs.evolve(row, key="other")

    async def states(client, *rows):
        return [outcome.state for outcome in await run(client.bulk.create(rows, journal=journal))]

    async def main(client, emulator):
        assert await states(client, row, without_key(row), without_key(row)) == ["created"] * 3
        assert await states(client, row, *[without_key(row)] * 3) == ["skipped"] * 3 + ["created"]
        assert await states(client, other, *[without_key(row)] * 4) == ["skipped"] * 3 + ["failed", "created"]
        assert (
            await states(client, *[without_key(row)] * 4, row, other) == ["skipped"] * 3 + ["failed"] + ["skipped"] * 2
        )
        assert len(emulator.tickets) == 5

    play(main)
