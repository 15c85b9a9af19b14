"""The limiter that the environment names."""

from __future__ import annotations

import os

from ..errors import ConfigurationError
from .limiter import Limiter

LIMIT_FILE, LIMIT_REDIS = "LSQ_LIMIT_FILE", "LSQ_LIMIT_REDIS"


def limiter_from_env() -> Limiter | None:
    """Return a HostLimiter for the file LSQ_LIMIT_FILE or a RedisLimiter for the address LSQ_LIMIT_REDIS.

    Returns None if neither variable is set. Raises ConfigurationError if both are set, or if the library for Redis is
    not installed.
    """
    file = os.environ.get(LIMIT_FILE)
    if not os.environ.get(LIMIT_REDIS):
        if not file:
            return None
        from .host import HostLimiter

        return HostLimiter(file)
    if file:
        raise ConfigurationError(f"{LIMIT_FILE} and {LIMIT_REDIS} are both set; remove one of them")
    try:
        from .redis import RedisLimiter
    except ImportError as error:
        raise ConfigurationError(f"{LIMIT_REDIS} is set, but {error}") from None
    return RedisLimiter(os.environ[LIMIT_REDIS])  # not a local variable, because the address may hold a password
