"""The package inside FastAPI apps."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from integrations.backend import backend
from integrations.browsers import TestClient, in_this_loop

from lsq_service_async import (
    Config,
    ConfigurationError,
    LSQServiceError,
    NewTicket,
    OutcomeUnknownError,
    QueueTimeoutError,
    RateLimit,
    RateLimitError,
    RetryPolicy,
    ServiceClient,
)
from lsq_service_async.emulator import AnswerLost, Emulator, Latency, Status
from lsq_service_async.events import AttemptEnded
from lsq_service_async.integrations.fastapi import Client, client_of, lifespan
from lsq_service_async.limits import LocalLimiter

TICKET = {"lead_id": "45b5", "title": "Router down"}
WIDE = RateLimit(10_000, per=0.1)


@pytest.fixture
def emulator():
    """In process, without a limit."""
    return Emulator(window=None)


@pytest.fixture
def app(emulator):
    return backend_of(emulator)


def backend_of(emulator, own=None, *, rate=WIDE, **options):
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app=emulator.app))
    config = Config(**emulator.settings, rate_limit=rate, retry=RetryPolicy(attempts=1))
    return backend(config, own, http_client=http, **options)


def running(app):
    """The lifespan, run by hand, as httpx.ASGITransport asks for."""
    return app.router.lifespan_context(app)


# The client of an app.


def test_a_ticket_is_created_changed_and_read(app, emulator):
    """Records are the bodies and the answers, under their Python names."""
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
    """Importing an app needs no environment; starting it without one says what is missing."""
    monkeypatch.delenv("LSQ_ORG_ID", raising=False)
    app = backend(Config.from_env)
    with pytest.raises(ConfigurationError, match="missing settings"), TestClient(app):
        pass


async def test_a_client_is_no_config(config):
    """A client made at import time is refused at once, in words that say what is wanted."""
    with pytest.raises(ConfigurationError, match=r"or a function that makes one.*not ServiceClient"):
        lifespan(ServiceClient(config))


async def test_the_own_lifespan_runs_inside(emulator):
    """It may use the client until its last line, and its state reaches the requests."""
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


def test_a_mounted_app_shares_the_client(app, emulator):
    """Its requests see the lifespan of the app that it is mounted in."""
    inner = FastAPI()

    @inner.get("/which")
    async def which(client: Client) -> str:
        return repr(client)

    app.mount("/inner", inner)
    with TestClient(app) as browser:
        assert "open" in browser.get("/inner/which").json()


async def test_the_limiter_is_the_one_that_was_given(emulator):
    """All workers that name the same one share an allowance."""
    limiter = LocalLimiter()
    app = backend_of(emulator, limiter=limiter)
    async with running(app):
        assert client_of(app).limiter is limiter


def test_an_app_can_be_started_again(app, emulator):
    """Each start opens a client in its own event loop."""
    for _ in range(2):
        with TestClient(app) as browser:
            assert browser.post("/tickets", json=TICKET).status_code == 201
    assert len(emulator.tickets) == 2


def test_without_its_lifespan_an_app_says_what_is_missing(app):
    """In one sentence, to who called TestClient without `with`."""
    with pytest.raises(RuntimeError, match=r"FastAPI\(lifespan=lifespan\(config\)\).*with TestClient"):
        TestClient(app).get("/tickets/1")


async def test_asgi_transport_runs_no_lifespan(app):
    """The same sentence, before the lifespan and after it."""
    async with in_this_loop(app) as browser:
        async with running(app):
            assert (await browser.post("/tickets", json=TICKET)).status_code == 201
        with pytest.raises(RuntimeError, match="ASGITransport does not run the lifespan"):
            await browser.get("/tickets/1")


async def test_a_second_event_loop_is_told_apart(app):
    """A lifespan in one loop and a request in another: one clear sentence, before anything is sent."""
    async with running(app):
        with pytest.raises(RuntimeError, match="opened in another event loop"):
            await asyncio.to_thread(TestClient(app).get, "/tickets/1")


def test_a_websocket_has_the_client_too(app, emulator, caplog):
    """Its errors end the connection, and are logged."""

    @app.websocket("/live")
    async def live(socket: WebSocket, client: Client) -> None:
        await socket.accept()
        await socket.send_text((await client.tickets.create(NewTicket(lead_id="45b5", title="Live"))).number)
        await client.tickets.get("404")

    with TestClient(app) as browser, browser.websocket_connect("/live") as connection:
        assert connection.receive_text() in emulator.tickets
    assert "WEBSOCKET /live: 404" in caplog.text


# Errors.


@pytest.mark.parametrize(
    ("fault", "status", "detail"),
    [
        (Status(404, body='{"Status":"Error","ReasonForFailure":"stack at line 7"}'), 404, "no such ticket"),
        (Status(429, headers={"Retry-After": "7"}), 503, "busy"),
        (Status(500, body='{"ExceptionType":"MXException","ExceptionMessage":"stack at line 7"}'), 502, "did not do"),
        (Status(401), 502, "did not do"),
        (AnswerLost(), 502, "It may have been done"),
    ],
    ids=["404", "429", "refused", "keys", "unknown"],
)
def test_an_error_of_the_service_is_answered_in_our_words(app, emulator, caplog, fault, status, detail):
    """No key, no stack and no word of the service; what it was is in the log, under the reference."""
    emulator.faults.add(fault)
    with TestClient(app) as browser:
        answer = browser.post("/tickets", json=TICKET)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]
    assert "stack" not in answer.text
    assert all(key not in answer.text for key in ("emulator-access-key", "emulator-secret-key"))
    assert any(answer.json()["reference"] in line for line in caplog.messages)
    assert answer.headers.get("retry-after") == ("7" if status == 503 else None)


def test_a_failing_gateway_is_logged_as_a_warning(app, emulator, caplog):
    """A refusal that the caller caused is not."""
    emulator.faults.add(Status(401))
    with TestClient(app) as browser:
        browser.get("/tickets/1")
        browser.get("/tickets/404")
    told = [(line.levelno, line.args[2]) for line in caplog.records if "because of" in line.msg]
    assert told == [(logging.WARNING, 502), (logging.INFO, 404)]


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RateLimitError("over"), "5"),
        (RateLimitError("over", retry_after=0.2), "1"),
        (QueueTimeoutError("late", retry_after=6.2), "7"),
        (QueueTimeoutError("late", retry_after=math.inf), "3600"),
    ],
    ids=["none", "soon", "a part", "for ever"],
)
def test_a_retry_after_is_whole_seconds(app, error, seconds):
    """Rounded up, the documented window where no time is known, and an hour at most."""
    app.get("/busy")(raising(error))
    with TestClient(app) as browser:
        answer = browser.get("/busy")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, seconds)


@pytest.mark.parametrize("error", [OutcomeUnknownError("lost"), LSQServiceError("this client is closed")])
def test_all_other_errors_are_502(app, error):
    """Whatever the tree has or gets."""
    app.get("/broken")(raising(error))
    with TestClient(app) as browser:
        assert browser.get("/broken").status_code == 502


def raising(error):
    async def handler():
        raise error

    return handler


def test_a_handler_that_must_not_wait_answers_503(emulator):
    """With a deadline, and a Retry-After of whole seconds; nothing is sent for it."""
    with TestClient(backend_of(emulator, rate=RateLimit(1, per=60.0))) as browser:
        number = browser.post("/tickets", json=TICKET).json()["number"]
        answer = browser.get(f"/impatient/{number}")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 50
    assert len(emulator.calls) == 1


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({**TICKET, "title": 7}, ["body", "title"]),
        ({**TICKET, "titel": "Router down"}, ["body", "titel"]),
        ({**TICKET, "due_date": "soon"}, ["body", "due_date"]),
        ({**TICKET, "fields": ["a"]}, ["body", "fields"]),
        (["Router down"], ["body"]),
    ],
    ids=["type", "unknown", "date", "fields", "list"],
)
def test_a_body_that_is_no_ticket_is_a_422_that_names_the_field(app, emulator, body, place):
    """Before the handler runs, and before anything is sent."""
    with TestClient(app) as browser:
        answer = browser.post("/tickets", json=body)
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, place)
    assert emulator.calls == ()


@pytest.mark.parametrize(
    ("body", "word"),
    [({"title": "Router down"}, "lead_id"), ({**TICKET, "due_date": "2026-01-31T09:00:00"}, "DueDate")],
    ids=["no lead", "no zone"],
)
def test_a_ticket_that_cannot_be_right_is_a_422_too(app, emulator, body, word):
    """In the shape of FastAPI's own, with the client's words."""
    with TestClient(app) as browser:
        answer = browser.post("/tickets", json=body)
    assert answer.status_code == 422
    assert word in answer.json()["detail"][0]["msg"]
    assert emulator.calls == ()


def test_a_number_that_no_ticket_has_is_a_422(app, emulator):
    """What could leave the tenant's path never leaves the backend."""
    with TestClient(app) as browser:
        answer = browser.get("/tickets/a b")
    assert (answer.status_code, answer.json()["detail"][0]["type"]) == (422, "invalid_request")
    assert emulator.calls == ()


