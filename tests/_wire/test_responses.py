"""The result of an answer: a record, a refusal, or an unknown outcome."""

import json
import time
from datetime import UTC
from functools import partial

import pytest

from lsq_service_async import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    InvalidRequestError,
    MalformedResponseError,
    NotFoundError,
    OperationFailedError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    TicketReceipt,
)
from lsq_service_async._wire import Call, Idempotency, Outcome, Retry, TicketNumbers, parse_response, retry_after
from lsq_service_async._wire.parse import parse, parse_activity, parse_ticket, parse_trash_result
from lsq_service_async._wire.serialize import encode

LIMIT = "API calls exceeded the limit of 25 in 5 second(s)"
NOW = "Sat, 21 Nov 2026 10:00:00 GMT"
RECEIPT = partial(parse, TicketReceipt)
SUCCESS = {"Status": "Success", "Id": "34"}
GUID = "5af882cc-49c8-403f-8dba-c7e356e9baf7"


def call(idempotency=Idempotency.NON_IDEMPOTENT, parse=RECEIPT, ticket=None):
    return Call(
        operation="tickets.test",
        method="POST",
        path="/tickets",
        idempotency=idempotency,
        parse=parse,
        ticket=ticket,
    )


def read(status, body, headers=None, **about):
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return parse_response(call(**about), status, headers or {}, raw)


def test_a_success_becomes_a_record():
    """A 200 with the documented body becomes a record."""
    result = read(200, SUCCESS)
    assert (result.outcome, result.record, result.error) == (Outcome.APPLIED, TicketReceipt(number="34"), None)
    assert read(200, b"\xef\xbb\xbf" + json.dumps(SUCCESS).encode()).record == TicketReceipt(number="34")
    for status in ("SUCCESS", None, ""):
        assert read(201, SUCCESS | {"Status": status}).record is not None
    assert read(200, SUCCESS | {"Rate": 1.5}).record.extra == {"Rate": 1.5}


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        ("cut \\ud83d", "cut \ufffd"),
        ("\\uDE00 cut", "\ufffd cut"),
        ("whole \\ud83d\\ude00", "whole \U0001f600"),
        ("whole \U0001f600 \\\\ud83d", "whole \U0001f600 \\ud83d"),
    ],
)
@pytest.mark.parametrize("padding", ["", " " * 70_000], ids=["short", "long"])
def test_half_an_emoji_is_read_as_a_replacement_character(given, read_as, padding):
    """Half of an emoji, as in text that was cut, is read as a replacement character."""
    result = read(200, f'{{"Status": "Success", "Id": "34", "Key": "{given}", "x": [1]}}{padding}')
    assert result.record.key == read_as
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
def test_a_rate_limit_has_its_status_or_its_message(status, body):
    """A rate limit is recognised by its status or its message. It was not applied and is always repeated."""
    result = read(status, body)
    assert isinstance(result.error, RateLimitError)
    assert (result.outcome, result.retry) == (Outcome.NOT_APPLIED, Retry.ALWAYS)
    assert result.error.status_code == status


@pytest.mark.parametrize("status", [200, 403, 500])
@pytest.mark.parametrize("begins", ["API calls ", "", "  \n api  CALLS "])
def test_the_sentence_of_the_limit_counts_at_the_beginning_of_a_message(status, begins):
    """The sentence of the limit counts only at the beginning of a message, or after "API calls"."""
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
    """An error that quotes the sentence in its message is not a rate limit, and in a 429 names no limit."""
    assert not isinstance(read(status, body).error, RateLimitError)
    assert read(429, body).error.limit is None


def test_the_exception_type_counts_with_any_message():
    """The vendor's exception type is a rate limit with any message, which may name the limit anywhere."""
    body = {"ExceptionType": "MXApiRateLimitExceededException", "ExceptionMessage": f"Refused: {LIMIT}"}
    assert read(400, body).error.limit == (25, 5)


