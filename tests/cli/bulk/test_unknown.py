"""Rows in doubt: shown, and settled by the user's word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lsq_service_async.bulk import State, states_in
from lsq_service_async.bulk.journal_file import JournalFile
from lsq_service_async.emulator import AnswerLost, Emulator

from .conftest import states


def test_unknown_rows_are_shown_and_sent_again_by_word_only(served: Emulator, bulk: Any, file: Path) -> None:
    """By their line and columns, also where they have no key and a twin."""
    file.write_text("title,lead_email\n" + "same,a@b.c\n" * 2 + "bad\n" + "same,a@b.c\nother,a@b.c\n")
    served.faults.add(AnswerLost(times=4))
    code, results, _ = bulk("run", "rows.csv", "--errors", "bad.csv")
    assert (code, sorted(result["state"] for result in results)) == (1, ["failed"] + ["unknown"] * 4)
    assert len(Path("bad.csv").read_text().splitlines()) == 2
    code, shown, _ = bulk("unknown", "rows.csv")
    assert (code, [row["line"] for row in shown]) == (0, [2, 3, 5, 6])
    assert shown[0]["row"] == {"title": "same", "lead_email": "a@b.c"}
    assert {row["key"] for row in shown} == {result["key"] for result in results if result["state"] == "unknown"}
    code, _, err = bulk("run", "rows.csv", "--on-unknown", "stop")
    assert (code, "may have been applied" in err) == (75, True)
    code, results, _ = bulk("run", "rows.csv", "--on-unknown", "resend")
    assert sorted(result["state"] for result in results) == ["created"] * 4 + ["failed"]
    assert bulk("unknown", "rows.csv")[1] == []


def test_rows_with_a_key_are_unknown_by_it(served: Emulator, bulk: Any) -> None:
    """Their neighbours are not shown."""
    served.faults.add(AnswerLost())
    _, results, _ = bulk("run", "rows.csv")
    [lost] = [result["key"] for result in results if result["state"] == "unknown"]
    assert [row["key"] for row in bulk("unknown", "rows.csv")[1]] == [lost]


@pytest.fixture
def lost(served: Emulator, bulk: Any) -> dict[str, str]:
    """Keys of rows that may have been applied, by their titles; the row c failed."""
    Path("rows.csv").write_text("key,title,lead_id\na,one,45b5\na=1,two,45b5\nc,three,\n,same,45b5\n,same,45b5\n")
    served.faults.add(AnswerLost(times=4))
    bulk("run", "rows.csv")
    shown = bulk("unknown", "rows.csv")[1]
    return {f"{row['row']['title']}, line {row['line']}": row["key"] for row in shown}


def test_rows_are_settled_by_the_keys_that_were_shown(served: Emulator, bulk: Any, lost: dict[str, str]) -> None:
    """Also those that came without one; with a number or without, and a key may have a = in it. The next run skips what
    was applied and sends the rest."""
    first, twin = lost["same, line 5"], lost["same, line 6"]
    code, results, err = bulk("unknown", "rows.csv", "--applied", "a=143", "--applied", "a=1", "--not-applied", twin)
    assert (code, results, err) == (0, [], "unknown rows now: 1\n")
    assert [row["key"] for row in bulk("unknown", "rows.csv")[1]] == [first]
    assert bulk("unknown", "rows.csv", "--applied", f"{first}=7")[2] == "unknown rows now: 0\n"
    _, results, _ = bulk("run", "rows.csv")
    assert states(results) == {"a": "skipped", "a=1": "skipped", "c": "failed", first: "skipped", twin: "created"}
    numbers = {result["key"]: result["number"] for result in results}
    assert (numbers["a"], numbers["a=1"], numbers[first]) == ("143", None, "7")
    assert len(served.tickets) == 5


def test_one_row_may_be_settled_alone(bulk: Any, lost: dict[str, str]) -> None:
    """Here one that was not applied."""
    assert bulk("unknown", "rows.csv", "--not-applied", "a") == (0, [], "unknown rows now: 3\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--applied", "c"], "Error: the row 'c' is failed, not unknown; nothing was changed"),
        (["--not-applied", "z"], "Error: there is no row 'z' in the journal; nothing was changed"),
        (["--applied", "a=x"], "a ticket's number is digits, such as 143, not 'x'"),
        (["--not-applied", "a=1"], "the row 'a=1' is done, not unknown"),
        (["--applied", "a="], "not ''"),
        (["--applied", "a=3", "--applied", "a"], "--applied names the row 'a' twice"),
    ],
    ids=" ".join,
)
def test_one_wrong_word_is_a_matter_of_usage(bulk: Any, lost: dict[str, str], words: list[str], said: str) -> None:
    """It ends with 2, and nothing is changed."""
    code, results, err = bulk("unknown", "rows.csv", "--applied", "a=1", *words)
    assert (code, results, said in err) == (2, [], True)
    assert states_in("rows.csv.journal")[State.UNKNOWN] == 4


def test_nothing_is_settled_while_a_run_has_the_journal(bulk: Any, lost: dict[str, str]) -> None:
    """It ends with 2, too."""
    held = JournalFile("rows.csv.journal")
    held.open(make=False)
    code, _, err = bulk("unknown", "rows.csv", "--applied", "a")
    held.close()
    assert (code, "another run uses the journal" in err) == (2, True)


def test_an_unknown_row_that_is_not_in_the_file_is_shown_too(bulk: Any, file: Path, lost: dict[str, str]) -> None:
    """Without a line: it came from another file with the same journal."""
    file.write_text("key,title,lead_id\na,one,45b5\n")
    first, *others = bulk("unknown", "rows.csv")[1]
    assert (first["key"], first["line"], first["row"]["title"]) == ("a", 2, "one")
    assert {row["key"] for row in others} == set(lost.values()) - {"a"}
    assert {(row["state"], row["error"], row["line"], row["row"]) for row in others} == {
        ("unknown", "OutcomeUnknownError", None, None)
    }
