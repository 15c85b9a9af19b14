"""The page at ``/`` and the routes under ``/__emulator/``, which show and control an emulator over HTTP.

Requests for them need no keys, do not count against the rate limit, and are not recorded. Web pages of other origins
can neither read the responses nor change anything.
"""

from __future__ import annotations

import asyncio
import base64
import difflib
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Scope

from .calls import RECENT, Call, CallLog
from .faults import FAULT_SCHEMAS, FaultScript, Serve, check, fault_from_json, fault_to_json
from .multipart import TEXT_LIMIT, ReceivedFile
from .store import StoredTicket, TicketStore, load_data, parse_json
from .window import Window, WindowKind, free_slots, kind_of

CONTROL = "/__emulator"
"""The prefix of the control routes."""

_MOST_REQUESTS = 200  # per event

IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
"""Content types that the page shows as images. SVG is missing, because an SVG may contain scripts."""

_API = load_data("openapi")
_API["components"]["schemas"]["Fault"] = {"oneOf": list(FAULT_SCHEMAS.values())}


class Driven(Protocol):
    """The part of an emulator that the routes control."""

    faults: FaultScript
    window: Window

    def set_limit(self, rate_limit: tuple[int, float], window: WindowKind | None) -> None: ...

    def reset(self) -> None: ...


def is_control(scope: Scope) -> bool:
    """Whether a request is for the page or a control route."""
    path: str = scope["path"]
    return path == CONTROL or path.startswith(f"{CONTROL}/") or (path == "/" and scope["method"] in ("GET", "HEAD"))


