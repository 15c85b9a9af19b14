"""The commands of `bulk`: JSON lines on stdout, everything else on stderr, and the exit code."""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import stat
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lsq_service_async.bulk import State, states_in
from lsq_service_async.emulator import AnswerLost, DropConnection, Emulator, Status

from .conftest import states

README = Path(__file__).parents[3] / "README.md"


def test_every_row_becomes_a_ticket_and_a_line(served: Emulator, bulk: Any) -> None:
    """The journal is next to the file and private. A second run skips every row."""
    code, results, err = bulk("run", "rows.csv")
    assert (code, states(results)) == (0, {"a": "created", "b": "created", "c": "created"})
    assert {result["number"] for result in results} == set(served.tickets)
    assert {tuple(result) for result in results} == {("key", "line", "state", "number", "error", "possible_duplicate")}
    assert {result["key"]: result["line"] for result in results} == {"a": 2, "b": 3, "c": 4}
    assert err.startswith("rows: 3 of 3, 3 done, 0 failed, 0 unknown, ")
    assert stat.S_IMODE(Path("rows.csv.journal").stat().st_mode) == 0o600
    code, results, err = bulk("run", "rows.csv")
    assert (code, set(states(results).values()), len(served.tickets)) == (0, {"skipped"}, 3)
    assert "3 done" in err


