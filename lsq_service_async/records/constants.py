"""Statuses, priorities, channels and conversation types from the vendor's pages, and `UNSET`."""

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
"""The default of most attributes of a `TicketUpdate`. An attribute with this value is not sent.

None is sent as null. The vendor does not document the effect of null.
"""


class Status(enum.StrEnum):
    """Statuses from the vendor's pages. An account may have other statuses, so any text is accepted."""

    OPEN = "Open"
    ON_HOLD = "On Hold"


class Priority(enum.StrEnum):
    """Priorities from the vendor's pages. Any other text is accepted, too."""

    LOW = "Low"
    MEDIUM = "Medium"


class Channel(enum.StrEnum):
    """Channels from the vendor's pages. Any other text is accepted, too."""

    CHAT = "Chat"
    EMAIL = "Email"


class ActivityType(enum.StrEnum):
    """Types of conversations from the vendor's pages. Any other text is accepted, too."""

    INBOUND_EMAIL = "InboundEmail"
    OUTBOUND_EMAIL = "OutboundEmail"
    PORTAL_INBOUND = "PortalInbound"
    PORTAL_OUTBOUND = "PortalOutbound"
