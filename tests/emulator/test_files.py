"""Tickets in files: a SQLite file that survives a restart, and a JSONL file of tickets to begin with."""

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing

import pytest

from lsq_service_async.emulator import Emulator, StoredTicket, TicketFile, TicketStore, seed

PORTAL = {"Text": "Hi", "Direction": "INBOUND"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tickets.sqlite"


def form(dto):
    return [("ticketDTO", (None, json.dumps(dto))), ("files", ("a.txt", b"abc", "text/plain"))]


async def test_tickets_and_numbering_survive_a_restart(connect, path, new_ticket):
    """Fields, files, notes, messages, leads and the trash are the same, and all numbers continue."""
    phone = {"SchemaName": "LeadDetail.Phone", "Value": "+91-5550100099"}
    described = {**new_ticket, "LeadId": None, "Fields": [*new_ticket["Fields"], phone]}
    with closing(TicketFile(path, first_number=34)) as store:
        async with connect(Emulator(store=store)) as client:
            for ticket in (new_ticket, described, new_ticket):
                await client.post("/tickets", files=form(ticket))
            await client.put("/tickets/trash", json={"TicketIds": ["36", "99"]})
            await client.post("/ticket/34/portal/activity", json=PORTAL)
            note = {"ActivityType": "CreateInternalNote", "StorageType": "Permament"}
            await client.post("/internalnote/upload", json={**note, "RelatedTicketId": 34, "TextPart": "Note"})
        tickets, trashed = dict(store.tickets), dict(store.trashed)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(TicketFile(path)) as store:
        assert (store.tickets, store.trashed) == (tickets, trashed)
        assert store.leads.by_phone("5550100099")["ProspectID"] == tickets["35"].lead_id
        async with connect(Emulator(store=store)) as client:
            assert (await client.post("/ticket/34/portal/activity", json=PORTAL)).json()["Id"] == "2"
            assert (await client.post("/tickets", json=new_ticket)).json()["Id"] == "37"


async def test_a_reset_is_kept_too(connect, path, new_ticket):
    """After a reset and a restart there is no ticket, and the numbering continues."""
    with closing(TicketFile(path)) as store:
        emulator = Emulator(store=store)
        async with connect(emulator) as client:
            await client.post("/tickets", json=new_ticket)
        emulator.reset()
    with closing(TicketFile(path)) as store:
        assert store.tickets == {}
        assert store.create("lead", {}).number == "2"


def test_a_ticket_outlives_a_killed_process(path):
    """Each change is committed when it is made."""
    program = (
        "import os, signal, sys; from lsq_service_async.emulator import TicketFile\n"
        "TicketFile(sys.argv[1]).create('lead', {'Title': 'x'}); os.kill(os.getpid(), signal.SIGKILL)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program, str(path)], env=env, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    with closing(TicketFile(path)) as store:
        assert store.tickets["1"].fields == {"Title": "x"}


def test_a_file_that_cannot_be_used_is_an_error_and_stays_as_it_is(path):
    """Text, the database of another program, and a file in use are refused with the reason."""
    path.write_text("hello, this is not a database\n" * 100)
    with pytest.raises(ValueError, match=r"tickets\.sqlite cannot be used for tickets: file is not a database"):
        TicketFile(path)
    assert path.read_text().startswith("hello")
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE photos (name TEXT)")
    with pytest.raises(ValueError, match="the database of another program"):
        TicketFile(path)
    path.unlink()
    with closing(TicketFile(path)), pytest.raises(ValueError, match="another emulator uses it"):
        TicketFile(path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        *((f"UPDATE tickets SET ticket = '{text}'", "is damaged") for text in ("{}", "5", "x", "[]", '{"files": 5}')),
        ("INSERT INTO counters VALUES ('messages', 'x')", "is damaged"),
        ("INSERT INTO counters VALUES ('first_free', 'x')", "is damaged"),
        ("DROP TABLE counters", "no such table"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(path, damage, reason):
    """The file is closed again, so that it can be repaired."""
    with closing(TicketFile(path)) as store:
        store.create("lead", {"Title": "x"})
    with closing(sqlite3.connect(path, timeout=0)) as other:
        other.execute("DELETE FROM counters")
        other.execute(damage)
        other.commit()
        with pytest.raises(ValueError, match=rf"tickets\.sqlite cannot be used for tickets: .*{reason}.* Name another"):
            TicketFile(path)
        other.execute("DELETE FROM tickets")


async def test_a_file_that_cannot_be_written_is_a_507(connect, path, new_ticket):
    """The answer has the reason, and the emulator serves the next call."""
    store = TicketFile(path)
    store.close()
    async with connect(Emulator(store=store)) as client:
        response = await client.post("/tickets", json=new_ticket)
        assert (response.status_code, "cannot write its file of tickets: Cannot operate" in response.text) == (
            507,
            True,
        )
        assert (await client.get("/tickets/7")).status_code == 404


@pytest.mark.parametrize("make", [lambda path: path.touch() or path.chmod(0o666), os.mkfifo, "other user"])
def test_a_file_that_others_can_change_is_refused(monkeypatch, path, make):
    """A file of another user, one that others can write to, and a pipe are refused before anything is written."""
    if make == "other user":
        path.touch()
        uid = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    else:
        make(path)
    with pytest.raises(ValueError, match="must be a regular file, owned by this user and writable by no other"):
        TicketFile(path)
    assert path.stat().st_size == 0


def test_a_symbolic_link_is_not_followed(path, tmp_path):
    """No file is created or changed through a link."""
    path.symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic"):
        TicketFile(path)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    ("line", "number", "lead_id", "fields"),
    [
        pytest.param(
            {"key": "row-1", "title": "A", "status": "Open", "lead_email": "wim@example.com", "CustomData.X": 5},
            "1",
            "8c1f0f4e-3d0b-4f53-9c1b-6a0d5b7e2a01",
            {"Title": "A", "Status": "Open", "LeadDetail.EmailAddress": "wim@example.com", "CustomData.X": 5},
            id="a row of a bulk run",
        ),
        pytest.param(
            {"number": "143", "lead_id": "45b5", "permissions": {"a": {}}, "title": "A", "fields": {"Title": "A"}},
            "143",
            "45b5",
            {"Title": "A"},
            id="the output of ticket get",
        ),
        pytest.param(
            {"Id": "143", "TypeId": "1", "LeadId": "45b5", "Fields": [{"SchemaName": "Title", "Value": "A"}]},
            "143",
            "45b5",
            {"Title": "A"},
            id="a ticket of the service",
        ),
        pytest.param({"number": 34, "lead_id": "45b5"}, "34", "45b5", {}, id="the number as a number"),
        pytest.param(
            {"number": 34, "lead_id": "45b5", "fields": {"mx_A": 1}}, "34", "45b5", {"mx_A": 1}, id="other schema names"
        ),
        pytest.param({"number": "#034", "lead_id": "45b5"}, "34", "45b5", {}, id="the number as a key"),
    ],
)
def test_a_line_of_a_seed_becomes_a_ticket(tmp_path, line, number, lead_id, fields):
    """Rows of bulk runs, printed tickets and tickets of the service are read; the next ticket gets the next number."""
    path = tmp_path / "seed.jsonl"
    path.write_text("\ufeff" + json.dumps({**line, "ticket_id": "guid"}) + "\n\n", encoding="utf-8")
    store = TicketStore()
    assert seed(store, path) == 1
    assert store.tickets == {number: StoredTicket(number, "guid", lead_id, fields)}
    assert store.create("lead", {}).number == str(int(number) + 1)


def test_a_line_ends_at_a_line_break_only(tmp_path):
    """JSON may contain other characters at which Python splits text, such as U+2028."""
    path, store, title = tmp_path / "seed.jsonl", TicketStore(), "a\u2028b\u2029c\x85d"
    path.write_bytes(f'{{"title": "{title}"}}\r\n{{"title": "B"}}\r{{"title": "C"}}'.encode())
    assert seed(store, path) == 3
    assert [ticket.fields["Title"] for ticket in store.tickets.values()] == [title, "B", "C"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "Expecting property name"),
        ("[]", "expected a JSON object, not list"),
        ('{"titel": "A"}', "'titel' is not a field"),
        ('{"Lead Email": "w@example.com"}', "'Lead Email' is not a field"),
        ('{"fields": {"Custom Data.X": "A"}}', "'Custom Data.X' is not a field"),
        ('{"fields": {"title": "A"}}', "'title' is not a field"),
        ('{"Title": ["A"]}', "the value of Title must be text, a number or null"),
        ('{"Fields": [{"SchemaName": "Title"}]}', "Fields must be a list of objects"),
        ('{"Fields": [{"SchemaName": 5, "Value": "x"}]}', "Fields must be a list of objects"),
        ('{"Fields": [{"SchemaName": ["x"], "Value": "x"}]}', "Fields must be a list of objects"),
        ('{"ticket_id": 5}', "the id of a ticket or a lead must be text"),
        ('{"LeadId": ["x"]}', "the id of a ticket or a lead must be text"),
        ('{"Fields": 5}', "Fields must be a list of objects"),
        ('{"fields": 5}', "Fields must be a list of objects"),
        ('{"number": "A-1"}', "'A-1' is not a ticket number"),
        ('{"number": 0}', "0 is not a ticket number"),
        ('{"number": 7}', "there is a ticket 7 already"),
        ('{"ticket_id": "g1"}', "there is a ticket g1 already"),
        ('{"number": 1e30}', "1e\\+30 is not a ticket number"),
        (f'{{"number": "{"9" * 5000}"}}', "'9+' is not a ticket number"),
        ('{"Title": NaN}', "Out of range float values"),
        (r'{"Title": "\ud800"}', "'utf-8' codec"),
        ("[" * 200_000, "maximum recursion depth"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path, line, message):
    """The error has the file, the number of the line and the reason, and no ticket is created."""
    path, store = tmp_path / "seed.jsonl", TicketStore()
    path.write_text(f'{{"number": 7, "ticket_id": "G1"}}\n{line}\n')
    with pytest.raises(ValueError, match=f"seed.jsonl, line 2: {message}"):
        seed(store, path)
    assert store.tickets == {}


def test_an_empty_id_of_a_seed_is_no_id(tmp_path):
    """Each ticket gets a new GUID. A ticket may have its number as its GUID."""
    path, store = tmp_path / "seed.jsonl", TicketStore()
    path.write_text('{"ticket_id": ""}\n{"ticket_id": ""}\n{"number": 7, "ticket_id": "7"}')
    assert seed(store, path) == 3
    assert len({ticket.ticket_id for ticket in store.tickets.values()}) == 3


def test_a_seed_in_another_encoding_is_an_error(tmp_path):
    """The error names the file."""
    path = tmp_path / "seed.jsonl"
    path.write_bytes(b'{"title": "caf\xe9"}')
    with pytest.raises(ValueError, match=r"seed\.jsonl is not UTF-8: .*byte 0xe9"):
        seed(TicketStore(), path)


def test_a_seed_that_is_larger_than_the_store_is_an_error(tmp_path):
    """The error names the file. The tickets before it are kept."""
    path, store = tmp_path / "seed.jsonl", TicketStore(limit=1000)
    path.write_text('{"title": "A"}\n' + json.dumps({"title": "B" * 1000}))
    with pytest.raises(ValueError, match=r"seed\.jsonl: The emulator is full"):
        seed(store, path)
    assert len(store.tickets) == 1


def test_a_line_without_a_number_gets_one_that_no_ticket_has(tmp_path):
    """A later line of the seed, or a ticket in the trash, may have the next number."""
    path, store = tmp_path / "seed.jsonl", TicketStore()
    path.write_text('{"title": "A"}\n{"title": "B", "number": 1}')
    assert seed(store, path) == 2
    assert {number: ticket.fields["Title"] for number, ticket in store.tickets.items()} == {"1": "B", "2": "A"}
    store.trash("1")
    with pytest.raises(ValueError, match="line 2: there is a ticket 1 already"):
        seed(store, path)
