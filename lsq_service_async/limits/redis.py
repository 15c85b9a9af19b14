"""The limit of many hosts: all processes share one Redis server. Needs the extra ``redis``."""

from __future__ import annotations

import asyncio
import math
import random
import re
from typing import Any, Literal, NamedTuple

import attrs

from ..config import Secret
from ..errors import ConfigurationError, shown
from ._backend import BackendBusyError, BackendUnavailableError, SharedLimiter
from ._engine.messages import SyncMessage
from ._engine.sync import SyncReply, state_from_json, state_to_json, sync
from .limiter import check_name

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

_CONNECT_TIMEOUT = 2.0  # s; connecting and logging in take several round trips
_REPLY_TIMEOUT = 0.3  # s; for each round trip of an open connection
_MEMORY = 600.0  # s until Redis deletes an unused state, unless a pause is longer
_TRIES = 8  # a try fails if another process writes first
_PAUSE = 0.002  # s; bound of the first random pause; it doubles with each pause, up to 16-fold
_FRESH = 2.0  # s for which this process does not read again what it wrote
_JITTER = 0.001  # s; a message may reach Redis this much faster than the last write did
_DRIFT = 0.0001  # s per second by which the server's clock may run faster

_LOGIN = r"([^/?#\s\ud800-\udfff]*@)?"
_ADDRESS = (
    rf"(rediss?://{_LOGIN}([^/?#@:\[\]\s]*|\[[0-9a-fA-F:.]+\])(:[0-9]+)?(/[0-9]*)?"
    rf"|unix://{_LOGIN}/[^?#@]+)(\?[^?#@]*)?"
)
_NOT_PERMITTED = "ACL failure|The user executing the script can't"  # errors without a class in redis-py
_RIGHTS = (
    "The limiter needs the commands EVALSHA, SCRIPT LOAD, GET, SET and TIME, and the keys lsq_service_async:limit:*. "
    "A database other than 0 also needs SELECT (+select). "
    "To grant these: ACL SETUSER name +evalsha +script|load +get +set +time ~lsq_service_async:limit:*"
)

READ = "return {redis.call('GET', KEYS[1]) or '', redis.call('TIME')}"
# Writes ARGV[2] if the stored text is still ARGV[1] and the server's time is ARGV[3] or up to a second later.
SWAP = """
local text, time = redis.call('GET', KEYS[1]) or '', redis.call('TIME')
local later = time[1] + time[2] / 1e6 - ARGV[3]
if text ~= ARGV[1] or later < 0 or later > 1 then return {0, text, time} end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
return {1, '', time}
"""


class RedisLimiter(SharedLimiter):
    """The limit of all processes that use the same Redis server.

    ``server`` is an address such as ``redis://host:6379/0``, or a `redis.asyncio.Redis`, which the caller must close.
    Processes with the same ``name`` share a limit. By default, clients with the same host and org id of LeadSquared
    share a limit. While Redis is unavailable, no call is sent. With ``when_down="wait"``, calls then wait until Redis
    recovers or until their deadlines; with "fail", they raise NotSentError. `open` raises ConfigurationError if the
    address is not valid, or if Redis refuses the login or a command that the limiter needs. If processes are configured
    with different rates, the limiter exceeds none of these rates and logs a warning. ``window="sliding"`` then has no
    effect.

    Redis may lose all data or the latest writes (restart, failover, eviction). Running processes detect the loss and
    assume that all slots have just been used, so no call is sent for about a window. A process that has just started
    cannot detect the loss. If it sends the first message after the loss, the limit may be exceeded once.

    A limiter may be created before a web server forks its workers. Open it after the fork, in each worker, because
    processes cannot share a connection.
    """

    def __init__(
        self,
        server: str | redis.asyncio.Redis,
        *,
        name: str | None = None,
        when_down: Literal["wait", "fail"] = "wait",
    ) -> None:
        super().__init__(RedisBackend(server, name), waits=when_down == "wait")
        del server  # crash reporters send local variables, and ``server`` may hold a password
        if when_down not in ("wait", "fail"):
            raise ConfigurationError(f'when_down must be "wait" or "fail", not {shown(when_down)}')
        if name is not None:
            check_name(name)


class _Written(NamedTuple):
    """The last write of this process. The server's clock is ``lead`` seconds ahead of the event loop's clock."""

    text: str
    at: float
    lead: float


