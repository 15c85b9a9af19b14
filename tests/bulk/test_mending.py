"""A row that failed may come mended, with other content under its key, if it was certainly not applied."""

import pytest
from bulk.samples import changed, keyed, lost, run, tickets, titles

from lsq_service_async import InvalidRequestError
from lsq_service_async.bulk import State, Summary, states_in
from lsq_service_async.emulator.faults import AnswerLost, Serve, Status


def test_a_mended_row_is_sent_under_its_key_by_a_retry(play, journal):
    """It was certainly not applied. Without a retry it stops the run, which says so; once it is done it is skipped, and
    so is the row that it was, for the input that both came from may run again."""

    async def main(client, emulator):
        emulator.faults.add(Status(400))
        [row] = keyed(1)
        await run(client.bulk.create([row], journal=journal))
        with pytest.raises(InvalidRequestError, match=r"'key-0' has other content .* did not apply it.* retry_failed"):
            await run(client.bulk.create([changed(row)], journal=journal))
        assert emulator.tickets == {}
        [made] = await run(client.bulk.create([changed(row)], journal=journal, retry_failed=True))
        assert (made.state, titles(emulator)) == ("created", ["row 0, mended"])
        for again in (row, changed(row)):
            [skipped] = await run(client.bulk.create([again], journal=journal, retry_failed=True))
            assert (skipped.state, skipped.receipt.number) == ("skipped", made.receipt.number)
        assert states_in(journal) == {State.DONE: 1}

    play(main)


def test_a_mended_row_that_fails_again_may_be_mended_again(play, journal):
    """The journal knows its last content and its first: both are reported as failed, and neither stops a run."""

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
        assert titles(emulator) == ["row 0, mended, mended"]

    play(main)


def test_a_mended_row_may_get_its_first_content_back(play, journal):
    """What a retry sends is what is given now."""

    async def main(client, emulator):
        emulator.faults.add(Status(400, times=2))
        [row] = keyed(1)
        for given in (row, changed(row), row):
            await run(client.bulk.create([given], journal=journal, retry_failed=True))
        assert titles(emulator) == ["row 0"]
        with pytest.raises(InvalidRequestError, match="which applied it"):
            await run(client.bulk.create([changed(row)], journal=journal, retry_failed=True))

    play(main)


@pytest.mark.parametrize(
    ("fault", "words"), [(Serve(), "which applied it"), (AnswerLost(), "which may have applied it")]
)
def test_what_was_or_may_have_been_applied_is_never_mended(play, journal, fault, words):
    """A retry stops there, too."""

    async def main(client, emulator):
        emulator.faults.add(fault)
        [row] = keyed(1)
        await run(client.bulk.create([row], journal=journal))
        with pytest.raises(InvalidRequestError, match=words):
            await run(client.bulk.create([changed(row)], journal=journal, retry_failed=True, on_unknown="resend"))
        assert titles(emulator) == ["row 0"]

    play(main)


def test_a_row_that_is_unknown_since_it_was_mended_is_not_sent_as_it_was(play, journal):
    """Not even by the word that it is to be sent again: that was said of other content."""

    async def main(client, emulator):
        emulator.faults.add(Status(400), lost())
        [row] = keyed(1)
        await run(client.bulk.create([row], journal=journal))
        await run(client.bulk.create([changed(row)], journal=journal, retry_failed=True))
        with pytest.raises(InvalidRequestError, match="may have applied it"):
            await run(client.bulk.create([row], journal=journal, retry_failed=True, on_unknown="resend"))
        assert titles(emulator) == ["row 0, mended"]

    play(main)


def test_a_key_that_comes_twice_is_no_mended_row(play, journal):
    """Although the first of them has failed in this run."""

    async def main(client, emulator):
        emulator.faults.add(Status(400))
        [row] = keyed(1)
        with pytest.raises(InvalidRequestError, match="twice"):
            await run(client.bulk.create([row, changed(row)], journal=journal, retry_failed=True))
        assert emulator.tickets == {}

    play(main)


def test_a_mended_row_without_a_key_is_a_new_one(play, journal):
    """In the same journal: the key of a row without one is its content."""

    async def main(client, emulator):
        emulator.faults.add(Status(400))
        await run(client.bulk.create(tickets(1), journal=journal))
        retried = client.bulk.create(tickets(1, start=7), journal=journal, retry_failed=True)
        await run(retried)
        assert (retried.summary(), titles(emulator)) == (Summary(created=1), ["row 7"])
        assert states_in(journal) == {State.FAILED: 1, State.DONE: 1}

    play(main)
