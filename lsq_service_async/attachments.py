"""Attachment: where the bytes of a file come from, and what the service is told of it.

An attachment is a value that can be read any number of times, so that every retry sends it whole. Nothing here
waits for the network; reading blocks, and is done in worker threads by the transport.
"""

from __future__ import annotations

import io
import mimetypes
import os
import re
import stat
import threading
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

import attrs

from .errors import InvalidRequestError

_CONTENT_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,127}/[!#$%&'*+.^_`|~0-9A-Za-z-]{1,127}(; ?[!#-~ ]{1,200})?")
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Reader(Protocol):
    """One pass over an attachment's bytes, from its beginning."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class Source(Protocol):
    """What an attachment reads from."""

    @property
    def length(self) -> int:
        """Bytes from beginning to end."""

    def open(self) -> Reader:
        """A new pass from the beginning; raises OSError or ValueError where it can no longer be read."""


@attrs.frozen
class Attachment:
    """A file to send: ``name`` as the service will show it, ``content_type``, and ``source`` of its bytes.

    Made by `from_path`, `from_bytes` and `from_file`. Names are basenames of at most 255 bytes without control
    or bidirectional characters; anything else raises InvalidRequestError.
    """

    name: str = attrs.field(validator=lambda _, __, name: _check_name(name))
    content_type: str = attrs.field(validator=lambda _, __, value: _check_content_type(value))
    source: Source = attrs.field(repr=False)

    @property
    def length(self) -> int:
        """Bytes."""
        return self.source.length

    @classmethod
    def from_path(
        cls, path: str | os.PathLike[str], *, name: str | None = None, content_type: str | None = None
    ) -> Self:
        """A regular file, opened anew for each attempt. Raises InvalidRequestError where it is none."""
        return cls._named(name or Path(path).name, content_type, _PathSource.of(Path(path)))

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str, content_type: str | None = None) -> Self:
        """Bytes that are in memory already."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidRequestError(f"the content of {name!r:.80} must be bytes, not {type(data).__name__}")
        return cls._named(name, content_type, _BytesSource(bytes(data)))

    @classmethod
    def from_file(cls, file: BinaryIO, *, name: str | None = None, content_type: str | None = None) -> Self:
        """An open, seekable binary file, from where it stands to its end. The caller keeps and closes it."""
        return cls._named(name or _name_of(file), content_type, _FileSource.of(file))

    @classmethod
    def _named(cls, name: str, content_type: str | None, source: Source) -> Self:
        name = _basename(name)
        return cls(name, content_type or mimetypes.guess_type(name)[0] or "application/octet-stream", source)


Attachable = Attachment | Path | BinaryIO
"""What a call takes as an attachment."""


def as_attachments(given: Iterable[Any]) -> tuple[Attachment, ...]:
    """Attachments of what a caller gave. Blocks for a moment where it asks the file system."""
    if isinstance(given, str | bytes | os.PathLike | Attachment):
        raise InvalidRequestError("attachments is a list, also for one file: attachments=[Path('photo.jpg')]")
    return tuple(_as_attachment(item) for item in given)


def _as_attachment(item: Any) -> Attachment:
    if isinstance(item, Attachment):
        return item
    if isinstance(item, os.PathLike):
        return Attachment.from_path(item)
    if isinstance(item, bytes | bytearray):
        raise InvalidRequestError("bytes need a name: Attachment.from_bytes(data, name='note.txt')")
    if hasattr(item, "read"):
        return Attachment.from_file(item)
    raise InvalidRequestError(f"an attachment is a Path, an open binary file or an Attachment, not {item!r:.80}")


def _basename(name: str) -> str:
    if not isinstance(name, str):
        raise InvalidRequestError(f"a file name must be text, not {type(name).__name__}")
    return re.split(r"[/\\]", name)[-1]


def _check_name(name: str) -> None:
    if name in ("", ".", "..") or len(name.encode(errors="replace")) > 255:
        raise InvalidRequestError(f"a file name has 1 to 255 bytes: {name!r:.80}")
    # Cc, Cs, Zl, Zp: controls, lone surrogates and line ends. Joiners stay: emoji and Indic scripts need them.
    if _BIDI.search(name) or any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in name):
        raise InvalidRequestError(f"a file name must not have control or bidi characters: {ascii(name)[:80]}")


def _check_content_type(value: str) -> None:
    if not isinstance(value, str) or not _CONTENT_TYPE.fullmatch(value):
        raise InvalidRequestError(f"a content type reads like image/png, not {ascii(value)[:80]}")


def _name_of(file: Any) -> str:
    name = getattr(file, "name", None)
    if not isinstance(name, str):
        raise InvalidRequestError("this file has no name: Attachment.from_file(file, name='note.txt')")
    return name


@attrs.frozen
class _BytesSource:
    data: bytes

    @property
    def length(self) -> int:
        return len(self.data)

    def open(self) -> Reader:
        return io.BytesIO(self.data)


@attrs.frozen
class _PathSource:
    path: Path
    length: int

    @classmethod
    def of(cls, path: Path) -> Self:
        try:
            found = path.stat()
        except (OSError, ValueError) as error:
            raise InvalidRequestError(f"cannot attach {str(path)!r}: {error}") from None
        if not stat.S_ISREG(found.st_mode):
            raise InvalidRequestError(f"cannot attach {str(path)!r}: only regular files are sent")
        if not os.access(path, os.R_OK):
            raise InvalidRequestError(f"cannot attach {str(path)!r}: it may not be read")
        return cls(path, found.st_size)

    def open(self) -> Reader:
        # Non-blocking, because what was a file a moment ago may be a FIFO now, and opening one waits for ever.
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(f"{str(self.path)!r} is no longer a regular file")
        return open(descriptor, "rb", buffering=0)


@attrs.frozen(eq=False)
class _FileSource:
    file: BinaryIO
    start: int
    length: int
    lock: Any = attrs.field(factory=threading.Lock)

    @classmethod
    def of(cls, file: Any) -> Self:
        if isinstance(file, io.TextIOBase):
            raise InvalidRequestError("the file is open in text mode; open it with 'rb'")
        try:
            start = file.tell()
            end = file.seek(0, os.SEEK_END)
            file.seek(start)
        except (OSError, ValueError, AttributeError) as error:
            raise InvalidRequestError(f"the file cannot be read from where it stands: {error}") from None
        return cls(file, start, (file.tell() if end is None else end) - start)

    def open(self) -> Reader:
        return _FilePass(self, self.start)


@attrs.define(eq=False)
class _FilePass:
    """Keeps its own position, so that one file object can be in two uploads at once."""

    source: _FileSource
    position: int

    def read(self, size: int, /) -> bytes:
        with self.source.lock:
            self.source.file.seek(self.position)
            data = self.source.file.read(size)
        self.position += len(data)
        return data

    def close(self) -> None:
        """The file is the caller's to close."""
