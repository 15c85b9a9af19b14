"""The async Python SDK for LeadSquared Service CRM tickets.

Each line is a layer. A module imports only from its own layer and the layers below:

    cli/            the command line and the demo
    integrations/   one optional library each: FastAPI, OpenTelemetry, pytest
    client.py       ServiceClient: creates, opens and closes the parts below       <- start reading here
    bulk/           many calls: runs that can be stopped and continued without sending a row twice
    tickets.py      one method per documented ticket operation
    metadata.py     field metadata, sub-types, validation of tickets
    leads.py        leads of the marketing API
    _transport/     sends calls: retries, rate limit, attempts, uploads
    _wire/          describes calls, and converts answers to records or errors; no clock, no network
    limits/         the rate limit of one process, of one host, or of many hosts
    config.py       Config, RateLimit, RetryPolicy, Lane: the frozen settings and their defaults
    attachments.py  Attachment: a name, a content type and a source of bytes
    records/        tickets and all other records as frozen attrs classes
    events.py       events for hooks
    errors.py       the tree of errors: not sent, not answered, or answered with an error
    emulator/       a local stand-in for the service; it shares no code with the other modules
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .attachments import Attachment
    from .bulk import BulkRow
    from .client import ServiceClient
    from .config import Config, Lane, RateLimit, RetryPolicy
    from .errors import (
        APIStatusError,
        AuthenticationError,
        BadRequestError,
        ConfigurationError,
        InvalidRequestError,
        LSQServiceError,
        MalformedResponseError,
        NoAnswerError,
        NotFoundError,
        NotSentError,
        OperationFailedError,
        OutcomeUnknownError,
        PermissionDeniedError,
        QueueTimeoutError,
        RateLimitError,
        ServerError,
    )
    from .events import Hook
    from .records import (
        Absent,
        ActivityReceipt,
        ActivityType,
        Channel,
        Conversation,
        FieldMetadata,
        Found,
        Lead,
        Lookup,
        NewTicket,
        NumberRange,
        Priority,
        Problem,
        Status,
        SubType,
        Ticket,
        TicketReceipt,
        TicketUpdate,
        TrashResult,
        Unclear,
    )

__all__ = [
    "APIStatusError",
    "Absent",
    "ActivityReceipt",
    "ActivityType",
    "Attachment",
    "AuthenticationError",
    "BadRequestError",
    "BulkRow",
    "Channel",
    "Config",
    "ConfigurationError",
    "Conversation",
    "FieldMetadata",
    "Found",
    "Hook",
    "InvalidRequestError",
    "LSQServiceError",
    "Lane",
    "Lead",
    "Lookup",
    "MalformedResponseError",
    "NewTicket",
    "NoAnswerError",
    "NotFoundError",
    "NotSentError",
    "NumberRange",
    "OperationFailedError",
    "OutcomeUnknownError",
    "PermissionDeniedError",
    "Priority",
    "Problem",
    "QueueTimeoutError",
    "RateLimit",
    "RateLimitError",
    "RetryPolicy",
    "ServerError",
    "ServiceClient",
    "Status",
    "SubType",
    "Ticket",
    "TicketReceipt",
    "TicketUpdate",
    "TrashResult",
    "Unclear",
    "__version__",
]

_MODULES = (
    "errors",
    "events",
    "config",
    "attachments",
    "records",
    "client",
    "bulk",
    "tickets",
    "metadata",
    "leads",
    "limits",
)


def __getattr__(name: str) -> Any:
    """Import a module of the package when one of its public names is first used.

    pytest imports this package in every run, because the package has a pytest plugin. So the import must be fast.
    """
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    for module in _MODULES if name in __all__ else ():
        if hasattr(found := import_module(f"{__name__}.{module}"), name):
            globals()[name] = getattr(found, name)
            return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
