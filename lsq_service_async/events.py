"""Events for the hooks of a client. A hook is a plain callable; it is not awaited. Its first exception is logged.

The hooks of one call run in a copy of the caller's context (`contextvars`). A context variable that a hook sets is
visible to the later events of the call and to its requests, but not to the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import attrs


@attrs.frozen(kw_only=True)
class CallStarted:
    """A call starts: its attachments are prepared next, then it waits for the rate limit."""

    reference: str
    operation: str


@attrs.frozen(kw_only=True)
class AttemptStarted:
    """An attempt of a call starts. ``queued`` is the seconds that it waited for the rate limit.

    ``path_template`` is the path of the request with names instead of ids, such as
    ``/api/tenants/{org_id}/tickets/{ticket}``; None for a path that was passed to ``client.request``.
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
    record of the answer or None; a receipt has no ``attempts`` yet. ``abandoned`` is True if the caller was cancelled
    or ran into its deadline and did not get the result. ``headers`` has the HTTP headers of the response, without API
    keys and cookies; it is empty if none arrived.
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
    """A call ended. ``error`` is the exception that its caller gets, or None.

    ``outcome`` is "applied" if the call succeeded, "unknown" if it may have been applied, else the outcome of the last
    attempt, or "not applied" without an attempt. A read changes nothing, so instead of "unknown" it is "not applied".
    ``attempts`` is the number of requests, ``seconds`` the duration including queue and waits. If the caller stopped
    waiting, the last attempt may end after this event.
    ``possible_duplicate`` is True if the call was applied, and an earlier attempt may have been applied too.
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
    """No call is sent for ``seconds`` seconds.

    The service refused the call ``reference`` because of its rate limit, or answered it with a 503 and Retry-After.
    """

    reference: str
    seconds: float


@attrs.frozen(kw_only=True)
class LimitLowered:
    """The client sends at most ``calls`` in any ``per`` seconds from now on, because the service refused a call.

    ``cause`` is "lower plan" if the service named a lower limit, and "other traffic" if another program seems to use
    the account. The rate grows back step by step while no call is refused.
    """

    reference: str
    cause: str
    calls: int
    per: float


Event = CallStarted | AttemptStarted | AttemptEnded | CallEnded | LimitPaused | LimitLowered


class Hook(Protocol):
    """Any callable that takes an event."""

    def __call__(self, event: Event, /) -> None: ...
