"""When one more call may be sent, so that no window of the service ever holds too many calls.

The service counts a call at an unknown moment between its grant and its answer. So this module counts a call in full
until it is answered. A call that was answered at ``t`` was counted at ``t`` or before. This gives an upper bound for
the count of any server, independent of network delays:

- A true window (sliding, or fixed at any phase) counts at most the calls in flight and those answered within the
  window.
- An estimate from two buckets counts the calls after a boundary in full. The calls in the window before the boundary
  have a weight that falls evenly from 1 to 0: ``newer + older * (1 - age_of_boundary / per)``. Some gateways count in
  this way, for example HAProxy with ``http_req_rate``. The boundary may be at any time.

The largest estimate is never below the count of a true window, so only the estimate is checked: a call is sent if, for
*every* boundary, the estimate including this call stays below ``calls + 1``. This allows a burst after a rest, and
results in an even pace under full load. If the window of the rate is "sliding", only true windows are checked.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from ...config import RateLimit

SLACK = 0.003  # s; servers read their clock in whole milliseconds
DRIFT = 1 / 2000  # part of a window; two clocks never run at exactly the same speed


def slack_of(rate: RateLimit) -> float:
    """The safety margin in seconds by which each call is sent later; at most a fiftieth of the window."""
    return min(SLACK + DRIFT * rate.per, rate.per / 50)


def room_for_others(rate: RateLimit) -> float:
    """The largest count of all other calls at which one more call may be sent: ``calls`` minus the slack.

    A sliding window counts whole calls, so `opens_at` adds the slack to the time instead.
    """
    return rate.calls - 1 if rate.window == "sliding" else rate.calls * (1 - slack_of(rate) / rate.per)


def opens_at(answered: Sequence[float], in_flight: int, rate: RateLimit) -> float:
    """The time from which one more call may be sent: ``-inf`` if at once, ``inf`` if only an answer can make room.

    ``answered`` holds the times of the answers of the last ``2 * per`` seconds, oldest first. It may also hold the
    future times of expected answers. ``in_flight`` is the number of calls without an answer.
    """
    room = room_for_others(rate) - in_flight
    if room < 0:
        return math.inf
    if len(answered) <= room:
        return -math.inf
    if rate.window == "sliding":
        return answered[-1 - int(room)] + rate.per + slack_of(rate)  # then only ``room`` answers are in the window
    # The estimate is largest if the boundary is at an answer, or one window after an answer. Only these boundaries are
    # tried, the latest first. The search ends early, because a boundary delays a call by at most a window. A boundary
    # cannot delay the call if at most ``room`` answers arrived after the start of the window that ends at the boundary.
    # Such boundaries are skipped.
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
        if boundary + rate.per <= latest:  # the loop ends here, at the latest when ``since`` is at the first answer
            return latest
        # The weight of the older calls falls evenly during a window. The call must wait until their weight fits into
        # the room that the newer calls leave.
        left = room - (len(answered) - since)
        faded = boundary + rate.per * (1 - left / (since - before) if left > 0 else 1)
        latest = max(latest, faded)
