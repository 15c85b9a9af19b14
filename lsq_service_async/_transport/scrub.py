"""Redacts API keys: the service, or a library that quotes a request, may echo them."""

from __future__ import annotations

import json
from urllib.parse import quote

from ..config import Config

_HIDDEN = "***"


def redact(config: Config, text: str) -> str:
    """Replace both keys, also where they are JSON-escaped or URL-encoded.

    No key is ever a local variable here: crash reporters send the local variables of every frame.
    """
    for secret in (config.access_key, config.secret_key):
        text = text.replace(secret.reveal(), _HIDDEN)
        text = text.replace(json.dumps(secret.reveal())[1:-1], _HIDDEN)
        text = text.replace(quote(secret.reveal(), safe=""), _HIDDEN)
    return text


def as_cause(config: Config, error: BaseException) -> BaseException | None:
    """A foreign exception as the cause of an error: without frames, whose locals may hold the request's headers.

    None if it, or an exception that it is linked to, quotes a key.
    """
    shown = ""
    for link in links(error):
        link.__traceback__ = None
        shown += f"{link} {link!r} {vars(link)!r} "
    return error if redact(config, shown) == shown else None


def links(error: BaseException) -> list[BaseException]:
    """The exception, its causes, its contexts and the members of groups; each once."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and not any(link is known for known in found):
            found.append(link)
            waiting += [*getattr(link, "exceptions", ()), link.__context__, link.__cause__]
    return found
