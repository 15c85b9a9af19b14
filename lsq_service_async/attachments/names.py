"""What a file may be called, and what it may be said to be."""

from __future__ import annotations

import mimetypes
import re
import unicodedata

from ..errors import InvalidRequestError

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,127}"
_PARAMETER = rf'; ?{_WORD}=(?:{_WORD}|"[ !#-\[\]-~]{{0,127}}")'
_CONTENT_TYPE = re.compile(rf"{_WORD}/{_WORD}(?:{_PARAMETER}){{0,4}}")
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# Controls, lone surrogates and line ends. Joiners stay: emoji and Indic scripts need them.
_UNSEEN = {"Cc", "Cs", "Zl", "Zp"}


def file_name(name: object) -> str:
    """The basename of a path of any system; InvalidRequestError for what no file should be called."""
    if not isinstance(name, str):
        raise InvalidRequestError(f"a file name must be text, not {type(name).__name__}")
    base = re.split(r"[/\\]", name)[-1]
    if base in ("", ".", ".."):
        raise InvalidRequestError(f"this names no file: {ascii(name)[:80]}")
    if _BIDI.search(base) or any(unicodedata.category(char) in _UNSEEN for char in base):
        raise InvalidRequestError(f"a file name must not have control or bidi characters: {ascii(base)[:80]}")
    if len(base.encode()) > 255:
        raise InvalidRequestError(f"a file name has at most 255 bytes in UTF-8: {ascii(base)[:80]}...")
    return base


def usual_content_type(name: str) -> str:
    """What files of such a name usually are."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def check_content_type(given: object) -> None:
    """InvalidRequestError for what is no content type; httpx would pass line ends on."""
    if not isinstance(given, str) or not _CONTENT_TYPE.fullmatch(given):
        raise InvalidRequestError(f"a content type reads like image/png, not {ascii(given)[:80]}")
