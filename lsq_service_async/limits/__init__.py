"""Rate limiters: they use the 25 calls in 5 seconds in full, and never exceed them, however the service counts.

limiter.py    Limiter: queues calls and grants slots; Slot, LimiterStats
queues.py     queues of waiting calls
local.py      LocalLimiter: the state of one process, in memory
host.py       HostLimiter: the processes of one host, in a SQLite file
redis.py      RedisLimiter: many hosts, in Redis
_from_env.py  the limiter that LSQ_LIMIT_FILE or LSQ_LIMIT_REDIS names
_backend.py   SharedLimiter, and the interface of the backends that it uses: a file or Redis
_leases.py    leases on the calls in flight of this process, and reports of completed calls
_engine/      every decision, as pure functions
"""

from typing import TYPE_CHECKING, Any

from ._from_env import limiter_from_env
from .limiter import Limiter, LimiterStats, Slot
from .local import LocalLimiter

if TYPE_CHECKING:
    from .host import HostLimiter

__all__ = ["HostLimiter", "Limiter", "LimiterStats", "LocalLimiter", "Slot", "limiter_from_env"]


def __getattr__(name: str) -> Any:
    """Import HostLimiter, which needs SQLite, when it is first used."""
    if name == "HostLimiter":
        from .host import HostLimiter

        return HostLimiter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
