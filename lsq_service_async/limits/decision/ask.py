"""What a process says to whoever keeps the state, in one exchange, and what it is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import attrs

from ...config import Lane, RateLimit

LANES = (Lane.INTERACTIVE, Lane.BULK)


class Want(NamedTuple):
    """A call at the head of its line. ``heavy``: an upload so large that such may hold at most half of the slots."""

    lane: Lane
    heavy: bool


class Verdict(NamedTuple):
    """``want`` is the one that was granted, None if none was. ``wait``: seconds until it is worth asking (again)."""

    want: Want | None
    wait: float


class Ended(NamedTuple):
    """A call of ``slot`` is over: answered ``age`` seconds ago, or, with None, it certainly never left.

    ``again``: this was said before, and perhaps heard; and the call was answered before its lease was over.
    """

    slot: int
    age: float | None
    heavy: bool
    again: bool = False


class Held(NamedTuple):
    """A call granted ``age`` seconds ago is still on its way."""

    slot: int
    age: float
    heavy: bool


@attrs.frozen(kw_only=True)
class Ask:
    """One exchange: what happened since the last, and who waits now.

    ``owner`` is the process, ``slot`` the number that a call granted now will have; both are its own for ever, so that
    an exchange whose answer was lost can be undone by naming its slot. ``wants``: who waits, at most two of each line,
    in the order of each lane; ``waiting``: how many in all, interactive and bulk. ``pause``: seconds for which nobody
    is to go. ``refusals``: for each call that the service refused, the calls and seconds it named, or None.
    ``returning``: the process has used this limit before, and not left since. ``leaving``: it does now. ``expected``:
    what the clock ought to show now, as far as the process has followed it; ``inf`` if it has not.
    """

    owner: int
    slot: int
    rate: RateLimit
    wants: Sequence[Want] = ()
    waiting: tuple[int, int] = (0, 0)
    ended: Sequence[Ended] = ()
    held: Sequence[Held] = ()
    pause: float = -math.inf
    refusals: Sequence[tuple[int, float] | None] = ()
    returning: bool = False
    leaving: bool = False
    expected: float = math.inf
