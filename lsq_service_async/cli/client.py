"""Calls whose result is printed as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import click

from .. import ServiceClient
from .exit_codes import SOME_FAILED
from .streams import discard_stdout, print_json, to_json


async def print_result(
    operation: Callable[[ServiceClient], Awaitable[Any]], is_ok: Callable[[Any], bool] = lambda record: True
) -> int:
    """Call *operation* with a client, print its record or its list of records as JSON, and return the exit code."""
    async with ServiceClient.from_env() as client:
        record = await operation(client)
    shown = [_shown(one) for one in record] if isinstance(record, list) else _shown(record)
    try:
        print_json(shown, indent=2)
    except OSError as error:
        discard_stdout()
        click.echo(f"Cannot write to stdout: {error.strerror}. The result is: {to_json(shown)}", err=True)
        return SOME_FAILED
    return 0 if is_ok(record) else SOME_FAILED


def _shown(record: Any) -> dict[str, Any]:
    return attrs.asdict(record, filter=lambda field, value: field.name != "attempts")
