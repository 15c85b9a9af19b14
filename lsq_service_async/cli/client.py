"""The client of a command, configured by the environment."""

from __future__ import annotations

import os

from .. import ServiceClient
from ..limits import HostLimiter

LIMIT_FILE = "LSQ_LIMIT_FILE"


def client_from_env() -> ServiceClient:
    """Return a client that shares the rate limit through LSQ_LIMIT_FILE, if that is set."""
    path = os.environ.get(LIMIT_FILE)
    return ServiceClient.from_env(limiter=HostLimiter(path) if path else None)
