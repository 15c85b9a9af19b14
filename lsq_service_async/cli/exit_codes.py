"""Exit codes of the process."""

from __future__ import annotations

from .. import AuthenticationError, ConfigurationError, InvalidRequestError, LSQServiceError, PermissionDeniedError

SOME_FAILED = 1
USAGE = 2
NO_ACCESS = 4
RESUMABLE = 75
"""The run stopped early and the same command continues it. sysexits.h calls this code EX_TEMPFAIL."""
INTERRUPTED = 130
"""Ctrl-C, as shells report it."""


def exit_code_for(error: LSQServiceError, default: int = SOME_FAILED) -> int:
    """Return 4 if the keys were rejected, 2 if settings or arguments are wrong, else *default*."""
    if isinstance(error, AuthenticationError | PermissionDeniedError):
        return NO_ACCESS
    return USAGE if isinstance(error, ConfigurationError | InvalidRequestError) else default
