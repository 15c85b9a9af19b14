"""A stand-in for the service: stateful, strict about speed, and wrong on request.

    emulator.py    all of it, wired: `Emulator` and `serve`
    app.py         the ASGI application: a call arrives, is counted, takes its course    <- start reading here
    server.py      the same on a loopback socket
    window.py      how calls are counted against the limit: pure, given the time
    faults.py      what may go wrong with a call; script.py says with which one
    calls.py       what it saw
    service/       what is done with a call, pure:
      desk.py        who may call, and what is meant    <- and go on here
      operations.py  the table of operations and their APIs
      handlers/      a function for each operation
      account/       what is remembered, and the invented fields and leads
      asked.py       what a handler is asked
      bodies.py      a body read in constant memory: texts kept, files hashed
      reading.py     JSON checked against the vendor's pages; drafts.py the same for tickets
      answers.py     the documented codes and their words

It shares no code with the client, so that the two cannot be wrong together. Needs the extra ``emulator``.
"""

from __future__ import annotations

try:
    from .calls import Call
    from .emulator import Emulator, Settings, serve
    from .faults import (
        AnswerLost,
        BadJson,
        DropConnection,
        EarlyStatus,
        Fault,
        Latency,
        RateLimited,
        ResetMidway,
        Serve,
        SlowRead,
        Status,
        StopReading,
        TruncatedAnswer,
    )
    from .script import FaultScript
    from .service.account.conversations import StoredConversation
    from .service.account.store import StoredTicket, TicketStore
    from .window import FixedWindow, SlidingWindow, TokenBucket, TwoBucketEstimate, Window
except ModuleNotFoundError as _missing:
    if (_missing.name or "").partition(".")[0] not in {"starlette", "python_multipart", "uvicorn"}:
        raise
    raise ImportError(
        f'the emulator needs {_missing.name}: pip install "lsq-service-async[emulator]"', name=_missing.name
    ) from _missing

__all__ = [
    "AnswerLost",
    "BadJson",
    "Call",
    "DropConnection",
    "EarlyStatus",
    "Emulator",
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
    "TicketStore",
    "TokenBucket",
    "TruncatedAnswer",
    "TwoBucketEstimate",
    "Window",
    "serve",
]
