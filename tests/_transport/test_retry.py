"""Which attempts are repeated, when, and the final result of several attempts. All on a virtual clock."""

import asyncio
import logging
import pickle
import re
import ssl

import attrs
import httpx
import pytest
from _transport.playing import of, play
from scripted import LIMIT_TEXT, AfterBody, BeforeBody, Script, Slow, created
from virtual_clock import run_virtual

from lsq_service_async import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    MalformedResponseError,
    NewTicket,
    NoAnswerError,
    NotSentError,
    OperationFailedError,
    OutcomeUnknownError,
    QueueTimeoutError,
    RateLimit,
    RateLimitError,
    RetryPolicy,
    ServerError,
    ServiceClient,
    TicketUpdate,
)
from lsq_service_async.events import AttemptEnded, CallEnded, LimitPaused

TICKET = {"Id": "143", "Fields": []}
RESET = httpx.ReadError("reset")
LATE = httpx.ReadTimeout("late")
REFUSED = httpx.ConnectError("refused")


def tls_error():
    error = httpx.ConnectError("certificate verify failed")
    error.__cause__ = ssl.SSLCertVerificationError("self-signed certificate")
    return error


def answer(body=None, status=200, **headers):
    return httpx.Response(status, headers=headers, json=TICKET if body is None else body)


async def create(client):
    return await client.tickets.create(NewTicket(lead_id="45b5"))


async def update(client):
    return await client.tickets.update("143", TicketUpdate(status="On Hold"))


async def read(client):
    return await client.tickets.get("143")


def run(config, act, *steps, **options):
    """Make one call against these steps. Return its result or error, the script and the events."""
    script = Script(*steps)

    async def main(client, _):
        try:
            return await act(client.with_options(**options))
        except Exception as error:
            return error

    result, events = play(config, script, main)
    return result, script, events


NEVER, ONCE_MORE = 1, 2
HTML = httpx.Response(503, html="<html>unavailable</html>")
WORDS = {"ExceptionType": "MXAPIRateLimitExceededException", "ExceptionMessage": LIMIT_TEXT}
NO = {"Status": "Error", "ExceptionType": "MXInvalidException", "ExceptionMessage": "no"}
# fault, sends of a read, an update and a create when the fault happens once and all is well then
ONCE = [
    ("429", 429, 2, 2, 2),
    ("the limit in a 200", answer(WORDS), 2, 2, 2),
    ("the limit in a 403", answer(WORDS, 403), 2, 2, 2),
    ("the limit in a 500", answer(WORDS, 500), 2, 2, 2),
    ("500", 500, 2, 2, 2),
    ("502", 502, 2, 2, 2),
    ("503 as HTML", HTML, 2, 2, 2),
    ("504", 504, 2, 2, 2),
    ("500 with an exception type", answer(NO, 500), 1, 1, 1),
    ("400", 400, 1, 1, 1),
    ("401", 401, 1, 1, 1),
    ("409", 409, 1, 1, 1),
    ("413", 413, 1, 1, 1),
    ("redirect", httpx.Response(307, headers={"location": "https://evil.example/"}), 1, 1, 1),
    ("200 that failed", answer({"Status": "Failed"}), 1, 1, 1),
    ("connection refused", BeforeBody(REFUSED), 2, 2, 2),
    ("connect time-out", BeforeBody(httpx.ConnectTimeout("late")), 2, 2, 2),
    ("no connection free", BeforeBody(httpx.PoolTimeout("late")), 2, 2, 2),
    ("TLS", BeforeBody(tls_error()), 1, 1, 1),
    ("no such scheme", BeforeBody(httpx.UnsupportedProtocol("ftp")), 1, 1, 1),
    ("reset before the body", BeforeBody(httpx.WriteError("reset")), 2, 2, 2),
    ("write time-out", BeforeBody(httpx.WriteTimeout("late")), 2, 2, 2),
    ("reset after the body", AfterBody(RESET), 2, 2, 1),
    ("read time-out", AfterBody(LATE), 2, 2, 1),
    ("disconnected", AfterBody(httpx.RemoteProtocolError("Server disconnected")), 2, 2, 1),
    ("an OSError", AfterBody(OSError("broken")), 2, 2, 1),
    ("truncated JSON", httpx.Response(200, content=b'{"Id": "1'), 2, 2, 1),
    ("list for object", httpx.Response(200, content=b"[]"), 2, 2, 1),
    ("no number", httpx.Response(200, content=b'{"Status": "Success"}'), 2, 2, 1),
    ("408", 408, 2, 2, 2),
    ("501", 501, 1, 1, 1),
    ("511", 511, 1, 1, 1),
    ("520", 520, 1, 1, 1),
]


