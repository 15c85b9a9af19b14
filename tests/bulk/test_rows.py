"""Rows of a bulk run: keys, digests and attachments."""

import asyncio
import io
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import attrs
import pytest
from bulk.samples import run

from lsq_service_async import Attachment, BulkRow, InvalidRequestError, NewTicket, TicketReceipt
from lsq_service_async import Status as TicketStatus
from lsq_service_async.bulk.rows import digest_of, row_of, rows_of

UTC_NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LEAD = UUID("45b5fded-e696-45a6-9fbb-c6af6178229e")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (NewTicket(lead_id="x", status="Open"), NewTicket(lead_id="x", status=TicketStatus.OPEN)),
        (NewTicket(lead_id=str(LEAD)), NewTicket(lead_id=LEAD)),
        (
            NewTicket(lead_id="x", due_date=UTC_NOON),
            NewTicket(lead_id="x", due_date=UTC_NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))),
        ),
        (
            NewTicket(lead_id="x", fields={"a": "1", "b": TicketStatus.OPEN}),
            NewTicket(lead_id="x", fields={"b": "Open", "a": "1"}),
        ),
    ],
    ids=["enum", "uuid", "zone", "fields"],
)
def test_tickets_that_are_sent_alike_are_one_row(play, journal, one, other):
    """Two tickets with the same JSON get the same key, even if their values have different types."""

    async def main(client, emulator):
        await run(client.bulk.create([one], journal=journal))
        [outcome] = await run(client.bulk.create([other], journal=journal))
        assert (outcome.state, len(emulator.tickets)) == ("skipped", 1)

    play(main)


def test_a_default_is_not_a_part_of_a_row():
    """A later version with more fields recognises the rows of an earlier one."""
    wider = attrs.make_class("NewTicket", {"novelty": attrs.field(default=None)}, bases=(NewTicket,), kw_only=True)
    assert digest_of(wider(lead_id="x")) == digest_of(NewTicket(lead_id="x"))
    assert digest_of(wider(lead_id="x", novelty="y")) != digest_of(NewTicket(lead_id="x"))


def test_a_number_of_thousands_of_digits_is_refused():
    """Python does not write it as text."""
    with pytest.raises(InvalidRequestError, match="The values of the row with the key 'k' cannot be used"):
        row_of(BulkRow("k", NewTicket(lead_id="x", fields={"X": 10**5000})))


@pytest.mark.parametrize("given", ["photo.jpg", b"data", Path("photo.jpg"), io.BytesIO(b"data"), bytearray(), 5])
def test_the_files_of_a_row_are_a_list(given):
    """One file that is not in a list is refused, as in a single call."""
    with pytest.raises(InvalidRequestError, match="attachments must be a list"):
        BulkRow("k", NewTicket(lead_id="x"), given)
    assert BulkRow("k", NewTicket(lead_id="x"), None).attachments == ()


def test_a_digest_covers_the_whole_row(tmp_path):
    """Another field, target or file gives another digest, and the order of fields does not matter."""
    base = NewTicket(lead_id="a", title="t", fields={"x": 1, "y": 2})
    file = tmp_path / "f.txt"
    file.write_bytes(b"1")
    others = [
        digest_of(base),
        digest_of(NewTicket(lead_id="b", title="t", fields={"x": 1, "y": 2})),
        digest_of(NewTicket(lead_id="a", title="t", fields={"x": "1", "y": 2})),
        digest_of(base, target="1"),
        digest_of(base, files=[file]),
        digest_of(base, files=[Attachment.from_bytes(b"x", name="f.txt")]),
        digest_of(base, files=[Attachment.from_bytes(b"xy", name="f.txt")]),
    ]
    assert len(set(others)) == len(others)
    assert row_of(BulkRow("1", base, [("f.txt", b"xy")])).digest == others[-1]
    assert digest_of(base) == digest_of(NewTicket(title="t", lead_id="a", fields={"y": 2, "x": 1}))
    for same in (TicketReceipt(number="1"), 1, "#001"):
        assert digest_of(base, target=same) == digest_of(base, target="1")


async def test_a_digest_does_not_change_when_a_stream_is_read():
    """The length of a stream is known only after it was read, so it is not a part of the digest."""

    async def chunks():
        yield b"abc"

    file = Attachment.from_async_iterable(chunks(), name="a.txt")
    before = digest_of(NewTicket(lead_id="45b5"), None, [file])
    await file
    assert digest_of(NewTicket(lead_id="45b5"), None, [file]) == before


@pytest.mark.parametrize("is_async", [False, True])
async def test_other_tasks_run_between_the_rows_of_a_source_that_blocks(is_async):
    """A generator that takes long for each row does not keep the loop until it ends, nor an async one without await."""
    turns = []

    def rows():
        for number in range(3):
            turns.append("row")
            yield NewTicket(lead_id="45b5", title=str(number))

    async def async_rows():
        for row in rows():
            yield row

    async def other():
        while True:
            turns.append("other")
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert len([row async for row in rows_of(async_rows() if is_async else rows())]) == 3
    task.cancel()
    assert turns == ["row", "other", "row", "other", "row", "other"]
