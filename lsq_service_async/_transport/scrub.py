"""Keys out of the words of others: a service, or a library that quotes it, may repeat what it was sent."""

from __future__ import annotations

from typing import Any

from ..config import Config
from ..errors import LSQServiceError

_HIDDEN = "***"


def scrub(error: LSQServiceError | None, config: Config) -> None:
    """Take the keys out of an error, its attributes and its causes. Decoded text is searched, so that no escape of
    JSON hides them."""
    keys = [config.access_key.reveal(), config.secret_key.reveal()]
    link: BaseException | None = error
    while link is not None:
        link.args = tuple(_without(keys, argument) for argument in link.args)
        if isinstance(link, LSQServiceError):
            for name in vars(link).keys() & {"reason", "body", "exception_type"}:
                setattr(link, name, _without(keys, getattr(link, name)))
        link = link.__cause__


def _without(keys: list[str], value: Any) -> Any:
    if isinstance(value, str):
        for key in keys:
            value = value.replace(key, _HIDDEN)
        return value
    if isinstance(value, list):
        return [_without(keys, entry) for entry in value]
    if isinstance(value, dict):
        return {_without(keys, name): _without(keys, entry) for name, entry in value.items()}
    return value