@pytest.mark.parametrize(("act", "column"), [(read, 2), (update, 3), (create, 4)], ids=["read", "update", "create"])
@pytest.mark.parametrize("row", ONCE, ids=[row[0] for row in ONCE])
def test_what_is_repeated(config, row, act, column):
    """After one fault, a call is repeated exactly if the table has two attempts for it."""
    result, script, _ = run(config, act, row[1], answer())
    assert len(script.seen) == row[column]
    assert isinstance(result, Exception) == (row[column] == NEVER)


UNKNOWN = {"500", "garbage", "520"}
# fault that stays, error of a read, an update and a create
STAYS = [
    ("429", 429, RateLimitError, RateLimitError, RateLimitError),
    ("500", 500, ServerError, ServerError, OutcomeUnknownError),
    ("refused", BeforeBody(REFUSED), NotSentError, NotSentError, NotSentError),
    ("TLS", BeforeBody(tls_error()), NotSentError, NotSentError, NotSentError),
    ("unanswered", AfterBody(LATE), NoAnswerError, OutcomeUnknownError, OutcomeUnknownError),
    ("garbage", httpx.Response(200, content=b"<"), MalformedResponseError, MalformedResponseError, OutcomeUnknownError),
    ("400", 400, BadRequestError, BadRequestError, BadRequestError),
    ("200 failed", answer({"Status": "No"}), OperationFailedError, OperationFailedError, OperationFailedError),
    ("421", 421, APIStatusError, APIStatusError, APIStatusError),
    ("501", 501, ServerError, ServerError, ServerError),
    ("520", 520, ServerError, ServerError, OutcomeUnknownError),
]


@pytest.mark.parametrize(("act", "column"), [(read, 2), (update, 3), (create, 4)], ids=["read", "update", "create"])
@pytest.mark.parametrize("row", STAYS, ids=[row[0] for row in STAYS])
def test_a_fault_in_every_attempt_raises_its_error(config, row, act, column):
    """A fault in every attempt raises the error of the table, with the reference and all attempts."""
    result, script, events = run(config, act, row[1])
    assert type(result) is row[column]
    assert len(script.seen) in (1, 5)
    assert len(result.attempts) == len(script.seen)
    assert [attempt.number for attempt in result.attempts] == list(range(1, len(script.seen) + 1))
    assert {event.reference for event in events} == {result.reference}
    is_unknown = isinstance(result, OutcomeUnknownError)
    assert result.safe_to_repeat == (not is_unknown or act is not create)
    assert (of(CallEnded, events)[0].outcome == "unknown") == (is_unknown or (act is update and row[0] in UNKNOWN))
    for error in (event.error for event in of(AttemptEnded, events)):
        assert error.safe_to_repeat or act is create


@pytest.mark.parametrize("status", [500, 520])
def test_an_attempt_of_a_create_that_may_have_been_applied_says_so(config, status):
    """The error of an attempt is not safe to repeat either, although its class is that of a read, too."""
    result, _, events = run(config, create, status)
    assert {event.error.safe_to_repeat for event in of(AttemptEnded, events)} == {False}
    assert (type(result.__cause__), result.__cause__.safe_to_repeat) == (ServerError, False)


async def search(client):
    return [field async for field in client.metadata.fields()]


async def find(client):
    return await client.leads.find_by_email("wim@example.com")


async def get(client):
    return await client.request("GET", "tickets/1/x")


