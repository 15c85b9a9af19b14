"""Reading a JSON body strictly by the vendor's pages; what departs from them is a 400."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from .answers import not_per_spec


def json_object(text: bytes) -> dict[str, Any]:
    try:
        dto = json.loads(text)
        # What an answer could not repeat is not taken: NaN, numbers beyond all bounds, half of a surrogate pair.
        json.dumps(dto, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise not_per_spec("the JSON cannot be read") from error
    if not isinstance(dto, dict):
        raise not_per_spec("the JSON is not an object")
    return dto


def text_of(dto: Mapping[str, Any], name: str) -> str:
    """A text that is not empty."""
    value = dto.get(name)
    if isinstance(value, str) and value:
        return value
    raise not_per_spec(f"{name} must be a text")


def text_or_null(dto: Mapping[str, Any], name: str) -> str | None:
    """As `text_of`; None for null, and where the name is missing."""
    value = dto.get(name)
    if value is None or (isinstance(value, str) and value):
        return value
    raise not_per_spec(f"{name} must be a text or null")


def number_of(dto: Mapping[str, Any], name: str, *, least: int = 0) -> int:
    """A whole number, which the text of one is not."""
    value = dto.get(name)
    if type(value) is int and value >= least:
        return value
    raise not_per_spec(f"{name} must be a whole number from {least} on")


def one_of(dto: Mapping[str, Any], name: str, allowed: Collection[str]) -> str:
    value = text_of(dto, name)
    if value not in allowed:
        raise not_per_spec(f"{name} must be one of {', '.join(allowed)}")
    return value


def texts_of(dto: Mapping[str, Any], name: str) -> list[str]:
    """A list of texts, at least one."""
    values = dto.get(name)
    if isinstance(values, list) and values and all(isinstance(value, str) for value in values):
        return values
    raise not_per_spec(f"{name} must be a list of texts")
