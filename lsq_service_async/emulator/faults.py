"""The faults that a test can add, the queue of faults, and faults as JSON.

Faults apply in the order in which they were added. In this example, the first POST gets a 500, and the response to the
second POST is slow::

    emulator.faults.add(Status(500, method="POST"), Latency(2.0, method="POST"))

As JSON, a fault is an object such as ``{"fault": "Status", "status": 500, "times": 2}``. To write your own fault,
subclass `Fault` as a frozen dataclass and override ``play``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from starlette.responses import PlainTextResponse, Response

from .calls import Exchange as Exchange
from .calls import Fault as Fault
from .payloads import JSON_ANSWER, TEXTS

MAXIMUM = 10**9
"""The highest number that the JSON of a fault may contain."""


@dataclass(frozen=True)
class Serve(Fault):
    """No fault: serve the call normally. Put `Serve` into the queue to let calls pass before the next fault."""


@dataclass(frozen=True)
class Latency(Fault):
    """Apply the call immediately, and answer it ``seconds`` later."""

    seconds: float

    async def play(self, exchange: Exchange) -> None:
        response = await exchange.apply()
        await exchange.pause(self.seconds)
        await exchange.send(response)


@dataclass(frozen=True)
class Status(Fault):
    """Answer with this status, by default with its documented text. With ``applied``, apply the call first."""

    status: int
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    applied: bool = False

    async def play(self, exchange: Exchange) -> None:
        await (exchange.apply() if self.applied else exchange.read())
        await exchange.send(_text_response(self.status, self.body, self.headers))


@dataclass(frozen=True)
class RateLimited(Fault):
    """Answer with the documented 429. ``retry_after``: the value of the header Retry-After, sent unchanged."""

    retry_after: int | str | None = None

    async def play(self, exchange: Exchange) -> None:
        await exchange.read()
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        calls, per = exchange.limit
        text = f"API calls exceeded the limit of {calls} in {per:g} second(s)"
        await exchange.send(PlainTextResponse(text, 429, headers))


@dataclass(frozen=True)
class DropConnection(Fault):
    """Close the connection before or after reading the body, without applying or answering the call.

    With ``reset=False``, the connection is closed gracefully. The operating system still resets it if bytes are unread.
    """

    when: Literal["before_body", "after_body"] = "before_body"
    reset: bool = True

    async def play(self, exchange: Exchange) -> None:
        if self.when == "after_body":
            await exchange.read()
        await exchange.drop(reset=self.reset)


@dataclass(frozen=True)
class AnswerLost(Fault):
    """Apply the call, then close the connection without an answer."""

    reset: bool = True

    async def play(self, exchange: Exchange) -> None:
        await exchange.apply()
        await exchange.drop(reset=self.reset)


@dataclass(frozen=True)
class AppliedLater(Fault):
    """Close the connection without an answer, and apply the call ``seconds`` later."""

    seconds: float
    reset: bool = True

    async def play(self, exchange: Exchange) -> None:
        await exchange.read()
        exchange.apply_later(self.seconds)
        await exchange.drop(reset=self.reset)


@dataclass(frozen=True)
class BadJson(Fault):
    """Answer with this text, a 200 and a JSON content type. With ``applied=False``, the call is not applied."""

    text: str = '{"Status": "Succ'
    applied: bool = True

    async def play(self, exchange: Exchange) -> None:
        await (exchange.apply() if self.applied else exchange.read())
        await exchange.send(Response(self.text, media_type=JSON_ANSWER))


@dataclass(frozen=True)
class TruncatedAnswer(Fault):
    """Apply the call, send the headers and ``keep`` bytes of the body (None: half of it), then close the connection."""

    keep: int | None = None

    async def play(self, exchange: Exchange) -> None:
        response = await exchange.apply()
        await exchange.send(response, at_most=len(response.body) // 2 if self.keep is None else self.keep)
        await exchange.drop(reset=False)


@dataclass(frozen=True)
class SlowRead(Fault):
    """Read the body at this speed, then apply and answer the call."""

    bytes_per_second: float

    async def play(self, exchange: Exchange) -> None:
        await exchange.read(bytes_per_second=self.bytes_per_second)
        await exchange.send(await exchange.apply())


@dataclass(frozen=True)
class StopReading(Fault):
    """Read ``after_bytes`` of the body. Then do not read the rest, do not answer, and leave the connection open."""

    after_bytes: int = 0

    async def play(self, exchange: Exchange) -> None:
        await exchange.read(at_most=self.after_bytes)
        await asyncio.Event().wait()


@dataclass(frozen=True)
class ResetMidway(Fault):
    """Reset the connection after reading ``after_bytes`` of the body."""

    after_bytes: int

    async def play(self, exchange: Exchange) -> None:
        await exchange.read(at_most=self.after_bytes)
        await exchange.drop()


@dataclass(frozen=True)
class EarlyStatus(Fault):
    """Answer before reading the body, as a gateway does if the body is too large.

    With ``close=True``, the connection is closed after the response, and the client may see a reset instead of the
    response. With ``close=False``, the body is received and discarded.
    """

    status: int
    body: str | None = None
    close: bool = True

    async def play(self, exchange: Exchange) -> None:
        headers = {"connection": "close"} if self.close else {}
        await exchange.send(_text_response(self.status, self.body, headers))


def _text_response(status: int, text: str | None, headers: Mapping[str, str]) -> Response:
    return PlainTextResponse(TEXTS.get(status, "") if text is None else text, status, headers)


@dataclass
class FaultScript:
    """A queue of faults. Each call takes the first fault that applies to it.

    ``pending``: the faults for later calls, each with its remaining ``times``.
    """

    pending: tuple[Fault, ...] = ()

    def add(self, *faults: Fault) -> None:
        """Add faults to the end of the queue."""
        self.pending += faults

    def clear(self) -> None:
        """Remove all pending faults."""
        self.pending = ()

    def take(self, method: str, path: str) -> Fault:
        """Return the fault for this call, and reduce its ``times`` by 1. Return `Serve` if no fault applies."""
        for index, fault in enumerate(self.pending):
            if fault.hits(method, path):
                rest = (replace(fault, times=fault.times - 1),) if fault.times > 1 else ()
                self.pending = (*self.pending[:index], *rest, *self.pending[index + 1 :])
                return fault
        return Serve()


_KINDS = {kind.__name__: kind for kind in Fault.__subclasses__()}
_TYPES: dict[object, dict[str, Any]] = {
    int: {"type": "integer", "minimum": 0, "maximum": MAXIMUM},
    float: {"type": "number", "minimum": 0, "maximum": MAXIMUM},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Mapping: {"type": "object", "additionalProperties": {"type": "string"}},
}
_BOUNDS = {"times": {"minimum": 1}, "status": {"minimum": 200, "maximum": 599}}


def _schema(hint: Any) -> dict[str, Any]:
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
            **{each.name: _schema(hints[each.name]) | _BOUNDS.get(each.name, {}) for each in fields(kind)},
        },
        "required": ["fault", *required],
        "additionalProperties": False,
    }


FAULT_SCHEMAS = {name: _fault_schema(kind) for name, kind in _KINDS.items()}
"""The JSON schemas of the faults, by class name."""


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
    """Return the object. Raises ValueError if it does not match the schema."""
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


_NAME = re.compile(r"(?i:(?!(?:content-length|transfer-encoding)$)[a-z0-9-]+)")
"""The names of headers that a fault can set."""


def fault_from_json(given: object) -> Fault:
    """Return the fault that a JSON object describes. Raises ValueError if the object is not valid."""
    name = given.get("fault") if isinstance(given, dict) else None
    if not isinstance(name, str) or name not in _KINDS:
        raise ValueError(
            f"a fault is an object whose attribute fault is one of {', '.join(_KINDS)}; not {given!r:.100}"
        )
    attributes = {key: value for key, value in check(given, FAULT_SCHEMAS[name]).items() if key != "fault"}
    fault = _KINDS[name](**attributes)
    # Without this check, a header that a server cannot send would fail only when the fault is played.
    headers = {"retry-after": str(attributes.get("retry_after", "")), **attributes.get("headers", {})}
    if not all(_NAME.fullmatch(key) and re.fullmatch(r"([!-~]([ -~]*[!-~])?)?", headers[key]) for key in headers):
        text = "a header name can have letters, digits and hyphens, its value printable ASCII without spaces around it"
        raise ValueError(f"{text}; content-length and transfer-encoding cannot be set")
    if attributes.get("bytes_per_second") == 0:
        raise ValueError("bytes_per_second must be more than 0")
    return fault


def fault_to_json(fault: Fault) -> dict[str, Any]:
    """Return the JSON object of a fault, without default values."""
    shown: dict[str, Any] = {"fault": type(fault).__name__}
    for each in fields(fault):
        value = getattr(fault, each.name)
        if value != (each.default if each.default_factory is MISSING else each.default_factory()):
            shown[each.name] = value if isinstance(value, str | int | float | bool | dict | None) else repr(value)
    return shown