@pytest.mark.parametrize("text", [" " * 4096, "API" + " " * 4093, "exceeded the limit of 1 in " * 150], ids=len)
def test_a_message_that_almost_is_the_limit_is_parsed_in_no_time(text):
    """No answer may block the event loop."""
    body = {"ExceptionType": "MXAPIRateLimitExceededException", "ExceptionMessage": f"x{text}"}
    begun = time.process_time()
    assert read(500, body).error.limit is None
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize("status", [200, 403, 429, 500])
@pytest.mark.parametrize(
    "quota",
    [
        "10000 in 86400 second(s)",
        "1,000,000 in 86,400 second(s)",
        "0 in 86400 second(s)",
        "300000 in 2592000 second(s)",
        "10000 in 1440 Minutes",
        "10,000 calls in 24 hour(s)",
        "10000 in 1 day",
    ],
)
def test_a_daily_quota_is_never_repeated(status, quota):
    """A rate limit with a window of a day or more is not repeated."""
    result = read(status, f"API calls exceeded the limit of {quota}")
    assert isinstance(result.error, RateLimitError)
    assert result.error.limit[1] in (86_400, 2_592_000)
    assert (result.outcome, result.retry) == (Outcome.NOT_APPLIED, Retry.NEVER)


def test_the_numbers_of_the_limit_are_read_from_its_text():
    """The limit is read from the message if it has two whole numbers."""
    assert read(429, LIMIT.replace("25", "10")).error.limit == (10, 5)
    assert read(429, LIMIT.replace("25", "9" * 5000)).error.limit is None
    assert read(429, LIMIT.replace("25", "many")).error.limit is None
    assert read(429, "").error.limit is None


def test_a_record_that_quotes_the_limit_is_not_a_rate_limit():
    """A record with status 200 that quotes the message of the limit is not a rate limit."""
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
        *(
            (status, "", APIStatusError)
            for status in (402, *range(405, 408), *range(410, 418), 423, 424, 426, 428, 431, 451)
        ),
        *((status, "", ServerError) for status in (501, 505, 506, 507, 508, 510, 511)),
        (408, {"ExceptionType": "MXInvalidException"}, APIStatusError),
        (500, {"ExceptionType": "MXInvalidException", "ExceptionMessage": "no such field"}, ServerError),
        (400, {"ExceptionType": "MXInvalidException"}, BadRequestError),
        (200, {"ExceptionType": "MXInvalidException"}, OperationFailedError),
        (200, {"Status": "Failure", "ReasonForFailure": "no", "Id": "1"}, OperationFailedError),
        (302, "", APIStatusError),
    ],
)
def test_a_refusal_is_an_error_that_is_never_repeated(status, body, error):
    """A refusal raises the error of its status and is not repeated."""
    result = read(status, body)
    assert type(result.error) is error
    assert (result.outcome, result.retry) == (Outcome.REFUSED, Retry.NEVER)
    assert result.error.status_code == status


def test_a_refusal_has_the_message_of_the_service():
    """The error has the service's message, its exception type and the whole body."""
    body = {"Status": "Error", "ExceptionType": "MXInvalidException", "ExceptionMessage": "no such field"}
    error = read(500, body).error
    assert (error.reason, error.exception_type, error.body) == ("no such field", "MXInvalidException", body)
    assert "no such field" in str(error)
    assert read(403, " <html>no</html> ").error.reason == "<html>no</html>"
    assert (read(404, [1]).error.reason, read(404, [1]).error.body) == (None, [1])
    assert "Check the access key" in str(read(401, "").error)


def test_text_of_the_service_cannot_forge_a_log_line():
    """The service's text is escaped in messages and cut at 300 characters."""
    message = str(read(400, "x\n2026-01-01 ERROR \x1b[31m" + "y" * 1000).error)
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < 400


@pytest.mark.parametrize("location", ["https://user:pw@evil.example/path?key=1", "https://evil.example"])
def test_the_error_of_a_redirect_names_its_host(location):
    """The error of a redirect names the host of its target, without path and user."""
    message = str(read(307, "", {"location": location}).error)
    assert "a redirect to evil.example. Redirects are" in message
    assert "pw" not in message
    assert "key" not in message
    assert "a redirect. Redirects are" in str(read(301, "", {"location": "/x"}).error)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("body", ["", "<html>bad gateway</html>", {"Status": "Error"}])
def test_a_transient_server_error_is_an_unknown_outcome(status, body):
    """A 500, 502, 503 or 504 without an exception type has an unknown outcome and is repeated by policy."""
    result = read(status, body, {"retry-after": "7"})
    assert isinstance(result.error, ServerError)
    assert (result.outcome, result.retry) == (Outcome.UNKNOWN, Retry.ON_SERVER_ERROR)
    assert result.retry_after == 7.0


@pytest.mark.parametrize("status", [520, 599])
def test_other_server_errors_are_not_repeated(status):
    """The outcome of a status from 500 on that is not registered is unknown, and it is not repeated."""
    assert (read(status, "").outcome, read(status, "").retry) == (Outcome.UNKNOWN, Retry.NEVER)


