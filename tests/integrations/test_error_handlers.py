"""Responses of a backend if a call of the client fails."""

from __future__ import annotations

import logging
import math

import pytest
from fastapi import FastAPI
from integrations.backend import TICKET, backend_of, router
from integrations.browsers import TestClient

from lsq_service_async import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    LSQServiceError,
    MalformedResponseError,
    NotSentError,
    OperationFailedError,
    OutcomeUnknownError,
    PermissionDeniedError,
    QueueTimeoutError,
    RateLimit,
    RateLimitError,
    ServerError,
)
from lsq_service_async.emulator import AnswerLost, Status
from lsq_service_async.integrations.fastapi import install_error_handlers

OTHERS = [
    LSQServiceError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    MalformedResponseError,
    NotSentError,
    OperationFailedError,
    OutcomeUnknownError,
    PermissionDeniedError,
    ServerError,
]
STACK = '{"ExceptionType":"MXException","ExceptionMessage":"stack at line 7"}'


@pytest.mark.parametrize(
    ("fault", "status", "detail"),
    [
        (
            Status(404, body='{"Status":"Error","ReasonForFailure":"stack at line 7"}'),
            404,
            "The requested ticket or resource does not exist.",
        ),
        (Status(429, headers={"Retry-After": "7"}), 503, "busy"),
        (Status(500, body=STACK), 502, "failed"),
        (Status(401), 502, "failed"),
        (AnswerLost(), 502, "may have been applied"),
    ],
    ids=["404", "429", "refused", "keys", "unknown"],
)
def test_an_error_does_not_quote_the_service(app, emulator, caplog, fault, status, detail):
    """An error is answered without keys or the service's message, which is logged with the same reference."""
    emulator.faults.add(fault)
    with TestClient(app) as browser:
        answer = browser.post("/tickets", json=TICKET)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]
    assert "stack" not in answer.text
    assert all(key not in answer.text for key in ("emulator-access-key", "emulator-secret-key"))
    assert any(answer.json()["reference"] in line for line in caplog.messages)
    assert answer.headers.get("retry-after") == ("7" if status == 503 else None)


def test_a_receipt_does_not_say_why_earlier_attempts_failed(emulator):
    """The response of a create lists failed attempts without the service's message."""
    emulator.faults.add(Status(503, body="stack at line 7"))
    with TestClient(backend_of(emulator, attempts=2)) as browser:
        answer = browser.post("/tickets", json=TICKET)
    assert answer.status_code == 201
    assert [(attempt["status"], "reason" in attempt) for attempt in answer.json()["attempts"]] == [
        (503, False),
        (200, False),
    ]
    assert "stack" not in answer.text


@pytest.mark.parametrize(("method", "body", "status"), [("GET", None, 504), ("PATCH", {"status": "On Hold"}, 502)])
def test_a_call_without_an_answer_may_be_repeated(app, emulator, method, body, status):
    """A read or an update without an answer gets a response with the information that it can be repeated."""
    with TestClient(app) as browser:
        number = browser.post("/tickets", json=TICKET).json()["number"]
        emulator.faults.add(AnswerLost())
        answer = browser.request(method, f"/tickets/{number}", json=body)
    assert answer.status_code == status
    assert "can be repeated" in answer.json()["detail"]


def test_a_failing_gateway_is_logged_as_a_warning(app, emulator, caplog):
    """A 502 or 504 is logged as a warning, and an error that the caller caused as information."""
    emulator.faults.add(Status(401), AnswerLost())
    with TestClient(app) as browser:
        browser.get("/tickets/1")
        browser.get("/tickets/1")
        browser.get("/tickets/404")
    told = [(line.levelno, line.args[2]) for line in caplog.records if "because of" in line.msg]
    assert told == [(logging.WARNING, 502), (logging.WARNING, 504), (logging.INFO, 404)]


@pytest.mark.parametrize("headers", [{}, {"Host": "["}], ids=["a plain host", "no host at all"])
def test_a_path_cannot_forge_a_line_of_the_log(app, caplog, headers):
    """A path with control characters is quoted in the log."""
    with TestClient(app) as browser:
        answer = browser.get("/tickets/7%1b%5b31m%0aforged", headers=headers)
    (line,) = [line for line in caplog.messages if "because of" in line]
    assert answer.status_code == 422
    assert line.startswith("GET /tickets/7%1B%5B31m%0Aforged: 422, because of InvalidRequestError")
    assert line.isprintable()


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
    """Retry-After is rounded up to whole seconds, is 5 if the time is not known, and at most an hour."""
    app.get("/busy")(raising(error))
    with TestClient(app) as browser:
        answer = browser.get("/busy")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, seconds)


@pytest.mark.parametrize("kind", OTHERS)
def test_all_other_errors_are_502(app, kind):
    """Every other error is a 502 without the error's message."""
    app.get("/broken")(raising(kind("stack at line 7")))
    with TestClient(app) as browser:
        answer = browser.get("/broken")
    assert (answer.status_code, "stack" in answer.text) == (502, False)


def raising(error):
    async def handler():
        raise error

    return handler


def test_a_handler_that_must_not_wait_answers_503(emulator):
    """A handler with a deadline answers 503 with Retry-After if the queue is longer, and sends nothing."""
    with TestClient(backend_of(emulator, rate=RateLimit(1, per=60.0))) as browser:
        number = browser.post("/tickets", json=TICKET).json()["number"]
        answer = browser.get(f"/impatient/{number}")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 50
    assert len(emulator.calls) == 1


def test_a_number_that_no_ticket_has_is_a_422(app, emulator):
    """A number that could leave the path of the tenant is refused by the backend."""
    with TestClient(app) as browser:
        answer = browser.get("/tickets/a b")
    assert (answer.status_code, answer.json()["detail"][0]["type"]) == (422, "invalid_request")
    assert emulator.calls == ()


def test_a_mounted_app_has_handlers_of_its_own(app):
    """It uses the client of the app around it, and answers its own errors."""
    inner = FastAPI()
    install_error_handlers(inner)
    inner.include_router(router)
    app.mount("/inner", inner)
    with TestClient(app) as browser:
        assert browser.get("/inner/tickets/404").status_code == 404
