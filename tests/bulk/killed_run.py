"""A bulk run that somebody else kills: ``python killed_run.py BASE_URL JOURNAL ROWS ON_UNKNOWN``."""

import asyncio
import sys

from lsq_service_async import BulkRow, Config, NewTicket, RateLimit, RetryPolicy, ServiceClient


async def main(base_url: str, journal: str, rows: int, on_unknown: str) -> None:
    config = Config(
        access_key="emulator-access-key",
        secret_key="emulator-secret-key",
        org_id="22824",
        base_url=base_url,
        rate_limit=RateLimit(8, per=0.01),  # eight workers, so that a kill finds several rows on their way
        retry=RetryPolicy(repeat_creates=False),
    )
    source = (BulkRow(f"key-{n}", NewTicket(lead_id="45b5", title=f"key-{n}")) for n in range(rows))
    async with ServiceClient(config) as client:
        async for outcome in client.bulk.create(source, journal=journal, on_unknown=on_unknown):
            print(outcome.key, outcome.state, flush=True)


_, base_url, journal, rows, on_unknown = sys.argv
asyncio.run(main(base_url, journal, int(rows), on_unknown))
