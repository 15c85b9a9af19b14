"""The client inside FastAPI apps."""

from __future__ import annotations

import asyncio
import importlib
import sys
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request, WebSocket
from integrations.backend import TICKET, WIDE, backend, backend_of, http_client_of
from integrations.browsers import TestClient, in_this_loop
from starlette.testclient import WebSocketDenialResponse

from lsq_service_async import Config, ConfigurationError, NewTicket, ServiceClient
from lsq_service_async.emulator import Emulator, Latency
from lsq_service_async.events import AttemptEnded
from lsq_service_async.integrations.fastapi import Client, client_of, get_client, lifespan
from lsq_service_async.limits import LocalLimiter


def running(app):
    """Run the lifespan of an app, which httpx.ASGITransport does not do."""
    return app.router.lifespan_context(app)


# The client of an app.


def test_a_ticket_is_created_changed_and_read(app, emulator):
    """Records are request and response bodies with their Python names."""
    with TestClient(app) as browser:
        created = browser.post("/tickets", json={**TICKET, "fields": {"CustomData.SRC_CS_2": "Online"}})
        number = created.json()["number"]
        changed = browser.patch(f"/tickets/{number}", json={"status": "On Hold", "description": None})
        ticket = browser.get(f"/tickets/{number}").json()
        several = browser.get("/tickets", params={"numbers": f"{number},{number}"}).json()
    assert (created.status_code, changed.status_code) == (201, 200)
    assert (ticket["title"], ticket["status"], ticket["description"]) == ("Router down", "On Hold", None)
    assert ticket["fields"]["CustomData.SRC_CS_2"] == "Online"
    assert several == [ticket, ticket]
    assert len(emulator.tickets) == 1


def test_settings_are_read_when_the_app_starts(monkeypatch):
    """An app is created without settings, and fails with a list of them when it starts."""
    monkeypatch.delenv("LSQ_ORG_ID", raising=False)
    app = backend(Config.from_env)
    with pytest.raises(ConfigurationError, match="missing settings"), TestClient(app):
        pass


@pytest.mark.parametrize(
    "make", [ServiceClient, lambda config: FastAPI(), lambda config: Config], ids=["a client", "the app", "the class"]
)
async def test_a_lifespan_takes_settings(config, make):
    """The lifespan refuses a client, a class, and an app that FastAPI passes if it gets the function itself."""
    with pytest.raises(ConfigurationError, match=r"Config.from_env\)\), not (ServiceClient|FastAPI|the class Config)$"):
        lifespan(make(config))


async def generator(app=None):
    yield


@asynccontextmanager
async def five(app):
    yield 5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"own": 5}, "own must be a lifespan"),
        ({"own": 0}, "own must be a lifespan"),
        ({"own": generator}, "own must return .* not async_generator: put @asynccontextmanager on it"),
        ({"own": lambda app: None}, "own must return .* not NoneType"),
        ({"own": five}, "own must yield nothing or a mapping, not int"),
        ({"http_client": lambda: None}, "http_client must return .* not NoneType: return an httpx.AsyncClient"),
        ({"http_client": httpx.Client}, "http_client must return .* not Client"),
        ({"http_client": generator}, "http_client must return .* not async_generator"),
        ({"http_client": lambda: five(None)}, "http_client must be an httpx.AsyncClient"),
    ],
)
async def test_wrong_arguments_of_a_lifespan(config, arguments, says):
    """They raise ConfigurationError when the app is made, or when it starts."""
    with pytest.raises(ConfigurationError, match=says):
        async with running(FastAPI(lifespan=lifespan(config, **arguments))):
            pass


async def test_an_http_client_made_at_import_time_is_refused(config):
    """The lifespan refuses an httpx client, which would be used in another event loop after a second start."""
    async with httpx.AsyncClient() as http:
        with pytest.raises(ConfigurationError, match=r"a function .* when the app starts.*not AsyncClient"):
            lifespan(config, http_client=http)


def test_each_start_makes_an_http_client_and_closes_it(emulator):
    """Each start of the app makes an httpx client, which is closed when the app stops."""
    made = []

    def make():
        made.append(http_client_of(emulator))
        return made[-1]

    app = backend(Config(**emulator.settings), http_client=make)
    for _ in range(2):
        with TestClient(app) as browser:
            assert browser.post("/tickets", json=TICKET).status_code == 201
            assert not made[-1].is_closed
    assert [http.is_closed for http in made] == [True, True]


