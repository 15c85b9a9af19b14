"""A local stand-in for the service. It stores tickets, enforces the rate limit, and can inject faults.

    emulator.py   `Emulator`, and `serve` for the command line
    calls.py      one call: its request, fault, response and log entry
    facts.py      behavior that differs between accounts, such as gaps between ticket numbers
    server.py     serves the emulator on a loopback socket
    window.py     four ways to count calls against a rate limit
    faults.py     the faults that a test can add, and faults as JSON
    routes.py     the operations of the service, as a Starlette application
    store.py      tickets, conversations and leads
    files.py      stores tickets in a SQLite file, and creates tickets from a JSONL file
    payloads.py   checks JSON bodies against the vendor's pages; the documented texts of statuses
    multipart.py  reads request bodies of any size in constant memory
    control.py    the web page, and the routes under /__emulator/ that show and control an emulator
    page.html     the web page
    data/         JSON: invented fields and leads, sample responses, names in seed files, OpenAPI

The emulator shares no code with the client, so that a mistake in one is not repeated in the other. Needs the extra
``emulator``.
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