def test_a_command_may_share_the_limit_of_other_programs(
    served: Emulator, bulk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LSQ_LIMIT_FILE is the file of a HostLimiter, which counts the calls of the command."""
    monkeypatch.setenv("LSQ_LIMIT_FILE", "limit.sqlite")
    assert bulk("run", "rows.csv")[0] == 0
    with closing(sqlite3.connect("limit.sqlite")) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        content = [row for (name,) in tables for row in database.execute(f'SELECT * FROM "{name}"')]
    assert "127.0.0.1" in str(content) or "localhost" in str(content)


def test_the_commands_of_the_readme_do_what_it_says(served: Emulator, bulk: Any, file: Path) -> None:
    """One row is rejected and corrected, two are unknown and resolved, and none is left at the end."""
    file.write_text("key,title,lead_id\n17,one,45b5\n18,two,45b5\n19,no lead,\n")
    served.faults.add(AnswerLost(times=2, path="/tickets"))
    [block] = re.findall("```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    results = []
    for line in block.splitlines():
        program, group, *words = shlex.split(line, comments=True)
        assert (program, group) == ("lsq-service", "bulk")
        results.append(bulk(*words)[:2])
        if "--errors" in words:
            Path("bad.csv").write_text(Path("bad.csv").read_text().replace("no lead,", "no lead,45b5"))
    assert [code for code, _ in results] == [1, 1, 0, 1, 0, 0, 0]
    found = [states(lines) for _, lines in results[1:]]
    assert found[0] == {"17": "unknown", "18": "unknown", "19": "failed"}
    unknown = {"17": "unknown", "18": "unknown"}
    assert found[1:5] == [{"19": "created"}, unknown, unknown, {}]
    assert found[5] == {"17": "skipped", "18": "created", "19": "skipped"}
    assert len(served.tickets) == 4


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        pytest.param(["run", "rows.csv", "--delimiter", "ab"], "expected one character", id="delimiter"),
        pytest.param(["run", "rows.csv", "--errors", "rows.csv"], "would overwrite", id="report over input"),
        pytest.param(["run", "rows.csv", "--errors", "bad.jsonl"], "use the same suffix", id="format of the report"),
        pytest.param(["status", "rows.csv"], "no journal at 'rows.csv.journal'", id="status without journal"),
        pytest.param(["unknown", "rows.csv"], "no journal at 'rows.csv.journal'", id="unknown without journal"),
    ],
)
def test_wrong_arguments_exit_with_2(served: Emulator, bulk: Any, argv: list[str], words: str) -> None:
    """Nothing is sent, and the message contains the fix."""
    code, results, err = bulk(*argv)
    assert (code, results, len(served.calls)) == (2, [], 0)
    assert words in err


def test_failed_rows_wait_for_a_retry(served: Emulator, bulk: Any) -> None:
    """`status` counts them, `run` reports them again, and `retry` sends them."""
    served.faults.add(Status(400))
    code, _, err = bulk("run", "rows.csv")
    assert code == 1
    assert re.search(r"To send the failed rows again, run: .+ bulk retry rows.csv\n", err)
    assert re.search(r"To correct these rows first, write them to REPORT: .+ bulk run rows.csv --errors REPORT\n", err)
    code, [counts], _ = bulk("status", "rows.csv")
    assert (code, counts["done"], counts["failed"]) == (0, 2, 1)
    assert bulk("run", "rows.csv")[0] == 1
    code, results, _ = bulk("retry", "rows.csv")
    assert (code, sorted(states(results).values())) == (0, ["created", "skipped", "skipped"])
    assert "bulk retry" not in bulk("run", "rows.csv")[2]


@pytest.mark.parametrize("status", [401, 403])
def test_rejected_keys_stop_the_run_with_4(served: Emulator, bulk: Any, status: int) -> None:
    """Rejected keys stop the run with exit code 4 and one line that names the reason."""
    served.faults.add(Status(status, times=100))
    code, _, err = bulk("run", "rows.csv")
    assert code == 4
    assert f"Stopped: the service answered {status}" in err
    assert ("Correct LSQ_ACCESS_KEY" in err) == (status == 401)


def test_rows_with_rejected_keys_are_sent_by_the_next_run(served: Emulator, bulk: Any) -> None:
    """Rows with rejected keys are not in the report, because their content did not cause the error."""
    served.faults.add(Status(401, times=4))
    code, results, err = bulk("run", "rows.csv", "--errors", "bad.csv")
    assert (code, set(states(results).values())) == (4, {"failed"})
    assert "Correct the rows" not in err
    assert set(states(bulk("run", "rows.csv")[1]).values()) == {"created"}


def test_a_row_with_a_broken_connection_is_accounted_for(served: Emulator, bulk: Any) -> None:
    """The row is sent again or unknown; every row has a result."""
    served.faults.add(DropConnection())
    _, results, _ = bulk("run", "rows.csv")
    assert set(states(results)) == {"a", "b", "c"}


# --- unknown ----------------------------------------------------------------------------------------------------


def test_unknown_rows_are_listed_and_sent_again_only_on_request(served: Emulator, bulk: Any, file: Path) -> None:
    """The list has their line and columns, also of equal rows without a key; `stop` ends a run with 75."""
    file.write_text("title,lead_email\n" + "same,a@b.c\n" * 2 + "bad\n" + "same,a@b.c\nother,a@b.c\n")
    served.faults.add(AnswerLost(times=4))
    code, results, _ = bulk("run", "rows.csv", "--errors", "bad.csv")
    assert (code, sorted(result["state"] for result in results)) == (1, ["failed"] + ["unknown"] * 4)
    assert len(Path("bad.csv").read_text().splitlines()) == 2
    code, listed, _ = bulk("unknown", "rows.csv")
    assert (code, [row["line"] for row in listed]) == (0, [2, 3, 5, 6])
    assert listed[0]["row"] == {"title": "same", "lead_email": "a@b.c"}
    assert {row["key"] for row in listed} == {result["key"] for result in results if result["state"] == "unknown"}
    assert bulk("run", "rows.csv", "--on-unknown", "stop")[0] == 75
    code, results, _ = bulk("run", "rows.csv", "--on-unknown", "resend")
    assert sorted(result["state"] for result in results) == ["created"] * 4 + ["failed"]
    assert {row["state"] for row in bulk("unknown", "rows.csv")[1]} == {"done"}


@pytest.fixture
def lost(served: Emulator, bulk: Any) -> dict[str, str]:
    """The keys of four unknown rows, by title and line. Row c has failed."""
    Path("rows.csv").write_text("key,title,lead_id\na,one,45b5\na=1,two,45b5\nc,three,\n,same,45b5\n,same,45b5\n")
    served.faults.add(AnswerLost(times=4))
    bulk("run", "rows.csv")
    listed = bulk("unknown", "rows.csv")[1]
    return {f"{row['row']['title']}, line {row['line']}": row["key"] for row in listed}


def test_unknown_rows_are_resolved_by_their_listed_keys(served: Emulator, bulk: Any, lost: dict[str, str]) -> None:
    """A number is optional and a key may contain =. The next run skips applied rows and sends the others."""
    first, twin = lost["same, line 5"], lost["same, line 6"]
    code, results, err = bulk("unknown", "rows.csv", "--applied", "a=143", "--applied", "a=1", "--not-applied", twin)
    assert (code, results, err.splitlines()[-1]) == (0, [], "left: 1 unknown, 0 possible duplicates")
    assert [row["key"] for row in bulk("unknown", "rows.csv")[1]] == [first]
    assert bulk("unknown", "rows.csv", "--applied", f"{first}=7")[2].endswith(
        "left: 0 unknown, 0 possible duplicates\n"
    )
    _, results, _ = bulk("run", "rows.csv")
    assert states(results) == {"a": "skipped", "a=1": "skipped", "c": "failed", first: "skipped", twin: "created"}
    numbers = {result["key"]: result["number"] for result in results}
    assert (numbers["a"], numbers["a=1"], numbers[first]) == ("143", None, "7")
    assert len(served.tickets) == 5


def test_a_row_may_be_resolved_as_not_applied_alone(bulk: Any, lost: dict[str, str]) -> None:
    """--not-applied works without --applied, and the other rows stay unknown."""
    code, results, err = bulk("unknown", "rows.csv", "--not-applied", "a")
    assert (code, results, err.splitlines()[-1]) == (0, [], "left: 3 unknown, 0 possible duplicates")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--applied", "c"], "'c' is failed"),
        (["--not-applied", "z"], "'z'"),
        (["--applied", "a=x"], "'x'"),
        (["--not-applied", "a=1"], "'a=1' is done"),
        (["--applied", "a="], "''"),
        (["--applied", "a=3", "--applied", "a"], "--applied names the row 'a' twice"),
    ],
    ids=" ".join,
)
def test_one_wrong_resolution_changes_nothing(bulk: Any, lost: dict[str, str], options: list[str], words: str) -> None:
    """The exit code is 2, and all rows stay unknown."""
    code, results, err = bulk("unknown", "rows.csv", "--applied", "a=1", *options)
    assert (code, results, words in err) == (2, [], True)
    assert states_in("rows.csv.journal")[State.UNKNOWN] == 4


def test_an_unknown_row_of_another_file_is_listed_without_a_line(bulk: Any, file: Path, lost: dict[str, str]) -> None:
    """The rows of the file are listed first, in its order."""
    file.write_text("key,title,lead_id\na,one,45b5\n")
    first, *others = bulk("unknown", "rows.csv")[1]
    assert (first["key"], first["line"], first["row"]["title"]) == ("a", 2, "one")
    assert {row["key"] for row in others} == set(lost.values()) - {"a"}
    assert {(row["state"], row["error"], row["line"], row["row"]) for row in others} == {
        ("unknown", "OutcomeUnknownError", None, None)
    }


# --- possible duplicates and accounts ---------------------------------------------------------------------------


@pytest.fixture
def doubled(served: Emulator, bulk: Any) -> str:
    """The key of a row that was applied twice, because its first create was answered with 500."""
    Path("rows.csv").write_text("key,title,lead_id\na=1,one,45b5\nb=2,two,45b5\nc=3,three,45b5\n")
    served.faults.add(Status(500, applied=True, method="POST"))
    code, results, err = bulk("run", "rows.csv")
    [key] = [result["key"] for result in results if result["possible_duplicate"]]
    assert (code, set(states(results).values()), len(served.tickets)) == (1, {"created"}, 4)
    assert "3 done, 0 failed, 0 unknown" in err
    assert "possible duplicates: 1" in err
    assert "bulk unknown rows.csv\n" in err
    return str(key)


def test_a_possible_duplicate_fails_only_the_run_in_which_it_happens(bulk: Any, doubled: str) -> None:
    """Later runs skip the row and exit with 0, and the row keeps its mark until it is resolved."""
    code, results, err = bulk("run", "rows.csv")
    assert (code, set(states(results).values()), "possible duplicates: " in err) == (0, {"skipped"}, False)
    assert [result["key"] for result in results if result["possible_duplicate"]] == [doubled]


def test_a_possible_duplicate_is_listed_and_resolved_by_its_number(served: Emulator, bulk: Any, doubled: str) -> None:
    """`unknown` lists the known number, and `--applied KEY=NUMBER` records the other ticket and clears the mark."""
    [listed] = bulk("unknown", "rows.csv")[1]
    assert (listed["key"], listed["state"], listed["possible_duplicate"]) == (doubled, "done", True)
    assert listed["number"] in served.tickets
    assert listed["row"]["key"] == doubled
    code, _, err = bulk("unknown", "rows.csv", "--applied", doubled)
    assert (code, f"'{doubled}'" in err, bulk("unknown", "rows.csv")[1]) == (2, True, [listed])
    code, _, err = bulk("unknown", "rows.csv", "--applied", f"{doubled}=1")
    assert (code, err.splitlines()[-1]) == (0, "left: 0 unknown, 0 possible duplicates")
    assert bulk("unknown", "rows.csv")[1] == []
    results = bulk("run", "rows.csv")[1]
    assert {result["possible_duplicate"] for result in results} == {False}
    assert next(result["number"] for result in results if result["key"] == doubled) == "1"


@pytest.mark.parametrize(
    "command", [["run"], ["retry"], ["plan"], ["run", "--dry-run"]], ids=["run", "retry", "plan", "dry run"]
)
def test_a_journal_of_another_account_exits_with_2(
    served: Emulator, bulk: Any, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """The message names both accounts, and nothing is sent."""
    bulk("run", "rows.csv")
    sent = len(served.calls)
    monkeypatch.setenv("LSQ_ORG_ID", "11111")
    code, results, err = bulk(*command, "rows.csv")
    assert (code, results, len(served.calls)) == (2, [], sent)
    assert "org 11111" in err
    assert f"org {served.settings['org_id']}" in err


@pytest.mark.parametrize("command", ["status", "unknown"])
def test_the_account_of_a_journal_is_printed(served: Emulator, bulk: Any, command: str) -> None:
    """The origin and the org are printed on stderr."""
    bulk("run", "rows.csv")
    code, _, err = bulk(command, "rows.csv")
    account = f"account: {served.settings['base_url']}, org {served.settings['org_id']}\n"
    assert (code, err) == (
        0,
        account if command == "status" else f"{account}no unknown rows and no possible duplicates\n",
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("rows.csv", "rows.csv"),
        ("a b'c.csv", "'a b'\"'\"'c.csv'"),
        ("हिन्दी.csv", "'हिन्दी.csv'"),
        ("-rows.csv", "./-rows.csv"),
        ("new\nline'\\.csv", r"$'new\x0aline\x27\x5c.csv'"),
        (os.fsdecode(b"caf\xe9.csv"), r"$'caf\xe9.csv'"),
    ],
)
def test_a_command_to_paste_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served: Emulator, cli: Any, name: str, shown: str
) -> None:
    """The command that continues a run is one line that can be read, and bash finds the name of the file in it."""
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("key,lead_id,status\na,,Open\n")
    _, _, err = cli("bulk", "run", "--", name)
    [line] = [line for line in err.split("\n") if line.startswith("To send the failed rows again, run: ")]
    assert f" bulk retry {shown}" in line
    assert line.isprintable()
    command = line.partition(" bulk retry ")[2].partition(" --journal")[0]
    read = subprocess.run(["bash", "-c", f"printf %s {command}"], capture_output=True, check=True).stdout
    assert os.fsdecode(read).removeprefix("./") == name


@pytest.mark.parametrize(("operation", "delimiter"), [("update", ";"), ("update", "^"), ("create", "~")])
def test_operation_and_delimiter_need_not_be_repeated(
    served: Emulator, bulk: Any, file: Path, operation: str, delimiter: str
) -> None:
    """plan, status, unknown and retry know them from the journal and from the first line."""
    bulk("run", "rows.csv", "--journal", "other")
    column, values = ("target", "123") if operation == "update" else ("lead_id", "456")
    rows = "".join(f"{value},t{value},On Hold\n" for value in values)
    file.write_text(f"{column},title,status\n{rows}".replace(",", delimiter))
    served.faults.add(Status(400))
    assert bulk("run", "rows.csv", "--operation", operation, "--delimiter", delimiter)[0] == 1
    assert "0 calls" in bulk("plan", "rows.csv")[2]
    assert bulk("status", "rows.csv")[1][0] == {"pending": 0, "in_flight": 0, "done": 2, "failed": 1, "unknown": 0}
    assert bulk("unknown", "rows.csv")[2].endswith("no unknown rows and no possible duplicates\n")
    code, results, _ = bulk("retry", "rows.csv")
    assert (code, sorted(states(results).values())) == (0, sorted([f"{operation}d", "skipped", "skipped"]))
