"""A stand-in for the service on this machine: stateful, strict about the rate limit, with faults on request.

    emulator.py   `Emulator`: counts, records and answers each call; and `serve` for the command line
    calls.py      one call: its exchange, its fault, and its entry in the log
    facts.py      how one account differs from another
    server.py     serves the emulator on a loopback socket
    window.py     four ways to count calls against a rate limit; pure, given the time
    faults.py     the faults that a test can add, their queue, and faults as JSON
    routes.py     the Starlette application: every operation with its path, check, change and response
    store.py      tickets, conversations and leads
    files.py      tickets in a SQLite file, and JSONL files of tickets to begin with
    payloads.py   checks of JSON bodies against the vendor's pages, and the documented texts
    multipart.py  reads bodies of any size in constant memory
    control.py    the page and the routes under /__emulator/ that show and drive an emulator
    page.html     the page
    data/         JSON: invented fields and leads, sample responses, names in seeds, the OpenAPI description

It shares no code with the client, so that one mistake cannot be in both. Needs the extra ``emulator``.
"""

from __future__ import annotations

try:
    from .calls import Call, Fault
    from .emulator import Emulator, Settings, serve
    from .facts import Facts
    from .faults import (
        AnswerLost,
        AppliedLater,
        BadJson,
        DropConnection,
        EarlyStatus,
        FaultScript,
        Latency,
        RateLimited,
        ResetMidway,
        Serve,
        SlowRead,
        Status,
        StopReading,
        TruncatedAnswer,
    )
    from .files import TicketFile, seed
    from .store import StoredConversation, StoredTicket, TicketStore
    from .window import FixedWindow, SlidingWindow, TokenBucket, TwoBucketEstimate, Window
except ModuleNotFoundError as _missing:
    if (_missing.name or "").partition(".")[0] not in {"starlette", "python_multipart", "uvicorn"}:
        raise
    raise ImportError(
        f'the emulator needs {_missing.name}: pip install "lsq-service-async[emulator]"', name=_missing.name
    ) from _missing

__all__ = [
    "AnswerLost",
    "AppliedLater",
    "BadJson",
    "Call",
    "DropConnection",
    "EarlyStatus",
    "Emulator",
    "Facts",
    "Fault",
    "FaultScript",
    "FixedWindow",
    "Latency",
    "RateLimited",
    "ResetMidway",
    "Serve",
    "Settings",
    "SlidingWindow",
    "SlowRead",
    "Status",
    "StopReading",
    "StoredConversation",
    "StoredTicket",
    "TicketFile",
    "TicketStore",
    "TokenBucket",
    "TruncatedAnswer",
    "TwoBucketEstimate",
    "Window",
    "seed",
    "serve",
]
