"""The command ``demo``."""

from __future__ import annotations

import os

import click

from ... import RateLimit
from ..screen import Output

RATE = RateLimit()
"""The documented limit, on both sides."""


@click.command()
@click.pass_context
def demo(context: click.Context) -> None:
    """Create 60 tickets under the real limit, without an account.

    They go to a stand-in for the service on this machine, which fails now and then on purpose, in a bulk run that is
    interrupted once and resumed. Ends with 0 if nothing was lost, doubled or refused, else with 1.
    """
    from .show import perform, stand_in

    # A proxy of the environment would carry the calls off this machine.
    os.environ["no_proxy"] = "*"
    context.exit(0 if perform(Output(highlight=False), stand_in(RATE), RATE) else 1)
