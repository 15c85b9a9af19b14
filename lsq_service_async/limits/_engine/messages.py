"""The message that a process sends to the shared state, and the grant in the reply."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import attrs

from ...config import Lane, RateLimit

LANES = (Lane.INTERACTIVE, Lane.BULK)


class Request(NamedTuple):
    """A waiting call. ``is_large`` marks a large upload; at most half of the slots are for large uploads."""

    lane: Lane
    is_large: bool


class Grant(NamedTuple):
    """``request`` is the request that was granted, or None. ``wait`` is the number of seconds until the next try."""

    request: Request | None
    wait: float


class CompletedCall(NamedTuple):
    """The report that the call of ``slot`` ended ``age`` seconds ago. If ``age`` is None, it was never sent.

    ``is_repeated``: an earlier report of it may have arrived, and the call ended before its lease expired. ``silence``:
    None if it was answered, the seconds from the send to the timeout, or 0 if its connection broke.
    """

    slot: int
    age: float | None
    is_large: bool
    is_repeated: bool = False
    silence: float | None = None


class ActiveCall(NamedTuple):
    """The report that a call that was granted ``age`` seconds ago is still in flight."""

    slot: int
    age: float
    is_large: bool


@attrs.frozen(kw_only=True)
class SyncMessage:
    """Reports the events since the last sync, and requests slots for the calls that wait now.

    ``slot`` is the number of the slot that is granted now, if any. No other process uses the same slot numbers or the
    same ``process_id``, so if the reply is lost, a process can undo the grant: it reports the slot as never sent.
    ``requests``: at most the first two waiting calls of each queue, in the order in which they are to be served.
    ``waiting``: the number of all waiting calls, interactive and bulk. ``pause``: seconds for which no call is sent.
    ``refusals``: for each refusal, the limit that the service named, or None, and how long ago the call was sent.
    ``seen``: the time of the last reply on the clock of the state, or ``-inf`` if this process has not used the limit
    since it left. ``is_leaving``: it leaves now.
    ``expected``: the time on the clock of the state, as this process computes it from the last reply, or ``inf``.
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
