"""A journal between runs: rows in doubt are settled by the user's word, all of them or none."""

import sqlite3

import pytest

from lsq_service_async import BulkRow, ConfigurationError, InvalidRequestError, LSQServiceError, NewTicket
from lsq_service_async.bulk import State, row_of, settle, states_in, unknown_in
from lsq_service_async.bulk.journal import Journal

STATES = ("unknown", "in_flight", "pending", "done", "failed")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.sqlite"


@pytest.fixture
async def journal(path):
    """One with a row in each state, each with its state for a key, left by a run that died."""
    journal = Journal(path, "created")
    await journal.open()
    for state in STATES:
        await journal.meet(row_of(BulkRow(state, NewTicket(lead_id="45b5", title=state))))
        await journal.finish(state, State(state), None, "OutcomeUnknownError")
    await journal.aclose()


def rows(path):
    database = sqlite3.connect(path)
    found = database.execute("SELECT key, state, number, error FROM rows").fetchall()
    database.close()
    return {key: tuple(about) for key, *about in found}


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize("key", ["unknown", "in_flight"])
def test_a_row_in_doubt_was_applied_or_not(path, key):
    """What a run that died had in flight is in doubt, too. Nothing else changes, and the error is gone."""
    others = {name: about for name, about in rows(path).items() if name != key}
    settle(path, applied={key: "143"})
    assert rows(path) == {**others, key: ("done", "143", None)}


@pytest.mark.usefixtures("journal")
def test_a_number_need_not_be_known(path):
    """The row is done all the same; one that was not applied is pending."""
    settle(path, applied={"unknown": None}, not_applied=["in_flight"])
    assert (rows(path)["unknown"], rows(path)["in_flight"]) == (("done", None, None), ("pending", None, None))
    assert unknown_in(path) == {}


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize(
    ("word", "words"),
    [
        ({"not_applied": ["pending"]}, "the row 'pending' is pending, not unknown; nothing was changed"),
        ({"applied": {"done": "143"}}, "the row 'done' is done, not unknown"),
        ({"not_applied": ["failed"]}, "the row 'failed' is failed, not unknown"),
        ({"applied": {"stranger": None}}, "there is no row 'stranger' in the journal"),
        ({"not_applied": ["unknown"]}, "the row 'unknown' is done, not unknown"),
        ({"applied": {"in_flight": "#143"}}, "a ticket's number is digits, such as 143, not '#143'"),
        ({"applied": {"in_flight": ""}}, "a ticket's number is digits, such as 143, not ''"),
    ],
    ids=lambda value: value.partition(";")[0] if isinstance(value, str) else "",
)
def test_one_wrong_word_changes_nothing(path, word, words):
    """It is named, with the state of its row; the right one beside it is not taken either."""
    before = rows(path)
    with pytest.raises(InvalidRequestError, match=words):
        settle(path, applied={"unknown": "143", **word.get("applied", {})}, not_applied=word.get("not_applied", ()))
    assert rows(path) == before


@pytest.mark.usefixtures("journal")
async def test_nothing_is_settled_while_a_run_has_the_journal(path):
    """The run knows better, and goes on undisturbed."""
    running = Journal(path, "created")
    await running.open()
    before = rows(path)
    with pytest.raises(ConfigurationError, match="another run uses the journal"):
        settle(path, applied={"unknown": "143"})
    assert rows(path) == before
    await running.aclose()
    settle(path, applied={"unknown": "143"})


@pytest.mark.parametrize("content", [None, b"", b"x", b"no database at all, but long enough to be looked at" * 40])
def test_what_is_no_journal_is_left_alone(path, content):
    """Nor is one made where there is none."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError):
        settle(path, applied={"unknown": "143"})
    assert (path.read_bytes() if path.exists() else None) == content


@pytest.mark.usefixtures("journal")
def test_a_damaged_journal_says_so(path):
    """In the package's own words."""
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(LSQServiceError, match="cannot be used, so nothing more is done"):
        settle(path, applied={"unknown": "143"})


def test_no_journal_is_no_rows(path):
    """A plan before the first run."""
    assert (states_in(path), unknown_in(path)) == ({}, {})


@pytest.mark.parametrize("name", ["rows #1.journal", "what?.journal", "100%25.journal", "plain"])
async def test_a_journal_may_have_any_name(tmp_path, name):
    """What means something in a URL means nothing here, and no other file appears."""
    journal = Journal(tmp_path / name, "created")
    await journal.open()
    await journal.meet(row_of(BulkRow("a", NewTicket(lead_id="45b5"))))
    await journal.aclose()
    assert states_in(tmp_path / name) == {State.PENDING: 1}
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_is_no_journal(tmp_path):
    """It says so, as of any other file that is none."""
    with pytest.raises(ConfigurationError, match="cannot be read as a journal"):
        states_in(tmp_path)
