"""Rate limiters. By default, they use the limit in full, and do not exceed it, however the service counts.

limiter.py   Limiter: queues calls and grants slots; Slot, LimiterStats
queues.py    queues of waiting calls
local.py     LocalLimiter: for one process, stores the state in memory
host.py      HostLimiter: for all processes of one host, stores the state in a SQLite file
redis.py     RedisLimiter: for many hosts, stores the state in Redis
_backend.py  SharedLimiter, the base of HostLimiter and RedisLimiter, and the interface of its backends
_leases.py   leases on the calls in flight of this process, and reports of completed calls
_engine/     all decisions, without a clock and without input or output
"""

import os
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from .limiter import Limiter, LimiterStats, Slot
from .local import LocalLimiter

if TYPE_CHECKING:
    from .host import HostLimiter

__all__ = ["HostLimiter", "Limiter", "LimiterStats", "LocalLimiter", "Slot", "limiter_from_env"]


def limiter_from_env() -> Limiter | None:
    """Return a HostLimiter if LSQ_LIMIT_FILE has a path, a RedisLimiter if LSQ_LIMIT_REDIS has an address, or None.

    Raises ConfigurationError if both variables are set, or if LSQ_LIMIT_REDIS is set but redis-py is missing.
    """
    file = os.environ.get("LSQ_LIMIT_FILE")
    if not os.environ.get("LSQ_LIMIT_REDIS"):
        if not file:
            return None
        from .host import HostLimiter

        return HostLimiter(file)
    if file:
        raise ConfigurationError("LSQ_LIMIT_FILE and LSQ_LIMIT_REDIS are both set; remove one of them")
    try:
        from .redis import RedisLimiter
    except ImportError as error:
        raise ConfigurationError(f"LSQ_LIMIT_REDIS is set, but {error}") from None
    return RedisLimiter(os.environ["LSQ_LIMIT_REDIS"])  # a local variable would show a password to crash reporters


def __getattr__(name: str) -> Any:
    """Import HostLimiter, which needs SQLite, when it is first used."""
    if name == "HostLimiter":
        from .host import HostLimiter

        return HostLimiter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