@pytest.mark.parametrize("status", [408, 421, 425])
def test_a_request_that_was_not_processed_is_repeated_on_a_new_connection(status):
    """After a status for a request that was not processed, every call is repeated on a new connection."""
    result = read(status, "", {"retry-after": "7"})
    assert (result.outcome, result.retry) == (Outcome.NOT_APPLIED, Retry.ALWAYS)
    assert (type(result.error), result.retry_after, result.must_close) == (APIStatusError, 7.0, True)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"title": "Errors occurred.", "status": 400, "detail": "LeadId is no GUID"}, "LeadId is no GUID"),
        ({"title": "Errors", "errors": {"Title": ["Too long.", "Odd."], "Type": "Unknown."}},
         "Title: Too long.; Odd.; Type: Unknown."),
        ({"errors": [{"title": "Invalid", "detail": "Unknown lead"}, "Odd"]}, "Unknown lead; Odd"),
        ({"error": {"code": 5, "message": "Unknown lead"}}, "Unknown lead"),
        ({"Error": {"Message": "Unknown lead"}}, "Unknown lead"),
        ({"timestamp": 1, "error": "Bad Request", "message": "Unknown lead"}, "Unknown lead"),
        ({"error": "invalid", "error_description": "Unknown lead"}, "Unknown lead"),
        ({"ErrorMessage": " Unknown lead "}, "Unknown lead"),
        ({"detail": [{"loc": ["body"], "msg": "Unknown lead"}]}, "Unknown lead"),
        ({"Message": "", "title": "Bad Request", "errors": {"": []}}, "Bad Request"),
        ([{"errorCode": "X", "message": "Unknown lead"}, "Odd"], "Unknown lead; Odd"),
        ({"Message": 5, "status": 400}, None),
        ([5], None),
    ],
)  # fmt: skip
def test_the_reason_is_found_in_every_common_format(body, reason):
    """The reason is read from the vendor's fields, problem+json, and the formats of common frameworks and gateways."""
    assert read(400, body).error.reason == reason


@pytest.mark.parametrize(
    ("asked", "body", "is_accepted"),
    [
        ("143", {"Id": "143"}, True),
        ("143", {"Id": 143.0}, True),
        ("143", {"Id": "0143", "TicketId": GUID}, True),
        ("143", {"Id": " 143.0 "}, True),
        ("143", {"Id": "#0143"}, True),
        ("143", {"Id": GUID}, True),
        ("143", {"Id": "999.00"}, False),
        ("143", {"Id": "#999"}, False),
        ("143", {"Id": "999", "TicketId": "143"}, False),
        (GUID, {"Id": "999"}, True),
        (GUID, {"Id": "999", "TicketId": GUID.upper()}, True),
        (GUID, {"Id": "999", "TicketId": "999"}, True),
        (GUID, {"Id": GUID, "TicketId": GUID.replace("4", "5")}, False),
        ("word", {"Id": "999", "TicketId": GUID}, True),
    ],
)
@pytest.mark.parametrize("parse", [partial(parse_ticket, zone=UTC), RECEIPT])
def test_an_answer_belongs_to_the_ticket_that_was_asked_for(asked, body, is_accepted, parse):
    """An answer is about another ticket if its number or GUID differs from that in the call."""
    result = read(200, body, parse=parse, idempotency=Idempotency.IDEMPOTENT, ticket=asked)
    assert result.must_close is not is_accepted
    if not is_accepted:
        assert (type(result.error), result.retry) == (MalformedResponseError, Retry.ON_NO_RESPONSE)
        assert (result.outcome, asked in str(result.error)) == (Outcome.UNKNOWN, True)


@pytest.mark.parametrize(("body", "is_accepted"), [({"RelatedTicketId": 143}, True), ({"Id": "9"}, True),
                                                   ({"RelatedTicketId": "9"}, False)])  # fmt: skip
def test_a_note_belongs_to_its_ticket(body, is_accepted):
    """A note for another ticket is unknown; one whose answer does not name the ticket is accepted."""
    result = read(200, body, parse=parse_activity, ticket="143")
    assert (result.error is None) == is_accepted
    assert is_accepted or (type(result.error), result.error.likely) == (OutcomeUnknownError, None)


