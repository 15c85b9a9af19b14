"""The journal: private, exclusive, durable before the first byte, and no place for contents."""

import os
import sqlite3
from contextlib import closing

import pytest

from lsq_service_async import Attachment, BulkRow, ConfigurationError, LSQServiceError, NewTicket, TicketReceipt
from lsq_service_async.bulk import State, states_in
from lsq_service_async.bulk.journal import Entry, Journal
from lsq_service_async.bulk.rows import digest_of, row_of

ROW = row_of(BulkRow("key", NewTicket(lead_id="45b5", title="CANARY title", fields={"CustomData.X": "CANARY"})))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.sqlite"


def copied(path):
    """What the next run would find if this one died now."""
    copy = path.with_name("copy.sqlite")
    for suffix in ("", "-wal"):
        copy.with_name(copy.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    return copy


def on_disk(path):
    database = sqlite3.connect(copied(path))
    found = database.execute("SELECT digest, state FROM rows").fetchone()
    database.close()
    return found


async def test_an_intent_is_on_disk_before_it_returns(path):
    """Another process that opens the file now sees it, and takes it for unknown."""
    journal = Journal(path, "created")
    assert not await journal.open()
    assert (await journal.meet(ROW)).state is State.PENDING
    await journal.intend("key")
    assert states_in(path) == {State.IN_FLIGHT: 1}
    copy = copied(path)
    after_the_crash = Journal(copy, "created")
    assert await after_the_crash.open()
    assert (await after_the_crash.meet(ROW)).state is State.UNKNOWN
    await after_the_crash.aclose()
    await journal.finish("key", State.DONE, TicketReceipt(number="7", ticket_id="g", key="#007"), None)
    await journal.aclose()
    assert states_in(path) == {State.DONE: 1}
    again = Journal(path, "created")
    assert await again.open()
    entry = await again.meet(ROW)
    assert (entry.state, entry.receipt) == (State.DONE, TicketReceipt(number="7", ticket_id="g", key="#007"))
    await again.aclose()


async def test_it_is_for_its_owner_alone(path):
    """0600, and so are the files beside it."""
    journal = Journal(path, "created")
    await journal.open()
    await journal.meet(ROW)
    await journal.intend("key")
    modes = {file.name: os.stat(file).st_mode & 0o777 for file in path.parent.iterdir()}
    assert len(modes) >= 2
    assert set(modes.values()) == {0o600}
    await journal.aclose()


async def test_it_holds_no_contents(path):
    """Keys, digests, states, numbers; not a word of a ticket."""
    journal = Journal(path, "created")
    await journal.open()
    await journal.meet(ROW)
    await journal.intend("key")
    await journal.finish("key", State.FAILED, None, "BadRequestError")
    held = b"".join(file.read_bytes() for file in path.parent.iterdir())
    await journal.aclose()
    assert b"key" in held
    assert b"CANARY" not in held


async def test_one_run_has_it_at_a_time(path):
    """A second one is told; when the first has ended, it may."""
    one, two = Journal(path, "created"), Journal(path, "created")
    await one.open()
    with pytest.raises(ConfigurationError, match="another run"):
        await two.open()
    await one.aclose()
    await two.open()
    await two.aclose()


async def test_it_belongs_to_one_operation(path):
    """What was created is not what is to be updated."""
    journal = Journal(path, "created")
    await journal.open()
    await journal.aclose()
    with pytest.raises(ConfigurationError, match="tickets were created; give this run a journal"):
        await Journal(path, "updated").open()


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be looked at" * 40, b"x"])
async def test_another_file_is_left_alone(path, content):
    """It is named, and not a byte of it is changed."""
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="no journal"):
        await Journal(path, "created").open()
    with pytest.raises(ConfigurationError, match="cannot be read as a journal"):
        states_in(path)
    assert path.read_bytes() == content


