"""The file of a journal: creation, lock, account, upgrade, and every damage that must not send a row again."""

import logging
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
from bulk.samples import ACCOUNT, registered, watch_statements

from lsq_service_async import BulkRow, ConfigurationError, LSQServiceError, NewTicket, TicketReceipt
from lsq_service_async.bulk import State, account_in, possible_duplicates_in, resolve, row_of, states_in, unknown_in
from lsq_service_async.bulk._journal_file import Entry, JournalFile, entry_of
from lsq_service_async.bulk.journal import Journal
from lsq_service_async.limits import HostLimiter

VERSION_1 = Path(__file__).with_name("version_1.sql").read_text()


def write(path, *entries, keep_open=False):
    file = JournalFile(path)
    file.open("created", ACCOUNT)
    file.write(entries)
    if keep_open:
        return file
    return file.close()


def open_for_a_run(path):
    file = JournalFile(path)
    return file.open("created", ACCOUNT), file.close()


def entry(number, state="done"):
    return Entry(f"key-{number}", "d" * 32, state, number=str(number))


def side(path, suffix):
    return path.with_name(path.name + suffix)


def make_version_1(path, *statements, killed=True, with_wal=True):
    """A file of version 1 that a run left at its death, or that it closed."""
    source = path.with_name("source")
    database = sqlite3.connect(source)
    database.executescript(VERSION_1)
    for statement in statements:
        database.execute(statement)
    database.commit()
    if not killed:
        database.close()
    shutil.copy(source, path)
    if killed and with_wal:
        shutil.copy(side(source, "-wal"), side(path, "-wal"))
    database.close()
    source.unlink()


def test_a_new_journal_is_complete_before_it_has_its_name(journal, monkeypatch):
    """A process that dies while it creates the file leaves no journal, and the next one starts from nothing."""

    def die(path, target):
        raise KeyboardInterrupt

    rename = os.rename
    monkeypatch.setattr(os, "rename", die)
    with pytest.raises(KeyboardInterrupt):
        JournalFile(journal).open("created", ACCOUNT)
    assert not journal.exists()
    assert [path.name for path in journal.parent.iterdir()] == [f"{journal.name}.new"]
    monkeypatch.setattr(os, "rename", rename)
    write(journal, entry(1))
    assert list(journal.parent.iterdir()) == [journal]
    assert journal.stat().st_mode & 0o777 == 0o600


def test_every_commit_is_durable(journal):
    """The file has a rollback journal that is truncated, and SQLite syncs every commit."""
    file = write(journal, entry(1), keep_open=True)
    with file._use() as database:
        pragmas = ["journal_mode", "synchronous", "fullfsync"]
        assert [database.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas] == ["truncate", 2, 1]
    assert side(journal, "-journal").stat().st_size == 0
    file.close()


def test_a_file_system_without_rollback_journals_is_refused(journal, monkeypatch):
    """The mode that SQLite returns is checked."""
    write(journal, entry(1))
    watch_statements(monkeypatch, lambda sql: "PRAGMA journal_mode = OFF" if sql.endswith("TRUNCATE") else sql)
    with pytest.raises(ConfigurationError, match="rollback journal"):
        JournalFile(journal).open("created", ACCOUNT)


def test_a_journal_that_the_system_does_not_open_is_not_taken_for_another_file(journal, monkeypatch):
    """The reason of the system is in the message."""

    def refuse(statement):
        if statement == "PRAGMA application_id":
            raise sqlite3.OperationalError("unable to open database file")

    write(journal, entry(1))
    watch_statements(monkeypatch, refuse)
    with pytest.raises(ConfigurationError, match="cannot be used: unable to open"):
        states_in(journal)


def test_a_reader_does_not_make_a_commit_fail(journal):
    """A commit waits for a reader, such as a backup."""
    file = write(journal, entry(1), keep_open=True)
    reader = (
        "import sqlite3, sys, time\n"
        "database = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "database.execute('BEGIN'); database.execute('SELECT * FROM rows').fetchall()\n"
        "print('reads', flush=True); time.sleep(0.5)\n"
    )
    with subprocess.Popen([sys.executable, "-c", reader, str(journal)], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        file.write([entry(2)])
    file.close()
    assert states_in(journal) == {State.DONE: 2}


def test_one_run_at_a_time_has_the_file(journal):
    """A second owner is refused in the same process too, without ending the locks of the first one."""
    file = write(journal, entry(1), keep_open=True)
    with file._use() as database:
        database.execute("BEGIN EXCLUSIVE")
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="Another run uses the journal"):
                JournalFile(journal).open("created", ACCOUNT)
        other = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('SELECT * FROM rows')"
        refused = subprocess.run([sys.executable, "-c", other, str(journal)], capture_output=True, text=True)
        assert "database is locked" in refused.stderr
        database.execute("ROLLBACK")
    file.close()
    write(journal, entry(2))