@pytest.mark.parametrize("act", [read, search, find, get])
@pytest.mark.parametrize("step", [AfterBody(LATE), AfterBody(RESET), Slow(100, answer())], ids=["late", "lost", "slow"])
def test_a_read_without_an_answer_is_never_unknown(config, act, step):
    """Each kind of read that was sent and got no answer raises NoAnswerError. It changed nothing."""
    result, _, events = run(config, act, step, deadline=20.0)
    assert (type(result), result.safe_to_repeat, result.headers) == (NoAnswerError, True, {})
    assert [call.outcome for call in of(CallEnded, events)] == ["not applied"]


@pytest.mark.parametrize(
    ("steps", "logged"),
    [
        ([500] * 4, [("INFO", 1, 500, 1.0), ("INFO", 2, 500, 2.0), ("WARNING", 3, 500, 4.0), ("WARNING", 4, 500, 8.0)]),
        ([BeforeBody(REFUSED)], [("INFO", 1, None, 1.0)]),
        ([answer(status=502, **{"Retry-After": "10"})], [("INFO", 1, 502, 10.0)]),
        ([answer(status=502, **{"Retry-After": "11"})], [("WARNING", 1, 502, 11.0)]),
        ([answer(status=503, **{"Retry-After": "12"})], [("WARNING", 1, 503, 12.0)]),
        ([answer(status=429, **{"Retry-After": "7"}), 500], [("INFO", 1, 429, 7.0), ("INFO", 2, 500, 2.0)]),
        ([429], [("INFO", 1, 429, 6.0)]),
    ],
    ids=["500s", "not sent", "10 s", "11 s", "a pause of all calls", "a refusal, then a 500", "a refusal"],
)
def test_each_retry_is_one_line_of_the_log(config, caplog, monkeypatch, steps, logged):
    """Each retry is logged once, from the third on or with a pause over 10 s as a warning, with its facts as fields."""
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    policy = RetryPolicy(attempts=5, backoff=1.0)
    _, _, events = run(config, read, *steps, answer(), retry=policy)
    lines = [line for line in caplog.records if "is sent again" in line.getMessage()]
    assert [(line.levelname, line.attempt, line.status, line.pause) for line in lines] == logged
    assert {(line.name, line.operation, line.reference) for line in lines} == {
        ("lsq_service_async", "tickets.get", events[0].reference)
    }
    assert all(line.reference in line.getMessage() for line in lines)


def test_each_attempt_is_one_line_at_debug(config, caplog):
    """At DEBUG the log has the outcome, the status and the duration of each attempt."""
    caplog.set_level(logging.DEBUG, "lsq_service_async")
    _, _, events = run(config, read, BeforeBody(REFUSED), 500, answer())
    lines = [line for line in caplog.messages if line.startswith("Attempt ")]
    assert [re.sub(r"\d+\.\d{3} s", "0.000 s", line) for line in lines] == [
        f"Attempt {number} of tickets.get ended after 0.000 s: {facts} (reference {events[0].reference})"
        for number, facts in enumerate(["not applied, status None", "unknown, status 500", "applied, status 200"], 1)
    ]


@pytest.fixture
def broken_log():
    class Broken(logging.Handler):
        def emit(self, record):
            raise ZeroDivisionError

    logger, broken = logging.getLogger("lsq_service_async"), Broken()
    logger.addHandler(broken)
    yield
    logger.removeHandler(broken)


@pytest.mark.usefixtures("broken_log")
@pytest.mark.parametrize("act", [read, create])
def test_a_log_handler_that_raises_does_not_end_a_call(config, act):
    """A handler of the application that fails affects no retry, no refusal and no create that may be a duplicate."""
    result, script, _ = run(config, act, 500, 429, answer())
    assert (result.number, len(script.seen)) == ("143", 3)


@pytest.mark.usefixtures("broken_log")
def test_a_log_handler_that_raises_does_not_end_a_call_that_waits(config):
    """A call that waits longer than a window is logged, and is sent even if that fails."""
    config = attrs.evolve(config, rate_limit=RateLimit(1, per=1.0))

    async def main(client, _):
        return await asyncio.gather(*(read(client) for _ in range(4)))

    assert len(play(config, Script(answer()), main)[0]) == 4


