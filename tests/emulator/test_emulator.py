"""The emulator as a whole: settings, opening and closing, ``serve``, and the extra that it needs."""

import asyncio
import importlib
import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from lsq_service_async.emulator import Emulator, TicketStore, serve

URLS = dict.fromkeys(("base_url", "metadata_url", "leads_url"), "http://localhost")
KEYS = {"access_key": "emulator-access-key", "secret_key": "emulator-secret-key", "org_id": "22824"}


def test_the_settings_are_a_new_dict():
    """The origin of a closed emulator is http://localhost, and changes of the dict have no effect."""
    emulator = Emulator()
    emulator.settings["org_id"] = "1"
    assert emulator.settings == KEYS | URLS
    chosen = {"access_key": "a", "secret_key": "b", "org_id": "7"}
    assert Emulator(**chosen).settings == chosen | URLS


async def test_the_repr_has_the_address_and_no_key():
    """The repr shows the address and the number of tickets, calls and refused calls."""
    emulator = Emulator()
    assert repr(emulator) == "<Emulator closed, 0 tickets, 0 calls, 0 refused>"
    async with emulator:
        assert repr(emulator) == f"<Emulator {emulator.settings['base_url']}, 0 tickets, 0 calls, 0 refused>"


async def test_it_can_be_opened_again_but_not_twice():
    """Opening an open emulator is an error, and closing a closed one does nothing."""
    emulator = Emulator()
    await emulator.aclose()
    async with emulator:
        with pytest.raises(RuntimeError, match="open already"):
            await emulator.__aenter__()
    await emulator.aclose()
    assert emulator.settings["base_url"] == "http://localhost"
    async with emulator:
        origins = {emulator.settings[name] for name in ("base_url", "metadata_url", "leads_url")}
        assert [origin.startswith("http://127.0.0.1:") for origin in origins] == [True]


async def test_two_emulators_may_share_a_store(connect, new_ticket):
    """A ticket that was created on one emulator is found on the other."""
    store = TicketStore(first_number=34)
    async with connect(Emulator(store=store)) as one, connect(Emulator(store=store)) as two:
        await one.post("/tickets", json=new_ticket)
        assert "#034" in (await two.get("/tickets/34")).text


def test_the_tickets_are_read_only():
    """The mapping of tickets is a view that cannot be changed."""
    with pytest.raises(TypeError):
        Emulator().tickets["1"] = None


def test_an_unknown_meaning_of_offsets_is_refused():
    """The error lists the three meanings."""
    with pytest.raises(ValueError, match="from_zero, from_one, page; not 'from_two'"):
        Emulator(metadata_offset="from_two")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
def test_only_loopback_addresses_are_allowed(host):
    """Any other address than loopback is refused before a socket is opened."""
    with pytest.raises(ValueError, match="loopback"):
        Emulator(host=host)


@pytest.mark.parametrize(
    ("host", "origin"), [("127.0.0.1", "http://127.0.0.1:"), ("localhost", "http://"), ("::1", "http://[::1]:")]
)
async def test_loopback_has_several_names(host, origin):
    """Each name of this machine gives an origin that can be called."""
    if host == "::1":
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
    async with Emulator(host=host) as emulator:
        assert emulator.settings["base_url"].startswith(origin)


async def test_serve_prints_the_settings_and_stops_on_an_interrupt():
    """``serve`` prints the environment to use, and KeyboardInterrupt stops it without a traceback."""
    said = []

    def interrupt():
        raise KeyboardInterrupt

    def say(text):
        said.append(text)
        asyncio.get_running_loop().call_soon(interrupt)

    await asyncio.to_thread(serve, 0, say=say)
    keys, (base, metadata, leads) = said[0].splitlines()[:3], said[0].splitlines()[3:]
    assert keys == [f"export LSQ_{name.upper()}={value}" for name, value in KEYS.items()]
    assert base.startswith("export LSQ_BASE_URL=http://127.0.0.1:")
    assert (metadata, leads) == (base.replace("BASE", "METADATA"), base.replace("BASE", "LEADS"))


def test_serve_in_another_process():
    """The printed address can be called at once, and Ctrl-C ends the process with exit code 0 and an empty stderr."""
    # A shell that started the tests in the background may have left SIGINT ignored, which children inherit.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from lsq_service_async.emulator import serve; serve(0, say=lambda text: print(text, flush=True))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        origin = [process.stdout.readline() for _ in range(4)][-1].strip().partition("=")[2]
        assert httpx.get(origin, trust_env=False).status_code == 401
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=10)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, stderr) == (0, "")


@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        ("starlette.requests", ImportError, r'pip install "lsq-service-async\[emulator\]"'),
        ("python_multipart.exceptions", ImportError, r'pip install "lsq-service-async\[emulator\]"'),
        ("uvicorn", ImportError, r'pip install "lsq-service-async\[emulator\]"'),
        ("lsq_service_async.emulator.window", ModuleNotFoundError, r"lsq_service_async\.emulator\.window"),
    ],
)
def test_a_missing_library_names_the_extra(monkeypatch, module, error, message):
    """Without a library of the extra the import fails with the command to install it; other errors are unchanged."""
    for name in list(sys.modules):
        if name.startswith("lsq_service_async.emulator"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(error, match=message):
        importlib.import_module("lsq_service_async.emulator")
