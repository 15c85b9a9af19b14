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

    ``clock`` returns the time of the event loop; ``started`` and ``deadline`` are such times. ``number`` is the number
    of attempts so far. The attributes below ``number`` describe the latest attempt.
    """

    call: Call[Any]
    options: CallOptions
    clock: Callable[[], float]
    started: float
    deadline: float | None
    reference: str
    boundary: str = attrs.field(factory=partial(secrets.token_hex, 16))
    """The boundary of a multipart body. It is the same in all attempts, so that they send the same bytes."""
    attachments: tuple[Attachment, ...] = ()
    """The attachments of the call, ready to be read."""
    is_large: bool = False
    """Whether the body is larger than `pipeline.LARGE`. Sending a large body may take long."""
    attempts: list[Attempt] = attrs.field(factory=list)
    hook_context: contextvars.Context = attrs.field(factory=contextvars.copy_context)
    """The `contextvars` context in which the hooks run. See `events`."""
    progress: int = 0
    """The largest number of bytes that was reported to the caller. It does not decrease when the call is sent again."""

    number: int = 0
    slot: Slot = attrs.field(init=False)
    digests: list[str] = attrs.field(factory=list)
    """The SHA-256 of each attachment that was read completely."""
    is_started: bool = False
    """Whether the headers of the request were sent."""
    fully_sent: bool = False
    """Whether the last byte was passed to the connection. Before that, the service cannot have applied the call. A call
    without a body counts as fully sent, unless the transport reports that it is still connecting."""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    """The headers of the response, without API keys and cookies."""
    pause: float = 0.0
    """The seconds for which the limiter pauses all calls because of the response."""
    sent_at: float = 0.0
    silence: float | None = 0.0
    """The seconds from the send to a timeout. None after a response has arrived, and 0 if there was no timeout."""
    abandoned: bool = False
    """Whether the caller has stopped waiting for the attempt: it was cancelled, or its deadline passed."""