def test_the_document_names_the_records(app):
    """Each record is a component of its own name, with its text, and the same one for bodies and answers."""
    schemas = app.openapi()["components"]["schemas"]
    assert {"Attempt", "NewTicket", "Outcome", "Permission", "Ticket", "TicketReceipt", "TicketUpdate"} <= set(schemas)
    assert schemas["TicketReceipt"]["required"] == ["number"]
    assert schemas["NewTicket"]["description"].startswith("A ticket to create.")
    assert "unset" not in json.dumps(schemas["TicketUpdate"]).lower()
    body = app.openapi()["paths"]["/tickets"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["$ref"] == "#/components/schemas/NewTicket"


# Files, background tasks, cancelled requests.


def test_an_upload_becomes_an_attachment(app, emulator):
    """With its name, type and bytes, a file on disk as well as one in memory."""
    data = b"12345678" * 300_000
    with TestClient(app) as browser:
        number = browser.post("/tickets", json=TICKET).json()["number"]
        answer = browser.post(f"/tickets/{number}/files", files={"file": ("photo.jpg", data, "image/jpeg")})
    assert answer.status_code == 200
    (file,) = emulator.calls[-1].files
    assert (file.name, file.content_type, file.size) == ("photo.jpg", "image/jpeg", len(data))


def test_a_background_task_uses_the_client_after_the_response(app, emulator):
    """The client is open until the app ends."""
    with TestClient(app) as browser:
        assert browser.post("/later", params={"title": "Afterwards"}).status_code == 202
    assert [ticket.fields["Title"] for ticket in emulator.tickets.values()] == ["Afterwards"]


async def test_a_cancelled_request_leaves_its_ticket_to_the_hooks():
    """A hundred handlers are cancelled while their tickets are being created: each ticket is told, and the pool and
    the limit are whole."""
    told = []
    async with Emulator(window=None) as emulator:
        emulator.faults.add(Latency(0.2, times=100, method="POST"))
        config = Config(**emulator.settings, rate_limit=WIDE)
        app = backend(config, hooks=[told.append])
        async with running(app), in_this_loop(app) as browser:
            await cancel_all([asyncio.create_task(browser.post("/tickets", json=TICKET)) for _ in range(100)], emulator)
            answers = await asyncio.gather(*(browser.post("/tickets", json=TICKET) for _ in range(100)))
            await settled(lambda: client_of(app).limiter.stats().used == 0)
    ended = [event for event in told if isinstance(event, AttemptEnded) and event.abandoned]
    assert [answer.status_code for answer in answers] == [201] * 100
    assert [event.outcome for event in ended] == ["applied"] * 100
    numbers = {event.result.number for event in ended} | {answer.json()["number"] for answer in answers}
    assert numbers == set(emulator.tickets)


async def cancel_all(requests, emulator):
    await settled(lambda: len(emulator.tickets) == len(requests))
    for request in requests:
        request.cancel()
    ends = await asyncio.gather(*requests, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}


async def settled(condition):
    """Wait until it is so; AssertionError where it never is."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")
