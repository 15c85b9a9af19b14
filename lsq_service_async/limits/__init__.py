"""When a call may go: 25 in any 5 seconds, whatever the network does, and no fewer than that."""

from .gate import Gate, LimiterStats, Slot
from .host import HostLimiter
from .local import LocalLimiter

__all__ = ["Gate", "HostLimiter", "LimiterStats", "LocalLimiter", "Slot"]