async def test_the_own_lifespan_runs_inside(emulator):
    """The lifespan of the app can use the client until its end, and its state is available to requests."""
    seen = []

    @asynccontextmanager
    async def own(app):
        client = client_of(app)
        yield {"colour": "green"}
        await client.tickets.create(NewTicket(lead_id="45b5", title="Last"))
        seen.append(client)

    app = backend_of(emulator, own)
    async with running(app) as state:
        assert state["colour"] == "green"
        assert seen == []
    assert "closed" in repr(seen[0])
    assert len(emulator.tickets) == 1


async def test_an_own_lifespan_that_fails_leaves_nothing_open(emulator):
    """If the lifespan of the app fails, its error is raised and the client is closed."""
    seen = []

    @asynccontextmanager
    async def own(app):
        seen.append(client_of(app))
        raise OSError("no database")
        yield

    app = backend_of(emulator, own)
    with pytest.raises(OSError, match="no database"):
        async with running(app):
            pass
    assert "closed" in repr(seen[0])


def test_a_second_account_has_a_client_of_the_own_lifespan(emulator):
    """A client for a second account is opened in the lifespan of the app and found in its state."""
    sandbox = Emulator(window=None, enforce_mandatory=False)

    @asynccontextmanager
    async def own(app):
        async with ServiceClient(Config(**sandbox.settings), http_client=http_client_of(sandbox)) as client:
            yield {"sandbox": client}

    app = backend_of(emulator, own)

    @app.post("/sandbox")
    async def create(request: Request) -> str:
        return (await request.state.sandbox.tickets.create(NewTicket(**TICKET))).number

    with TestClient(app) as browser:
        browser.post("/sandbox")
    assert (len(emulator.tickets), len(sandbox.tickets)) == (0, 1)


@pytest.mark.parametrize("where", ["own", "router"])
def test_an_app_has_one_client(emulator, where):
    """A second lifespan with a client for the same app is refused when the app starts."""
    second = lifespan(Config(**emulator.settings))
    app = backend_of(emulator, second if where == "own" else None)
    app.include_router(APIRouter(lifespan=second if where == "router" else None))
    with pytest.raises(ConfigurationError, match="has a client already"), TestClient(app):
        pass


def test_a_mounted_app_shares_the_client(app, emulator):
    """Requests to a mounted app get the client of the outer app."""
    inner = FastAPI()

    @inner.get("/which")
    async def which(client: Client) -> str:
        return repr(client)

    app.mount("/inner", inner)
    with TestClient(app) as browser:
        assert "open" in browser.get("/inner/which").json()


async def test_the_limiter_is_the_one_that_was_given(emulator):
    """The client of an app uses the limiter that the lifespan was given."""
    limiter = LocalLimiter()
    app = backend_of(emulator, limiter=limiter)
    async with running(app):
        assert client_of(app).limiter is limiter


def test_an_app_can_be_started_again(app, emulator):
    """Each start of an app opens a client in its event loop."""
    for _ in range(2):
        with TestClient(app) as browser:
            assert browser.post("/tickets", json=TICKET).status_code == 201
    assert len(emulator.tickets) == 2


def test_an_app_can_be_started_while_it_runs(app):
    """An app that is started twice, in two event loops, has a client for each."""
    with TestClient(app) as outer:
        with TestClient(app) as inner:
            assert inner.post("/tickets", json=TICKET).status_code == 201
        assert outer.post("/tickets", json=TICKET).status_code == 201
    with pytest.raises(RuntimeError, match="no open client"):
        TestClient(app).get("/tickets/1")


def test_a_test_may_put_another_client_in_its_place(app):
    """A test can override the dependency, without running the lifespan."""

    @app.get("/which")
    async def which(client: Client) -> str:
        return client

    app.dependency_overrides[get_client] = lambda: "a fake"
    assert TestClient(app).get("/which").json() == "a fake"


def test_without_fastapi_the_import_says_what_to_install(monkeypatch):
    """Importing the integration without FastAPI raises an ImportError with the extra to install."""
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.delitem(sys.modules, "lsq_service_async.integrations.fastapi")
    with pytest.raises(ImportError, match=r"pip install 'lsq-service-async\[fastapi\]'"):
        importlib.import_module("lsq_service_async.integrations.fastapi")


def test_without_its_lifespan_an_app_says_what_is_missing(app):
    """A request without the lifespan raises an error that explains TestClient."""
    with pytest.raises(RuntimeError, match=r"FastAPI\(lifespan=lifespan\(config\)\).*with TestClient"):
        TestClient(app).get("/tickets/1")


