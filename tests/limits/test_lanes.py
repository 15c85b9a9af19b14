"""The bookkeeping of those who wait."""

from __future__ import annotations

import asyncio

from virtual_clock import virtual

from lsq_service_async.config import Lane
from lsq_service_async.limits.decision.ask import Want
from lsq_service_async.limits.lanes import Line, Waiter


def waiter(number: int) -> Waiter:
    grant = asyncio.get_running_loop().create_future()
    return Waiter(Want(Lane.BULK, False), since=0.0, due=0.0, deadline=float(number), grant=grant, number=number)


@virtual
async def test_a_line_that_is_never_empty_forgets_those_who_have_left():
    """Of 5,000 who came and went with a deadline, little more is noted than of the one who stays."""
    line = Line()
    line.join(waiter(0))
    for number in range(1, 5_000):
        passing = waiter(number)
        line.join(passing)
        line.leave(passing)

    assert len(line) == 1
    assert sum(map(len, line._pages.values())) <= 512


@virtual
async def test_the_least_margin_is_of_somebody_who_still_waits():
    """Whoever has left has no say in when the line is looked at again."""
    line = Line()
    waiters = [waiter(number) for number in range(5)]
    for each in waiters:
        line.join(each)
    for gone in (waiters[0], waiters[2], waiters[1]):
        line.leave(gone)

    assert line.least_margin() == 3.0
    assert line.most_pressed() is waiters[3]
