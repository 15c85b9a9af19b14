"""The command `doctor`: checks the settings with one request."""

from __future__ import annotations

import asyncio
import os

import click

from .. import (
    APIStatusError,
    AuthenticationError,
    Config,
    LSQServiceError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServiceClient,
)
from ..errors import printable
from ..limits import limiter_from_env
from .exit_codes import exit_code_for

_ADVICE = {
    AuthenticationError: "NO ACCESS: check LSQ_ACCESS_KEY and LSQ_SECRET_KEY, and that they belong to this host",
    PermissionDeniedError: "NO ACCESS: the keys work, but their user may not read tickets",
    NotFoundError: "NO SUCH API: check LSQ_ORG_ID and LSQ_BASE_URL; the API may be disabled for this account",
    RateLimitError: "BUSY: another program uses up the rate limit; wait, or set LSQ_RATE_LIMIT to your share",
    APIStatusError: "FAILED: the service answered with an unexpected error",
    LSQServiceError: "NOT REACHED: check LSQ_BASE_URL, the network and the proxy",
}


@click.command()
def doctor() -> int:
    """Check keys, host, org id, API and rate limit with one read.

    Exit codes: 0 everything works, 2 wrong settings, 4 rejected keys, 1 other failures. Keys are never printed.
    """
    return asyncio.run(_check(Config.from_env()))


async def _check(config: Config) -> int:
    rate, limiter = config.rate_limit, limiter_from_env()
    shared = "no (set LSQ_LIMIT_FILE or LSQ_LIMIT_REDIS to share the limit between programs)"
    if limiter is not None:
        shared = f"through the file {file}" if (file := os.environ.get("LSQ_LIMIT_FILE")) else "through Redis"
    _print("keys", "set by LSQ_ACCESS_KEY and LSQ_SECRET_KEY")
    _print("org id", config.org_id)
    _print("host", config.base_url)
    _print("limit", f"{rate.calls} calls in {rate.per:g} s (set LSQ_RATE_LIMIT to change it)")
    _print("shared", shared)
    async with ServiceClient(config, limiter=limiter) as client:
        try:
            await client.check()
        except LSQServiceError as error:
            advice = next(advice for kind, advice in _ADVICE.items() if isinstance(error, kind))
            _print("service", f"{advice} ({error})")
            return exit_code_for(error)
    _print("service", "OK: the keys work, and the service answered a read")
    return 0


def _print(name: str, value: str) -> None:
    click.echo(f"{name:<9}{printable(value)}")