async def test_a_torn_file_is_never_taken_for_whole(tmp_path):
    """Cut anywhere, a journal opens with what was committed, or says that it cannot be used; it does not crash."""
    path = tmp_path / "whole.sqlite"
    journal = Journal(path, "created")
    await journal.open()
    for number in range(50):
        row = row_of(BulkRow(f"key-{number}", NewTicket(lead_id="45b5", title=str(number))))
        await journal.meet(row)
        await journal.intend(f"key-{number}")
    whole, wal = path.read_bytes(), path.with_name("whole.sqlite-wal").read_bytes()
    for cut in range(0, len(wal), len(wal) // 40):
        torn = tmp_path / f"torn-{cut}.sqlite"
        torn.write_bytes(whole)
        torn.with_name(torn.name + "-wal").write_bytes(wal[:cut])
        opened = Journal(torn, "created")
        await opened.open()
        await opened.aclose()
        assert set(states_in(torn)) <= {State.UNKNOWN, State.PENDING}
    await journal.aclose()
    damaged = bytearray(path.read_bytes())
    damaged[4096:] = os.urandom(len(damaged) - 4096)
    path.write_bytes(damaged)
    with pytest.raises(LSQServiceError, match="cannot be used"):
        await Journal(path, "created").open()


async def test_a_place_that_cannot_be_written_is_named(tmp_path):
    """Before anything is sent."""
    with pytest.raises(ConfigurationError, match="cannot be written"):
        await Journal(tmp_path / "missing" / "run.sqlite", "created").open()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        await Journal(tmp_path, "created").open()


async def test_a_closed_journal_says_so(path):
    """And closing it again is no error."""
    journal = Journal(path, "created")
    await journal.open()
    await journal.aclose()
    with pytest.raises((LSQServiceError, RuntimeError)):
        await journal.meet(ROW)


async def test_a_journal_that_was_never_opened_says_so(path):
    """And closes without a word."""
    journal = Journal(path, "created")
    with pytest.raises(LSQServiceError, match="closed"):
        await journal.meet(ROW)
    await journal.aclose()


async def test_what_was_only_met_is_kept_when_the_run_ends(path):
    """A row that waited for its turn is pending for the next run."""
    journal = Journal(path, "created")
    await journal.open()
    await journal.meet(ROW)
    await journal.aclose()
    assert states_in(path) == {State.PENDING: 1}
    database = sqlite3.connect(path)
    assert database.execute("SELECT key, digest, number FROM rows").fetchall() == [("key", ROW.digest, None)]
    database.close()


@pytest.mark.parametrize("state", [State.FAILED, State.PENDING])
async def test_mended_content_is_on_disk_with_its_intent(path, state):
    """Not before: until then the row is what it was."""
    first = Journal(path, "created")
    await first.open()
    await first.meet(ROW)
    await first.finish("key", state, None, "BadRequestError")
    await first.aclose()
    mended = row_of(BulkRow("key", NewTicket(lead_id="45b5", title="mended")))
    second = Journal(path, "created")
    await second.open()
    assert (await second.meet(mended, mended=True)) == Entry("key", State.PENDING)
    assert on_disk(path) == (ROW.digest, state.value)
    await second.intend("key")
    assert on_disk(path) == (mended.digest, "in_flight")
    await second.aclose()


async def test_a_database_of_somebody_else_is_left_alone(path):
    """SQLite, but no journal."""
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE rows (theirs)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="no journal"):
        await Journal(path, "created").open()
    assert path.read_bytes() == before


def test_a_digest_says_all_of_a_row(tmp_path):
    """Another field, another target, another file: another digest; the order of fields does not matter."""
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
    assert digest_of(base) == digest_of(NewTicket(title="t", lead_id="a", fields={"y": 2, "x": 1}))
    assert digest_of(base, target=TicketReceipt(number="1")) == digest_of(base, target="1")


async def meet_two(journal):
    for key in "ab":
        await journal.meet(row_of(BulkRow(key, NewTicket(lead_id="45b5", title=key))))


async def test_what_a_failed_commit_took_back_is_not_sent(path):
    """A full disk takes back the rows of others with the one that failed: none of them has an intent any more."""
    journal = Journal(path, "created")
    await journal.open()
    await meet_two(journal)
    roll_back = "BEGIN SELECT RAISE(ROLLBACK, 'full'); END"
    journal._file.database.execute(f"CREATE TEMP TRIGGER full BEFORE UPDATE ON rows WHEN NEW.key = 'b' {roll_back}")
    with pytest.raises(LSQServiceError, match="nothing more is done: full"):
        await journal.intend("b")
    for act in (journal.intend("a"), journal.finish("b", State.DONE, None, None), journal.meet(ROW)):
        with pytest.raises(LSQServiceError, match="nothing more is done: full"):
            await act
    await journal.aclose()
    assert states_in(path) == {}
    again = Journal(path, "created")
    await again.open()
    await meet_two(again)
    await again.aclose()


async def test_a_row_that_is_gone_is_not_sent(path):
    """Whatever took it away: an intent that changes nothing is none."""
    journal = Journal(path, "created")
    await journal.open()
    await meet_two(journal)
    journal._file.database.execute("ROLLBACK")
    with pytest.raises(LSQServiceError, match="the row 'a' is not in the journal"):
        await journal.intend("a")
    await journal.aclose()


async def test_a_row_is_the_same_before_and_after_its_file_was_read():
    """What can be read once tells its length only then."""

    async def chunks():
        yield b"abc"

    file = Attachment.from_async_iterable(chunks(), name="a.txt")
    before = digest_of(NewTicket(lead_id="45b5"), None, [file])
    await file
    assert digest_of(NewTicket(lead_id="45b5"), None, [file]) == before


async def test_a_journal_of_another_version_is_left_alone(path):
    """It says of which."""
    journal = Journal(path, "created")
    await journal.open()
    await journal.aclose()
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE journal SET version = 99")
        database.commit()
    with pytest.raises(ConfigurationError, match="is of version 99; this one is 1"):
        await Journal(path, "created").open()
