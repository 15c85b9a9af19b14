"""The journal of one run: rows are registered, marked in flight and recorded, and every commit is shared."""

import asyncio
import os
import shutil
import sqlite3
import time

import pytest
from bulk.samples import ACCOUNT, registered, watch_commits

from lsq_service_async import (
    BadRequestError,
    BulkRow,
    InvalidRequestError,
    LSQServiceError,
    NewTicket,
    NotSentError,
    PermissionDeniedError,
    ServerError,
    TicketReceipt,
    TicketUpdate,
)
from lsq_service_async.bulk import State, row_of, states_in
from lsq_service_async.bulk.journal import Journal


def row(key, title=None):
    return row_of(BulkRow(key, NewTicket(lead_id="45b5", title=title or key)))


async def opened(path):
    journal = Journal(path, "created", ACCOUNT)
    await journal.open()
    return journal


def copied(path, *, with_journal=True):
    """Copy a journal and its side file, as the death of its process would leave them."""
    copy = path.with_name("copy.sqlite")
    shutil.copy(path, copy)
    if with_journal:
        shutil.copy(path.with_name(path.name + "-journal"), copy.with_name(copy.name + "-journal"))
    return copy


def stored(path, columns="digest, state"):
    database = sqlite3.connect(path)
    found = database.execute(f"SELECT {columns} FROM rows ORDER BY key").fetchall()
    database.close()
    return found


async def test_an_intent_is_on_disk_when_it_returns(journal):
    """After mark_in_flight a process that opens the file finds the row, and takes it for unknown."""
    first = await opened(journal)
    entry = await registered(first, row("key"))
    assert (entry.state, states_in(journal)) == (State.PENDING, {})
    marked = await first.mark_in_flight(entry)
    assert states_in(journal) == {State.IN_FLIGHT: 1}
    after_a_crash = await opened(copied(journal))
    assert (await registered(after_a_crash, row("key"))).state is State.UNKNOWN
    await after_a_crash.aclose()
    receipt = TicketReceipt(number="7", ticket_id="g", key="#007")
    await first.record(marked, State.DONE, receipt=receipt)
    await first.aclose()
    assert states_in(journal) == {State.DONE: 1}
    second = await opened(journal)
    entry = await registered(second, row("key"))
    assert (entry.state, entry.receipt) == (State.DONE, receipt)
    await second.aclose()


async def test_a_known_row_writes_nothing(journal, monkeypatch):
    """Registering rows makes no commit and leaves no transaction open, so a resume costs the disk nothing."""
    first = await opened(journal)
    for number in range(5):
        await first.record(await registered(first, row(f"key-{number}")), State.DONE, receipt=TicketReceipt(number="1"))
    await first.aclose()
    before = journal.read_bytes()
    commits = []
    watch_commits(monkeypatch, commits.append)
    second = await opened(journal)
    for number in range(5):
        await registered(second, row(f"key-{number}"))
        other = sqlite3.connect(journal, timeout=0)  # would fail while a transaction is open
        other.execute("BEGIN EXCLUSIVE")
        other.close()
    await second.aclose()
    assert (commits, journal.read_bytes()) == ([], before)


async def test_intents_and_results_that_wait_share_a_commit(journal, monkeypatch):
    """Twenty rows at once need a few commits and not forty, and every one of them is durable."""
    run = await opened(journal)
    commits = []

    def slow(number):
        commits.append(number)
        time.sleep(0.02)

    watch_commits(monkeypatch, slow)
    await run.aclose()
    run = await opened(journal)

    async def send(number):
        entry = await run.mark_in_flight(await registered(run, row(f"key-{number}")))
        assert ("in_flight",) in stored(journal, "state")
        await run.record(entry, State.DONE, receipt=TicketReceipt(number=str(number)))

    await asyncio.gather(*map(send, range(20)))
    assert 2 <= len(commits) <= 8
    assert stored(journal, "state") == [("done",)] * 20
    await run.aclose()