@pytest.mark.usefixtures("broken_log")
def test_a_log_handler_that_raises_does_not_hide_a_quota(config):
    """The error of a call that was refused by a quota reaches the caller, even if its warning cannot be logged."""
    error, _, _ = run(config, create, answer({"message": "exceeded the limit of 10000 calls in 1 day"}, status=429))
    assert (type(error), error.is_quota) == (RateLimitError, True)


def test_an_error_and_its_attempts_have_the_headers_of_the_service(config):
    """The headers help the support of the vendor. Errors have those of the last attempt, events those of each."""
    steps = (answer(status=500, **{"X-Request-Id": "a1", "Set-Cookie": "session=1"}), BeforeBody(REFUSED), answer())
    _, _, events = run(config, read, *steps)
    ended = of(AttemptEnded, events)
    assert [event.headers.get("x-request-id") for event in ended] == ["a1", None, None]
    assert ended[0].error.headers["X-REQUEST-ID"] == "a1"
    assert (ended[0].headers["set-cookie"], ended[2].headers["content-type"]) == ("***", "application/json")
    odd = answer(status=400, **{"X-Request-Id": "b\x1b\xe9".encode(), "Via": "1.1 a"})
    result, _, _ = run(config, create, *steps[:1], odd)
    assert type(result) is OutcomeUnknownError
    assert dict(result.headers) | {"x-request-id": "b\\u001b\xe9", "via": "1.1 a"} == dict(result.headers)
    assert pickle.loads(pickle.dumps(result)).headers == result.headers


@pytest.mark.parametrize("kind", [ssl.SSLEOFError, ssl.SSLWantReadError, ssl.SSLWantWriteError])
def test_a_connection_that_ended_in_a_handshake_may_be_made_again(config, kind):
    """A connection that ends during the TLS handshake is repeated, because a certificate is not at fault."""
    error = httpx.ConnectError("ended")
    error.__context__ = kind("The operation did not complete (read)")
    assert len(run(config, create, BeforeBody(error), created())[1].seen) == 2


def test_a_timeout_over_tls_is_named(config):
    """The message has the timeout, not the state of TLS in which it occurred."""
    error = httpx.ReadTimeout("")
    error.__context__ = ssl.SSLWantReadError("The operation did not complete (read)")
    assert "(ReadTimeout)" in str(run(config, create, AfterBody(error))[0])


async def put(client):
    return await client.request("PUT", "tickets/1/x", json={}, repeatable=True)


def test_a_repeatable_request_may_have_been_applied_too(config):
    """A repeatable PUT that was sent once is unknown, although its last attempt was not sent."""
    result, _, _ = run(config, put, AfterBody(LATE), BeforeBody(REFUSED))
    assert (type(result), result.safe_to_repeat) == (OutcomeUnknownError, True)


def test_an_undocumented_answer_is_read_as_it_is(config):
    """client.request returns None for an empty response, and treats Status as an ordinary field."""
    assert run(config, put, httpx.Response(204))[0] is None
    assert run(config, put, httpx.Response(200, json={"Status": "Open"}))[0] == {"Status": "Open"}
    assert isinstance(run(config, put, httpx.Response(200, json={"ExceptionType": "MX"}))[0], OperationFailedError)


def test_a_refusal_that_quotes_the_limit_is_a_refusal(config):
    """A 400 that quotes the text of the limit does not pause the client."""
    result, script, _ = run(config, create, answer({"Message": LIMIT_TEXT}, 400))
    assert (type(result), len(script.seen)) == (BadRequestError, 1)


def test_a_closed_http_client_is_named(config):
    """A closed http_client of the caller ends the call as not sent, without a retry."""
    closed = RuntimeError("Cannot send a request, as the client has been closed.")
    result, script, _ = run(config, create, BeforeBody(closed))
    assert (type(result), len(script.seen)) == (NotSentError, 1)
    assert "has been closed" in str(result)