class RedisBackend:
    """Stores the state under one key and changes it by compare-and-set. Needs Redis 5 or later.

    Times are on the clock of the Redis server. If the clock is set or the state is lost, every slot that may have been
    used counts as used at the time of the next message.
    """

    def __init__(self, server: Any, name: str | None) -> None:
        # Anything but an async client becomes a Secret, because it may be an address with a password.
        is_client = hasattr(server, "register_script") and not isinstance(server, redis.Redis)
        self._server: Secret | redis.asyncio.Redis = server if is_client else Secret(server)
        self._name = name
        self._is_connected = False
        self._written: _Written | None = None

    def __str__(self) -> str:
        return "Redis"

    async def open(self, name: str) -> None:
        """Prepare to connect with the first message. Raises ConfigurationError if the address is not valid."""
        self._key = f"lsq_service_async:limit:{self._name or name}"
        client = _client_of(self._server) if isinstance(self._server, Secret) else self._server
        if client is None:
            raise ConfigurationError(
                "RedisLimiter needs an address like redis://host:6379/0, rediss://user:password@host:6379/0 or "
                "unix:///path?db=0, or a redis.asyncio.Redis. In the password, write @ / ? # % as %40 %2F %3F %23 %25"
            )
        self._client = client
        self._read, self._swap = client.register_script(READ), client.register_script(SWAP)
        self._is_connected, self._written = False, None

    async def sync(self, message: SyncMessage) -> SyncReply:
        """Apply a message in two round trips, or in one round trip soon after a write of this process."""
        try:
            return await self._sync(message)
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            failure = self._failure(error)
        raise failure  # outside ``except``, so that the error has no link to frames with the password

    def _failure(self, error: Exception) -> ConfigurationError | BackendUnavailableError:
        # Redis quotes the arguments of unknown commands. The arguments of the login contain the password.
        reason = str(error).partition(", with args beginning with")[0].rstrip(".")
        if isinstance(error, AuthenticationError):
            return ConfigurationError(f"Redis refused the login: {reason}. Check the user and the password")
        if isinstance(error, AuthorizationError | NoPermissionError) or re.match(_NOT_PERMITTED, reason):
            return ConfigurationError(f"Redis does not permit the use of the rate limit: {reason}. {_RIGHTS}")
        if isinstance(error, ValueError):
            return BackendUnavailableError(f"Redis, key {self._key}: {error}")
        self._is_connected = False
        return BackendUnavailableError(f"Redis: {reason or 'no reply in time'}")

    async def _sync(self, message: SyncMessage) -> SyncReply:
        clock = asyncio.get_running_loop().time
        began, (written, self._written) = clock(), (self._written, None)
        if written is not None and began < written.at + _FRESH:
            # SWAP rejects the write if another process has written since then.
            text, now = written.text, began + written.lead
        else:
            written, (text, now) = None, await self._run(self._read)
        for lost in range(_TRIES):
            if lost > 1:
                await asyncio.sleep(random.uniform(0, _PAUSE * 2 ** min(lost - 2, 4)))
            sent = clock()
            later = attrs.evolve(message, expected=message.expected + (sent - began))
            state, _, grant = sync(state_from_json(text) if text else None, now, later)
            new, memory = state_to_json(state), max(_MEMORY, state.paused_until - state.seen + 2 * state.rate.per)
            decided_at = now
            is_swapped, text, now = await self._run(self._swap, text, new, repr(now), math.ceil(memory * 1000))
            lead = now - sent - min(_JITTER, (clock() - sent) / 10)
            if written is not None:
                lead = min(lead, written.lead + _DRIFT * (sent - written.at))
            written = _Written(new, sent, lead)
            if is_swapped:
                self._written = written
                return SyncReply(state, now, grant._replace(wait=grant.wait - (now - decided_at)))
        raise BackendBusyError(f"{_TRIES} tries failed, because other processes wrote the state first")

    async def _run(self, script: Any, *args: Any) -> Any:
        """Run a script. Return its values, the text, and the time in seconds."""
        try:
            async with asyncio.timeout(_REPLY_TIMEOUT if self._is_connected else _CONNECT_TIMEOUT):
                if not self._is_connected:  # without the right to SCRIPT LOAD, this fails at once
                    for text in (READ, SWAP):
                        await self._client.script_load(text)
                *values, text, (seconds, microseconds) = await script(keys=[self._key], args=args)
        except ResponseError:
            # This server may be a replica after a failover. A new connection may reach the primary.
            pool = getattr(self._client, "connection_pool", None)  # not every kind of client has a pool
            if pool is not None:
                await pool.disconnect(inuse_connections=False)
            raise
        self._is_connected = True
        return *values, str(text, "utf-8") if isinstance(text, bytes) else text, int(seconds) + int(microseconds) / 1e6

    async def aclose(self) -> None:
        """Close the connections if this limiter opened them."""
        if isinstance(self._server, Secret):
            await self._client.aclose()


def _client_of(address: Secret) -> redis.asyncio.Redis | None:
    """Make a client. Return None for a wrong address, because an error of redis-py might show the password."""
    if not address.fits(_ADDRESS):
        return None
    timeouts = {"socket_connect_timeout": _CONNECT_TIMEOUT, "socket_timeout": _REPLY_TIMEOUT}
    try:
        client = redis.asyncio.from_url(address.reveal(), retry=Retry(NoBackoff(), 0), **timeouts)
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)  # checks the options
        client.register_script(READ)  # checks the encoding
    except (ValueError, TypeError, LookupError, RedisError):
        return None
    return client