async def test_a_failed_commit_fails_its_whole_group(journal, monkeypatch):
    """If the disk is full, no row of the group has an intent, each caller gets an error, and later calls fail too."""
    run = await opened(journal)
    await run.record(await registered(run, row("before")), State.DONE, receipt=TicketReceipt(number="1"))
    await run.aclose()

    def full(number):
        if number == 2:
            raise sqlite3.OperationalError("database or disk is full")

    watch_commits(monkeypatch, full)
    run = await opened(journal)
    entries = [await registered(run, row(f"key-{number}")) for number in range(4)]
    first = asyncio.create_task(run.mark_in_flight(entries[0]))
    await asyncio.sleep(0)
    errors = await asyncio.gather(*map(run.mark_in_flight, entries[1:]), return_exceptions=True)
    await first
    assert [type(error) for error in errors] == [LSQServiceError] * 3
    assert len(set(map(id, errors))) == 3
    assert all("so no more rows are sent: database or disk is full" in str(error) for error in errors)
    with pytest.raises(LSQServiceError, match="so no more rows are sent"):
        await registered(run, row("after"))
    await run.aclose()
    assert states_in(journal) == {State.DONE: 1, State.IN_FLIGHT: 1}
    after = await opened(journal)
    assert (await registered(after, row("key-1"))).state is State.PENDING
    await after.aclose()


async def test_a_cancelled_caller_does_not_stop_a_commit(journal, monkeypatch):
    """An intent whose caller is cancelled is stored with its group, and nothing is logged if the commit fails."""
    run = await opened(journal)
    caller = asyncio.create_task(run.mark_in_flight(await registered(run, row("key"))))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await run.aclose()
    assert states_in(journal) == {State.IN_FLIGHT: 1}


async def test_a_send_is_stored_with_its_reference_time_and_number_range(journal):
    """The row has the reference, the time, and the highest ticket number that was known before the first send."""
    run = await opened(journal)
    await run.record(await registered(run, row("a")), State.DONE, receipt=TicketReceipt(number="41"))
    await run.record(await registered(run, row("b")), State.DONE, receipt=TicketReceipt(number="not a number"))
    before = time.time()
    marked = await run.mark_in_flight(await registered(run, row("c")), "reference-1")
    await run.record(marked, State.UNKNOWN, error=LSQServiceError("x"))
    await run.aclose()
    run = await opened(journal)
    await run.record(await registered(run, row("d")), State.DONE, receipt=TicketReceipt(number="57"))
    again = await registered(run, row("c"))
    assert (again.reference, again.above, again.error) == ("reference-1", 41, "LSQServiceError")
    assert before <= again.sent_at <= time.time()
    resent = await run.mark_in_flight(again, "reference-2")
    assert (resent.reference, resent.above) == ("reference-2", 41)
    failed = await registered(run, row("e"))
    await run.record(failed, State.PENDING, error=NotSentError("x", reference="reference-3"))
    await run.aclose()
    assert stored(journal, "key, reference, above")[-3:] == [
        ("c", "reference-2", 41),
        ("d", None, None),
        ("e", "reference-3", None),
    ]


async def test_a_receipt_with_broken_text_is_stored(journal):
    """Half a surrogate pair in an answer does not stop a run after the ticket was created."""
    run = await opened(journal)
    await run.record(await registered(run, row("key")), State.DONE, receipt=TicketReceipt(number="7", key="#\ud800"))
    await run.aclose()
    assert stored(journal, "number, ticket_key") == [("7", "#?")]