def test_a_hook_that_raises_for_statuses_changes_nothing(config):
    """A response hook that raises for statuses does not change the error of the call."""

    async def raise_for_status(response):
        if response.status_code != 404:
            await response.aread()
        response.raise_for_status()

    async def main(status):
        hooks = {"response": [raise_for_status]}
        async with httpx.AsyncClient(transport=Script(answer({"Message": "no"}, status)), event_hooks=hooks) as http:
            async with ServiceClient(config, http_client=http) as client:
                with pytest.raises(APIStatusError) as caught:
                    await client.with_options(retry=RetryPolicy(attempts=1)).tickets.get("1")
                return caught.value.status_code

    assert [run_virtual(main(status)) for status in (400, 404, 503)] == [400, 404, 503]


def test_tls_is_named(config):
    """The error of a wrong certificate names TLS."""
    result, _, _ = run(config, create, BeforeBody(tls_error()))
    assert "TLS" in str(result)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_creates_are_repeated_by_policy_only(config, status):
    """repeat_creates=False ends a create after a 5xx with OutcomeUnknownError; reads are still repeated."""
    careful = RetryPolicy(repeat_creates=False)
    result, script, _ = run(config, create, status, created(), retry=careful)
    assert (type(result), len(script.seen)) == (OutcomeUnknownError, 1)
    assert isinstance(result.__cause__, ServerError)
    assert not isinstance(run(config, read, status, answer(), retry=careful)[0], Exception)


LATER = [
    ("refusal", 400),
    ("wrong keys", 401),
    ("not sent", BeforeBody(REFUSED)),
    ("refused for speed", 429),
    ("failed again", 500),
]


@pytest.mark.parametrize("later", [step for _, step in LATER], ids=[name for name, _ in LATER])
def test_the_outcome_is_the_worst_of_all_attempts(config, later):
    """A create after a 502 ends as unknown, whatever the later attempts are."""
    result, _, _ = run(config, create, 502, later)
    assert type(result) is OutcomeUnknownError
    assert result.attempts[0].outcome.value == "unknown"
    assert not result.safe_to_repeat


@pytest.mark.parametrize("later", [400, BeforeBody(REFUSED)])
def test_an_update_that_may_have_been_applied_says_so_too(config, later):
    """An update that may have been applied raises OutcomeUnknownError with safe_to_repeat=True."""
    result, _, _ = run(config, update, AfterBody(LATE), later)
    assert (type(result), result.safe_to_repeat) == (OutcomeUnknownError, True)


def test_a_receipt_lists_all_attempts(config):
    """The receipt of a create lists all its attempts."""
    receipt, _, _ = run(config, create, 502, BeforeBody(REFUSED), 429, created(7))
    assert receipt.number == "7"
    assert [(attempt.outcome.value, attempt.status) for attempt in receipt.attempts] == [
        ("unknown", 502),
        ("not applied", None),
        ("not applied", 429),
        ("applied", 200),
    ]


async def note(client):
    return await client.tickets.add_note("143", "x")


async def portal(client):
    return await client.tickets.add_portal_activity("143", "x")


async def trash(client):
    return await client.tickets.trash(["143"])


async def post(client):
    return await client.request("POST", "tickets/143/x", json={}, repeatable=False)


NOTE = httpx.Response(200, json={"Status": "Success", "Id": "143", "ActivityId": "a1", "Message": "x"})


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("act", [create, note, portal])
def test_a_call_that_may_have_been_applied_twice_is_marked(config, caplog, act, status):
    """A create that is sent again after a 500, 502, 503 or 504 is marked in its receipt and in one warning."""
    receipt, script, events = run(config, act, BeforeBody(REFUSED), status, 429, NOTE)
    assert (len(script.seen), receipt.possible_duplicate) == (4, True)
    [warning] = [record.getMessage() for record in caplog.records if "twice" in record.getMessage()]
    assert events[0].reference in warning
    assert f"attempt 2 was answered with {status}, and attempt 4 was applied" in warning


TRASHED = httpx.Response(200, json={"SuccessfulIds": [143], "FailedIds": []})


@pytest.mark.parametrize("act", [trash, post])
def test_a_call_whose_result_has_no_mark_is_logged_and_marked_in_its_event(config, caplog, act):
    """trash and request return no receipt."""
    result, _, events = run(config, act, 502, TRASHED)
    assert (hasattr(result, "possible_duplicate"), events[-1].possible_duplicate) == (False, True)
    assert [record.levelname for record in caplog.records if "twice" in record.getMessage()] == ["WARNING"]


