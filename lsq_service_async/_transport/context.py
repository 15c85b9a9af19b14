"""The state of one call while it is sent."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs

from .._wire import Attempt, Call
from ..config import CallOptions
from .upload import RequestBody


@attrs.define(eq=False, kw_only=True)
class CallContext:
    """One call and its attempts so far. ``started`` and ``deadline`` are readings of ``clock``, which is the loop's.

    ``number`` counts the attempts that were begun. The attributes after it belong to the latest of them.
    """

    call: Call[Any]
    options: CallOptions
    clock: Callable[[], float]
    started: float
    deadline: float | None
    reference: str = attrs.field(factory=partial(secrets.token_hex, 8))
    boundary: str = attrs.field(factory=partial(secrets.token_hex, 16))
    attempts: list[Attempt] = attrs.field(factory=list)
    progress: int = 0
    """The largest number of bytes that was reported to the caller, in all attempts."""

    number: int = 0
    body: RequestBody = attrs.field(init=False)
    is_started: bool = False
    """The connection has begun to send the request."""
    fully_sent: bool = False
    """The last byte was passed to the connection. Until then, the service cannot have applied the call."""
    abandoned: bool = False
    """The caller no longer waits for the attempt: it was cancelled, or its deadline passed."""