@pytest.mark.parametrize(
    ("error", "ticket", "summary"),
    [
        (
            BadRequestError(
                "CANARY", status_code=400, exception_type="MXFieldException", reason="'CANARY' is no value of DueDate"
            ),
            NewTicket(),
            "BadRequestError, status 400, MXFieldException, field DueDate",
        ),
        (
            ServerError(
                "x", status_code=500, exception_type="CANARY, of 5", reason="Type of CustomData.SRC_1 is wrong"
            ),
            NewTicket(),
            "ServerError, status 500, field CustomData.SRC_1",
        ),
        (PermissionDeniedError("title", status_code=403), NewTicket(), "PermissionDeniedError, status 403"),
        (InvalidRequestError("due_date: CANARY"), TicketUpdate(), "InvalidRequestError, field due_date"),
        (InvalidRequestError("CANARY"), None, "InvalidRequestError"),
    ],
)
async def test_a_failed_row_keeps_status_type_and_field_but_no_text(journal, error, ticket, summary):
    """The next run reports them. The text of the service may quote a customer, so it is not stored."""
    run = await opened(journal)
    entry = await registered(run, row("key"))
    await run.record(entry, State.FAILED, error=error, ticket=ticket)
    await run.record(await registered(run, row("other")), State.UNKNOWN, error=error, ticket=ticket)
    await run.aclose()
    assert stored(journal, "error") == [(summary,), (type(error).__name__,)]
    assert b"CANARY" not in journal.read_bytes()


async def test_a_possible_duplicate_is_kept(journal):
    """The mark of a receipt is there in the next run."""
    run = await opened(journal)
    receipt = TicketReceipt(number="7", possible_duplicate=True)
    await run.record(await registered(run, row("key")), State.DONE, receipt=receipt)
    await run.aclose()
    run = await opened(journal)
    entry = await registered(run, row("key"))
    assert (entry.possible_duplicate, entry.receipt) == (True, receipt)
    await run.aclose()


@pytest.mark.parametrize("state", [State.FAILED, State.PENDING])
async def test_edited_content_is_stored_with_its_intent(journal, state):
    """Until the intent is stored, the journal has the first content."""
    first = await opened(journal)
    await first.record(await registered(first, row("key")), state, error=LSQServiceError("x"))
    await first.aclose()
    second = await opened(journal)
    edited = row("key", "edited")
    entry = await registered(second, edited, edited=True)
    assert (entry.state, entry.error) == (State.PENDING, None)
    assert stored(journal) == [(row("key").digest, state.value)]
    await second.mark_in_flight(entry)
    assert stored(journal) == [(edited.digest, "in_flight")]
    await second.aclose()


async def test_keys_are_unique_in_one_input(journal):
    """A key that the input has twice is an error, even if a row without a key would get the same key."""
    twin = row_of(NewTicket(lead_id="45b5", title="same"))
    run = await opened(journal)
    keys = [(await registered(run, twin)).key for _ in range(3)]
    assert keys == [twin.digest, f"{twin.digest}-2", f"{twin.digest}-3"]
    for key in ("key", f"{twin.digest}-4"):
        await registered(run, row(key))
    for again in (row("key"), row(twin.digest), row(keys[1]), twin):
        with pytest.raises(InvalidRequestError, match="twice"):
            await registered(run, again)
    await run.aclose()


async def test_a_journal_that_is_not_open_says_so(journal):
    """Before `open` and after `aclose` every use is an error, and closing again is not."""
    run = Journal(journal, "created", ACCOUNT)
    with pytest.raises(LSQServiceError, match="closed"):
        await registered(run, row("key"))
    await run.aclose()
    with pytest.raises((LSQServiceError, RuntimeError)):
        await registered(run, row("other"))


async def test_a_journal_holds_no_content_and_only_its_owner_may_read_it(journal):
    """No text of a ticket is in any file of the folder, and every one of them has mode 0600."""
    run = await opened(journal)
    secret = row_of(BulkRow("key", NewTicket(lead_id="45b5", title="CANARY", fields={"CustomData.X": "CANARY"})))
    marked = await run.mark_in_flight(await registered(run, secret))
    await run.record(marked, State.FAILED, error=LSQServiceError("CANARY"))
    files = list(journal.parent.iterdir())
    assert {file.name for file in files} == {journal.name, f"{journal.name}-journal", f"{journal.name}.lock"}
    assert {os.stat(file).st_mode & 0o777 for file in files} == {0o600}
    content = b"".join(file.read_bytes() for file in files)
    assert b"key" in content
    assert b"CANARY" not in content
    await run.aclose()
    assert list(journal.parent.iterdir()) == [journal]
