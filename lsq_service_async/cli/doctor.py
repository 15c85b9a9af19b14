"""The command ``doctor``: whether a program with these settings would work. It costs one read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import click

from .. import (
    APIStatusError,
    AuthenticationError,
    Config,
    LSQServiceError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RetryPolicy,
    ServiceClient,
)
from .client import LIMIT_FILE
from .endings import exit_code_of

_TIMEOUT = 15.0  # s


@click.command()
@click.pass_context
def doctor(context: click.Context) -> None:
    """Check keys, host, org id, API and limit with one read.

    Ends with 0 if all is well, 2 for settings, 4 for keys, else 1. No key is shown.
    """
    context.exit(asyncio.run(_examine(Config.from_env())))


async def _examine(config: Config) -> int:
    click.echo("\n".join(_settings(config)))
    verdict, error = _judged(await _read(config))
    click.echo(f"{'service':<9}{verdict}")
    return exit_code_of(error) if error else 0


def _settings(config: Config) -> Iterator[str]:
    rate = config.rate_limit
    yield f"{'keys':<9}set, by LSQ_ACCESS_KEY and LSQ_SECRET_KEY"
    yield f"{'org id':<9}{config.org_id}"
    yield f"{'host':<9}{config.base_url}"
    yield f"{'limit':<9}{rate.calls} calls in {rate.per:g} s, kept by this client (LSQ_RATE_LIMIT changes it)"
    shared = os.environ.get(LIMIT_FILE)
    yield f"{'shared':<9}{f'by {shared}' if shared else f'with nobody ({LIMIT_FILE} names a file)'}"


async def _read(config: Config) -> LSQServiceError | None:
    async with ServiceClient(config) as client:
        once = client.with_options(timeout=_TIMEOUT, deadline=2 * _TIMEOUT, retry=RetryPolicy(attempts=1))
        try:
            await once.tickets.get("1")
        except LSQServiceError as error:
            return error
        return None


def _judged(error: LSQServiceError | None) -> tuple[str, LSQServiceError | None]:
    """What to say, and the error that is left of it."""
    match error:
        case None:
            return "well: the keys are right, and a ticket was read", None
        # The service itself answers in JSON; a gateway that knows no such API in words.
        case NotFoundError(body=dict()):
            return "well: the keys are right; this account has no ticket 1, which is all that was asked", None
        case AuthenticationError():
            return f"NO ACCESS: check LSQ_ACCESS_KEY and LSQ_SECRET_KEY, and that the host is theirs ({error})", error
        case PermissionDeniedError():
            return f"NO ACCESS: the keys are right, but their user may not read tickets ({error})", error
    return f"{_advice(error)} ({error})", error


def _advice(error: LSQServiceError) -> str:
    match error:
        case NotFoundError():
            return "NO SUCH API: check LSQ_ORG_ID and LSQ_BASE_URL; perhaps the API is not switched on for the account"
        case RateLimitError():
            named = f"; it says {error.limit[0]} calls in {error.limit[1]} s" if error.limit else ""
            return f"BUSY: the limit is used up by somebody else{named}. Wait, or set LSQ_RATE_LIMIT to your share"
        case APIStatusError():
            return "FAILED: the service answers, but not as it should"
    return "NOT REACHED: check LSQ_BASE_URL, the network and the proxy"
