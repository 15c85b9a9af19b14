"""Records of the service as frozen attrs classes with Python names.

Of the data from the service, only these attributes always have a value: the ``number`` of a ticket, the ``id`` of a
conversation or a lead, the ``schema_name`` of a field, and the ``text`` and ``value`` of a sub-type. Every other
attribute may be None or empty. ``extra`` contains the values for which this version of the package has no attribute.
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
