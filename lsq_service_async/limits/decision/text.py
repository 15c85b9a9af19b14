"""A state as text: lists of numbers in JSON."""

from __future__ import annotations

import json
from typing import Any

from ...config import RateLimit
from .ask import LANES
from .line import Head, WaitingLine
from .share import Share
from .state import Flight, State


def state_to_text(state: State) -> str:
    """To be read by `state_from_text`, here or elsewhere. One state, one text."""
    share, line = state.share, state.line
    return json.dumps([
        [*map(_pair, (share.configured, share.plan, share.rate)), share.halved_at, share.quiet_since,
         share.named, share.named_until, share.hold],
        [line.row, line.turns, [[owner, LANES.index(lane), *rest] for owner, lane, *rest in line.heads.values()]],
        [state.seen, state.paused_until, state.paced_until, state.round_trip, state.answered, state.uploads],
        [[slot, *flight] for slot, flight in state.flights.items()],
        [[user, until] for user, until in state.users.items()],
    ])  # fmt: skip


def state_from_text(text: str) -> State:
    """ValueError, TypeError, KeyError or IndexError if it is not the text of a state."""
    share, (row, turns, heads), moments, flights, users = json.loads(text)
    seen, paused_until, paced_until, round_trip, answered, uploads = moments
    return State(
        _share(*share),
        WaitingLine(
            {(owner, LANES[lane]): Head(owner, LANES[lane], *rest) for owner, lane, *rest in heads}, row, turns
        ),
        seen=seen,
        paused_until=paused_until,
        paced_until=paced_until,
        round_trip=round_trip,
        answered=answered,
        uploads=uploads,
        flights={slot: Flight(*flight) for slot, *flight in flights},
        users=dict(users),
    )


def _pair(rate: RateLimit) -> tuple[int, float]:
    return rate.calls, rate.per


def _share(configured: Any, plan: Any, rate: Any, *rest: Any) -> Share:
    """``rest`` is shorter in a text of version 0.1, which kept a named limit for ever."""
    share = Share(RateLimit(configured[0], per=configured[1]), *rest)
    share.named = share.named and (share.named[0], share.named[1])
    share.plan, share.rate = RateLimit(plan[0], per=plan[1]), RateLimit(rate[0], per=rate[1])
    return share
