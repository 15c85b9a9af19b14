"""Decisions between runs: unknown rows and possible duplicates are resolved, all of them or none."""

import attrs
import pytest
from bulk.samples import ACCOUNT

from lsq_service_async import ConfigurationError, InvalidRequestError, LSQServiceError
from lsq_service_async.bulk import State, possible_duplicates_in, ranges_in, resolve, states_in, unknown_in
from lsq_service_async.bulk._journal_file import Entry, JournalFile, entry_of


@pytest.fixture(autouse=True)
def rows(journal):
    """A journal with a row in each state, whose key is its state, and a possible duplicate, left by a run that died."""
    rows = [Entry(state.value, "d" * 32, state, error="OutcomeUnknownError", reference="r") for state in State]
    rows.append(
        Entry("twice", "d" * 32, State.DONE, number="7", ticket_id="g", ticket_key="#007", possible_duplicate=True)
    )
    file = JournalFile(journal)
    file.open("created", ACCOUNT)
    file.write(rows)
    file.close()
    return {row.key: row for row in rows}


def stored(path):
    file = JournalFile(path)
    file.open()
    found = {key: file.query(entry_of, key) for key in [*(state.value for state in State), "twice"]}
    file.close()
    return found


@pytest.mark.parametrize("key", ["unknown", "in_flight"])
@pytest.mark.parametrize("number", ["143", "#143", "#0143", 143])
def test_a_row_in_doubt_is_resolved_with_its_number(journal, rows, key, number):
    """The row is done, its error is cleared, and nothing else changes. A run that died leaves rows in flight."""
    resolve(journal, applied={key: number})
    assert stored(journal) == {**rows, key: attrs.evolve(rows[key], state=State.DONE, number="143", error=None)}


def test_a_number_need_not_be_known(journal, rows):
    """A row that was applied is done without a number too, and one that was not applied is pending."""
    resolve(journal, applied={"unknown": None}, not_applied=["in_flight"])
    assert stored(journal) == {
        **rows,
        "unknown": attrs.evolve(rows["unknown"], state=State.DONE, error=None),
        "in_flight": attrs.evolve(rows["in_flight"], state=State.PENDING, error=None),
    }
    assert unknown_in(journal) == {}


@pytest.mark.parametrize(("number", "ticket"), [("7", ("g", "#007")), ("8", (None, None))])
def test_a_possible_duplicate_is_cleared_by_its_number(journal, number, ticket):
    """The mark is gone, and the row keeps the ticket, or gets the other one."""
    assert possible_duplicates_in(journal) == {"twice": "7"}
    resolve(journal, applied={"twice": number})
    assert possible_duplicates_in(journal) == {}
    row = stored(journal)["twice"]
    assert (row.state, row.number, row.ticket_id, row.ticket_key) == (State.DONE, number, *ticket)


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        ({"not_applied": ["pending"]}, "'pending' is pending, not unknown"),
        ({"applied": {"done": "143"}}, "'done' is done, not unknown"),
        ({"not_applied": ["failed"]}, "'failed' is failed, not unknown"),
        ({"applied": {"twice": None}}, "'twice' is done, not unknown"),
        ({"not_applied": ["twice"]}, "'twice' is done, not unknown"),
        ({"applied": {"stranger": None}}, "There is no row 'stranger'"),
        ({"not_applied": ["unknown"]}, "'unknown' is done, not unknown"),
        ({"applied": {"in_flight": "#x"}}, "digits, not '#x'"),
        ({"applied": {"in_flight": ""}}, "digits, not ''"),
        *(
            ({"applied": {"in_flight": number}}, "digits, not")
            for number in (1.5, b"1", True, -1, 10**5000, State.DONE)
        ),
        *(({"not_applied": [key]}, "There is no row") for key in (17, None, b"in_flight", ["in_flight"], "\ud800")),
    ],
)
def test_one_wrong_decision_changes_nothing(journal, rows, decision, words):
    """The message names the wrong decision, and the correct ones of the same call are not stored either."""
    with pytest.raises(InvalidRequestError, match=f"{words}.*Nothing was changed"):
        resolve(
            journal,
            applied={"unknown": "143", **decision.get("applied", {})},
            not_applied=decision.get("not_applied", ()),
        )
    assert stored(journal) == rows


@pytest.mark.parametrize(
    "decisions",
    [{"applied": value} for value in (["unknown"], "", 0)]
    + [{"not_applied": value} for value in ("17", b"17", 17, None)],
    ids=str,
)
def test_decisions_are_a_mapping_and_a_list(journal, rows, decisions):
    """A text is one key, and not a list of one-letter keys, whose rows would be sent again."""
    with pytest.raises(InvalidRequestError, match=f"{next(iter(decisions))} must .*Nothing was changed"):
        resolve(journal, **decisions)
    assert stored(journal) == rows


def test_nothing_is_resolved_while_a_run_uses_the_journal(journal, rows):
    """The run is not disturbed, and the decision is stored after it."""
    running = JournalFile(journal)
    running.open("created", ACCOUNT)
    with pytest.raises(ConfigurationError, match="Another run uses the journal"):
        resolve(journal, applied={"unknown": "143"})
    assert running.query(entry_of, "unknown") == rows["unknown"]
    running.close()
    resolve(journal, applied={"unknown": "143"})


def test_a_journal_that_does_not_exist_is_not_created(tmp_path):
    """Reading it finds no rows, and resolving one is an error."""
    path = tmp_path / "none"
    assert (states_in(path), unknown_in(path), possible_duplicates_in(path)) == ({}, {}, {})
    with pytest.raises(ConfigurationError, match="No such file"):
        resolve(path, applied={"unknown": "143"})
    assert not path.exists()


@pytest.mark.parametrize("quiet", [None, "60", True, -1, float("nan"), 10**400], ids=lambda quiet: str(quiet)[:5])
def test_the_ranges_of_unknown_rows_need_a_number_of_seconds(journal, quiet):
    """Any other value is refused, and the message names it."""
    with pytest.raises(InvalidRequestError, match="quiet must be a number of seconds, 0 or more, not"):
        ranges_in(journal, quiet)


def test_a_damaged_journal_is_not_resolved(journal):
    """A damaged journal raises an error that contains the fix, and no row is resolved."""
    whole = journal.read_bytes()
    journal.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(LSQServiceError, match="restore a copy"):
        resolve(journal, applied={"unknown": "143"})
