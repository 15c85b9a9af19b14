"""The state of one call while it is being sent."""

from __future__ import annotations

import contextvars
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs

from .._wire import Attempt, Call
from ..attachments import Attachment
from ..config import CallOptions
from ..limits import Slot


@attrs.define(eq=False, kw_only=True)
class CallContext:
    """One call and its attempts so far.

    ``started`` and ``deadline`` are times of ``clock``, the clock of the event loop. The attributes from ``number`` on
    describe the latest attempt.
    """

    call: Call[Any]
    options: CallOptions
    clock: Callable[[], float]
    started: float
    deadline: float | None
    reference: str
    boundary: str = attrs.field(factory=partial(secrets.token_hex, 16))
    """The boundary of a multipart body, the same in all attempts."""
    attachments: tuple[Attachment, ...] = ()
    """The attachments, ready to be read."""
    is_large: bool = False
    attempts: list[Attempt] = attrs.field(factory=list)
    hook_context: contextvars.Context = attrs.field(factory=contextvars.copy_context)
    progress: int = 0
    """The largest number of bytes that was reported to the caller in any attempt."""

    number: int = 0
    slot: Slot = attrs.field(init=False)
    digests: list[str] = attrs.field(factory=list)
    """The SHA-256 of each attachment that was read completely."""
    is_started: bool = False
    """Whether the headers of the request were sent."""
    fully_sent: bool = False
    """Whether the last byte was passed to the connection. Before that, the service cannot have applied the call."""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    """The headers of the response, without API keys and cookies."""
    pause: float = 0.0
    """The seconds for which all calls pause because of the response."""
    sent_at: float = 0.0
    silence: float | None = 0.0
    """If the attempt timed out, the seconds since its request was sent. None after a response, and 0 otherwise."""
    abandoned: bool = False
    """Whether the caller was cancelled or its deadline passed."""