async def test_asgi_transport_runs_no_lifespan(app):
    """A request after the lifespan has ended raises an error that explains ASGITransport."""
    async with in_this_loop(app) as browser:
        async with running(app):
            assert (await browser.post("/tickets", json=TICKET)).status_code == 201
        with pytest.raises(RuntimeError, match="ASGITransport does not run the lifespan"):
            await browser.get("/tickets/1")


async def test_a_second_event_loop_is_told_apart(app):
    """A request in another event loop than the lifespan raises an error, and nothing is sent."""
    async with running(app):
        with pytest.raises(RuntimeError, match="opened in another event loop"):
            await asyncio.to_thread(TestClient(app).get, "/tickets/1")


def test_a_websocket_has_the_client_too(app, emulator, caplog):
    """A websocket handler gets the client, and its error is logged."""

    @app.websocket("/live")
    async def live(socket: WebSocket, client: Client) -> None:
        await socket.accept()
        await socket.send_text((await client.tickets.create(NewTicket(lead_id="45b5", title="Live"))).number)
        await client.tickets.get("404")

    with TestClient(app) as browser, browser.websocket_connect("/live") as connection:
        assert connection.receive_text() in emulator.tickets
        assert connection.receive() == {"type": "websocket.close", "code": 1011, "reason": ""}
    assert "WEBSOCKET /live: 404" in caplog.text


@pytest.mark.parametrize("closed", [False, True])
def test_a_websocket_that_is_not_open_is_not_closed(app, closed):
    """An error before the websocket is accepted is a response; one after it was closed is only logged."""

    @app.websocket("/live")
    async def live(socket: WebSocket, client: Client) -> None:
        if closed:
            await socket.accept()
            await socket.close(1000)
        await client.tickets.get("404")

    with TestClient(app) as browser:
        if closed:
            with browser.websocket_connect("/live") as connection:
                assert connection.receive()["code"] == 1000
        else:
            with pytest.raises(WebSocketDenialResponse) as caught, browser.websocket_connect("/live"):
                pass
            assert caught.value.status_code == 404


# Files, background tasks, cancelled requests.


def test_an_upload_becomes_an_attachment(app, emulator):
    """An upload is sent as an attachment with its name, content type and bytes."""
    data = b"12345678" * 300_000
    with TestClient(app) as browser:
        number = browser.post("/tickets", json=TICKET).json()["number"]
        answer = browser.post(f"/tickets/{number}/files", files={"file": ("photo.jpg", data, "image/jpeg")})
    assert answer.status_code == 200
    (file,) = emulator.calls[-1].files
    assert (file.name, file.content_type, file.size) == ("photo.jpg", "image/jpeg", len(data))


def test_a_background_task_uses_the_client_after_the_response(app, emulator):
    """A background task can use the client after the response was sent."""
    with TestClient(app) as browser:
        assert browser.post("/later", params={"title": "Afterwards"}).status_code == 202
    assert [ticket.fields["Title"] for ticket in emulator.tickets.values()] == ["Afterwards"]


async def test_a_cancelled_request_leaves_its_ticket_to_the_hooks():
    """If 30 handlers are cancelled during a create, hooks get all tickets, and the limiter and the pool recover."""
    told = []
    async with Emulator(window=None, enforce_mandatory=False) as emulator:
        emulator.faults.add(Latency(0.2, times=30, method="POST"))
        config = Config(**emulator.settings, rate_limit=WIDE)
        app = backend(config, hooks=[told.append])
        async with running(app), in_this_loop(app) as browser:
            await cancel_all([asyncio.create_task(browser.post("/tickets", json=TICKET)) for _ in range(30)], emulator)
            answers = await asyncio.gather(*(browser.post("/tickets", json=TICKET) for _ in range(30)))
            await settled(lambda: client_of(app).limiter.stats().used == 0)
    ended = [event for event in told if isinstance(event, AttemptEnded) and event.abandoned]
    assert [answer.status_code for answer in answers] == [201] * 30
    assert [event.outcome for event in ended] == ["applied"] * 30
    numbers = {event.result.number for event in ended} | {answer.json()["number"] for answer in answers}
    assert numbers == set(emulator.tickets)


async def cancel_all(requests, emulator):
    await settled(lambda: len(emulator.tickets) == len(requests))
    for request in requests:
        request.cancel()
    ends = await asyncio.gather(*requests, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}


async def settled(condition):
    """Wait until the condition is true, for at most 10 seconds."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")
