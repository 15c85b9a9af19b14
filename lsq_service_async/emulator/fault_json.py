"""Faults as JSON objects, such as ``{"fault": "Status", "status": 500, "times": 2}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from . import faults
from .faults import Fault

MAXIMUM = 10**9
"""The largest number of bytes, seconds or times."""

_KINDS = {kind.__name__: kind for kind in vars(faults).values() if isinstance(kind, type) and issubclass(kind, Fault)}
del _KINDS["Fault"]
_TYPES: dict[object, dict[str, Any]] = {
    int: {"type": "integer", "minimum": 0, "maximum": MAXIMUM},
    float: {"type": "number", "minimum": 0, "maximum": MAXIMUM},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Mapping: {"type": "object", "additionalProperties": {"type": "string"}},
}


def _schema(hint: Any) -> dict[str, Any]:
    """Return the JSON schema of an attribute with this type."""
    if isinstance(hint, UnionType):
        return {"anyOf": [_schema(each) for each in get_args(hint)]}
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    return _TYPES[get_origin(hint) or hint]


def _fault_schema(kind: type[Fault]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    required = [each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING]
    return {
        "title": kind.__name__,
        "description": (kind.__doc__ or "").partition("\n")[0],
        "type": "object",
        "properties": {
            "fault": {"const": kind.__name__},
            **{each.name: _schema(hints[each.name]) for each in fields(kind)},
        },
        "required": ["fault", *required],
        "additionalProperties": False,
    }


FAULT_SCHEMAS = {name: _fault_schema(kind) for name, kind in _KINDS.items()}
"""The JSON schema of each kind of fault, by its name."""


def _fits(value: object, schema: Mapping[str, Any]) -> bool:
    match schema:
        case {"const": constant}:
            return bool(value == constant)
        case {"anyOf": choices}:
            return any(_fits(value, choice) for choice in choices)
        case {"enum": choices}:
            return value in choices
        case {"type": "integer"}:
            return type(value) is int and schema["minimum"] <= value <= schema["maximum"]
        case {"type": "number"}:
            return type(value) in (int, float) and schema["minimum"] <= value <= schema["maximum"]
        case {"type": "object"}:
            return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
        case _:
            return type(value) is {"string": str, "boolean": bool, "null": type(None)}[schema["type"]]


def check(given: object, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object if it matches the schema; ValueError names an attribute that does not."""
    title, properties = schema["title"], schema["properties"]
    if not isinstance(given, dict):
        raise ValueError(f"{title} must be an object with {', '.join(properties)}; not {given!r:.100}")
    if missing := [each for each in schema["required"] if each not in given]:
        raise ValueError(f"{title} needs {', '.join(missing)}")
    for key, value in given.items():
        if key not in properties:
            raise ValueError(f"{title} has no attribute {key!r:.50}; it has {', '.join(properties)}")
        if not _fits(value, properties[key]):
            raise ValueError(f"{key} of {title} cannot be {value!r:.50}; expected {properties[key]}")
    return given


def fault_from_json(given: object) -> Fault:
    """Return the fault that a JSON object describes; ValueError if a part of it cannot be used."""
    name = given.get("fault") if isinstance(given, dict) else None
    if not isinstance(name, str) or name not in _KINDS:
        raise ValueError(
            f"a fault is an object whose attribute fault is one of {', '.join(_KINDS)}; not {given!r:.100}"
        )
    attributes = {key: value for key, value in check(given, FAULT_SCHEMAS[name]).items() if key != "fault"}
    fault = _KINDS[name](**attributes)
    # A header or status that no server can send would otherwise fail only when the fault is played.
    headers = {"retry-after": str(attributes.get("retry_after", "")), **attributes.get("headers", {})}
    if not all(re.fullmatch(r"[A-Za-z0-9-]+", key) and re.fullmatch(r"[ -~]*", text) for key, text in headers.items()):
        raise ValueError("headers must have names and values of printable ASCII characters")
    if not 200 <= attributes.get("status", 200) <= 599:
        raise ValueError(f"status must be from 200 to 599, not {attributes['status']}")
    if attributes.get("bytes_per_second") == 0:
        raise ValueError("bytes_per_second must be more than 0")
    return fault


def fault_to_json(fault: Fault) -> dict[str, Any]:
    """Return the object that describes a fault, without the attributes that have their default."""
    shown: dict[str, Any] = {"fault": type(fault).__name__}
    for each in fields(fault):
        value = getattr(fault, each.name)
        if value != (each.default if each.default_factory is MISSING else each.default_factory()):
            shown[each.name] = value if isinstance(value, str | int | float | bool | dict | None) else repr(value)
    return shown
