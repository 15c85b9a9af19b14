"""What the service says: an answer, and the words of its documented codes.

Only the words are documented, not the bodies: plain text is an inference, and so is everything an unknown ticket gets.
Source of the words: https://apidocs.leadsquared.com/create-tickets/ (the same table is on every page).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

JSON_TYPE = "application/json; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"

DOCUMENTED: Mapping[int, str] = {
    400: "The message body on the request is not as per API specification. Make sure that content type is set to "
    '"application/json" and the JSON body has correct attribute names and structure.',
    401: "The API call was made with invalid access credentials. Check your AccessKey and SecretKey.",
    404: "The API could not be found. Please check the API signature.",
    500: "The API called failed. There could be many reasons for it. Check the exception message to get more details.",
}


@dataclass(frozen=True)
class Answer:
    """A status, the bytes of a body, its content type, and headers beside it."""

    status: int
    body: bytes
    content_type: str = TEXT_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """The call is not carried out; ``answer`` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body.decode())
        self.answer = answer


def words_for(status: int) -> str:
    """The vendor's words for a status; HTTP's own phrase where the vendor has none; else nothing."""
    try:
        return DOCUMENTED.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return ""


def json_answer(value: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value, ensure_ascii=False).encode(), JSON_TYPE)


def text_answer(status: int, text: str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    """Plain text; without a text the words for the status."""
    return Answer(status, (words_for(status) if text is None else text).encode(), TEXT_TYPE, headers or {})


def limit_exceeded(calls: int, per: float, headers: Mapping[str, str] | None = None) -> Answer:
    """429 with the vendor's text, no Retry-After unless it is among ``headers``: none is documented."""
    return text_answer(429, f"API calls exceeded the limit of {calls} in {per:g} second(s)", headers)


def not_per_spec(reason: str) -> RefusedError:
    """400: the documented words, and what is wrong with the body."""
    return RefusedError(text_answer(400, f"{words_for(400)} ({reason})"))


def unknown_ticket(name: str) -> RefusedError:
    """404 with a JSON body. An inference: what the service says of a ticket it does not have is stated nowhere."""
    return RefusedError(json_answer({"Status": "Error", "ExceptionMessage": f"Ticket {name} does not exist"}, 404))


def not_permitted() -> RefusedError:
    """403 as plain text. An inference: pages say that an operation is for admins, and none lists a 403."""
    return RefusedError(text_answer(403, "This operation is for administrators only."))


def missing_parameter(name: str) -> RefusedError:
    """The marketing API's 500 that is a refusal: https://apidocs.leadsquared.com/error-handling/."""
    reason = {
        "Status": "Error",
        "ExceptionType": "MXMandatoryAttributeMissingException",
        "ExceptionMessage": f"'{name}' is mandatory",
    }
    return RefusedError(json_answer(reason, 500))
