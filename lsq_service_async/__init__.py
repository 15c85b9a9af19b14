"""The async Python SDK for LeadSquared Service CRM tickets.

A map of the package, top down:

    client.py       ServiceClient: opens, wires, closes                        <- start reading here
    tickets.py      one method per documented ticket operation
    metadata.py     field metadata and sub-type values; a ticket checked against them
    leads.py        lead look-ups on the marketing API
    records/        what the service stores, as frozen attrs classes
    attachments.py  Attachment: where bytes come from
    bulk/           many calls: finish, stop or resume without doing one twice
    errors.py       one tree, named by what the caller may do next
    config.py       Config, RateLimit, RetryPolicy: frozen, every default, from_env()
    events.py       what a hook is told
    _wire/          what is said: pure
    _transport/     how it gets there: the only part that waits for the network
    limits/         when it may go: in one process, on one host, on many
    cli/            the command line, and the demo
    integrations/   one optional library each: FastAPI
    emulator/       a stand-in for the service; imports nothing of the rest

A folder is a layer, and imports point down only.
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
    ActivityReceipt,
    ActivityType,
    Channel,
    Conversation,
    FieldMetadata,
    Lead,
    NewTicket,
    Priority,
    Problem,
    Status,
    SubType,
    Ticket,
    TicketReceipt,
    TicketUpdate,
    TrashResult,
)

__all__ = [
    "APIStatusError",
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
    "Hook",
    "InvalidRequestError",
    "LSQServiceError",
    "Lane",
    "Lead",
    "MalformedResponseError",
    "NewTicket",
    "NotFoundError",
    "NotSentError",
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
    "__version__",
]
