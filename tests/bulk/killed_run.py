"""A bulk run in a process that a test kills: ``python killed_run.py BASE_URL JOURNAL ROWS DONE ON_UNKNOWN``."""

import asyncio
import sys
from collections.abc import Iterator

from lsq_service_async import BulkRow, Config, Lookup, NewTicket, RateLimit, RetryPolicy, ServiceClient


def row(key: str) -> BulkRow:
    return BulkRow(key, NewTicket(lead_id="45b5", title=key, status="Open"))


def source(rows: int, done: int) -> Iterator[BulkRow]:
    """New rows, with rows between them that an earlier run has done."""
    for number in range(rows):
        yield row(f"key-{number}")
        for other in range(done * number // rows, done * (number + 1) // rows):
            yield row(f"done-{other}")


async def main(base_url: str, journal: str, rows: int, done: int, on_unknown: str) -> None:
    config = Config(
        access_key="emulator-access-key",
        secret_key="emulator-secret-key",
        org_id="22824",
        base_url=base_url,
        rate_limit=RateLimit(8, per=0.01),  # eight workers, so that a kill finds several rows in flight
        retry=RetryPolicy(repeat_creates=False),
    )
    answer = Lookup(quiet=0.3, fence=True) if on_unknown == "look" else on_unknown
    async with ServiceClient(config) as client:
        async for outcome in client.bulk.create(source(rows, done), journal=journal, on_unknown=answer):
            if outcome.state != "skipped":
                print(outcome.key, outcome.state, flush=True)


if __name__ == "__main__":
    _, base_url, journal, rows, done, on_unknown = sys.argv
    asyncio.run(main(base_url, journal, int(rows), int(done), on_unknown))
