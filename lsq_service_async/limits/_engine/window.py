"""When one more call may be sent, so that no window of the service ever holds too many calls.

The service counts a call at an unknown moment between its grant and its answer. So a call counts in full until it is
answered. A call that was answered at ``t`` was counted at ``t`` or before. This gives an upper bound for the count of
any server:

- A true window (sliding, or fixed at any phase) counts at most the calls in flight and those answered within the
  window.
- An estimate from two buckets (for example HAProxy with ``http_req_rate``) counts the calls after a boundary in full.
  The calls in the window before the boundary have a weight that falls evenly from 1 to 0: ``newer + older * (1 -
  age_of_boundary / per)``.

The largest estimate is never below the count of a true window, so only the estimate is checked. A call is sent if, for
*every* boundary, the estimate with this call stays below ``calls + 1``. If the window of the rate is "sliding", only
true windows are checked.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from ...config import RateLimit

SLACK = 0.003  # s; servers read their clock in whole milliseconds
DRIFT = 1 / 2000  # fraction of a window; two clocks differ in speed


def slack_of(rate: RateLimit) -> float:
    """Return the seconds by which each call is sent later for safety."""
    return min(SLACK + DRIFT * rate.per, rate.per / 50)


def room_for_others(rate: RateLimit) -> float:
    """Return the largest count of other calls at which one more call may be sent.

    The slack reduces this count. A sliding window counts whole calls, so `opens_at` then adds the slack to the time.
    """
    return rate.calls - 1 if rate.window == "sliding" else rate.calls * (1 - slack_of(rate) / rate.per)


def opens_at(answered: Sequence[float], in_flight: int, rate: RateLimit) -> float:
    """Return when one more call may be sent: ``-inf`` if at once, ``inf`` if an answer is needed first.

    ``answered`` has the times of the answers of the last ``2 * per`` seconds and of expected answers, oldest first.
    ``in_flight`` is the number of other calls without an answer.
    """
    room = room_for_others(rate) - in_flight
    if room < 0:
        return math.inf
    if len(answered) <= room:
        return -math.inf
    if rate.window == "sliding":
        return answered[-1 - int(room)] + rate.per + slack_of(rate)  # then only ``room`` answers are in the window
    # The estimate is largest if the boundary is at an answer or one window later. Only these boundaries are tried, the
    # latest first. For a boundary b, only answers from b - per on count. If these are at most ``room``, b is skipped.
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
        if boundary + rate.per <= latest:  # true at the latest when ``since`` is 0, so the loop ends
            return latest
        # The call must wait until the weight of the older calls fits into the room left by the newer calls.
        left = room - (len(answered) - since)
        faded = boundary + rate.per * (1 - left / (since - before) if left > 0 else 1)
        latest = max(latest, faded)
