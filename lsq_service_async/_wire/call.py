"""A call to the service, and the result of one attempt to send it."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import attrs

from ..attachments import Attachable
from ..errors import LSQServiceError
from ..records import Outcome, Verdict
from .lookup import SentCreate

T = TypeVar("T")
Progress = Callable[[int, int], None]
LookUp = Callable[[SentCreate, float], Awaitable[Verdict]]
BeforeSend = Callable[[str, bool], Awaitable[None]]
"""Takes the reference of the call, and whether an earlier attempt may have been applied."""


class Idempotency(enum.Enum):
    """The effect of sending a call twice."""

    SAFE = "reads only"
    IDEMPOTENT = "sets the same values again"
    NON_IDEMPOTENT = "is applied twice"


class Api(enum.Enum):
    """The vendor API that a call uses. Each API has its own origin."""

    TENANT = "tickets"
    METADATA = "field metadata"
    LEADS = "leads of the marketing API, which has its own header names and rate limit"


@attrs.frozen(kw_only=True)
class Call(Generic[T]):
    """One operation with its arguments, ready to be sent any number of times.

    ``template`` is ``path`` with names instead of ids. In a multipart request, ``body`` is the part "ticketDTO". The
    answer to a ``documented`` call must be JSON, and a ``Status`` other than "Success" is a failure. The answer to any
    other call may be empty, and its ``Status`` is ignored. If ``ticket`` is set, the record must be about this ticket.
    ``before_send`` is awaited before each attempt. If ``before_send`` raises, nothing is sent. The second argument of
    ``look_up`` is the number of seconds after which the service no longer applies a create.
    """

    operation: str
    method: str
    path: str
    idempotency: Idempotency
    parse: Callable[[Any], T]
    api: Api = Api.TENANT
    template: str | None = None
    documented: bool = True
    ticket: str | None = None
    params: Mapping[str, Any] = attrs.field(factory=dict)
    body: bytes | None = None
    is_multipart: bool = False
    attachments: tuple[Attachable, ...] = ()
    progress: Progress | None = None
    before_send: BeforeSend | None = None
    create: SentCreate | None = None
    look_up: LookUp | None = None

    @property
    def repeatable(self) -> bool:
        """Whether a second attempt has no further effect."""
        return self.idempotency is not Idempotency.NON_IDEMPOTENT


class Retry(enum.Enum):
    """The condition for another attempt."""

    NEVER = "no other attempt"
    AT_ONCE = "at once and as often as necessary, because the slot expired before the request was sent"
    ALWAYS = "always, because nothing was applied"
    ON_SERVER_ERROR = "if the call is repeatable, or if the policy permits it"
    ON_NO_RESPONSE = "if the call is repeatable"


@attrs.frozen(kw_only=True)
class AttemptResult(Generic[T]):
    """A record, or an error and the condition for another attempt. All calls pause for ``pause`` seconds."""

    outcome: Outcome
    record: T | None = None
    error: LSQServiceError | None = None
    retry: Retry = Retry.NEVER
    status: int | None = None
    retry_after: float | None = None
    pause: float = 0.0
    must_close: bool = False  # the connection must not be used again


class Send(Protocol):
    """Sends a call and returns its record. ``until``, a time of the event loop's clock, replaces the usual deadline."""

    def __call__(self, call: Call[T], /, *, until: float | None = None) -> Awaitable[T]: ...