def test_the_last_numbers_are_compared():
    """A number is new unless one of the last tickets has it, with or without zeros before it."""
    numbers = TicketNumbers(kept=3)
    assert [numbers.add(number) for number in ("1", "2", "03", "3", "1", "4", "1")] == [True] * 3 + [False] * 2 + [
        True
    ] * 2


def hiding(text):
    return text.replace("KEY" * 100, "***")


@pytest.mark.parametrize("start", [0, 65_000, 65_400, 65_536, 73_700])
def test_an_error_that_is_cut_has_no_part_of_a_key(start):
    """The body of an error is cut at 64 KiB, and a key that the cut divides leaves nothing."""
    for letter in ("x", "\u00e9"):
        body = (letter * start + "KEY" * 100 + letter * 100_000).encode()[: (64 + 8) << 10]
        error = parse_response(call(), 400, {}, body, hiding).error
        assert len(error.body) <= 64 << 10
        assert "KEY" not in f"{error.body} {error.reason} {error}"
    assert len(read(400, "x" * 200_000).error.body) == 64 << 10


def test_the_body_of_a_success_that_cannot_be_used_is_cut_too():
    """The error of a large answer keeps 64 KiB of its text."""
    assert len(read(200, {"Text": "x" * 200_000}).error.body) == 64 << 10


def test_a_key_in_a_name_or_a_value_of_an_error_is_hidden():
    """The body of an error is redacted as text, and is still JSON."""
    body = {"KEY" * 100: ["KEY" * 100], "Message": "x"}
    assert parse_response(call(), 400, {}, json.dumps(body).encode(), hiding).error.body == {
        "***": ["***"],
        "Message": "x",
    }


NOT_JSON = [
    "",
    "<html>",
    b"\xff",
    "NaN",
    '{"Id": NaN}',
    '{"Id": 1e400}',
    "[" * 200_000,
    "1" * 5000,
    "1" * 400,
    '{"Id": "3',
]


@pytest.mark.parametrize("body", NOT_JSON, ids=range(len(NOT_JSON)))
def test_garbage_in_a_200_is_an_unknown_outcome(body):
    """A 200 that is not JSON has an unknown outcome, or is malformed if the call is repeatable."""
    result = read(200, body)
    assert isinstance(result.error, OutcomeUnknownError)
    assert result.outcome is Outcome.UNKNOWN
    assert read(200, body, idempotency=Idempotency.SAFE).retry is Retry.ON_NO_RESPONSE
    assert type(read(200, body, idempotency=Idempotency.SAFE).error) is MalformedResponseError


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 10**400, [{"x": -(10**400)}], 10**5000], ids=range(5))
def test_a_number_that_overflows_is_not_sent_either(value):
    """NaN and numbers that do not fit into a double raise an error. A text of many digits is sent."""
    with pytest.raises(InvalidRequestError, match="cannot be sent as JSON"):
        encode(value)
    assert encode(["1" * 400, 10**300]) == f'["{"1" * 400}",{10**300}]'.encode()


@pytest.mark.parametrize("body", [{"Status": "Success"}, [], "5", "null", {"Id": None}, {"Id": "1", "Key": 5}])
def test_a_success_without_its_number_was_likely_applied(body):
    """A 200 without the number of the ticket was likely applied. A create is not repeated and keeps the body."""
    result = read(200, body)
    assert isinstance(result.error, OutcomeUnknownError)
    assert (result.error.likely, result.retry) == ("applied", Retry.NEVER)
    assert result.error.body == (json.loads(body) if isinstance(body, str) else body)
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
def test_an_answer_that_confirms_nothing_was_likely_applied(parse, body):
    """A 200 without the identifier of a note, or without the lists of a trash, was likely applied."""
    result = read(200, body, parse=parse)
    assert (type(result.error), result.error.likely) == (OutcomeUnknownError, "applied")


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
        ("Saturday, 21-Nov-26 10:00:09 GMT", 9.0),
        ("Sat Nov 21 10:00:09 2026", 9.0),
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
def test_retry_after_is_read_within_limits(text, seconds):
    """Retry-After is ASCII digits or a date, relative to the answer's own date. It is at most 60 s, and ignored over an
    hour."""
    assert retry_after({"retry-after": text, "date": NOW}) == seconds


def test_retry_after_may_be_missing_or_without_a_date():
    """Without Retry-After, or with a date that cannot be compared, the time is None."""
    assert retry_after({}) is None
    assert retry_after({"retry-after": NOW}) is None
