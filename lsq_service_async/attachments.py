"""Attachment: a name, a content type, and a source of bytes."""

from __future__ import annotations

import io
import mimetypes
import os
import re
import unicodedata
from collections.abc import AsyncIterable, Generator, Iterable
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

import attrs

from ._attachment_sources import BytesSource, FileSource, OnceSource, PathSource, Reader, Source, checked, pieces_of
from .errors import InvalidRequestError

__all__ = ["Attachable", "Attachment", "Reader", "as_attachments"]

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


class Upload(Protocol):
    """A file that somebody uploaded to this process, such as Starlette's ``UploadFile``."""

    file: BinaryIO
    filename: str | None


@attrs.frozen
class Attachment:
    """A file to send, as often as it takes: each retry sends it whole again.

    ``name`` is a basename of at most 255 bytes without control or bidi characters, ``content_type`` a checked
    token, guessed from the name where none is given. Anything else raises InvalidRequestError.
    """

    name: str = attrs.field(converter=file_name)
    content_type: str = attrs.field(validator=lambda self, _, given: check_content_type(given))
    source: Source = attrs.field(repr=False)

    @property
    def length(self) -> int | None:
        """Bytes; None while what can be read only once has not been read."""
        return self.source.length

    @classmethod
    def from_path(
        cls,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        content_type: str | None = None,
        follow_symlinks: bool = True,
    ) -> Self:
        """A regular file, opened anew for each attempt; it must not change until the call is over."""
        source = PathSource.of(Path(path), follow=follow_symlinks)
        return cls._of(Path(path).name if name is None else name, content_type, source)

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str, content_type: str | None = None) -> Self:
        """Bytes that are in memory already."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidRequestError(f"an attachment is made of bytes, not {type(data).__name__}")
        return cls._of(name, content_type, BytesSource(bytes(data)))

    @classmethod
    def from_file(cls, file: BinaryIO, *, name: str | None = None, content_type: str | None = None) -> Self:
        """An open binary file, from where it stands to its end. The caller keeps it open, and closes it afterwards.

        What cannot be rewound, such as a pipe, is copied to a temporary file before it is sent.
        """
        source = _source_of(file)
        return cls._of(_name_of(file) if name is None else name, content_type, source)

    @classmethod
    def from_async_iterable(cls, chunks: AsyncIterable[bytes], *, name: str, content_type: str | None = None) -> Self:
        """Chunks of bytes that come when they come; copied to a temporary file (0600, nameless) before they are sent.

        That happens with the first call that sends it, or at once with ``await``, after which ``length`` is known.
        """
        if not hasattr(chunks, "__aiter__"):
            raise InvalidRequestError(f"an async iterable of bytes is needed, not {type(chunks).__name__}")
        return cls._of(name, content_type, OnceSource(checked(chunks)))

    @classmethod
    def _of(cls, name: str, content_type: str | None, source: Source) -> Self:
        base = file_name(name)
        return cls(base, usual_content_type(base) if content_type is None else content_type, source)

    def __await__(self) -> Generator[Any, Any, Self]:
        """Make it ready to be sent, and know its length, before the call that sends it."""
        yield from self.source.prepare(None).__await__()
        return self


Attachable = Attachment | Path | BinaryIO | Upload
"""What a call takes as an attachment."""


def as_attachments(given: Iterable[Attachable]) -> tuple[Attachment, ...]:
    """Attachments of what a caller gave. Blocks for a moment where it asks the file system."""
    if isinstance(given, str | bytes | os.PathLike | Attachment | io.IOBase) or not isinstance(given, Iterable):
        raise InvalidRequestError("attachments is a list, also for one file: attachments=[Path('photo.jpg')]")
    return tuple(map(_as_attachment, given))


def _as_attachment(item: Any) -> Attachment:
    if isinstance(item, Attachment):
        return item
    if isinstance(item, os.PathLike):
        return Attachment.from_path(item)
    if isinstance(item, bytes | bytearray):
        raise InvalidRequestError("bytes need a name: Attachment.from_bytes(data, name='note.txt')")
    if hasattr(item, "filename") and hasattr(item, "file"):
        return Attachment.from_file(item.file, name=item.filename, content_type=getattr(item, "content_type", None))
    if hasattr(item, "read"):
        return Attachment.from_file(item)
    raise InvalidRequestError(f"an attachment is a Path, an open binary file or an Attachment, not {item!r:.80}")


def _name_of(file: Any) -> Any:
    name = getattr(file, "name", None)
    if not isinstance(name, str):
        raise InvalidRequestError("this file has no name: Attachment.from_file(file, name='note.txt')")
    return name


def _source_of(file: Any) -> Source:
    if not callable(getattr(file, "read", None)):
        raise InvalidRequestError(f"an open binary file is needed, not {type(file).__name__}")
    if isinstance(file, io.TextIOBase):
        raise InvalidRequestError("the file is open in text mode; open it with 'rb'")
    if getattr(file, "closed", False):
        raise InvalidRequestError("the file is closed; keep it open until the call is over")
    try:
        seekable = file.seekable()
    except AttributeError:
        seekable = hasattr(file, "seek") and hasattr(file, "tell")
    return FileSource.of(file) if seekable else OnceSource(checked(pieces_of(file)))