def test_a_folder_that_cannot_be_synced_is_left_as_it_is(journal, monkeypatch):
    """Windows has no descriptors of folders, so only the file is synced."""
    monkeypatch.delattr(os, "O_DIRECTORY")
    write(journal, entry(1))
    assert states_in(journal) == {State.DONE: 1}


def test_a_lock_file_that_a_dead_process_left_is_no_lock(journal):
    """The lock ends with its process, and so does one whose file was removed in the meantime."""
    side(journal, ".lock").write_bytes(b"")
    write(journal, entry(1))
    assert list(journal.parent.iterdir()) == [journal]


@pytest.mark.parametrize("way", ["the lock file is removed", "the file has a second name"])
def test_an_owner_that_is_not_the_only_one_stores_nothing(journal, way):
    """If a second run gets past the lock, the first one fails at its next commit, and so before it sends a row."""
    first, second = write(journal, entry(1), keep_open=True), journal
    if way == "the lock file is removed":
        side(journal, ".lock").unlink()
    else:
        second = journal.with_name("link")
        second.hardlink_to(journal)
    write(second, entry(2, "in_flight"))
    with pytest.raises(LSQServiceError, match="no more rows are sent: another run has changed it"):
        first.write([entry(3, "in_flight")])
    first.close()
    assert states_in(journal) == {State.DONE: 1, State.IN_FLIGHT: 1}


def test_an_owner_that_ends_while_the_lock_is_taken_leaves_it_to_one_other(journal, monkeypatch):
    """A lock on a file that was removed in the same moment does not count, and is taken again on the new file."""
    opened = []
    open_ = os.open

    def open_and_remove(path, *args, **options):
        descriptor = open_(path, *args, **options)
        if str(path).endswith(".lock"):
            opened.append(path)
            if len(opened) == 1:
                os.unlink(path)
        return descriptor

    monkeypatch.setattr(os, "open", open_and_remove)
    file = write(journal, entry(1), keep_open=True)
    assert len(opened) == 2
    with pytest.raises(ConfigurationError, match="Another run"):
        JournalFile(journal).open("created", ACCOUNT)
    file.close()


def test_a_journal_belongs_to_one_operation_and_one_account(journal):
    """Another operation and another account are refused, and the message names both accounts."""
    write(journal, entry(1))
    with pytest.raises(ConfigurationError, match="created"):
        JournalFile(journal).open("updated", ACCOUNT)
    other = "https://service.test, org 11111"
    with pytest.raises(ConfigurationError, match=f"{ACCOUNT}.*{other}"):
        JournalFile(journal).open("created", other)
    assert (account_in(journal), account_in(journal.with_name("none"))) == (ACCOUNT, None)


@pytest.mark.parametrize("content", [b"", b"x", b"not a database, but long enough to look like one" * 40])
def test_a_file_that_is_not_a_journal_is_refused_and_left_alone(journal, content):
    """An empty file is refused too, because a journal that was cut to nothing looks the same."""
    journal.write_bytes(content)
    words = "is not a journal" if content else "it is empty"
    for use in (JournalFile(journal).open, partial(resolve, journal, not_applied=["a"]), partial(states_in, journal)):
        with pytest.raises(ConfigurationError, match=words):
            use()
    assert journal.read_bytes() == content


def test_a_database_of_another_program_is_left_alone(journal):
    """The application id is checked before anything is written."""
    with closing(sqlite3.connect(journal)) as database:
        database.execute("CREATE TABLE rows (key)")
        database.execute("PRAGMA journal_mode = WAL")
    before = journal.read_bytes()
    for use in (JournalFile(journal).open, partial(states_in, journal)):
        with pytest.raises(ConfigurationError, match="is not a journal"):
            use()
    assert journal.read_bytes() == before


