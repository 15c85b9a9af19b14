"""The emulator as a whole: its settings, its life, `serve`, and the extra that it needs."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import socket
import subprocess
import sys
from typing import Any

import httpx
import pytest

from lsq_service_async.emulator import Emulator, TicketStore, serve

URLS = dict.fromkeys(("base_url", "metadata_url", "leads_url"), "http://localhost")
KEYS = {"access_key": "emulator-access-key", "secret_key": "emulator-secret-key", "org_id": "22824"}


def test_the_settings_are_a_fresh_dict() -> None:
    """Before it is open the origin is this machine's name; changing the dict changes nothing."""
    emulator = Emulator()
    emulator.settings["org_id"] = "1"
    assert emulator.settings == KEYS | URLS


def test_keys_and_tenant_can_be_chosen() -> None:
    """They appear in the settings, and are the ones that are checked."""
    emulator = Emulator(access_key="a", secret_key="b", org_id="7")
    assert emulator.settings == {"access_key": "a", "secret_key": "b", "org_id": "7"} | URLS


async def test_it_says_what_it_is(in_process: Any) -> None:
    """Its repr shows where it is and what it has seen, and no key."""
    emulator = Emulator()
    assert repr(emulator) == "<Emulator closed, 0 tickets, 0 calls, 0 refused>"
    async with emulator:
        assert f"<Emulator {emulator.settings['base_url']}, 0 tickets, 0 calls, 0 refused>" == repr(emulator)


async def test_it_can_be_opened_again_but_not_twice() -> None:
    """Twice at once is an error; after it was closed it goes on with what it had; closing a closed one does nothing."""
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


async def test_two_emulators_may_share_a_memory(in_process: Any, new_ticket: Any) -> None:
    """A ticket that one created is found by the other."""
    store = TicketStore(first_number=34)
    async with in_process(Emulator(store=store)) as one, in_process(Emulator(store=store)) as two:
        await one.post("/tickets", json=new_ticket)
        assert "#034" in (await two.get("/tickets/34")).text


def test_the_tickets_can_be_looked_at_only() -> None:
    """The mapping is a view: it cannot be written to."""
    with pytest.raises(TypeError):
        Emulator().tickets["1"] = None  # type: ignore[index]


def test_a_reading_of_offsets_that_does_not_exist_is_refused() -> None:
    """The three that exist are named."""
    with pytest.raises(ValueError, match="from_zero, from_one, page; not 'from_two'"):
        Emulator(metadata_offset="from_two")  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
def test_only_this_machine_can_reach_it(host: str) -> None:
    """Any other address than loopback is refused before anything is opened."""
    with pytest.raises(ValueError, match="loopback"):
        Emulator(host=host)


@pytest.mark.parametrize(
    ("host", "origin"), [("127.0.0.1", "http://127.0.0.1:"), ("localhost", "http://"), ("::1", "http://[::1]:")]
)
async def test_loopback_has_several_names(host: str, origin: str) -> None:
    """Each of them is an origin that can be called."""
    if host == "::1" and not _has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    async with Emulator(host=host) as emulator:
        assert emulator.settings["base_url"].startswith(origin)


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


async def test_serve_says_the_settings_and_ends_on_an_interrupt() -> None:
    """It prints the environment to use, and KeyboardInterrupt ends it without a traceback."""
    said: list[str] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    def say(text: str) -> None:
        said.append(text)
        asyncio.get_running_loop().call_soon(interrupt)

    await asyncio.to_thread(serve, 0, say=say)
    first, second, third, fourth, fifth, sixth = said[0].splitlines()
    assert first == "export LSQ_ACCESS_KEY=emulator-access-key"
    assert (second, third) == ("export LSQ_SECRET_KEY=emulator-secret-key", "export LSQ_ORG_ID=22824")
    assert fourth.startswith("export LSQ_BASE_URL=http://127.0.0.1:")
    assert (fifth, sixth) == (fourth.replace("BASE", "METADATA"), fourth.replace("BASE", "LEADS"))


def test_serve_as_a_process_of_its_own() -> None:
    """What it printed can be called at once; after Ctrl-C it is gone with exit code 0 and nothing on stderr."""
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
        assert process.stdout is not None
        origin = [process.stdout.readline() for _ in range(4)][-1].strip().partition("=")[2]
        assert httpx.get(origin, trust_env=False).status_code == 401
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=10)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, stderr) == (0, "")


@pytest.mark.parametrize("module", ["starlette.requests", "python_multipart.exceptions", "uvicorn"])
def test_without_its_extra_the_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """One library missing is one sentence with the command."""
    _forget_the_emulator(monkeypatch)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r'pip install "lsq-service-async\[emulator\]"'):
        importlib.import_module("lsq_service_async.emulator")


def test_another_missing_module_is_not_blamed_on_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation is shown as it is."""
    _forget_the_emulator(monkeypatch)
    monkeypatch.setitem(sys.modules, "lsq_service_async.emulator.window", None)
    with pytest.raises(ModuleNotFoundError, match=r"lsq_service_async\.emulator\.window"):
        importlib.import_module("lsq_service_async.emulator")


def _forget_the_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith("lsq_service_async.emulator"):
            monkeypatch.delitem(sys.modules, name)
