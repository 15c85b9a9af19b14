"""When one more call may go, so that no window the service may keep ever holds too many. Pure: no clock, no waiting.

The service counts a call at some moment between its grant and its answer, so a call counts in full until it is
answered, and a call answered at ``t`` was counted at ``t`` or before. From that alone follows the largest count that
any server can have come to, whatever the network does:

- a true window (sliding, or fixed at any phase) holds the calls in flight and those answered in it;
- an estimate made from two buckets holds the calls since some boundary, and the calls of the window before it, fading
  evenly: ``newer + older * (1 - age_of_boundary / per)``. HAProxy's ``http_req_rate`` and the sliding-window counters
  of other gateways do that, and the boundary may lie anywhere.

The second is never less than the first, so it alone decides: a call goes when for *every* boundary the estimate, the
call included, stays under ``calls + 1``. A bunch of calls after a rest, an even pace while the allowance is in full
use, and everything between the two follow from it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from ...config import RateLimit

SLACK = 0.01  # s; servers read their clock in whole milliseconds, and no two clocks run alike


def slack_of(rate: RateLimit) -> float:
    """Seconds by which a call goes later than the bare rule allows; at most a fiftieth of the window."""
    return min(SLACK, rate.per / 50)


def opens_at(answered: Sequence[float], in_flight: int, rate: RateLimit) -> float:
    """The time from which one more call may go: ``-inf`` if at once, ``inf`` if only an answer can make room.

    ``answered`` holds the times of the answers of the last ``2 * per`` seconds, oldest first; it may also hold times to
    come, of answers that are expected. ``in_flight`` counts the calls that have none yet.
    """
    room = room_beside_one(rate) - in_flight
    if room < 0:
        return math.inf
    if len(answered) <= room:
        return -math.inf
    return _last_boundary_to_let_go(answered, room, rate.per)


def room_beside_one(rate: RateLimit) -> float:
    """What the others may weigh when one more call goes: ``calls``, short of it by the slack."""
    return rate.calls * (1 - slack_of(rate) / rate.per)


def _last_boundary_to_let_go(answered: Sequence[float], room: float, per: float) -> float:
    """An estimate is largest where the boundary has all but passed an answer, or one a window old: try only these.

    The latest first, for none makes a call wait longer than a window: most need not be looked at. Nor need those that
    have no more than ``room`` answers since a window before them.
    """
    latest = -math.inf
    before = len(answered) - math.floor(room)
    edge = answered[before - 1] + per
    since = bisect_right(answered, edge)
    while True:
        if answered[since - 1] > edge:
            since -= 1
            boundary = answered[since]
        else:
            before -= 1
            boundary, edge = edge, answered[before - 1] + per if before else -math.inf
        if boundary + per <= latest:  # with the first answer at the latest, whose edge came before it
            return latest
        # So much of a window is to pass until what is older has faded to what is left.
        left = room - (len(answered) - since)
        faded = boundary + per * (1 - left / (since - before) if left > 0 else 1)
        if faded > latest:  # max() would take twice as long, and nothing is called more often than this
            latest = faded
