"""The command `doctor`: checks the settings, and finds out how the service behaves."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import click

from .. import (
    APIStatusError,
    AuthenticationError,
    Config,
    LSQServiceError,
    MalformedResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServiceClient,
)
from .._private_files import file_name, open_private_file
from ..errors import printable
from ..limits import limiter_from_env
from .learn import learn as learn_account
from .learn import measure_window
from .shell import NO_ACCESS, USAGE, exit_code_for, reject_options

_ADVICE = {
    AuthenticationError: "NO ACCESS: check LSQ_ACCESS_KEY and LSQ_SECRET_KEY; they must belong to this host",
    PermissionDeniedError: "NO ACCESS: the keys work, but their user has no permission to read tickets",
    NotFoundError: "NO SUCH API: check LSQ_ORG_ID and LSQ_BASE_URL; the API may be disabled for this account",
    RateLimitError: "BUSY: another program uses up the rate limit; wait, or set a lower LSQ_RATE_LIMIT",
    APIStatusError: "FAILED: the service answered with an unexpected error",
    MalformedResponseError: "WRONG HOST: check LSQ_BASE_URL and the proxy; the answer does not come from the service",
    LSQServiceError: "NOT REACHED: check LSQ_BASE_URL, the network and the proxy",
}


@click.command()
@click.option("--learn", metavar="FILE", help="Find out how the service behaves for this account (up to 30 reads).")
@click.option("--write", is_flag=True, help="With --learn: create a ticket, read it after 10 s, and trash it.")
@click.option(
    "--lead-email",
    default="lsq-service-doctor@example.com",
    show_default=True,
    help="With --write: e-mail address of the lead for the new ticket.",
)
@click.option(
    "--marker",
    metavar="FIELD",
    help="With --learn: check that this custom field exists. With --write: also check that it stores a reference.",
)
@click.option(
    "--burst",
    is_flag=True,
    help="Measure how the service counts calls: send up to four groups of reads, each as large as the rate limit.",
)
def doctor(learn: str | None, write: bool, lead_email: str, marker: str | None, burst: bool) -> int:
    """Check keys, host, org id, API and rate limit with one read.

    --learn FILE finds out details of the service that the vendor's documentation leaves open. It prints a table, and
    writes the facts as JSON to FILE, which "emulator --facts FILE" reads. --burst can make the service refuse calls.
    --learn and --burst ignore LSQ_LIMIT_FILE and LSQ_LIMIT_REDIS, so run them while no other program uses the account.

    Exit codes: 0 everything works, 1 failure, 2 wrong settings, 4 wrong keys or a missing permission. With --learn or
    --burst, 0 means that the results were printed, even if the first read failed. Keys are never printed.
    """
    if learn is None:
        reject_options("write", "marker", without="--learn FILE")
    else:
        learn = file_name(learn)
    if not write:
        reject_options("lead_email", without="--write")
    return asyncio.run(_diagnose(Config.from_env(marker_field=marker), learn, lead_email if write else None, burst))


async def _diagnose(config: Config, path: str | None, lead_email: str | None, burst: bool) -> int:
    code = await _check(config)
    if (path is None and not burst) or code in (USAGE, NO_ACCESS):
        return code
    if path is not None:
        _save(None, path)  # checks the file before a ticket is created
    facts: dict[str, Any] = {}
    answers: dict[str, str] = {}
    if path is not None:
        facts, answers = await learn_account(config, lead_email)
    if burst:
        measured, answers["window of the rate limit"] = await measure_window(config)
        facts |= measured
    for question, answer in answers.items():
        click.echo(f"{question:<28} {printable(answer, 300)}")
    if path is not None:
        _save({**facts, "answers": answers}, path)
    return 0


def _save(facts: dict[str, Any] | None, path: str) -> None:
    """Write the facts to a file. If *facts* is None, only check that the file can be written."""
    is_new = not os.path.lexists(path)
    try:
        with open(open_private_file(path, os.O_WRONLY), "w", encoding="utf-8") as file:
            if facts is not None:
                file.truncate()  # "w" does not empty a file that is opened by its descriptor
                file.write(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
        if facts is None and is_new:
            os.unlink(path)
    except OSError as error:
        raise click.ClickException(f"cannot write the answers to {path!r}: {error.strerror}") from None


async def _check(config: Config) -> int:
    rate, limiter = config.rate_limit, limiter_from_env()
    shared = "no (set LSQ_LIMIT_FILE or LSQ_LIMIT_REDIS to share the limit between programs)"
    if limiter is not None:
        shared = f"through the file {file}" if (file := os.environ.get("LSQ_LIMIT_FILE")) else "through Redis"
    _print("keys", "set by LSQ_ACCESS_KEY and LSQ_SECRET_KEY")
    _print("org id", config.org_id)
    _print("host", config.base_url)
    _print("limit", f"{rate}; set LSQ_RATE_LIMIT to change it")
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
