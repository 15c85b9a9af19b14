"""The store of those who share one allowance: what a process tells the others, and remembers of what they told it."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress

from ..config import Lane, RateLimit
from ..errors import ConfigurationError, NotSentError
from .decision.ask import Ask, Ended, Verdict, Want
from .decision.forecast import Outlook
from .decision.state import State
from .ledger import Ledger, LedgerBusyError, LedgerDownError, Reply
from .reports import Reports
from .store import Usage

TICK = 0.25  # s; how often it is looked whether something is due
SHOW_UP = 20.0  # s; who says nothing for `PRESENCE` does not use the limit any more
FIRST_BACK_OFF, LONGEST_BACK_OFF = 0.1, 2.0  # s; until a ledger that was down is asked again
Waiting = tuple[int, int]
NOBODY: Waiting = (0, 0)
_log = logging.getLogger("lsq_service_async")


class SharedStore:
    """One of the processes that share a ledger.

    What the gate wants to know at once is answered from the state as it was after the last exchange. An exchange also
    carries what has happened since: an answered call keeps its slot for ``per`` seconds anyway, so a report that comes
    a second late costs nothing, and until then the call counts as in flight. A ledger that is down lets nobody go; with
    ``waits`` they wait until it is back, else they get a NotSentError.
    """

    def __init__(self, ledger: Ledger, *, waits: bool) -> None:
        self._ledger = ledger
        self._waits = waits
        self._process: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._state = State.of(RateLimit())
        self._outlook = Outlook()
        self._offset = 0.0
        self._met_at: float | None = None
        self._back_off, self._retry_at = 0.0, -math.inf

    async def open(self, rate: RateLimit, name: str) -> None:
        """ConfigurationError if the ledger cannot be used, or others use it at another rate."""
        if self._process != os.getpid():
            self._begin()
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._reports.settle(loop.time())
        self._loop, self._rate, self._time = loop, rate, loop.time
        self._turn, self._urgent = asyncio.Lock(), asyncio.Event()
        self._state.keep(rate)
        await self._ledger.open(name)
        try:
            await self._meet_patiently()
        except (LedgerBusyError, LedgerDownError):
            pass  # it was logged, and whoever wants to go will see
        except BaseException:
            await self._ledger.aclose()
            raise
        self._keeper = asyncio.create_task(self._keep_in_touch(), name="lsq_service_async limit in touch")

    async def aclose(self) -> None:
        """Report everything, and leave; calls that are still on their way count until their leases end."""
        self._keeper.cancel()
        await asyncio.wait([self._keeper])
        with suppress(LedgerBusyError, LedgerDownError, ConfigurationError):
            await self._meet_patiently(leaving=True)
        self._met_at = None
        await self._ledger.aclose()

    def _begin(self) -> None:
        """Be one of the processes. Not earlier than at the opening, for a fork makes two of what was there before."""
        self._process, self._reports = os.getpid(), Reports()
        # They begin at a random one of 2**52, so that no two processes ever use the same.
        self._owner, self._next = secrets.randbits(52), secrets.randbits(52)

    # What the gate asks.

    def take_at_once(self, want: Want) -> int | None:
        """Others must be asked."""
        return None

    async def take(self, wants: Sequence[Want], waiting: Waiting) -> tuple[int, Verdict]:
        """NotSentError if the ledger is down and that is not to be waited for."""
        slot, asked = self._next, self._time()
        try:
            verdict = await self._meet(slot, wants, waiting)
        except BaseException as error:
            # Perhaps it was granted. The next question names the same slot, so there is never more than one to undo.
            self._reports.end(slot, asked, used=False)
            if isinstance(error, LedgerBusyError):
                return slot, Verdict(None, self._state.token)
            if not isinstance(error, LedgerDownError):
                raise
            if self._waits:
                return slot, Verdict(None, self._back_off)
            raise NotSentError(f"the limit cannot be asked, so the call was not sent: {error}") from error
        if verdict.want is not None:
            self._next += 1
            self._reports.hold(slot, asked, heavy=verdict.want.heavy)
        self._reports.next_at = self._time() + verdict.wait if wants else None
        return slot, verdict

    def holds(self, slot: int) -> bool:
        """Not if its lease is over: others may have taken it since."""
        return self._reports.holds(slot, self._time())

    def give_back(self, slot: int, *, used: bool) -> bool:
        """What an answer makes of the rule is in the verdict already, more or less; an unused slot is free at once."""
        self._note(self._reports.end(slot, self._time(), used=used))
        return not used

    def pause(self, seconds: float) -> None:
        """Told to the others at once."""
        self._reports.pause(self._time() + seconds)
        self._state.pause(self._now + seconds)
        self._urgent.set()

    def refused(self, named: tuple[int, float] | None) -> RateLimit | None:
        """As far as this process knows; the others learn it at once."""
        self._reports.refusals.append(named)
        self._outlook.is_stale = True
        self._urgent.set()
        return self._state.rate if self._state.refused(self._now, named) else None

    def forecast(self, lane: Lane, place: int, other: int) -> float:
        """Right within one token of what was known at the last exchange."""
        before = self._state.line.before(self._owner, lane, place, other)
        return self._outlook.goes_at(self._state, self._now, lane, before) - self._offset

    def uploads_room(self) -> int:
        """As far as this process knows."""
        return self._state.uploads_room(self._now)

    def usage(self) -> Usage:
        """As far as this process knows."""
        self._state.tidy(self._now)
        return Usage(self._state.rate, self._state.used(self._now))

    # What it tells the others.

    @property
    def _now(self) -> float:
        """The ledger's clock."""
        return self._time() + self._offset

    def _note(self, ended: Ended) -> None:
        """In the state as this process knows it."""
        if ended.age is None:
            self._state.forget(ended.slot)
        else:
            self._state.answer(ended.slot, self._now - ended.age, heavy=ended.heavy)
        self._outlook.is_stale = True

    async def _meet(self, slot: int = 0, wants: Sequence[Want] = (), waiting: Waiting = NOBODY, *,
                    leaving: bool = False) -> Verdict:  # fmt: skip
        async with self._turn:
            asked, returning = self._time(), self._met_at is not None
            expected = self._now if returning else math.inf
            about = Ask(owner=self._owner, slot=slot, rate=self._rate, wants=wants, waiting=waiting,
                        returning=returning, leaving=leaving, expected=expected)  # fmt: skip
            ask = self._reports.added_to(about, asked, self._state.flights)
            try:
                reply = await self._exchange(ask)
            except (LedgerDownError, ConfigurationError) as error:
                self._is_down(error)
                raise
            self._is_up()
            self._met_at = self._time()
            self._reports.told(ask, asked)
            self._learn(reply)
            return reply.verdict

    async def _meet_patiently(self, *, leaving: bool = False) -> None:
        """Try a few times more, a token apart, if other processes are faster."""
        for _ in range(4):
            with suppress(LedgerBusyError):
                await self._meet(leaving=leaving)
                return
            await asyncio.sleep(self._state.token)
        await self._meet(leaving=leaving)

    async def _exchange(self, ask: Ask) -> Reply:
        """What fails as nobody foresaw is down, too: whoever keeps in touch must go on to do so."""
        try:
            return await self._ledger.exchange(ask)
        except (LedgerBusyError, LedgerDownError, ConfigurationError):
            raise
        except Exception as error:
            raise LedgerDownError(repr(error)) from error

    def _learn(self, reply: Reply) -> None:
        now = self._time()
        self._state, self._offset = reply.state, reply.now - now
        for ended in self._reports.untold(now):
            self._note(ended)
        if self._reports.unknown_to(reply.state.flights):
            self._urgent.set()  # the ledger has lost its state, and would grant their slots to others
        self._outlook.is_stale = True

    def _is_down(self, error: Exception) -> None:
        if not self._back_off:
            _log.warning("the limit cannot be asked, so nobody is sent until it can: %s", error)
        self._back_off = min(2 * self._back_off or FIRST_BACK_OFF, LONGEST_BACK_OFF)
        self._retry_at = self._time() + self._back_off

    def _is_up(self) -> None:
        if self._back_off:
            _log.warning("the limit can be asked again")
        self._back_off, self._retry_at = 0.0, -math.inf

    async def _keep_in_touch(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._urgent.wait()
            await asyncio.sleep(self._retry_at - self._time())
            if self._urgent.is_set() or self._due_at() <= self._time():
                await self._tell()

    async def _tell(self) -> None:
        self._urgent.clear()
        try:
            await self._meet()
        except LedgerBusyError:
            self._urgent.set()
            self._retry_at = self._time() + self._state.token
        except (LedgerDownError, ConfigurationError):
            self._urgent.set()  # it still has to be told

    def _due_at(self) -> float:
        show_up_at = -math.inf if self._met_at is None else self._met_at + SHOW_UP
        return min(self._reports.due_at(), show_up_at)
