"""What was said on a ticket."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

ConversationType = Literal["InboundEmail", "OutboundEmail", "PortalInbound", "PortalOutbound"]
CONVERSATION_TYPES: frozenset[str] = frozenset(get_args(ConversationType))

USER_ID = "5f0c1a52-7d1e-4b8a-9a5e-2f6f1c0d3b77"
"""The invented user whose keys they are; a call acts as that user."""


@dataclass(frozen=True)
class StoredConversation:
    """One message. ``attachments`` are printed as they are: what they look like is not documented."""

    id: int
    activity_type: ConversationType
    created_on: datetime
    text: str | None = None
    html: str | None = None
    attachments: tuple[object, ...] = ()
    created_by: str = USER_ID


def printed_time(when: datetime) -> str:
    """As the vendor prints: no zone; three digits of the second's fraction, or none when it is 0."""
    timespec = "milliseconds" if when.microsecond // 1000 else "seconds"
    return when.replace(tzinfo=None).isoformat(timespec=timespec)