@pytest.mark.parametrize(
    ("act", "steps"),
    [
        (create, [created()]),
        (create, [429, BeforeBody(REFUSED), BeforeBody(httpx.WriteError("x")), created()]),
        (update, [502, AfterBody(LATE), answer()]),
        (note, [429, NOTE]),
    ],
    ids=["at once", "not applied before", "update without files", "note"],
)
def test_a_call_that_was_applied_once_is_not_marked(config, caplog, act, steps):
    """Neither a refused attempt nor an update that was repeated is a possible duplicate."""
    receipt, script, _ = run(config, act, *steps)
    assert (len(script.seen), receipt.possible_duplicate) == (len(steps), False)
    assert "twice" not in caplog.text


def test_a_read_ends_with_its_last_error(config):
    """A read ends with the error of its last attempt."""
    assert type(run(config, read, AfterBody(LATE), BeforeBody(REFUSED))[0]) is NotSentError


@pytest.mark.parametrize("attempts", [1, 2, 7])
def test_attempts_counts_all_sends(config, attempts):
    """RetryPolicy.attempts includes the first attempt."""
    _, script, _ = run(config, read, 500, retry=RetryPolicy(attempts=attempts))
    assert len(script.seen) == attempts


def test_pauses_are_drawn_below_a_doubling_cap(config, monkeypatch):
    """Waits are random between 0 and backoff * 2**n, at most backoff_cap."""
    drawn = []
    monkeypatch.setattr("random.uniform", lambda low, high: drawn.append((low, high)) or high)
    policy = RetryPolicy(attempts=6, backoff=0.5, backoff_cap=3.0)
    _, script, _ = run(config, read, BeforeBody(REFUSED), retry=policy)
    assert drawn[:5] == [(0, 0.5), (0, 1.0), (0, 2.0), (0, 3.0), (0, 3.0)]
    waits = [later - earlier for earlier, later in zip(script.times, script.times[1:], strict=False)]
    assert waits == pytest.approx([0.5, 1.0, 2.0, 3.0, 3.0], abs=0.01)


@pytest.mark.parametrize(("status", "retry_after", "waits"), [(502, "33", 33), (503, "7", 7), (503, "3000", 60)])
def test_a_retry_after_is_honoured(config, status, retry_after, waits):
    """A Retry-After that is longer than the backoff is honoured, up to 60 s."""
    policy = RetryPolicy(attempts=2, backoff=5.0)
    answers = httpx.Response(status, headers={"retry-after": retry_after}), answer()
    _, script, _ = run(config, read, *answers, retry=policy)
    assert script.times[1] - script.times[0] == pytest.approx(waits, abs=0.01)


@pytest.mark.parametrize("number", [1, 2])
def test_a_503_with_retry_after_pauses_every_call_and_keeps_the_rate(config, number):
    """A 503 with Retry-After pauses all clients of the limiter, even if its own call is not repeated."""
    script = Script(httpx.Response(503, headers={"retry-after": "7"}), answer())

    async def main(client, events):
        first = asyncio.create_task(read(client))
        await asyncio.sleep(0.01)
        async with ServiceClient(config, limiter=client.limiter, http_client=httpx.AsyncClient(transport=script)) as b:
            await asyncio.gather(first, read(b), return_exceptions=True)
        assert (client.limiter.stats().calls, [event.seconds for event in of(LimitPaused, events)]) == (25, [7.0])

    play(attrs.evolve(config, retry=RetryPolicy(attempts=number, backoff=5.0)), script, main)
    assert [time - script.times[0] for time in script.times[1:]] == pytest.approx([7.0] * number, abs=0.01)


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [("7", 7, 7.1), ("3000", 60, 60.1), ("1e9", 5, 6.1), ("", 5, 6.1), ("5, 10", 5, 6.1), ("-3", 5, 6.1)],
)
def test_a_429_pauses_the_whole_client(config, retry_after, least, most):
    """A 429 pauses every call for Retry-After seconds, or for the window plus up to 1 s if it is missing or not
    credible. Then the calls are evenly spaced."""
    headers = {"retry-after": retry_after} if retry_after else {}
    script = Script(httpx.Response(429, headers=headers), answer())

    async def main(client, _):
        first = asyncio.create_task(read(client))
        await asyncio.sleep(0.01)
        await asyncio.gather(first, *(read(client) for _ in range(5)))

    play(config, script, main)
    token = 5.0 / 24
    assert len(script.times) == 7
    for number, time in enumerate(script.times[1:]):
        assert least <= time - script.times[0] - number * token <= most


