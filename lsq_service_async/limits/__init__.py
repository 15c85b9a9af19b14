"""Rate limiters: at most 25 calls in any 5 seconds as the service counts them, and no fewer than that.

limiter.py    Limiter: queues calls and grants slots; Slot, LimiterStats
queues.py     queues of waiting calls
local.py      LocalLimiter: the state of one process, in memory
host.py       HostLimiter: the processes of one host, in a SQLite file
redis.py      RedisLimiter: many hosts, in Redis
_backend.py   the interface of file and Redis, and the limiter that uses it
_leases.py    the calls of this process that other processes must know about
_engine/      every decision, as pure functions
"""

from .host import HostLimiter
from .limiter import Limiter, LimiterStats, Slot
from .local import LocalLimiter

__all__ = ["HostLimiter", "Limiter", "LimiterStats", "LocalLimiter", "Slot"]
