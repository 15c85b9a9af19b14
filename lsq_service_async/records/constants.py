"""Values that fields may have, and the one that stands for no value."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Final

FieldValue = str | int | float | bool | datetime | None
"""What a ticket field may hold. A datetime must know its zone; the service gets it in UTC."""


class Unset(enum.Enum):
    """The type of `UNSET`."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""In a `TicketUpdate`: leave this field as it is. None is different: it is sent as null."""


class Status(enum.StrEnum):
    """Statuses that the vendor's pages show; an account may have others, and any text passes."""

    OPEN = "Open"
    ON_HOLD = "On Hold"


class Priority(enum.StrEnum):
    """Priorities that the vendor's pages show; any text passes."""

    LOW = "Low"
    MEDIUM = "Medium"


class Channel(enum.StrEnum):
    """Channels that the vendor's pages show; any text passes."""

    CHAT = "Chat"
    EMAIL = "Email"


class ActivityType(enum.StrEnum):
    """Kinds of conversations; any text passes."""

    INBOUND_EMAIL = "InboundEmail"
    OUTBOUND_EMAIL = "OutboundEmail"
    PORTAL_INBOUND = "PortalInbound"
    PORTAL_OUTBOUND = "PortalOutbound"
