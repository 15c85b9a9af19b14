"""The message that a process sends to the shared state, and the grant in the reply."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import attrs

from ...config import Lane, RateLimit

LANES = (Lane.INTERACTIVE, Lane.BULK)


class Request(NamedTuple):
    """A waiting call. ``is_large`` marks a large upload."""

    lane: Lane
    is_large: bool


class Grant(NamedTuple):
    """The granted request, or None, and the seconds until the next try."""

    request: Request | None
    wait: float


class CompletedCall(NamedTuple):
    """The report that the call of ``slot`` ended ``age`` seconds ago. If ``age`` is None, the call was never sent.

    ``is_repeated``: the call ended before its lease expired, and an earlier message may have reported it. ``silence``:
    None if the call was answered, the seconds from the send to a timeout, or 0 if the connection broke.
    """

    slot: int
    age: float | None
    is_large: bool
    is_repeated: bool = False
    silence: float | None = None


class ActiveCall(NamedTuple):
    """The report that a call is still in flight, ``age`` seconds after its grant."""

    slot: int
    age: float
    is_large: bool


@attrs.frozen(kw_only=True)
class SyncMessage:
    """Reports the events since the last sync, and requests slots for the calls that wait now.

    ``slot`` is the number of the slot if a call is granted now. No other process uses this number. So if a reply is
    lost, the process can undo a possible grant: it reports that the call was never sent. ``requests``: the first one or
    two waiting calls of each lane and size. ``waiting``: the number of waiting calls: interactive, bulk. ``refusals``:
    the limit that each refusal named (or None), and how many seconds ago the call was sent. ``seen``: the time of the
    last reply on the clock of the state, or ``-inf``. ``expected``: the current time on that clock, computed from the
    last reply, or ``inf``.
    """

    process_id: int
    slot: int
    rate: RateLimit
    requests: Sequence[Request] = ()
    waiting: tuple[int, int] = (0, 0)
    completed: Sequence[CompletedCall] = ()
    active: Sequence[ActiveCall] = ()
    pause: float = -math.inf
    refusals: Sequence[tuple[tuple[int, float] | None, float]] = ()
    seen: float = -math.inf
    is_leaving: bool = False
    expected: float = math.inf
