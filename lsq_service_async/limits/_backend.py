"""The base of HostLimiter and RedisLimiter, and the interface of their backends."""

from __future__ import annotations

import asyncio
import math
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import attrs

from .._logging import logger
from ..config import RateLimit
from ..errors import ConfigurationError, NotSentError, printable
from ._engine.messages import CompletedCall, Grant, Request, SyncMessage
from ._engine.state import LimitState
from ._engine.sync import SyncReply
from ._leases import RENEW, Leases
from .limiter import Limiter

_TICK = 0.25  # s between checks whether a message is due
_HEARTBEAT = 20.0  # s between the messages of an idle process; well below `_engine.sync.PRESENCE`
_FIRST_BACK_OFF, _LONGEST_BACK_OFF = 0.1, 2.0  # s until the next message to an unavailable backend
_SLOW = 0.1  # s; if a reply takes longer, the backend is named as the reason for a missed deadline
_TRIES = 5  # for `open` and `aclose` while the backend is busy


class BackendUnavailableError(Exception):
    """The backend did not reply, or its state cannot be read. The message may have been applied."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message, 300))


class BackendBusyError(Exception):
    """The message was not applied, because in every try another process changed the state first."""


class Backend(Protocol):
    """Stores the state of a limit that several processes share. Error messages contain its ``str``."""

    async def open(self, name: str) -> None:
        """Prepare to use the limit ``name``. Raises ConfigurationError if that is not possible."""
        ...

    async def sync(self, message: SyncMessage) -> SyncReply:
        """Apply the message with `_engine.sync.sync`, atomically for all processes.

        Raises BackendUnavailableError or BackendBusyError if a later message may succeed, otherwise ConfigurationError.
        """
        ...

    async def aclose(self) -> None:
        """Close connections and files."""
        ...


class SharedLimiter(Limiter):
    """A limiter that shares its state with other processes through a backend.

    Each grant needs one message to the backend. The message also reports the completed calls. While the backend is
    unavailable, no call is sent. If ``waits`` is True, calls then wait until the backend recovers. Otherwise they raise
    NotSentError.
    """

    def __init__(self, backend: Backend, *, waits: bool = False) -> None:
        super().__init__()
        self._backend = backend
        self._waits = waits
        self._process: int | None = None
        self._last_loop: asyncio.AbstractEventLoop | None = None
        self._last_sync: float | None = None
        self._back_off, self._retry_at = 0.0, -math.inf
        self._rates: set[RateLimit] = set()  # the rates of all processes
        self._failure = ""  # why the last message failed
        self._unanswered_since: float | None = None  # when the current message was sent

    async def _open_state(self, name: str) -> None:
        if self._process != os.getpid():
            # After a fork, the old leases and slot numbers belong to the parent process.
            self._process, self._leases = os.getpid(), Leases()
            self._process_id, self._next_slot = secrets.randbits(52), secrets.randbits(52)
        loop = asyncio.get_running_loop()
        if loop is not self._last_loop:
            self._leases.expire(loop.time())
        self._last_loop, self._turn, self._urgent = loop, asyncio.Lock(), asyncio.Event()
        await self._backend.open(name)
        try:
            await self._sync_patiently()
        except (BackendUnavailableError, BackendBusyError):
            pass  # the first call tries again
        except BaseException:
            await self._backend.aclose()
            raise
        self._heartbeat = asyncio.create_task(self._send_messages(), name="lsq_service_async limit heartbeat")

    async def _close_state(self) -> None:
        self._heartbeat.cancel()
        await asyncio.wait([self._heartbeat])
        with suppress(BackendUnavailableError, BackendBusyError, ConfigurationError):
            await self._sync_patiently(is_leaving=True)
        self._last_sync = None
        await self._backend.aclose()

    async def _take(self, requests: Sequence[Request], waiting: tuple[int, int]) -> tuple[int, Grant]:
        slot, sent = self._next_slot, self._time()
        try:
            grant = await self._sync(requests, waiting, slot=slot)
        except BaseException as error:
            # The backend may have granted the slot. The next message cancels this grant.
            self._leases.end(slot, sent, is_sent=False)
            if isinstance(error, BackendBusyError):
                return slot, Grant(None, self._state.token)
            if not isinstance(error, BackendUnavailableError):
                raise
            if self._waits:
                return slot, Grant(None, self._back_off)
            raise NotSentError(f"rate-limit backend unavailable, so the call was not sent: {error}") from error
        if grant.request is not None:
            self._next_slot += 1
            self._leases.add(slot, sent, is_large=grant.request.is_large)
        self._leases.next_at = self._time() + grant.wait if requests else None
        return slot, grant

    def _outage(self) -> tuple[Exception, float] | None:
        failure, waits = self._failure, 0.0 if self._unanswered_since is None else self._time() - self._unanswered_since
        if not failure and waits > _SLOW:
            failure = f"{self._backend}: no reply for {waits:.1f} s"
        return (BackendUnavailableError(failure), max(self._back_off, _FIRST_BACK_OFF)) if failure else None

    def _is_valid(self, slot: int) -> bool:
        return self._leases.is_valid(slot, self._time())

    def _end(self, slot: int, *, is_sent: bool, silence: float | None = None) -> None:
        stood_still = self._state.stands_still
        self._note(self._leases.end(slot, self._time(), is_sent=is_sent, silence=silence))
        if stood_still or self._state.stands_still:
            self._urgent.set()  # other processes must start or stop sending
        if not is_sent or stood_still:
            self._wake()

    def _publish(
        self, *, pause: float = -math.inf, refusals: Sequence[tuple[tuple[int, float] | None, float]] = ()
    ) -> None:
        self._leases.pause(self._time() + pause)
        self._leases.refusals.extend(refusals)
        self._urgent.set()

    async def _sync(self, requests: Sequence[Request] = (), waiting: tuple[int, int] = (0, 0), *, slot: int = 0,
                    is_leaving: bool = False) -> Grant:  # fmt: skip
        async with self._turn:
            sent, is_returning = self._time(), self._last_sync is not None
            message = self._leases.message(
                sent, self._state.flights, process_id=self._process_id, slot=slot, rate=self._rate, requests=requests,
                waiting=waiting, seen=self._state.seen if is_returning else -math.inf, is_leaving=is_leaving,
                expected=self._now() if is_returning else math.inf,
            )  # fmt: skip
            self._unanswered_since = sent
            try:
                reply = await self._backend.sync(message)
            except BackendBusyError:
                raise
            except Exception as error:  # no exception may end the heartbeat
                is_known = isinstance(error, BackendUnavailableError | ConfigurationError)
                self._failure = str(error if is_known else BackendUnavailableError(repr(error)))
                if not self._back_off:
                    text = "Rate-limit backend unavailable; no call is sent until it recovers: %s"
                    logger.warning(text, self._failure)
                self._back_off = min(2 * self._back_off or _FIRST_BACK_OFF, _LONGEST_BACK_OFF)
                self._retry_at = self._time() + self._back_off
                if is_known:
                    raise
                raise BackendUnavailableError(repr(error)) from error
            finally:
                self._unanswered_since = None
            if self._back_off:
                logger.warning("Rate-limit backend available again")
            self._failure, self._back_off, self._retry_at = "", 0.0, -math.inf
            self._warn_of_other_rates(reply.state)
            now = self._last_sync = self._time()
            self._leases.acknowledge(message, sent, now)
            self._state, self._offset = reply.state, reply.now - now
            for completed in self._leases.unacknowledged(now):
                self._note(completed)
            if not self._leases.are_known(reply.state.flights):
                self._urgent.set()  # the backend lost its state
            return reply.grant

    def _warn_of_other_rates(self, state: LimitState) -> None:
        rates = {process.rate for process in state.processes.values()}
        if len(rates) > 1 and rates != self._rates:
            ordered, joint = sorted(rates, key=attrs.astuple), state.adaptive.configured
            logger.warning(
                "The processes that share this rate limit are configured with different rates (%s). So that no "
                "rate is exceeded, at most %s are sent. Configure the same rate_limit in all processes",
                ", ".join(map(str, ordered)), joint,
            )  # fmt: skip
        self._rates = rates

    async def _sync_patiently(self, *, is_leaving: bool = False) -> None:
        for _ in range(_TRIES - 1):
            with suppress(BackendBusyError):
                await self._sync(is_leaving=is_leaving)
                return
            await asyncio.sleep(self._state.token)
        await self._sync(is_leaving=is_leaving)

    def _note(self, completed: CompletedCall) -> None:
        """Apply the report of a completed call to the state in this process."""
        if completed.age is None:
            self._state.forget(completed.slot)
        else:
            moment = self._now() - completed.age
            self._state.end(completed.slot, moment, completed.silence, is_large=completed.is_large)

    async def _send_messages(self) -> None:
        """Send the messages that are due: reports, renewals of leases, and heartbeats."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK):
                    await self._urgent.wait()
            await asyncio.sleep(self._retry_at - self._time())
            beat = RENEW if self._state.stands_still else _HEARTBEAT  # messages renew the leases of stuck calls
            heartbeat_at = -math.inf if self._last_sync is None else self._last_sync + beat
            if self._urgent.is_set() or min(self._leases.due_at(), heartbeat_at) <= self._time():
                self._urgent.clear()
                try:
                    await self._sync()
                except BackendBusyError:
                    self._urgent.set()
                    self._retry_at = self._time() + self._state.token
                except (BackendUnavailableError, ConfigurationError):
                    self._urgent.set()
