"""The limit of many hosts: all share one allowance in a Redis server. Needs the extra ``redis``."""

from __future__ import annotations

import asyncio
import math
import random
from typing import Any, Literal

import attrs

from ..errors import ConfigurationError
from .decision.ask import Ask
from .decision.exchange import exchange
from .decision.state import State
from .decision.text import state_from_text, state_to_text
from .gate import Gate
from .ledger import LedgerBusyError, LedgerDownError, Reply
from .shared import SharedStore

try:
    import redis.asyncio
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import (
        AuthenticationError,
        AuthorizationError,
        NoPermissionError,
        RedisError,
        ResponseError,
    )
except ImportError as _error:
    raise ImportError("RedisLimiter needs redis-py: pip install 'lsq-service-async[redis]'") from _error

_CONNECT_TIMEOUT = 2.0  # s; several round trips: TCP, TLS, log-in
_REPLY_TIMEOUT = 0.3  # s; for one round trip of an open connection
_MEMORY = 600.0  # s; a limit that no process has used for this long is deleted
_TRIES = 8
_JITTER = 0.002  # s; before the second retry, doubled with each further one, up to 16 times as long
_FRESH = 2.0  # s; how long the server's clock is extrapolated
_JITTER_SHARE = 0.1  # of a round trip; so much faster than the last request may the next one be
_DRIFT = 0.0001  # how fast two clocks drift apart at most

_READ = "return {redis.call('GET', KEYS[1]) or '', redis.call('TIME')}"
# Replaces the text ARGV[1] by ARGV[2], unless it has changed or the clock is not within a second after ARGV[3].
_SWAP = """
local text, time = redis.call('GET', KEYS[1]) or '', redis.call('TIME')
local ahead = time[1] + time[2] / 1e6 - ARGV[3]
if text ~= ARGV[1] or ahead < 0 or ahead > 1 then return {0, text, time} end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
return {1, '', time}
"""


@attrs.frozen
class _Known:
    """The stored text after our last exchange, at ``at`` on the local clock.

    ``lead``: seconds by which the server's clock is ahead of the local one, at most.
    """

    text: str
    at: float
    lead: float


def _client_of(address: str) -> redis.asyncio.Redis:
    return redis.asyncio.from_url(
        address,
        socket_connect_timeout=_CONNECT_TIMEOUT,
        socket_timeout=_REPLY_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )


def _state_of(text: str) -> State | None:
    """LedgerDownError if another program wrote it."""
    try:
        return state_from_text(text) if text else None
    except (ValueError, TypeError, KeyError, IndexError, ConfigurationError) as error:
        raise LedgerDownError(f"the key in Redis holds something else: {error}") from error


class RedisLedger:
    """A state under one key, changed by compare-and-set, with the server's clock.

    Redis 5 or later. The key expires ten minutes after the last exchange. If it is lost while a process uses it, or the
    server's clock is set, everything that may have been used counts as used just then.
    """

    def __init__(self, server: str | redis.asyncio.Redis, name: str | None) -> None:
        self._server = server
        self._name = name
        self._is_connected = False
        self._known: _Known | None = None

    async def open(self, name: str) -> None:
        """Connect later, with the first exchange; ConfigurationError if the address is not valid."""
        self._key = f"lsq_service_async:limit:{self._name or name}"
        try:
            self._client = _client_of(self._server) if isinstance(self._server, str) else self._server
        except ValueError as error:
            raise ConfigurationError(f"RedisLimiter needs an address like redis://host:6379/0: {error}") from error
        self._read, self._swap = self._client.register_script(_READ), self._client.register_script(_SWAP)
        self._is_connected, self._known = False, None

    async def exchange(self, ask: Ask) -> Reply:
        """One round trip if no other process has written since our last exchange, else one more for each lost race."""
        try:
            return await self._exchange(ask)
        except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
            raise ConfigurationError(f"Redis does not let us use the limit: {error}") from error
        except (RedisError, OSError, TimeoutError) as error:
            self._is_connected, self._known = False, None
            raise LedgerDownError(f"Redis: {error or 'no answer in time'}") from error

    async def _exchange(self, ask: Ask) -> Reply:
        clock = asyncio.get_running_loop().time
        began = sent = clock()
        known, self._known = self._known, None
        if known is not None and sent < known.at + _FRESH:
            text, now = known.text, sent + known.lead
        else:
            known = None
            text, now = await self._run(self._read)
        for lost in range(_TRIES):
            if lost > 1:
                await asyncio.sleep(random.uniform(0, _JITTER * 2 ** min(lost, 4)))
            sent = clock()
            later = attrs.evolve(ask, expected=ask.expected + (sent - began))
            state, verdict = exchange(_state_of(text), now, later)
            new, memory = state_to_text(state), max(_MEMORY, state.paused_until - state.seen + 2 * state.rate.per)
            is_swapped, text, now = await self._run(self._swap, [text, new, repr(now), math.ceil(memory * 1000)])
            lead = now - sent - _JITTER_SHARE * (clock() - sent)
            if known is not None:
                lead = min(lead, known.lead + _DRIFT * (sent - known.at))
            known = _Known(new, sent, lead)
            if is_swapped:
                self._known = known
                late = now - state.seen
                return Reply(state, now, verdict._replace(wait=verdict.wait - late))
        raise LedgerBusyError(f"{_TRIES} attempts lost the race against other processes")

    async def _run(self, script: Any, args: list[Any] | tuple[()] = ()) -> Any:
        """What the script returns, its text and time decoded."""
        try:
            async with asyncio.timeout(_REPLY_TIMEOUT if self._is_connected else _CONNECT_TIMEOUT):
                *values, text, (seconds, microseconds) = await script(keys=[self._key], args=args)
        except ResponseError:
            # The server may not be the primary any more (READONLY); a new connection may lead to the one that is.
            pool = getattr(self._client, "connection_pool", None)  # not every kind of client has one
            if pool is not None:
                await pool.disconnect(inuse_connections=False)
            raise
        self._is_connected = True
        return *values, str(text, "utf-8") if isinstance(text, bytes) else text, int(seconds) + int(microseconds) / 1e6

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
