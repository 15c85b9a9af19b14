"""What a hook is told. A hook is a plain callable; it is never awaited, and what it raises is logged once."""

from __future__ import annotations

from typing import Any, Protocol

import attrs


@attrs.frozen(kw_only=True)
class AttemptStarted:
    """One send of a call begins: the limit has granted it. ``queued`` is the seconds it waited for that."""

    reference: str
    operation: str
    number: int
    queued: float


@attrs.frozen(kw_only=True)
class AttemptEnded:
    """One send of a call ended, also when its caller is gone.

    ``outcome`` is one of "applied", "refused", "not applied", "unknown"; ``seconds`` is how long it took.
    ``result`` is what was read of the answer, or None: a caller that was cancelled finds its ticket here, without the
    ``attempts`` that a receipt has in the end.
    ``abandoned`` is True when its caller has left, and did not get it.
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


@attrs.frozen(kw_only=True)
class CallEnded:
    """A call is over. ``error`` is what its caller got, None when all went well; a cancelled one says so.

    ``outcome`` is one of those of an attempt: the worst, or "applied". A send that its caller has left may end later.
    """

    reference: str
    operation: str
    outcome: str
    attempts: int
    seconds: float
    error: BaseException | None


@attrs.frozen(kw_only=True)
class LimitPaused:
    """The service refused a call for speed: nobody is sent for ``seconds``."""

    reference: str
    seconds: float


@attrs.frozen(kw_only=True)
class LimitLowered:
    """A refusal showed that there is less to use than was configured.

    ``cause`` is "lower plan" where the service named one, else "other traffic": somebody else uses the account.
    From now on at most ``calls`` go in any ``per`` seconds; what was given up comes back bit by bit while nothing is
    refused, but never more than the plan that was named.
    """

    reference: str
    cause: str
    calls: int
    per: float


Event = AttemptStarted | AttemptEnded | CallEnded | LimitPaused | LimitLowered


class Hook(Protocol):
    """Anything that can be called with an event."""

    def __call__(self, event: Event, /) -> None: ...
