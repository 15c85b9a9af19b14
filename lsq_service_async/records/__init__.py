"""Records of the service as frozen attrs classes with Python names.

Only the identifiers of tickets, conversations, leads and fields are certain: every other attribute may be None or
empty. Fields that this version does not know are kept in ``extra``.
"""

from .attempts import Attempt, Outcome
from .constants import UNSET, ActivityType, Channel, FieldValue, Priority, Status, Unset
from .lookup import Absent, Found, Lookup, NumberRange, Unclear, Verdict
from .metadata import ActivityReceipt, Conversation, FieldMetadata, Lead, Problem, SubType, TrashResult
from .tickets import NewTicket, Permission, Ticket, TicketReceipt, TicketRef, TicketUpdate

__all__ = [
    "UNSET",
    "Absent",
    "ActivityReceipt",
    "ActivityType",
    "Attempt",
    "Channel",
    "Conversation",
    "FieldMetadata",
    "FieldValue",
    "Found",
    "Lead",
    "Lookup",
    "NewTicket",
    "NumberRange",
    "Outcome",
    "Permission",
    "Priority",
    "Problem",
    "Status",
    "SubType",
    "Ticket",
    "TicketReceipt",
    "TicketRef",
    "TicketUpdate",
    "TrashResult",
    "Unclear",
    "Unset",
    "Verdict",
]
