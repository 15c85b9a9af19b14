"""Checks JSON bodies against the vendor's pages; every difference is a 400 that names the attribute."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .multipart import Body
from .responses import not_per_spec

JSON_BODY = "application/json"

Value = str | int | float | None
"""The value of a field."""

LEAD_PREFIX = "LeadDetail."
"""Fields with this prefix describe the lead, not the ticket."""

LEAD_FIELDS = (f"{LEAD_PREFIX}EmailAddress", f"{LEAD_PREFIX}Phone")
"""The fields that identify the lead of a new ticket without a LeadId."""


class Payload:
    """The JSON object of a body or of its part ticketDTO. Each method returns a checked value or raises the 400."""

    def __init__(self, body: Body, *media_types: str) -> None:
        if body.media_type not in media_types:
            raise not_per_spec(f"the content type must be {' or '.join(media_types)}")
        if body.problem is not None:
            raise not_per_spec(body.problem)
        if body.text is None:
            raise not_per_spec("the part ticketDTO is missing")
        try:
            dto = json.loads(body.text)
            # Values that a response cannot repeat are refused: NaN, numbers that overflow, lone surrogates.
            json.dumps(dto, allow_nan=False, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise not_per_spec("the JSON cannot be read") from error
        if not isinstance(dto, dict):
            raise not_per_spec("the JSON is not an object")
        self._dto: dict[str, Any] = dto

    def get(self, name: str) -> Any:
        """Return the value as it is, or None if it is missing."""
        return self._dto.get(name)

    def text(self, name: str) -> str:
        """Return a text that is not empty."""
        value = self._dto.get(name)
        if isinstance(value, str) and value:
            return value
        raise not_per_spec(f"{name} must be a text")

    def text_or_null(self, name: str) -> str | None:
        """Return a text that is not empty, or None if it is null or missing."""
        value = self._dto.get(name)
        if value is None or (isinstance(value, str) and value):
            return value
        raise not_per_spec(f"{name} must be a text or null")

    def texts(self, name: str) -> list[str]:
        """Return a list of at least one text."""
        values = self._dto.get(name)
        if isinstance(values, list) and values and all(isinstance(value, str) for value in values):
            return values
        raise not_per_spec(f"{name} must be a list of texts")

    def number(self, name: str, *, least: int = 0) -> int:
        """Return a whole number; its digits as a text are refused."""
        value = self._dto.get(name)
        if type(value) is int and value >= least:
            return value
        raise not_per_spec(f"{name} must be a whole number from {least} on")

    def one_of(self, name: str, allowed: Collection[str]) -> str:
        value = self.text(name)
        if value not in allowed:
            raise not_per_spec(f"{name} must be one of {', '.join(allowed)}")
        return value


@dataclass(frozen=True)
class TicketPayload:
    """The JSON of a create or update: the ticket's number (updates only), its lead, and the fields to set, in order."""

    number: str | None
    lead_id: str | None
    fields: Mapping[str, Value]

    @classmethod
    def read(cls, body: Body, *media_types: str) -> TicketPayload:
        payload = Payload(body, *media_types)
        if payload.get("TypeId") != "1":
            raise not_per_spec('TypeId must be "1"')
        if type(payload.get("RelatedTicketTypeId")) is not int or payload.get("RelatedTicketTypeId") != 1:
            raise not_per_spec("RelatedTicketTypeId must be 1")
        number, lead_id, entries = payload.text_or_null("Id"), payload.text_or_null("LeadId"), payload.get("Fields")
        if not isinstance(entries, list):
            raise not_per_spec("Fields must be a list")
        fields: dict[str, Value] = {}
        for entry in entries:
            match entry:
                case {"SchemaName": str(name), "Value": bool() | list() | dict()} if name:
                    raise not_per_spec(f"the Value of {name} must be a text, a number or null")
                case {"SchemaName": str(name), "Value": value} if name:
                    fields[name] = value
                case _:
                    raise not_per_spec("an entry of Fields needs a SchemaName and a Value")
        return cls(number, lead_id, fields)
