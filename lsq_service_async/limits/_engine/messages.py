"""What a process reports and requests in one exchange with the shared state, and the reply."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import attrs

from ...config import Lane, RateLimit

LANES = (Lane.INTERACTIVE, Lane.BULK)


class Request(NamedTuple):
    """A waiting call. ``is_large``: an upload of the size of which at most half of the slots may be in use."""

    lane: Lane
    is_large: bool


class Grant(NamedTuple):
    """``request`` is the one that was granted, or None. ``wait``: seconds until the next request makes sense."""

    request: Request | None
    wait: float


class CompletedCall(NamedTuple):
    """The call of ``slot`` was answered ``age`` seconds ago, or it was never sent if that is None.

    ``is_repeated``: this may have been reported before, and the call was answered before its lease ended.
    """

    slot: int
    age: float | None
    is_large: bool
    is_repeated: bool = False


class ActiveCall(NamedTuple):
    """A call that was granted ``age`` seconds ago is still in flight."""

    slot: int
    age: float
    is_large: bool


@attrs.frozen(kw_only=True)
class SyncMessage:
    """What has happened since the last exchange, and which calls wait now.

    ``slot`` is the number that a call gets if it is granted now. It and ``process_id`` are never used by another
    process, so an exchange whose reply was lost is undone by naming the slot. ``requests``: at most the first two
    waiting calls of each queue, in the order of each lane; ``waiting``: the number of all, interactive and bulk.
    ``pause``: seconds for which no call is sent. ``refusals``: for each call that the service refused, the limit that
    it named, or None. ``is_returning``: this process has used the limit before and has not left since.
    ``is_leaving``: it leaves now. ``expected``: the time that the clock of the state should show now, as far as this
    process has followed it, else ``inf``.
    """

    process_id: int
    slot: int
    rate: RateLimit
    requests: Sequence[Request] = ()
    waiting: tuple[int, int] = (0, 0)
    completed: Sequence[CompletedCall] = ()
    active: Sequence[ActiveCall] = ()
    pause: float = -math.inf
    refusals: Sequence[tuple[int, float] | None] = ()
    is_returning: bool = False
    is_leaving: bool = False
    expected: float = math.inf
