"""Events for the hooks of a client.

A hook is a plain callable and is not awaited. Only the first exception of a hook is logged, and no exception of a hook
changes the result of the call.

The hooks of a call run in a copy of the caller's context (`contextvars`). A context variable that a hook sets is
visible to later hooks of the call and to the HTTP client, but not to the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import attrs


@attrs.frozen(kw_only=True)
class CallStarted:
    """A call starts. Next, its attachments are prepared; then the call waits for the rate limit."""

    reference: str
    operation: str


@attrs.frozen(kw_only=True)
class AttemptStarted:
    """An attempt of a call starts. ``queued`` is the number of seconds that it waited for the rate limit.

    ``path_template`` is the path of the request with names instead of ids, such as
    ``/api/tenants/{org_id}/tickets/{ticket}``. It is None if the caller passed the path to ``client.request``.
    """

    reference: str
    operation: str
    number: int
    queued: float
    method: str
    host: str
    port: int
    path_template: str | None


@attrs.frozen(kw_only=True)
class AttemptEnded:
    """An attempt of a call ended.

    ``outcome`` is "applied", "refused", "not applied" or "unknown"; ``seconds`` is the duration. ``result`` is the
    record of the answer, or None. If the record is a receipt, its ``attempts`` are still empty. ``abandoned`` is True
    if the caller did not get the result, because the caller was cancelled or its deadline passed. ``headers`` has the
    HTTP headers of the response, without API keys and cookies. If no response arrived, ``headers`` is empty.
    """

    reference: str
    operation: str
    number: int
    outcome: str
    status: int | None
    seconds: float
    error: Exception | None
    result: Any
    abandoned: bool
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class CallEnded:
    """A call ended. ``error`` is the exception that the caller gets, or None.

    ``outcome`` is "applied" if the call succeeded, and "unknown" if the call failed but may have been applied. In all
    other cases, ``outcome`` is that of the last attempt, or "not applied" if there was no attempt. A failed read is
    "not applied" instead of "unknown", because a read changes nothing. ``attempts`` is the number of requests;
    ``seconds`` is the duration, including the time in the queue and between attempts. If the caller stopped waiting,
    the last attempt may end after this event. ``possible_duplicate`` is True if the call was applied and an earlier
    attempt of this call may have been applied too.
    """

    reference: str
    operation: str
    outcome: str
    attempts: int
    seconds: float
    error: BaseException | None
    possible_duplicate: bool


@attrs.frozen(kw_only=True)
class LimitPaused:
    """The client sends no call for the next ``seconds`` seconds.

    The service refused the call ``reference`` because of its rate limit, or answered it with a 503 and Retry-After.
    """

    reference: str
    seconds: float


@attrs.frozen(kw_only=True)
class LimitLowered:
    """From now on, the client sends at most ``calls`` calls in any ``per`` seconds, because the service refused a call.

    ``cause`` is "lower plan" if the service named a limit below the configured limit. Otherwise it is "other traffic":
    another program probably uses the same account. After "other traffic", the rate rises again step by step while no
    call is refused. A limit that the service named holds for at least ten minutes.
    """

    reference: str
    cause: str
    calls: int
    per: float


Event = CallStarted | AttemptStarted | AttemptEnded | CallEnded | LimitPaused | LimitLowered


class Hook(Protocol):
    """Any callable that takes an event."""

    def __call__(self, event: Event, /) -> None: ...
