"""The log of the package. `Config.from_env` and the command line print the log on stderr if LSQ_LOG is set."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Any

from .errors import ConfigurationError, shown

LOG_LEVEL = "LSQ_LOG"


class _Log(logging.LoggerAdapter[logging.Logger]):
    """Keeps exceptions of the application's logging handlers from changing the result of a call."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        if self.isEnabledFor(level):
            with suppress(Exception):
                self.logger.log(level, msg, *args, stacklevel=2, **kwargs)


logger = _Log(logging.getLogger("lsq_service_async"))


class _StderrHandler(logging.StreamHandler[Any]):
    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr  # a progress bar may have replaced sys.stderr
        super().emit(record)


def log_to_stderr(level: str | None) -> None:
    """Print the log on stderr, unless ``level`` is empty. An unknown level raises ConfigurationError."""
    if not level:
        return
    if str(level).strip().lower() not in ("info", "debug"):
        raise ConfigurationError(f"{LOG_LEVEL} must be info or debug, not {shown(level, 40)}")
    logger.setLevel(str(level).strip().upper())
    if not any(isinstance(handler, _StderrHandler) for handler in logger.logger.handlers):
        handler = _StderrHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.logger.addHandler(handler)
