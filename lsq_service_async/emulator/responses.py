"""Responses of the service: its documented status codes and their texts.

Only the texts are documented (https://apidocs.leadsquared.com/create-tickets/ and every other page has the same
table). That the body is plain text, and everything about an unknown ticket, is an inference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import PlainTextResponse, Response

JSON_TYPE = "application/json; charset=utf-8"

_TEXTS = {known.value: known.phrase for known in HTTPStatus} | {
    204: "",
    304: "",
    400: "The message body on the request is not as per API specification. Make sure that content type is set to "
    '"application/json" and the JSON body has correct attribute names and structure.',
    401: "The API call was made with invalid access credentials. Check your AccessKey and SecretKey.",
    404: "The API could not be found. Please check the API signature.",
    500: "The API called failed. There could be many reasons for it. Check the exception message to get more details.",
}


class RefusedError(Exception):
    """The call is not applied; ``response`` has the reason."""

    def __init__(self, response: Response) -> None:
        super().__init__(bytes(response.body).decode())
        self.response = response


def json_response(value: object, status: int = 200) -> Response:
    return Response(json.dumps(value, ensure_ascii=False), status, media_type=JSON_TYPE)


def text_response(status: int, text: str | None = None, headers: Mapping[str, str] | None = None) -> Response:
    """Plain text: by default the vendor's text for that status, else HTTP's own phrase, else nothing."""
    return PlainTextResponse(_TEXTS.get(status, "") if text is None else text, status, headers)


def not_per_spec(reason: str) -> RefusedError:
    """A 400 with the documented text and the reason."""
    return RefusedError(text_response(400, f"{_TEXTS[400]} ({reason})"))