def test_a_deadline_bounds_queue_sends_and_waits_together(config):
    """A call ends within 50 ms of its deadline, in the queue, in an attempt and between attempts."""

    async def timed(client):
        started = asyncio.get_running_loop().time()
        with pytest.raises((ServerError, NotSentError, NoAnswerError)) as caught:
            await read(client)
        return type(caught.value), asyncio.get_running_loop().time() - started

    async def busy(client):
        await asyncio.gather(*(client.with_options(deadline=None).request("GET", "x") for _ in range(25)))
        return await timed(client)

    kind, seconds = run(config, timed, Slow(100, answer()), deadline=2.0)[0]
    assert (kind, seconds) == (NoAnswerError, pytest.approx(2.0, abs=0.05))
    kind, seconds = run(config, timed, httpx.Response(503, headers={"retry-after": "9"}), deadline=2.0)[0]
    assert kind is ServerError
    assert seconds < 0.05
    kind, seconds = run(config, busy, answer(), deadline=2.0)[0]
    assert kind is QueueTimeoutError
    assert seconds < 0.05


def test_a_create_that_the_deadline_overtakes_is_unknown(config):
    """The hooks get the ticket number of a create whose response arrives after the deadline."""

    async def overtaken(client):
        with pytest.raises(OutcomeUnknownError) as caught:
            await create(client)
        await asyncio.sleep(10)
        return caught.value

    error, _, events = run(config, overtaken, Slow(5, created(7)), deadline=2.0)
    assert (len(error.attempts), error.safe_to_repeat) == (1, False)
    ended = [event for event in events if type(event).__name__ == "AttemptEnded"]
    assert [(event.result.number, event.abandoned, event.reference) for event in ended] == [
        ("7", True, error.reference)
    ]


def test_a_queue_timeout_after_an_unknown_send_is_unknown(config):
    """A queue timeout before the second attempt does not hide that the first is unknown."""
    limited = attrs.evolve(config, rate_limit=attrs.evolve(config.rate_limit, calls=1))
    error, script, _ = run(limited, create, 502, deadline=4.0)
    assert (type(error), len(script.seen)) == (OutcomeUnknownError, 1)
    assert isinstance(error.__cause__, QueueTimeoutError)


def test_a_wrong_key_is_tried_once(config):
    """A 401 is not repeated."""
    result, script, _ = run(config, read, 401)
    assert (type(result), len(script.seen)) == (AuthenticationError, 1)


def test_every_attempt_takes_a_slot_of_its_own(config):
    """Each attempt that reached the service takes a slot; a connection that was never made takes none."""

    async def used(client):
        await create(client)
        return client.limiter.stats().used

    assert run(config, used, 500, 500, created())[0] == 3
    assert run(config, used, BeforeBody(REFUSED), BeforeBody(REFUSED), created())[0] == 1
    assert run(config, used, BeforeBody(httpx.WriteError("x")), created())[0] <= 2


def test_a_call_that_is_sent_again_goes_before_those_that_were_never_sent(config):
    """A retry is sent before calls that wait for their first attempt."""
    limited = attrs.evolve(config, rate_limit=attrs.evolve(config.rate_limit, calls=1))

    async def main(client):
        paths = ["first", "second", "third"]
        await asyncio.gather(*(client.request("GET", path) for path in paths))

    _, script, _ = run(limited, main, 500, answer())
    assert [seen.url.rsplit("/", 1)[-1] for seen in script.seen] == ["first", "first", "second", "third"]
