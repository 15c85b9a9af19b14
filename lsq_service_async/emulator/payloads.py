"""Checks of JSON requests against the vendor's pages, and the documented texts of statuses.

Every page has the same table of status texts, for example https://apidocs.leadsquared.com/create-tickets/. It is an
inference that the body of a response is this text and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException

from .multipart import FORM_TYPE, Body
from .store import Value, parse_json

JSON_BODY = "application/json"
JSON_ANSWER = "application/json; charset=utf-8"

TEXTS = {known.value: known.phrase for known in HTTPStatus} | {
    204: "",
    304: "",
    400: "The message body on the request is not as per API specification. Make sure that content type is set to "
    '"application/json" and the JSON body has correct attribute names and structure.',
    401: "The API call was made with invalid access credentials. Check your AccessKey and SecretKey.",
    404: "The API could not be found. Please check the API signature.",
    500: "The API called failed. There could be many reasons for it. Check the exception message to get more details.",
}
"""The text of each status: the vendor's text, or the standard phrase of HTTP."""

Rule = tuple[str, Callable[[Any], object]]
"""A description of the valid values, and a check of a value. A missing attribute is checked as None."""

TEXT: Rule = ("a non-empty string", lambda value: isinstance(value, str) and value != "")
TEXT_OR_NULL: Rule = ("a non-empty string or null", lambda value: value is None or TEXT[1](value))
ANY_TEXT: Rule = ("a string or null", lambda value: value is None or isinstance(value, str))
COUNT: Rule = ("a whole number of at least 1", lambda value: type(value) is int and value >= 1)
NUMBER: Rule = ("a whole number of at least 0", lambda value: type(value) is int and value >= 0)


def one_of(*allowed: object) -> Rule:
    """Return the rule that allows only these values. "1", 1 and true are different values."""
    pairs = [(type(value), value) for value in allowed]
    return " or ".join(map(json.dumps, allowed)), lambda value: (type(value), value) in pairs


def list_of(words: str, is_valid: Callable[[Any], object]) -> Rule:
    """Return the rule for a non-empty list of valid values."""
    return f"a list of {words}", lambda value: isinstance(value, list) and value != [] and all(map(is_valid, value))


def not_per_spec(reason: str) -> HTTPException:
    """Return a 400 with the documented text and this reason."""
    return HTTPException(400, f"{TEXTS[400]} ({reason})")


def read_json(body: Body, *media_types: str, **rules: Rule) -> dict[str, Any]:
    """Return the attributes that ``rules`` names. Raise a 400 if the body is not valid or breaks a rule."""
    media_types = media_types or (JSON_BODY,)
    if body.media_type not in media_types:
        raise not_per_spec(f"the content type must be {' or '.join(media_types)}")
    if body.problem is not None:
        raise not_per_spec(body.problem)
    if body.text is None:
        raise not_per_spec("the part ticketDTO is missing")
    try:
        dto = parse_json(body.text)
    except ValueError as error:
        raise not_per_spec("the JSON cannot be read") from error
    if not isinstance(dto, dict):
        raise not_per_spec("the JSON is not an object")
    for name, (words, is_valid) in rules.items():
        if not is_valid(dto.get(name)):
            raise not_per_spec(f"{name} must be {words}")
    return {name: dto.get(name) for name in rules}


def read_ticket(body: Body, number: str | None = None) -> tuple[str | None, dict[str, Value]]:
    """Return the LeadId and the fields of a new ticket. With ``number``, read an update of that ticket from a form."""
    media_types = (JSON_BODY, FORM_TYPE) if number is None else (FORM_TYPE,)
    types = {"TypeId": one_of("1"), "RelatedTicketTypeId": one_of(1)}
    entries: Rule = ("a list", lambda value: isinstance(value, list))
    dto = read_json(body, *media_types, **types, Id=one_of(number), LeadId=TEXT_OR_NULL, Fields=entries)
    fields: dict[str, Value] = {}
    for entry in dto["Fields"]:
        match entry:
            case {"SchemaName": str(name), "Value": bool() | list() | dict()} if name:
                raise not_per_spec(f"the Value of {name} must be a string, a number or null")
            case {"SchemaName": str(name), "Value": value} if name:
                fields[name] = value
            case _:
                raise not_per_spec("an entry of Fields needs a SchemaName and a Value")
    return dto["LeadId"], fields
