"""Exchanges as nobody would make them, to compare what is decided on them in two places."""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.limits.decision.ask import LANES, Ask, Ended, Held, Want

STEPS = [0.0, 0.001, 0.05, 0.2, 1.0, 3.0, 12.0, -0.2]  # s between two exchanges; a clock may be set back


def random_asks(random: Random, count: int) -> Iterator[tuple[float, Ask]]:
    """So many, with the time of each; all of one rate, of up to four processes."""
    rate = RateLimit(random.choice([2, 5, 25]), per=random.choice([0.5, 5.0]))
    now, slots = 1000.0, []
    for number in range(count):
        now += random.choice([*STEPS, -5.0]) if random.random() < 0.1 else random.choice(STEPS)
        yield now, _random_ask(random, rate, 2**52 + number, slots, now)
        slots.append(2**52 + number)


def _random_ask(random: Random, rate: RateLimit, slot: int, slots: list[int], now: float) -> Ask:
    wants = [Want(random.choice(LANES), random.random() < 0.2) for _ in range(random.randint(0, 4))]
    ended = [slots.pop(random.randrange(len(slots))) for _ in range(min(len(slots), random.randint(0, 4)))]
    held = random.sample(slots, min(len(slots), random.randint(0, 2)))
    return Ask(
        owner=random.randint(1, 4),
        slot=slot,
        rate=rate,
        wants=wants,
        waiting=(_waiting(random, wants, Lane.INTERACTIVE), _waiting(random, wants, Lane.BULK)),
        ended=[_random_end(random, ended_one) for ended_one in ended],
        held=[Held(held_one, random.uniform(0, 12), _seldom(random)) for held_one in held],
        pause=random.choice([-math.inf, -1000.0, -1000.0, -1000.0, 2.0]),
        refusals=[random.choice([None, (3, 5), (10, 1)])] if _seldom(random) else [],
        returning=random.random() < 0.5,
        leaving=random.random() < 0.05,
        expected=random.choice([math.inf, now, now - 0.9, now - 2.0 if _seldom(random) else now + 2.0]),
    )


def _random_end(random: Random, slot: int) -> Ended:
    return Ended(slot, random.choice([None, 0.0, random.random()]), _seldom(random), again=random.random() < 0.3)


def _waiting(random: Random, wants: list[Want], lane: Lane) -> int:
    heads = sum(want.lane is lane for want in wants)
    return heads + random.randint(0, 3) if heads else 0


def _seldom(random: Random) -> bool:
    return random.random() < 0.15
