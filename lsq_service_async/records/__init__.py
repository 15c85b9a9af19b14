"""Records of the service as frozen attrs classes with Python names.

Only these attributes are certain: the number of a ticket, the id of a conversation or a lead, the schema name of a
field, and the attributes of a sub-type. Every other attribute may be None or empty. ``extra`` contains the fields that
this version of the package does not know.
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
