"""Removes API keys from texts. The service and libraries may quote a request in any encoding."""

from __future__ import annotations

import re
import string
from bisect import bisect_left
from itertools import accumulate

from ..config import Secret

_LEVELS = 3  # nested levels of escapes: JSON may be quoted in a URL, and the URL in an HTML page
_HEX = "[0-9a-fA-F]"
_CODE = rf"u{_HEX}{{4}}|x{_HEX}{{2}}"
_ESCAPE = re.compile(
    rf"(\\+(?:{_CODE})?|%(?:{_CODE}|{_HEX}{{2}})|&(?:#(?:[0-9]{{1,9}}|[xX]{_HEX}{{1,8}});?|[a-zA-Z]{{2,31}};))"
)
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)  # keeps the length of the text, unlike str.lower
_Ends = list[int]


class Redactor:
    r"""Replaces secrets in a text with ``***``, in linear time.

    A secret may be in upper or lower case, and may have escapes: \u0041, %41, &#65;. No local variable holds a secret,
    because crash reporters send the local variables.
    """

    def __init__(self, *secrets: Secret) -> None:
        self._secrets = [Secret(secret.reveal().translate(_LOWER)) for secret in secrets]
        for secret in secrets:
            # Decoding changes a part of a key that looks like an escape, so the decoded key is a secret too.
            decoded = Secret(_ESCAPE.sub(lambda escape: _character(escape[0]), secret.reveal()).translate(_LOWER))
            self._secrets += [decoded] if decoded not in self._secrets and decoded.fits(".{8,}") else []

    def __call__(self, text: str) -> str:
        decoded, levels, found = text, list[list[_Ends]](), list[tuple[int, int]]()
        while True:
            lower = decoded.translate(_LOWER)
            for secret in self._secrets:
                for span in secret.spans_in(lower):
                    for level in reversed(levels):
                        span = _origin(span[0], *level), _origin(span[1], *level)
                    found.append(span)
            if len(levels) == _LEVELS or not any(mark in decoded for mark in "\\%&"):
                break
            decoded, *level = _decode(decoded)
            levels.append(level)
        shown, end = "", 0
        for start, stop in sorted(found):
            shown += text[end:start] + "***" if start >= end else ""
            end = max(end, stop)
        return shown + text[end:]


def _decode(text: str) -> tuple[str, _Ends, _Ends]:
    """Decode one level of escapes. Also return where each part ends, in the decoded and in the given text."""
    parts = _ESCAPE.split(text)  # every second part is an escape
    given = list(accumulate(map(len, parts)))
    characters = {escape: _character(escape) for escape in set(parts[1::2])}
    parts[1::2] = map(characters.__getitem__, parts[1::2])
    return "".join(parts), list(accumulate(map(len, parts))), given


def _character(escape: str) -> str:
    """Return the character of an escape. Backslashes alone are dropped: repeated quoting adds them."""
    if escape.startswith("&"):
        import html  # imported here, because its table of names is large

        return html.unescape(escape)
    digits = escape.lstrip("\\%ux")
    return chr(int(digits, 16)) if digits else ""


def _origin(position: int, ends: _Ends, given: _Ends) -> int:
    """Return the position in the given text that belongs to a position in the decoded text."""
    part = bisect_left(ends, position)
    return given[part] - (ends[part] - position)