@pytest.mark.parametrize(
    "name", [":memory:", "file:run.sqlite", Path("file:run.sqlite"), "", "a\0b", "a\ud800b", b"run.sqlite", 5, None]
)
def test_a_name_that_is_not_the_path_of_a_file_is_refused(name):
    """Some names are not paths, and others have a special meaning for SQLite."""
    for use in (JournalFile, states_in, partial(resolve, not_applied=["a"]), HostLimiter):
        with pytest.raises(ConfigurationError, match="The path of a file is required"):
            use(name)


def test_folders_devices_pipes_and_dangling_links_are_refused(tmp_path):
    """A journal is a regular file."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path, "/dev/null", tmp_path / "pipe", tmp_path / "link"):
        with pytest.raises(ConfigurationError, match="is not a regular file"):
            JournalFile(path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    """A folder that cannot be written raises an error that names it, before anything is sent."""
    with pytest.raises(ConfigurationError, match="cannot be used: No such file"):
        JournalFile(tmp_path / "missing" / "run.sqlite").open("created", ACCOUNT)


@pytest.mark.parametrize("name", ["rows #1.journal", "what?.journal", "100%25.journal"])
def test_a_journal_may_have_any_name(tmp_path, name):
    """Characters with a meaning in a URL have none here."""
    write(tmp_path / name, entry(1))
    assert states_in(tmp_path / name) == {State.DONE: 1}
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_link_leads_to_the_same_lock(tmp_path):
    """Two names of one file are one journal."""
    path, link = tmp_path / "run.sqlite", tmp_path / "link"
    write(path, entry(1))
    link.symlink_to(path)
    file = write(path, entry(2), keep_open=True)
    with pytest.raises(ConfigurationError, match="Another run"):
        JournalFile(link).open("created", ACCOUNT)
    file.close()
    write(link, entry(3))
    assert (states_in(path), link.is_symlink()) == ({State.DONE: 3}, True)


PLANTED = {
    "Other users can write to .*run.sqlite'": lambda path: path.chmod(0o666),
    "Other users can write to .*run.sqlite-journal'": lambda path: plant(f"{path}-journal", 0o620),
    "Other users can write to .*run.sqlite-wal'": lambda path: plant(f"{path}-wal", 0o602),
    "Other users can write to .*run.sqlite.lock'": lambda path: plant(f"{path}.lock", 0o666),
    "run.sqlite.lock' is a symbolic link": lambda path: os.symlink(plant(f"{path}.other", 0o600), f"{path}.lock"),
}


def plant(path, mode):
    path = Path(path)
    path.write_text("precious")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("what", PLANTED)
def test_files_that_another_user_can_change_are_refused(tmp_path, what):
    """A journal is not used if another user could write to it, or to a file next to it, and no link is followed."""
    path = tmp_path / "run.sqlite"
    write(path, entry(1))
    PLANTED[what](path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ConfigurationError, match=what):
        write(path, entry(2))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_journal_of_another_user_is_not_read(tmp_path, monkeypatch):
    """The owner of the file could write to it while a run uses it."""
    write(tmp_path / "run.sqlite", entry(1))
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    for use in (JournalFile, states_in, resolve):
        with pytest.raises(ConfigurationError, match=r"run.sqlite' belongs to the user with the id"):
            use(tmp_path / "run.sqlite")


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) AS version FROM c"


@pytest.mark.parametrize(
    "statement",
    [
        f"CREATE VIEW other AS {ENDLESS}",
        f"ALTER TABLE journal RENAME TO j; CREATE VIEW journal AS {ENDLESS}",
        "CREATE TRIGGER t AFTER INSERT ON rows BEGIN UPDATE rows SET state = 'pending'; END",
    ],
)
def test_views_and_triggers_are_refused_before_they_run(tmp_path, statement):
    """A query of a planted view would not end, and a trigger would change rows."""
    path = tmp_path / "run.sqlite"
    write(path, entry(1))
    with closing(sqlite3.connect(path)) as database:
        database.executescript(statement)
    for use in (lambda path: write(path, entry(2)), states_in, unknown_in, account_in):
        with pytest.raises(ConfigurationError, match="its tables are not"):
            use(path)


def test_a_link_in_the_place_of_a_new_journal_is_replaced(tmp_path):
    """The target of a planted link is not written."""
    (tmp_path / "run.sqlite.new").symlink_to(plant(tmp_path / "other", 0o600))
    write(tmp_path / "run.sqlite", entry(1))
    assert (tmp_path / "other").read_text() == "precious"


@pytest.mark.parametrize("suffix", ["-journal", "-wal"])
def test_a_missing_journal_with_a_full_side_file_is_an_error(journal, suffix):
    """SQLite would apply the side file to the new journal, and the old one is missing by accident."""
    side(journal, suffix).write_bytes(b"x" * 512)
    with pytest.raises(ConfigurationError, match=f"is missing, but .*{suffix}"):
        JournalFile(journal).open("created", ACCOUNT)
    side(journal, suffix).write_bytes(b"")
    write(journal, entry(1))


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE rows SET state = 'pending'", "sum"),
        ("DELETE FROM rows", "sum"),
        ("UPDATE rows SET sent_at = 'never'", "sum"),
        ("UPDATE rows SET digest = CAST(x'ff' AS TEXT)", "UTF-8"),
        ("UPDATE journal SET account = 'another'", "sum"),
        ("UPDATE journal SET sum = sum + 1", "sum"),
        ("UPDATE journal SET sum = 'x'", "sum"),
        ("DELETE FROM journal", "unpack"),
        ("INSERT INTO journal SELECT * FROM journal", "unpack"),
        ("DROP TABLE journal", "no such table"),
        ("DROP TABLE rows", "tables"),
        ("CREATE TRIGGER t AFTER UPDATE ON rows BEGIN DELETE FROM rows; END", "tables"),
        ("CREATE VIEW v AS SELECT * FROM rows", "tables"),
    ],
)
def test_a_change_behind_the_back_of_the_journal_is_an_error(journal, statement, words):
    """The header, the rows and the tables are checked when a run opens the file, and the message contains the fix."""
    write(journal, entry(1), entry(2))
    with closing(sqlite3.connect(journal)) as database:
        database.execute(statement)
        database.commit()
    with pytest.raises(ConfigurationError, match=f"cannot be used: .*{words}.*restore a copy"):
        JournalFile(journal).open("created", ACCOUNT)


def hot(path, entries, more):
    """A copy of a journal whose process died in a commit of ``more`` rows, parts of which are in the file."""
    file = write(path, *entries, keep_open=True)
    copy = path.with_name("hot")
    with file._use() as database:
        database.execute("PRAGMA cache_size = 1")  # changed pages are written to the file before the commit
        database.execute("PRAGMA synchronous = OFF")  # the side file is valid at any moment, and not after a sync
        database.execute("BEGIN IMMEDIATE")
        database.execute("UPDATE journal SET sum = 0")
        database.execute("PRAGMA user_version = 1")
        for new in more:
            database.execute(f"INSERT OR REPLACE INTO rows VALUES ({', '.join('?' * 14)})", new.as_row())
        shutil.copy(path, copy)
        shutil.copy(side(path, "-journal"), side(copy, "-journal"))
        database.execute("ROLLBACK")
    file.close()
    return copy


def test_a_commit_that_was_cut_off_is_rolled_back(journal):
    """With its -journal file the journal has the state before the commit."""
    copy = hot(journal, map(entry, range(200)), [entry(number, "failed") for number in range(100, 300)])
    assert side(copy, "-journal").stat().st_size > 0
    file = JournalFile(copy)
    assert file.open("created", ACCOUNT) == {State.DONE: 200}
    file.close()


def test_a_commit_that_was_cut_off_and_lost_its_side_file_is_an_error(journal):
    """Without the -journal file a part of the commit is in the file, which does not match its sum."""
    copy = hot(journal, map(entry, range(200)), [entry(number, "failed") for number in range(100, 300)])
    side(copy, "-journal").unlink()
    with pytest.raises(ConfigurationError, match="restore a copy"):
        JournalFile(copy).open("created", ACCOUNT)


@pytest.mark.parametrize("first", [states_in, account_in, open_for_a_run], ids=lambda use: use.__name__)
@pytest.mark.parametrize("suffix", ["-journal", "-wal"])
def test_the_side_file_of_another_journal_is_noticed(journal, suffix, first):
    """SQLite applies a side file without a check, so one journal turns into the other. Runs and readers refuse it."""
    if suffix == "-wal":
        make_version_1(other := journal.with_name("other"))
    else:
        other = hot(journal, [entry(1)], [entry(number) for number in range(2, 400)])
    mine = journal.with_name("mine")
    write(mine, entry(1000))
    side(other, suffix).rename(side(mine, suffix))
    for use in (first, states_in, open_for_a_run, open_for_a_run):  # it stays an error
        with pytest.raises(ConfigurationError, match=r"belonged to another journal.*restore a copy"):
            use(mine)


@pytest.mark.parametrize("suffix", ["-journal", "-wal"])
def test_a_foreign_side_file_that_is_recognised_in_time_changes_nothing(journal, suffix):
    """A journal has no -wal file since version 2, and had no -journal file before. Without it the journal opens."""
    if suffix == "-wal":
        make_version_1(other := journal.with_name("other"))
        write(journal, entry(1))
    else:
        other = hot(journal.with_name("other"), [entry(1)], [entry(number) for number in range(2, 400)])
        make_version_1(journal, killed=False)
    states, content = states_in(journal), journal.read_bytes()
    side(other, suffix).rename(side(journal, suffix))
    for use in (open_for_a_run, states_in):
        with pytest.raises(ConfigurationError, match="belonged to another journal"):
            use(journal)
    assert journal.read_bytes() == content
    side(journal, suffix).unlink()
    assert open_for_a_run(journal)[0] == states


def test_a_journal_that_cannot_be_read_when_it_is_closed_is_an_error(journal):
    """SQLite returns text that is not UTF-8 in the message of an error."""
    write(journal, entry(1))
    content = bytearray(journal.read_bytes())
    at = content.index(b"CREATE TABLE rows")
    content[at : at + 6] = b"\xa8REATE"[:6]
    journal.write_bytes(content)
    with pytest.raises(ConfigurationError, match="restore a copy"):
        JournalFile(journal).open("created", ACCOUNT)


def damaged(content, damage, chance):
    content, start = bytearray(content), chance.randrange(len(content))
    if damage == "bytes":
        for _ in range(chance.choice([1, 1, 8, 60])):
            content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
    elif damage == "sector":
        content[start : start + 512] = bytes(len(content[start : start + 512]))
    elif damage == "cut":
        del content[start:]
    return content


SEEDS = [*range(20), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(20, 220))]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_journal_never_loses_a_row_silently(journal, seed):
    """A damaged journal opens with all rows as they were, or raises an error each time, even if it was read before."""
    chance = random.Random(seed)
    damage = chance.choice(["nothing", "bytes", "sector", "cut", "side file removed", "side file of another journal"])
    other = hot(journal.with_name("other"), [entry(1)], [entry(number) for number in range(2, 400)])
    foreign = side(other, "-journal").read_bytes()
    entries = list(map(entry, range(chance.choice([3, 60, 300]))))
    source = journal
    if chance.random() < 0.5:
        source = hot(journal, entries, [entry(number, "failed") for number in range(100)])
    else:
        write(journal, *entries)
    if "side file" in damage:
        side(source, "-journal").unlink(missing_ok=True)
        if damage == "side file of another journal":
            side(source, "-journal").write_bytes(foreign)
    else:
        target = chance.choice([path for path in (source, side(source, "-journal")) if path.exists()])
        target.write_bytes(damaged(target.read_bytes(), damage, chance))
    for read in (states_in, unknown_in, possible_duplicates_in, account_in) if chance.random() < 0.5 else ():
        with suppress(ConfigurationError):
            read(source)
    for _ in range(2):
        file = JournalFile(source)
        with suppress(ConfigurationError):
            file.open("created", ACCOUNT)
            assert [file.query(entry_of, item.key) for item in entries] == entries
            file.close()


# --- version 1 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("killed", [True, False])
async def test_a_journal_of_version_1_is_upgraded(journal, caplog, killed):
    """The next run keeps every row, takes rows in flight for unknown, and stores the account, with one warning."""
    make_version_1(journal, *["UPDATE rows SET state = 'in_flight' WHERE key = 'pending'"] * killed, killed=killed)
    assert (account_in(journal), possible_duplicates_in(journal)) == (None, {})
    unknown = {"unknown": "OutcomeUnknownError"}
    assert unknown_in(journal) == unknown | ({"pending": "RateLimitError"} if killed else {})
    run = Journal(journal, "created", ACCOUNT)
    states = await run.open()
    assert states == {State.DONE: 3, State.FAILED: 2, State.UNKNOWN: 2 if killed else 1} | (
        {} if killed else {State.PENDING: 1}
    )
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert (warning.name, ACCOUNT in warning.getMessage()) == ("lsq_service_async", True)

    def row(key, title):
        return row_of(BulkRow(key, NewTicket(lead_id="45b5", title=title)))

    twin = row_of(NewTicket(lead_id="45b5", title="twin"))
    numbers = [(await registered(run, twin)).receipt.number for _ in range(2)]
    assert numbers == ["2", "3"]
    assert (await registered(run, row("done", "done"))).receipt == TicketReceipt(
        number="1", ticket_id="0598dd6c-6c71-4ac4-912b-844e07df5312", key="#001"
    )
    edited = await registered(run, row("edited", "first"))
    assert (edited.state, edited.error, edited.digest) == (
        State.FAILED,
        "BadRequestError",
        row("edited", "second").digest,
    )
    marked = await run.mark_in_flight(await registered(run, row("new", "new")))
    assert marked.above is None  # people may have given the numbers of version 1
    await run.aclose()
    assert list(journal.parent.iterdir()) == [journal]
    caplog.clear()
    write(journal)
    assert account_in(journal) == ACCOUNT
    assert not [record for record in caplog.records if record.levelno == logging.WARNING]
    with pytest.raises(ConfigurationError, match="org 11111"):
        JournalFile(journal).open("created", "https://service.test, org 11111")


def test_an_upgrade_that_is_cut_off_changes_nothing(journal, monkeypatch):
    """A process that dies before or after the commit leaves a journal of one of both versions, with all of its rows."""
    make_version_1(journal, "UPDATE rows SET state = 'in_flight' WHERE key = 'pending'")
    moments = {"COMMIT": "before", "PRAGMA journal_mode = TRUNCATE": "after"}
    killed = [journal.with_name(name) for name in moments.values()]

    def copy(statement):
        if statement in moments:
            copy = journal.with_name(moments.pop(statement))
            for suffix in ("", "-wal"):
                shutil.copy(side(journal, suffix), side(copy, suffix))

    watch_statements(monkeypatch, copy)
    write(journal)
    for path in [journal, *killed]:
        write(path)
        assert states_in(path) == {State.DONE: 3, State.FAILED: 2, State.UNKNOWN: 2}


def test_resolving_a_row_upgrades_a_journal_and_leaves_its_account_open(journal):
    """The decision is kept, and the next run still gives the journal its account."""
    make_version_1(journal, killed=False)
    resolve(journal, applied={"unknown": "9"})
    assert (account_in(journal), states_in(journal)[State.DONE]) == (None, 4)
    write(journal)
    assert account_in(journal) == ACCOUNT


def test_a_journal_of_version_1_without_its_wal_file_is_refused(journal):
    """A row in flight shows that the last run did not close the file, so that newer rows may be missing."""
    make_version_1(journal, "UPDATE rows SET state = 'in_flight' WHERE key = 'pending'", killed=False)
    before = journal.read_bytes()
    with pytest.raises(ConfigurationError, match="its -wal file is missing"):
        JournalFile(journal).open("created", ACCOUNT)
    assert journal.read_bytes() == before


def test_a_journal_of_version_1_whose_tables_were_in_its_wal_file_is_refused(journal):
    """The main file of a short run that was killed has no tables."""
    database = sqlite3.connect(journal)
    database.executescript("PRAGMA application_id = 1280528706; PRAGMA journal_mode = WAL;")
    database.close()
    with pytest.raises(ConfigurationError, match="its -wal file is missing"):
        JournalFile(journal).open("created", ACCOUNT)


@pytest.mark.parametrize(
    "statement", ["CREATE TRIGGER t AFTER UPDATE ON rows BEGIN DELETE FROM rows; END", "CREATE TABLE other (key)"]
)
def test_a_journal_of_version_1_with_a_trigger_or_another_table_is_refused(journal, statement):
    """A file with a prepared trigger is not upgraded."""
    make_version_1(journal, statement, killed=False)
    with pytest.raises(ConfigurationError, match="tables"):
        JournalFile(journal).open("created", ACCOUNT)


@pytest.mark.parametrize("version", [3, "x"])
def test_a_journal_of_a_newer_version_is_refused(journal, version):
    """The message names both versions."""
    write(journal, entry(1))
    with closing(sqlite3.connect(journal)) as database:
        database.execute("UPDATE journal SET version = ?", (version,))
        database.commit()
    for use in (lambda: JournalFile(journal).open("created", ACCOUNT), lambda: states_in(journal)):
        with pytest.raises(ConfigurationError, match=f"has format {version!r}.* reads only formats 1 and 2"):
            use()
