"""When one more call may be sent, so that no window of the service ever holds too many.

The service counts a call at some moment between its grant and its answer. So a call counts in full until it is
answered, and a call that was answered at ``t`` was counted at ``t`` or before. From that alone follows the largest
count that any server can have, whatever the network does:

- a true window (sliding, or fixed at any phase) holds the calls in flight and those that were answered in it;
- an estimate from two buckets holds the calls since some boundary, and a part of the calls of the window before it
  that decreases evenly: ``newer + older * (1 - age_of_boundary / per)``. HAProxy's ``http_req_rate`` and the
  sliding-window counters of other gateways do that, and the boundary may be at any time.

The second count is never less than the first, so it alone decides: a call is sent if for *every* boundary the estimate,
with this call, stays under ``calls + 1``. This gives a burst after a rest, an even pace under full load, and everything
between the two.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from ...config import RateLimit

SLACK = 0.01  # s; servers read their clock in whole milliseconds, and two clocks never run at the same speed


def slack_of(rate: RateLimit) -> float:
    """Seconds by which a call is sent later than necessary; at most a fiftieth of the window."""
    return min(SLACK, rate.per / 50)


def room_beside_one(rate: RateLimit) -> float:
    """The largest count of the other calls if one more is sent: ``calls``, less the slack."""
    return rate.calls * (1 - slack_of(rate) / rate.per)


def opens_at(answered: Sequence[float], in_flight: int, rate: RateLimit) -> float:
    """The time from which one more call may be sent: ``-inf`` if at once, ``inf`` if only an answer can make room.

    ``answered`` holds the times of the answers of the last ``2 * per`` seconds, oldest first. It may also hold future
    times, of answers that are expected. ``in_flight`` is the number of calls without an answer.
    """
    room = room_beside_one(rate) - in_flight
    if room < 0:
        return math.inf
    if len(answered) <= room:
        return -math.inf
    # An estimate is largest at a boundary just after an answer, or just after one that is a window old. Try only these,
    # the latest first: no boundary delays a call by more than a window, so most need not be tried. Nor need those with
    # no more than ``room`` answers since a window before them.
    latest = -math.inf
    before = len(answered) - math.floor(room)
    edge = answered[before - 1] + rate.per
    since = bisect_right(answered, edge)
    while True:
        if answered[since - 1] > edge:
            since -= 1
            boundary = answered[since]
        else:
            before -= 1
            boundary, edge = edge, answered[before - 1] + rate.per if before else -math.inf
        if boundary + rate.per <= latest:  # at the latest with the first answer, because its edge was tried before
            return latest
        # The part of a window that must pass until the older calls have decreased to the room that is left.
        left = room - (len(answered) - since)
        faded = boundary + rate.per * (1 - left / (since - before) if left > 0 else 1)
        latest = max(latest, faded)
