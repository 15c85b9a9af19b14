"""A call to the service as a value, and the result of one attempt to send it."""

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
"""Takes the reference of the call, and whether an earlier attempt of the call may have been applied."""


class Idempotency(enum.Enum):
    """The effect of sending a call twice."""

    SAFE = "reads only"
    IDEMPOTENT = "sets the same values again"
    NON_IDEMPOTENT = "is applied twice"


class Api(enum.Enum):
    """The vendor's API to which a call belongs. Each API has its own origin."""

    TENANT = "tickets"
    METADATA = "field metadata"
    LEADS = "leads of the marketing API, which has its own header names and rate limit"


@attrs.frozen(kw_only=True)
class Call(Generic[T]):
    """One operation with its arguments, ready to be sent any number of times.

    ``path`` is appended to the URL of the ``api``. If the path has ids, ``template`` is the same path with names
    instead of the ids. ``body`` is JSON or None. If ``is_multipart`` is True, the JSON is the part "ticketDTO" of the
    request, and ``attachments`` are the other parts. ``parse`` makes the record from the decoded JSON of a successful
    answer. The answer to a ``documented`` call must be JSON, and a ``Status`` other than "Success" means that the call
    failed. The answer to any other call may also be empty, and its ``Status`` has no meaning. If ``ticket`` is a number
    or GUID, the record must be about this ticket. ``before_send`` is awaited before each attempt, after the limiter has
    granted a slot. If ``before_send`` raises, nothing is sent. ``create`` is set if the call creates a ticket.
    ``look_up`` finds out whether this create was applied. Its second argument is the number of seconds after which the
    service no longer applies a create.
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
    """The condition for another attempt after a failed attempt."""

    NEVER = "no other attempt"
    AT_ONCE = "at once and as often as necessary, because the slot expired before the request was sent"
    ALWAYS = "always, because nothing was applied"
    ON_SERVER_ERROR = "if the call is repeatable, or if the policy permits it"
    ON_NO_RESPONSE = "if the call is repeatable"


@attrs.frozen(kw_only=True)
class AttemptResult(Generic[T]):
    """The result of one attempt: a record, or an error and the condition for another attempt.

    ``retry_after`` is the number of seconds in the header Retry-After. ``pause`` is the number of seconds for which all
    calls pause, because the service is overloaded. If ``must_close`` is True, the connection must not be used again.
    """

    outcome: Outcome
    record: T | None = None
    error: LSQServiceError | None = None
    retry: Retry = Retry.NEVER
    status: int | None = None
    retry_after: float | None = None
    pause: float = 0.0
    must_close: bool = False


class Send(Protocol):
    """Sends a call and returns its record, or raises an error of the module `errors`.

    ``until`` is a deadline that several calls share, as a time of the event loop. It replaces the client's deadline.
    """

    def __call__(self, call: Call[T], /, *, until: float | None = None) -> Awaitable[T]: ...
