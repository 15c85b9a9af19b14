"""The limit of many hosts: all share one allowance in a Redis server. Needs the extra ``redis``."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import Any, Literal

from ..config import RateLimit
from ..errors import ConfigurationError
from .decision.ask import Ask, Verdict
from .decision.exchange import rate_conflict
from .decision.text import ask_to_text, state_from_text
from .gate import Gate
from .ledger import LedgerDownError, Reply
from .shared import SharedStore

try:
    import redis.asyncio
    from redis.exceptions import (
        AuthenticationError,
        AuthorizationError,
        NoPermissionError,
        RedisError,
        ResponseError,
    )
except ImportError as _error:
    raise ImportError("RedisLimiter needs redis-py: pip install 'lsq-service-async[redis]'") from _error

TIME_OUT = 0.3  # s; a server that hangs must not cost more
_PARTS = ("lists", "text", "rule", "share", "line", "state", "appointment", "exchange")


def script() -> str:
    """One exchange in Lua: KEYS[1] holds the state, ARGV is the ask and a time, or an empty one for the server's."""
    folder = files(__package__) / "decision" / "lua"
    return "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in _PARTS)


def read_reply(ask: Ask, values: list[Any]) -> Reply:
    """What the script returned. ConfigurationError if others use the limit at another rate."""
    place, *rest = values
    if place in (b"rate", "rate"):
        raise rate_conflict(RateLimit(int(rest[0]), per=float(rest[1])), ask.rate)
    wait, now, state = rest
    return Reply(state_from_text(state), float(now), Verdict(None if place < 0 else ask.wants[place], float(wait)))


class RedisLedger:
    """A state under one key, changed by one script per exchange, by the server's clock.

    Redis 5 or later. The key goes ten minutes after the last exchange. If it is lost while somebody uses it, or the
    server's clock is set, what may have been used is taken for used just then.
    """

    def __init__(self, server: str | redis.asyncio.Redis, name: str | None) -> None:
        self._server = server
        self._name = name

    async def open(self, name: str) -> None:
        """Nothing is asked yet; ConfigurationError if the address cannot be one."""
        self._key = f"lsq_service_async:limit:{self._name or name}"
        try:
            self._client = redis.asyncio.from_url(self._server) if isinstance(self._server, str) else self._server
        except ValueError as error:
            raise ConfigurationError(f"RedisLimiter needs an address like redis://host:6379/0: {error}") from error
        self._script = self._client.register_script(script())

    async def exchange(self, ask: Ask) -> Reply:
        """One round trip, of at most 0.3 s."""
        try:
            async with asyncio.timeout(TIME_OUT):
                values = await self._decide(ask)
        except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
            raise ConfigurationError(f"Redis does not let us use the limit: {error}") from error
        except TimeoutError as error:
            raise LedgerDownError(f"Redis has not answered in {TIME_OUT} s") from error
        except (RedisError, OSError) as error:
            raise LedgerDownError(f"Redis: {error}") from error
        return read_reply(ask, values)

    async def _decide(self, ask: Ask) -> Any:
        try:
            return await self._script(keys=[self._key], args=[ask_to_text(ask), ""])
        except ResponseError:
            # It may be the primary no more (READONLY), and a new connection lead to the one that is.
            pool = getattr(self._client, "connection_pool", None)  # not every kind of client has one
            if pool is not None:
                await pool.disconnect(inuse_connections=False)
            raise

    async def aclose(self) -> None:
        """Close the connections, if they are ours."""
        if isinstance(self._server, str):
            await self._client.aclose()


class RedisLimiter(Gate):
    """The limit of all processes that name the same Redis server.

    ``server`` is an address such as ``redis://host:6379/0``, or a `redis.asyncio.Redis`, which stays its owner's to
    close. ``name`` sets several accounts together or one apart; without it those of one host and org share. While Redis
    is down nobody is sent: with ``when_down="wait"`` calls wait until it is back (or their deadlines end), with "fail"
    they end in NotSentError. When the limiter is opened, ConfigurationError if Redis refuses the log-in, or if another
    process uses the limit at another rate.

    A Redis that loses its data (a restart, a failover, an eviction) costs about a window: those who used the limit take
    a whole allowance for used up, and tell of their calls on their way. Only a process that begins in just that moment,
    and asks before all others, does not know of it, and may send what they have sent once more.

    Where a server forks its workers, a limiter may be made before the fork, but is to be opened after it, in each
    worker: connections cannot be shared.
    """

    def __init__(
        self,
        server: str | redis.asyncio.Redis,
        *,
        name: str | None = None,
        when_down: Literal["wait", "fail"] = "wait",
    ) -> None:
        if when_down not in ("wait", "fail"):
            raise ConfigurationError(f'when_down is "wait" or "fail", not {when_down!r}')
        super().__init__(SharedStore(RedisLedger(server, name), waits=when_down == "wait"))
