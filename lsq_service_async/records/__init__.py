"""What the service stores and answers, as frozen attrs classes with Python names.

The pages are named in ``_wire/field_map.py``. Only what identifies a record is sure to be there; anything else may be
None, and what this version does not know is kept in ``extra``.
"""

from .attempts import Attempt, Outcome
from .constants import UNSET, ActivityType, Channel, FieldValue, Priority, Status, Unset
from .metadata import ActivityReceipt, Conversation, FieldMetadata, Lead, Problem, SubType, TrashResult
from .tickets import NewTicket, Permission, Ticket, TicketReceipt, TicketRef, TicketUpdate

__all__ = [
    "UNSET",
    "ActivityReceipt",
    "ActivityType",
    "Attempt",
    "Channel",
    "Conversation",
    "FieldMetadata",
    "FieldValue",
    "Lead",
    "NewTicket",
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
    "Unset",
]