@dataclass(frozen=True)
class Control:
    """The page and the control routes of one emulator. ``period``: the shortest time in seconds between two events."""

    emulator: Driven
    store: TicketStore
    log: CallLog
    clock: Callable[[], float]
    period: float = 0.1

    def app(self) -> Starlette:
        """Return the application. An error response is a JSON object with the attribute ``error``."""
        routes = [
            Route("/", _page),
            Route(f"{CONTROL}/requests", self.list_requests),
            Route(f"{CONTROL}/requests/{{number}}", self.show_request),
            Route(f"{CONTROL}/tickets", self.list_tickets),
            Route(f"{CONTROL}/tickets/{{number}}", self.show_ticket),
            Route(f"{CONTROL}/files/{{sha256}}", self.show_file),
            Route(f"{CONTROL}/faults", self.drive_faults, methods=["GET", "POST", "DELETE"]),
            Route(f"{CONTROL}/limit", self.drive_limit, methods=["GET", "POST"]),
            Route(f"{CONTROL}/reset", self.reset, methods=["POST"]),
            Route(f"{CONTROL}/events", self.stream_events),
            Route(f"{CONTROL}/openapi.json", _openapi),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: _refuse, ValueError: _refuse})

    async def list_requests(self, request: Request) -> Response:
        """Return those of the last ``limit`` requests whose number is above ``after``."""
        after, limit = _count(request, "after", -1), _count(request, "limit", 100)
        last = list(islice(reversed(self.log.kept.items()), limit))
        listed = [_call_json(number, call) for number, call in reversed(last) if number > after]
        return JSONResponse({**self._counts(), "requests": listed})

    async def show_request(self, request: Request) -> Response:
        text = request.path_params["number"]
        number = int(text) if re.fullmatch("[0-9]{1,18}", text) else -1
        call = self.log.kept.get(number)
        if call is None:
            raise HTTPException(404, f"There is no request {text[:20]}, or it was dropped.")
        described = [self._file_json(file) for file in call.files]
        return JSONResponse({**_call_json(number, call), "files": described, "text": call.text, "answer": call.answer})

    async def list_tickets(self, request: Request) -> Response:
        """Return at most ``limit`` tickets that contain ``search``, newest first. Skip the first ``offset``."""
        offset, limit = _count(request, "offset", 0), _count(request, "limit", 50)
        search = request.query_params.get("search", "").casefold()
        found = [each for each in self.store.tickets.values() if not search or _matches(each, search)][::-1]
        listed = [_summary(ticket) for ticket in found[offset : offset + limit]]
        return JSONResponse({"total": len(found), "trashed": len(self.store.trashed), "tickets": listed})

    async def show_ticket(self, request: Request) -> Response:
        number = request.path_params["number"]
        ticket = self.store.tickets.get(number) or self.store.trashed.get(number)
        if ticket is None:
            raise HTTPException(404, f"There is no ticket {number[:20]}.")
        messages = [
            {"type": each.activity_type, "time": each.created_on.isoformat(), "text": each.text, "html": each.html}
            for each in ticket.conversations
        ]
        return JSONResponse(
            {
                **_summary(ticket),
                "ticket_id": ticket.ticket_id,
                "is_trashed": number in self.store.trashed,
                "fields": ticket.fields,
                "files": [self._file_json(file) for file in ticket.files],
                "notes": ticket.notes,
                "conversations": messages,
                "history": [
                    {"time": time.isoformat(), "change": change} for time, change in self.store.history.get(number, ())
                ],
            }
        )

    async def show_file(self, request: Request) -> Response:
        """Return a file by its SHA-256, as an image or as a type that browsers do not execute."""
        content = self.store.contents.get(request.path_params["sha256"])
        if content is None:
            text = "Only files of recent small requests are stored, up to 16 MiB in total."
            raise HTTPException(404, f"This file is not stored. {text}")
        wanted = request.query_params.get("type", "")
        headers = {"content-security-policy": "default-src 'none'; sandbox", "x-content-type-options": "nosniff"}
        return Response(content, headers=headers, media_type=wanted if wanted in IMAGES else "application/octet-stream")

    async def drive_faults(self, request: Request) -> Response:
        """Show the pending faults (GET), add one fault or a list of faults (POST), or remove all faults (DELETE)."""
        if request.method == "POST":
            given = await _body(request)
            self.emulator.faults.add(*[fault_from_json(each) for each in (given if type(given) is list else [given])])
        elif request.method == "DELETE":
            self.emulator.faults.clear()
        return JSONResponse({"pending": self._pending()})

    async def drive_limit(self, request: Request) -> Response:
        """Show the limit (GET), or change any of ``calls``, ``per`` and ``window`` (POST)."""
        if request.method == "POST":
            limit = self._limit_json() | check(await _body(request), _API["components"]["schemas"]["Limit"])
            self.emulator.set_limit((limit["calls"], limit["per"]), limit["window"])
        return JSONResponse(self._limit_json())

    async def reset(self, request: Request) -> Response:
        self.emulator.reset()
        return JSONResponse(self._counts())

    async def stream_events(self, request: Request) -> Response:
        """Stream server-sent events. Each event has the state, and requests that are new or have changed."""
        return StreamingResponse(self._events(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    async def _events(self) -> AsyncIterator[str]:
        last: object = None
        sent: dict[int, Call] = {}
        silent = 0
        while True:
            limit, pending = self._limit_json(), self._pending()
            calls = dict(reversed(list(islice(reversed(self.log.kept.items()), RECENT))))
            changed = [number for number, call in calls.items() if sent.get(number) is not call][:_MOST_REQUESTS]
            state = (self.log.total, self.store.changes, pending, limit)
            if changed or state != last:
                requests = [_call_json(number, calls[number]) for number in changed]
                event = {**self._counts(), "limit": limit, "faults": pending, "requests": requests}
                yield f"data: {json.dumps(event)}\n\n"
                sent = {number: call for number, call in sent.items() if number in calls}
                sent |= {number: calls[number] for number in changed}
                last, silent = state, 0
            elif silent >= 100:
                yield ": nothing changed\n\n"
                silent = 0
            silent += 1
            await asyncio.sleep(self.period)

    def _counts(self) -> dict[str, Any]:
        log, store = self.log, self.store
        return {
            "now": self.clock(),
            "total": log.total,
            "refused": log.refused,
            "dropped": log.total - len(log.kept),
            "oldest": next(iter(log.kept), None),
            "tickets": len(store.tickets),
            "trashed": len(store.trashed),
            "changes": store.changes,
        }

    def _limit_json(self) -> dict[str, Any]:
        window = self.emulator.window
        free = free_slots(window, self.clock())
        return {"calls": window.calls, "per": window.per, "window": kind_of(window), "free": free}

    def _pending(self) -> list[dict[str, Any]]:
        return [fault_to_json(fault) for fault in self.emulator.faults.pending]

    def _file_json(self, file: ReceivedFile) -> dict[str, Any]:
        return {**vars(file), "is_kept": file.sha256 in self.store.contents}


def check_origin(scope: Scope) -> Response | None:
    """Return a 403 if a web page of another origin sent the request."""
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    if origin in (None, f"http://{headers.get('host')}"):
        return None
    return JSONResponse({"error": f"Pages of {origin[:100]} cannot use the emulator."}, 403)


async def _page(request: Request) -> Response:
    html, policy = _page_and_policy()
    return HTMLResponse(html, headers={"content-security-policy": policy, "cache-control": "no-store"})


@cache
def _page_and_policy() -> tuple[str, str]:
    """Return the page, and a content security policy that allows only the page's script and style."""
    html = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    allowed = {"script-src": "script", "style-src": "style"}
    rules = {"default-src": "'none'", "connect-src": "'self'", "img-src": "'self' data:", "frame-ancestors": "'none'"}
    for rule, tag in allowed.items():
        text = html.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        rules[rule] = f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    return html, "; ".join(f"{rule} {value}" for rule, value in rules.items())


async def _openapi(request: Request) -> Response:
    return JSONResponse(_API)


async def _refuse(request: Request, error: Exception) -> Response:
    """Answer an error. Suggest a route for an unknown path, or the methods that a route accepts."""
    status, text = (error.status_code, error.detail) if isinstance(error, HTTPException) else (400, str(error))
    if text == "Not Found":
        routes = [route.path for route in request.app.routes if route.path != "/"]
        near = difflib.get_close_matches(request.url.path, routes, 1, cutoff=0.0)[0]
        text = f"There is no route {request.url.path[:200]}. Did you mean {near}?"
    if isinstance(error, HTTPException) and error.headers:
        text = f"{text}. Use {error.headers['Allow']}."
    return JSONResponse({"error": text}, status)


async def _body(request: Request) -> Any:
    """Return the JSON value of a request body; ValueError if the body is too long or not JSON."""
    text = bytearray()
    async for chunk in request.stream():
        text += chunk
        if len(text) > TEXT_LIMIT:
            raise ValueError(f"the body is longer than {TEXT_LIMIT} bytes")
    try:
        return parse_json(bytes(text))
    except ValueError as error:
        raise ValueError("the body is not JSON") from error


def _count(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not re.fullmatch(r"-?[0-9]{1,9}", text) or int(text) < min(default, 0):
        raise ValueError(f"{name} must be a whole number of at least {min(default, 0)}, not {text[:20]!r}")
    return int(text)


def _call_json(number: int, call: Call) -> dict[str, Any]:
    names = ("time", "method", "path", "status", "seconds", "refused", "applied", "size", "sha256")
    fault = None if call.refused or isinstance(call.fault, Serve) else fault_to_json(call.fault)
    shown = {name: getattr(call, name) for name in names}
    return {"number": number, **shown, "fault": fault, "files": len(call.files)}


def _summary(ticket: StoredTicket) -> dict[str, Any]:
    return {
        "number": ticket.number,
        "key": ticket.key,
        "title": ticket.fields.get("Title"),
        "status": ticket.fields.get("Status"),
        "lead_id": ticket.lead_id,
        "files": len(ticket.files),
        "by_others": ticket.by_others,
    }


def _matches(ticket: StoredTicket, search: str) -> bool:
    return any(search in str(text).casefold() for text in (ticket.key, ticket.lead_id, *ticket.fields.values()))
