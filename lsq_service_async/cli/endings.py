"""What the process ends with."""

from __future__ import annotations

from .. import AuthenticationError, ConfigurationError, InvalidRequestError, LSQServiceError, PermissionDeniedError

SOME_FAILED = 1
USAGE = 2
NO_ACCESS = 4
RESUMABLE = 75
"""Stopped before its end; the same command goes on from there. What sysexits.h calls a temporary failure."""
INTERRUPTED = 130
"""What shells report for a process that Ctrl-C ended."""


def exit_code_of(error: LSQServiceError, otherwise: int = SOME_FAILED) -> int:
    """4 where the keys will not do, 2 where settings or arguments are wrong, ``otherwise`` for all else."""
    if isinstance(error, AuthenticationError | PermissionDeniedError):
        return NO_ACCESS
    return USAGE if isinstance(error, ConfigurationError | InvalidRequestError) else otherwise
