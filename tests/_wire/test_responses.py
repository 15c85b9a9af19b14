"""What an answer means: a record, a refusal, or nobody knows."""

import json
from datetime import UTC
from functools import partial

import pytest

from lsq_service_async import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    MalformedResponseError,
    NotFoundError,
    OperationFailedError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    TicketReceipt,
)
from lsq_service_async._wire import Call, Idempotency, Outcome, Retry, parse_response, retry_after
from lsq_service_async._wire.parse import parse, parse_activity, parse_ticket, parse_trash_result

LIMIT = "API calls exceeded the limit of 25 in 5 second(s)"
NOW = "Sat, 21 Nov 2026 10:00:00 GMT"
RECEIPT = partial(parse, TicketReceipt)
SUCCESS = {"Status": "Success", "Id": "34"}


def call(idempotency=Idempotency.NON_IDEMPOTENT, parse=RECEIPT):
    return Call(
        operation="tickets.test",
        method="POST",
        path="/tickets",
        idempotency=idempotency,
        parse=parse,
    )


def read(status, body, headers=None, **about):
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return parse_response(call(**about), status, headers or {}, raw)


def test_a_success_is_its_record():
    """200 with the documented body."""
    verdict = read(200, SUCCESS)
    assert (verdict.outcome, verdict.record, verdict.error) == (Outcome.APPLIED, TicketReceipt(number="34"), None)
    assert read(200, b"\xef\xbb\xbf" + json.dumps(SUCCESS).encode()).record == TicketReceipt(number="34")
    for status in ("SUCCESS", None, ""):
        assert read(201, SUCCESS | {"Status": status}).record is not None


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        ("cut \\ud83d", "cut \ufffd"),
        ("\\uDE00 cut", "\ufffd cut"),
        ("whole \\ud83d\\ude00", "whole \U0001f600"),
        ("whole \U0001f600 \\\\ud83d", "whole \U0001f600 \\ud83d"),
    ],
)
def test_half_an_emoji_is_read_as_a_replacement_character(given, read_as):
    """Services that cut text at a length cut it there, and half of one can be neither written nor sent on."""
    verdict = read(200, f'{{"Status": "Success", "Id": "34", "Key": "{given}"}}')
    assert verdict.record.key == read_as
    assert read(400, f'{{"Message": "{given}"}}').error.body == {"Message": read_as}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, ""),
        (429, LIMIT),
        (429, {"Status": "Error", "ExceptionType": "MXOther", "ExceptionMessage": LIMIT}),
        (200, {"Status": "Error", "ExceptionType": "MXAPIRateLimitExceededException", "ExceptionMessage": LIMIT}),
        (200, LIMIT),
        (200, json.dumps(LIMIT)),
        (200, {"Message": LIMIT}),
        (200, {"Status": "Success", "Message": LIMIT}),
        (403, LIMIT),
        (403, LIMIT.replace("25", "123456789")),
        (403, LIMIT.replace(" 5 ", " 0.5 ")),
        (403, {"Message": LIMIT}),
        (500, {"ExceptionType": "MXAPIRateLimitExceededException"}),
        (500, {"ExceptionMessage": LIMIT.upper()}),
    ],
)
def test_the_limit_is_known_by_its_status_and_by_its_words(status, body):
    """A refusal for speed may come under any status; nothing was applied, and it is always repeated."""
    verdict = read(status, body)
    assert isinstance(verdict.error, RateLimitError)
    assert (verdict.outcome, verdict.retry) == (Outcome.NOT_APPLIED, Retry.ALWAYS)
    assert verdict.error.status_code == status


@pytest.mark.parametrize("status", [200, 403, 500])
@pytest.mark.parametrize("begins", ["API calls ", "", "  \n api  CALLS "])
def test_the_sentence_of_the_limit_counts_at_the_beginning_of_a_message(status, begins):
    """Nothing may precede it but "API calls"."""
    sentence = f"{begins}exceeded the limit of 10 in 5 second(s). Please wait"
    error = read(status, {"Status": "Error", "ExceptionMessage": sentence}).error
    assert isinstance(error, RateLimitError)
    assert error.limit == (10, 5)


