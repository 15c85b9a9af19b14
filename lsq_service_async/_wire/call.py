"""A call to the service as a value, and what becomes of one attempt to make it."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

import attrs

from ..attachments import Attachment
from ..errors import InvalidRequestError, LSQServiceError
from ..records import Attempt, Outcome, Ticket, TicketReceipt, TicketRef

T = TypeVar("T")
Progress = Callable[[int, int], None]


class Kind(enum.Enum):
    """What a second send of a call would do."""

    READ = "changes nothing"
    UPDATE = "changes the same thing to the same value"
    CREATE = "does it twice"


class Api(enum.Enum):
    """Which of the vendor's APIs a call belongs to; each has an origin of its own."""

    TENANT = "tickets"
    METADATA = "field metadata"
    LEADS = "leads of the marketing side, with other header names and a limit of its own"


@attrs.frozen(kw_only=True)
class Call(Generic[T]):
    """One documented operation with its arguments, ready to be sent any number of times.

    ``path`` is appended to the URL of its ``api``. ``dto`` with ``attachments`` makes a multipart body, ``json`` a JSON
    one; neither makes none. ``read`` turns the decoded JSON of a good answer into the record that the caller gets. Only
    a ``documented`` call is sure to be answered with JSON, and with a ``Status`` that speaks of the call itself.
    """

    operation: str
    method: str
    path: str
    kind: Kind
    read: Callable[[Any], T]
    api: Api = Api.TENANT
    documented: bool = True
    params: Mapping[str, str] = attrs.field(factory=dict)
    json: bytes | None = None
    dto: bytes | None = None
    attachments: tuple[Attachment, ...] = ()
    progress: Progress | None = None


class Repeat(enum.Enum):
    """When an attempt that ended badly may be followed by another."""

    NEVER = "never"
    ALWAYS = "nothing was applied, and it may go well the next time"
    SERVER_FAILED = "a read or an update may; a create by policy"
    UNANSWERED = "a read or an update may"


@attrs.frozen(kw_only=True)
class Verdict(Generic[T]):
    """How one attempt ended: the record, or an error and whether the call may be sent again."""

    outcome: Outcome
    record: T | None = None
    error: LSQServiceError | None = None
    repeat: Repeat = Repeat.NEVER
    status: int | None = None
    retry_after: float | None = None


def with_attempts(record: Any, attempts: tuple[Attempt, ...], *, possible_duplicate: bool) -> Any:
    """Add the attempts of a call to its receipt, and the mark if it has one. Other records are returned as they are."""
    about = {"attempts": attempts, "possible_duplicate": possible_duplicate}
    about = {name: value for name, value in about.items() if hasattr(record, name)}
    return attrs.evolve(record, **about) if about else record


class Send(Protocol):
    """What the operations are given: it sends a call and returns its record, or raises one of `errors`."""

    def __call__(self, call: Call[T], /) -> Awaitable[T]: ...


def encode(value: Any) -> bytes:
    """JSON as it is sent; InvalidRequestError for what JSON or UTF-8 cannot say, such as NaN."""
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"this cannot be sent as JSON: {error}") from None


def ticket_ref(ticket: TicketRef) -> str:
    """What stands for a ticket in a URL. A record stands for its number."""
    text = ticket.number if isinstance(ticket, Ticket | TicketReceipt) else ticket
    if isinstance(text, UUID) or (isinstance(text, int) and not isinstance(text, bool) and text > 0):
        text = str(text)
    # A stricter check than quoting: "..", quoted or not, would leave the tenant's path.
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9-]{1,64}", text):
        hint = "; the # and zeros of a key are no part of it" if str(text).startswith("#") else ""
        raise InvalidRequestError(
            f"a ticket is named by its number, such as '143', or its GUID, not {text!r:.80}{hint}"
        )
    return text


def ticket_number(ticket: TicketRef) -> str:
    """The number of a ticket, for the places where the service takes nothing else."""
    text = ticket_ref(ticket)
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise InvalidRequestError(f"this needs the ticket's number, such as '143', not {text!r}; get() shows it")
    return text
