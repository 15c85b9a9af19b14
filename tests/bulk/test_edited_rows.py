"""A row that was certainly not applied may have other content under its key in the next run."""

import pytest
from bulk.samples import changed, keyed, lost, run, tickets, titles

from lsq_service_async import InvalidRequestError
from lsq_service_async.bulk import State, Summary, states_in
from lsq_service_async.emulator.faults import AnswerLost, Serve, Status


def test_an_edited_row_is_sent_under_its_key_by_a_retry(play, journal):
    """Without a retry it stops the run. Once it is done, its old and its new content are skipped."""

    async def main(client, emulator):
        emulator.faults.add(Status(400))
        [row] = keyed(1)
        await run(client.bulk.create([row], journal=journal))
        with pytest.raises(InvalidRequestError, match=r"'key-0' has changed .* not applied.* retry_failed"):
            await run(client.bulk.create([changed(row)], journal=journal))
        assert emulator.tickets == {}
        [made] = await run(client.bulk.create([changed(row)], journal=journal, retry_failed=True))
        assert (made.state, titles(emulator)) == ("created", ["row 0, edited"])
        for again in (row, changed(row)):
            [skipped] = await run(client.bulk.create([again], journal=journal, retry_failed=True))
            assert (skipped.state, skipped.receipt.number) == ("skipped", made.receipt.number)
        assert states_in(journal) == {State.DONE: 1}

    play(main)


def test_an_edited_row_that_fails_again_may_be_edited_again(play, journal):
    """Its first and its last content are reported as failed, and neither stops a run."""

    async def main(client, emulator):
        emulator.faults.add(Status(400, times=2))
        [row] = keyed(1)
        await run(client.bulk.create([row], journal=journal))
        await run(client.bulk.create([changed(row)], journal=journal, retry_failed=True))
        for again in (row, changed(row)):
            [failed] = await run(client.bulk.create([again], journal=journal))
            assert failed.state == "failed"
        twice = changed(changed(row))
        assert [made.state for made in await run(client.bulk.create([twice], journal=journal, retry_failed=True))] == [
            "created"
        ]
        assert [same.state for same in await run(client.bulk.create([row], journal=journal))] == ["skipped"]
        assert titles(emulator) == ["row 0, edited, edited"]

    play(main)


def test_an_edited_row_may_get_its_first_content_back(play, journal):
    """A retry sends the content that it is given."""

    async def main(client, emulator):
        emulator.faults.add(Status(400, times=2))
        [row] = keyed(1)
        for given in (row, changed(row), row):
            await run(client.bulk.create([given], journal=journal, retry_failed=True))
        assert titles(emulator) == ["row 0"]
        with pytest.raises(InvalidRequestError, match="was applied"):
            await run(client.bulk.create([changed(row)], journal=journal, retry_failed=True))

    play(main)


@pytest.mark.parametrize(("fault", "words"), [(Serve(), "was applied"), (AnswerLost(), "may have been applied")])
def test_a_row_that_may_have_been_applied_is_never_sent_with_other_content(play, journal, fault, words):
    """A retry stops at a row that is done or unknown."""

    async def main(client, emulator):
        emulator.faults.add(fault)
        [row] = keyed(1)
        await run(client.bulk.create([row], journal=journal))
        with pytest.raises(InvalidRequestError, match=words):
            await run(client.bulk.create([changed(row)], journal=journal, retry_failed=True, on_unknown="resend"))
        assert titles(emulator) == ["row 0"]

    play(main)


def test_a_row_that_became_unknown_after_it_was_edited_is_not_sent_with_its_first_content(play, journal):
    """A changed row is rejected even with "resend", because that decision was about the earlier content."""

    async def main(client, emulator):
        emulator.faults.add(Status(400), lost())
        [row] = keyed(1)
        await run(client.bulk.create([row], journal=journal))
        await run(client.bulk.create([changed(row)], journal=journal, retry_failed=True))
        with pytest.raises(InvalidRequestError, match="may have been applied"):
            await run(client.bulk.create([row], journal=journal, retry_failed=True, on_unknown="resend"))
        assert titles(emulator) == ["row 0, edited"]

    play(main)


def test_a_key_that_the_input_has_twice_is_not_an_edited_row(play, journal):
    """The second row is refused, although the first one has failed in this run."""

    async def main(client, emulator):
        emulator.faults.add(Status(400))
        [row] = keyed(1)
        with pytest.raises(InvalidRequestError, match="twice"):
            await run(client.bulk.create([row, changed(row)], journal=journal, retry_failed=True))
        assert emulator.tickets == {}

    play(main)


def test_an_edited_row_without_a_key_is_a_new_row(play, journal):
    """The key of such a row is its content."""

    async def main(client, emulator):
        emulator.faults.add(Status(400))
        await run(client.bulk.create(tickets(1), journal=journal))
        retried = client.bulk.create(tickets(1, start=7), journal=journal, retry_failed=True)
        await run(retried)
        assert (retried.summary(), titles(emulator)) == (Summary(created=1), ["row 7"])
        assert states_in(journal) == {State.FAILED: 1, State.DONE: 1}

    play(main)