@pytest.mark.parametrize("status", [403, 500, 503])
@pytest.mark.parametrize(
    "body",
    [
        {"ExceptionMessage": f'ticket "{LIMIT}" is odd'},
        {"Message": f"'{LIMIT}' is not a valid title"},
        {"Message": f"The {LIMIT}"},
        {"errors": [LIMIT]},
        {"errors": [{"message": LIMIT}], "Message": "Invalid"},
        f"<html>{LIMIT}</html>",
        f"Title: {LIMIT}",
    ],
)
def test_an_error_that_quotes_the_sentence_is_not_about_the_limit(status, body):
    """A customer may have written it. In a 429 it names no limit either."""
    assert not isinstance(read(status, body).error, RateLimitError)
    assert read(429, body).error.limit is None


def test_the_vendors_exception_type_counts_whatever_the_message_says():
    """The limit may be named anywhere in it."""
    body = {"ExceptionType": "MXApiRateLimitExceededException", "ExceptionMessage": f"Refused: {LIMIT}"}
    assert read(400, body).error.limit == (25, 5)


@pytest.mark.parametrize("status", [200, 403, 429, 500])
@pytest.mark.parametrize("quota", ["10000 in 86400", "1,000,000 in 86,400", "0 in 86400", "300000 in 2592000"])
def test_a_daily_quota_is_never_repeated(status, quota):
    """To wait a minute is of no use."""
    verdict = read(status, f"API calls exceeded the limit of {quota} second(s)")
    assert isinstance(verdict.error, RateLimitError)
    assert (verdict.outcome, verdict.retry) == (Outcome.NOT_APPLIED, Retry.NEVER)


def test_the_numbers_of_the_limit_are_read_from_its_text():
    """Other words in their place are not."""
    assert read(429, LIMIT.replace("25", "10")).error.limit == (10, 5)
    assert read(429, LIMIT.replace("25", "9" * 5000)).error.limit is None
    assert read(429, LIMIT.replace("25", "many")).error.limit is None
    assert read(429, "").error.limit is None


def test_a_ticket_may_quote_the_words_of_the_limit():
    """In a record that came with 200 they are only text."""
    quoting = {"Id": "1", "Fields": [{"SchemaName": "Title", "Value": LIMIT}], "Message": LIMIT}
    assert read(200, quoting, idempotency=Idempotency.SAFE, parse=partial(parse_ticket, zone=UTC)).record.title == LIMIT
    assert read(200, SUCCESS | {"Message": LIMIT}).record.message == LIMIT


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"Message": "Title is mandatory"}, BadRequestError),
        (401, "", AuthenticationError),
        (403, "<html>no</html>", PermissionDeniedError),
        (404, b"\xff\xfe", NotFoundError),
        (409, [], APIStatusError),
        (413, "too large", APIStatusError),
        (422, "{}", APIStatusError),
        (418, "null", APIStatusError),
        (500, {"ExceptionType": "MXInvalidException", "ExceptionMessage": "no such field"}, ServerError),
        (400, {"ExceptionType": "MXInvalidException"}, BadRequestError),
        (200, {"ExceptionType": "MXInvalidException"}, OperationFailedError),
        (200, {"Status": "Failure", "ReasonForFailure": "no", "Id": "1"}, OperationFailedError),
        (302, "", APIStatusError),
    ],
)
def test_a_refusal_is_an_error_that_is_never_repeated(status, body, error):
    """The service has said no; it will say so again."""
    verdict = read(status, body)
    assert type(verdict.error) is error
    assert (verdict.outcome, verdict.retry) == (Outcome.REFUSED, Retry.NEVER)
    assert verdict.error.status_code == status


def test_a_refusal_says_why_in_the_services_words():
    """reason, exception_type and body are there to be read by programs."""
    body = {"Status": "Error", "ExceptionType": "MXInvalidException", "ExceptionMessage": "no such field"}
    error = read(500, body).error
    assert (error.reason, error.exception_type, error.body) == ("no such field", "MXInvalidException", body)
    assert "no such field" in str(error)
    assert read(403, " <html>no</html> ").error.reason == "<html>no</html>"
    assert (read(404, [1]).error.reason, read(404, [1]).error.body) == (None, [1])
    assert "Check the access key" in str(read(401, "").error)


def test_text_of_the_service_cannot_forge_a_log_line():
    """It is escaped, cut at 300 characters, and said to be the service's."""
    message = str(read(400, "x\n2026-01-01 ERROR \x1b[31m" + "y" * 1000).error)
    assert "\n" not in message
    assert "\x1b" not in message
    assert "it says: " in message
    assert len(message) < 400


