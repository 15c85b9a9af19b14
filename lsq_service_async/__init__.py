"""The async Python SDK for LeadSquared Service CRM tickets.

A folder is a layer, and imports point down only. The modules, from top to bottom:

    cli/            the command line and the demo
    integrations/   one optional library each: FastAPI
    client.py       ServiceClient: opens, connects and closes the parts below      <- start reading here
    bulk/           many calls: runs that can be stopped and continued without sending a row twice
    tickets.py      one method per documented ticket operation
    metadata.py     field metadata, sub-types, and validation of tickets
    leads.py        leads of the marketing API
    _transport/     sends a call: retries, rate limit, attempt, upload; the only part that waits for the network
    _wire/          calls as values, JSON to records, answers to results; pure: no clock, no network
    limits/         the rate limit: in one process, on one host, on many hosts
    config.py       Config, RateLimit, RetryPolicy, Lane: frozen, with every default
    attachments.py  Attachment: a name, a content type and a source of bytes
    records/        tickets and all other records as frozen attrs classes
    events.py       events for hooks
    errors.py       the tree of errors, named by what the caller may do next
    emulator/       a stand-in for the service that shares no code with the rest
"""

from ._version import __version__
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
