"""When a call may go: 25 in any 5 seconds, whatever the network does, and no fewer than that."""

from .gate import Gate, LimiterStats, Slot
from .local import LocalLimiter
from .store import Granted, Store, Usage, Wait, Want

__all__ = ["Gate", "Granted", "LimiterStats", "LocalLimiter", "Slot", "Store", "Usage", "Wait", "Want"]