@pytest.mark.parametrize("location", ["https://user:pw@evil.example/path?key=1", "https://evil.example"])
def test_a_redirect_names_the_host_only(location):
    """Where it leads is no place for the keys, and its path is nobody's business."""
    message = str(read(307, "", {"location": location}).error)
    assert "evil.example," in message
    assert "pw" not in message
    assert "key" not in message
    assert "another path" in str(read(301, "", {"location": "/x"}).error)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("body", ["", "<html>bad gateway</html>", {"Status": "Error"}])
def test_a_server_that_failed_may_have_applied_it(status, body):
    """Without an exception type it is the transient kind, repeated by policy."""
    verdict = read(status, body, {"retry-after": "7"})
    assert isinstance(verdict.error, ServerError)
    assert (verdict.outcome, verdict.retry) == (Outcome.UNKNOWN, Retry.ON_SERVER_ERROR)
    assert verdict.retry_after == 7.0


@pytest.mark.parametrize("status", [501, 505, 520])
def test_other_server_errors_are_not_repeated(status):
    """Only the documented and the gateways' own codes are known to pass."""
    assert read(status, "").retry is Retry.NEVER


NO_JSON = ["", "<html>", b"\xff", "NaN", '{"Id": NaN}', "[" * 200_000, "1" * 5000, '{"Id": "3']


@pytest.mark.parametrize("body", NO_JSON, ids=range(len(NO_JSON)))
def test_garbage_in_a_200_is_an_unknown_outcome(body):
    """Never a bare RecursionError, UnicodeDecodeError or ValueError."""
    verdict = read(200, body)
    assert isinstance(verdict.error, OutcomeUnknownError)
    assert verdict.outcome is Outcome.UNKNOWN
    assert read(200, body, idempotency=Idempotency.SAFE).retry is Retry.ON_NO_RESPONSE
    assert type(read(200, body, idempotency=Idempotency.SAFE).error) is MalformedResponseError


@pytest.mark.parametrize("body", [{"Status": "Success"}, [], "5", "null", {"Id": None}, {"Id": "1", "Key": 5}])
def test_a_success_without_its_number_was_likely_applied(body):
    """A create is not repeated for that; the raw body is kept."""
    verdict = read(200, body)
    assert isinstance(verdict.error, OutcomeUnknownError)
    assert (verdict.error.likely, verdict.retry) == ("applied", Retry.NEVER)
    assert verdict.error.body == (json.loads(body) if isinstance(body, str) else body)
    assert type(read(200, body, idempotency=Idempotency.IDEMPOTENT).error) is MalformedResponseError


@pytest.mark.parametrize(
    ("parse", "body"),
    [
        (parse_activity, {}),
        (parse_activity, {"Message": None}),
        (parse_activity, {"Status": "Success"}),
        (parse_activity, {"RelatedTicketId": None}),
        (parse_trash_result, {}),
    ],
)
def test_so_was_one_that_does_not_say_what_was_done(parse, body):
    """An empty object is nobody's word that a note was added or a ticket trashed."""
    verdict = read(200, body, parse=parse)
    assert (type(verdict.error), verdict.error.likely) == (OutcomeUnknownError, "applied")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("60", 60.0),
        ("3600", 60.0),
        ("Sat, 21 Nov 2026 10:00:09 GMT", 9.0),
        ("Sat, 21 Nov 2026 10:59:00 GMT", 60.0),
        ("3601", None),
        ("1e9", None),
        ("9" * 400, None),
        ("inf", None),
        ("nan", None),
        ("-1", None),
        ("5, 10", None),
        ("٣", None),
        ("", None),
        ("Sat, 21 Nov 2026 09:59:59 GMT", None),
        ("Sat, 21 Nov 2030 10:00:00 GMT", None),
        ("Sat, 21 Nov 99999 10:00:00 GMT", None),
        ("soon", None),
    ],
)
def test_retry_after_is_believed_within_reason(text, seconds):
    """ASCII digits or an HTTP date, read against the answer's own; at most an hour, and then a minute of it."""
    assert retry_after({"retry-after": text, "date": NOW}) == seconds


def test_retry_after_may_be_missing_or_without_a_date():
    """Then nothing is known."""
    assert retry_after({}) is None
    assert retry_after({"retry-after": NOW}) is None
