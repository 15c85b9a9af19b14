"""Values of ticket fields that the vendor documents, and `UNSET`."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Final

FieldValue = str | int | float | bool | datetime | None
"""The value of a ticket field. A datetime must have a time zone, and is sent in UTC."""


class Unset(enum.Enum):
    """The type of `UNSET`."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""The default of the fields of a `TicketUpdate`: the field is not sent.

None is sent as null. The vendor does not document the effect of null.
"""


class Status(enum.StrEnum):
    """Statuses on the vendor's pages. An account may have others; any text is accepted."""

    OPEN = "Open"
    ON_HOLD = "On Hold"


class Priority(enum.StrEnum):
    """Priorities on the vendor's pages. Any text is accepted."""

    LOW = "Low"
    MEDIUM = "Medium"


class Channel(enum.StrEnum):
    """Channels on the vendor's pages. Any text is accepted."""

    CHAT = "Chat"
    EMAIL = "Email"


class ActivityType(enum.StrEnum):
    """Types of conversations on the vendor's pages. Any text is accepted."""

    INBOUND_EMAIL = "InboundEmail"
    OUTBOUND_EMAIL = "OutboundEmail"
    PORTAL_INBOUND = "PortalInbound"
    PORTAL_OUTBOUND = "PortalOutbound"
