"""The client of a command: by the environment, which may also name the file of an allowance that others share."""

from __future__ import annotations

import os

from .. import ServiceClient
from ..limits import HostLimiter

LIMIT_FILE = "LSQ_LIMIT_FILE"


def client_of_env() -> ServiceClient:
    """With the `HostLimiter` of LSQ_LIMIT_FILE where that is set, so that no command takes from what services need."""
    path = os.environ.get(LIMIT_FILE)
    return ServiceClient.from_env(limiter=HostLimiter(path) if path else None)
