"""Attachments: a name, a content type, and a source of bytes that every attempt of a call reads from the beginning."""

from __future__ import annotations

import inspect
import io
import os
import re
from collections.abc import AsyncIterable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

import attrs

from ._attachment_sources import (
    BytesSource,
    FileSource,
    FolderSource,
    PathSource,
    Reader,
    Source,
    SpooledSource,
    check_length,
    checked,
    chunks_of,
    in_thread,
)
from ._attachment_types import content_type_of
from .errors import INVISIBLE, InvalidRequestError, printable, shown

__all__ = ["Attachable", "Attachment", "Reader", "as_attachments", "as_tuple", "check_length", "in_thread"]

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,127}"
_PARAMETER = rf'; ?{_WORD}=(?:{_WORD}|"[ !#-\[\]-~]{{0,127}}")'
_CONTENT_TYPE = re.compile(rf"{_WORD}/{_WORD}(?:{_PARAMETER}){{0,4}}")


def _file_name(name: object) -> str:
    """Return the last part of a POSIX or Windows path, or raise InvalidRequestError."""
    if not isinstance(name, str):
        raise InvalidRequestError(f"a file name must be text, not {type(name).__name__}")
    base = re.split(r"[/\\]", name)[-1]
    if base in ("", ".", ".."):
        raise InvalidRequestError(f"this is not a file name: '{printable(name, 80)}'")
    if INVISIBLE.search(base):
        raise InvalidRequestError(f"a file name must not have invisible characters: '{printable(base, 80)}'")
    if len(base.encode()) > 255:
        raise InvalidRequestError(f"a file name must have at most 255 bytes in UTF-8: '{printable(base, 80)}'")
    return base


def _check_content_type(_: Any, attribute: Any, value: Any) -> None:
    """Require a media type. A line break in the type would add a header to the body."""
    if not isinstance(value, str) or not _CONTENT_TYPE.fullmatch(value):
        raise InvalidRequestError(f"a content type must look like image/png, not {shown(value)}")


def _check_source(_: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, Source):
        raise InvalidRequestError(
            f"use a method such as Attachment.from_bytes instead of Attachment(...): {shown(value)} is not a source"
        )


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Raise InvalidRequestError instead of any other exception of the caller's objects."""
    try:
        yield
    except InvalidRequestError:
        raise
    except Exception as error:
        raise InvalidRequestError(f"{what}: {error!r}") from error


class Upload(Protocol):
    """An uploaded file of a web framework: its bytes are in ``file`` (Starlette) or ``stream`` (Quart, Flask)."""

    filename: str | None


@attrs.frozen
class Attachment:
    """A file to send. Create it with one of the ``from_`` methods. Each attempt of a call sends the whole file.

    ``name`` is a file name of at most 255 bytes, without control or other invisible characters. If ``name`` is a path,
    only its last part is used. By default, ``content_type`` is guessed from the suffix of the name. A name or content
    type that is not valid raises InvalidRequestError.
    """

    name: str = attrs.field(converter=_file_name)
    content_type: str = attrs.field(validator=_check_content_type)
    source: Source = attrs.field(validator=_check_source, repr=False)

    @property
    def length(self) -> int | None:
        """The number of bytes. None until a stream is copied, or until a file of `from_folder` is checked."""
        return self.source.length

    @classmethod
    @_refusing("the path cannot be used")
    def from_path(
        cls,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        content_type: str | None = None,
        follow_symlinks: bool = True,
    ) -> Self:
        """Attach a regular file. Each attempt opens it again, so the file must not change before the call ends.

        This method blocks, because it opens the file to check it. Raises InvalidRequestError if the file cannot be read
        or is not a regular file, or if the path is a symbolic link and ``follow_symlinks=False``.
        """
        if not isinstance(follow_symlinks, bool):
            raise InvalidRequestError(f"follow_symlinks must be True or False, not {shown(follow_symlinks)}")
        source = PathSource.of(Path(path), follow=follow_symlinks)
        return cls._make(Path(path).name if name is None else name, content_type, source)

    @classmethod
    @_refusing("the folder cannot be used")
    def from_folder(cls, folder: str | os.PathLike[str], path: str, *, max_file_bytes: int | None = None) -> Self:
        """Attach a regular file below a folder. The path may be untrusted text, such as a cell of a table.

        ``path`` is relative to ``folder``. The file is checked when a call sends it. If the file is not below
        ``folder`` after symbolic links are resolved, or has more than ``max_file_bytes``, the call raises
        InvalidRequestError. To check the file earlier, await the attachment.
        """
        if max_file_bytes is not None and (type(max_file_bytes) is not int or max_file_bytes < 0):
            text = "max_file_bytes must be a whole number of at least 0, or None"
            raise InvalidRequestError(f"{text}, not {shown(max_file_bytes)}")
        return cls._make(path, None, FolderSource(Path(folder), path, max_file_bytes))

    @classmethod
    @_refusing("the bytes cannot be used")
    def from_bytes(cls, data: bytes, *, name: str, content_type: str | None = None) -> Self:
        """Attach bytes in memory."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidRequestError(f"an attachment consists of bytes, not {type(data).__name__}")
        return cls._make(name, content_type, BytesSource(bytes(data)))

    @classmethod
    @_refusing("the file cannot be read")
    def from_file(cls, file: BinaryIO, *, name: str | None = None, content_type: str | None = None) -> Self:
        """Attach an open binary file, from its position to its end. Keep the file open until the call ends.

        A file that is not seekable, such as a pipe, is first copied to a temporary file. If a read of a pipe blocks,
        the program cannot exit before this read returns, even after a deadline or a cancellation. A file that is
        closed, asynchronous or in text mode raises InvalidRequestError, and so does a seekable file that was read to
        its end. ``name`` defaults to the name of the file.
        """
        source = _source_of(file)
        name = getattr(file, "name", None) if name is None else name
        if not isinstance(name, str):
            raise InvalidRequestError("the file has no name: use Attachment.from_file(file, name='note.txt')")
        return cls._make(name, content_type, source)

    @classmethod
    def from_async_iterable(cls, chunks: AsyncIterable[bytes], *, name: str, content_type: str | None = None) -> Self:
        """Attach a stream of bytes. Before it is sent, it is copied to a temporary file (mode 0600, without a name).

        The first call that sends the attachment makes the copy. To copy the stream earlier, await the attachment:
        ``attachment = await Attachment.from_async_iterable(...)``.
        """
        if not hasattr(chunks, "__aiter__"):
            raise InvalidRequestError(f"chunks must be an async iterable of bytes, not {type(chunks).__name__}")
        return cls._make(name, content_type, SpooledSource(checked(chunks)))

    @classmethod
    def _make(cls, name: str, content_type: str | None, source: Source) -> Self:
        base = _file_name(name)
        return cls(base, content_type_of(base) if content_type is None else content_type, source)

    def __await__(self) -> Generator[Any, Any, Self]:
        """Copy a stream to its temporary file now, or check a file of `from_folder` now. Return the attachment."""
        yield from self.source.prepare(lambda length: None).__await__()
        return self


Attachable = Attachment | Path | BinaryIO | Upload | tuple[str, bytes | BinaryIO] | tuple[str, bytes | BinaryIO, str]
"""Everything that a call accepts as an attachment. A tuple is (name, content) or (name, content, content type)."""


@_refusing("the attachments cannot be used")
def as_tuple(given: Iterable[Attachable] | None) -> tuple[Attachable, ...]:
    """Return the attachments of a call as a tuple, without opening them."""
    if given is None:
        return ()
    # An open file is iterable too, but its lines are not attachments.
    is_file = hasattr(given, "read") or isinstance(given, os.PathLike | io.IOBase)
    if is_file or isinstance(given, str | bytes | bytearray | memoryview | Mapping) or not isinstance(given, Iterable):
        raise InvalidRequestError("attachments must be a list, even for one file: attachments=[Path('photo.jpg')]")
    return tuple(given)


@_refusing("an attachment cannot be used")
def as_attachments(given: Iterable[Attachable]) -> tuple[Attachment, ...]:
    """Return the attachments of a call as `Attachment` objects. Blocks if it opens files."""
    return tuple(map(_as_attachment, as_tuple(given)))


def _as_attachment(item: Any) -> Attachment:
    if isinstance(item, Attachment):
        return item
    if isinstance(item, os.PathLike):
        return Attachment.from_path(item)
    if isinstance(item, bytes | bytearray):
        raise InvalidRequestError("bytes need a name: use Attachment.from_bytes(data, name='note.txt')")
    if type(item) is tuple and len(item) in (2, 3):
        name, content, content_type = (*item, None)[:3]
        if hasattr(content, "read"):
            return Attachment.from_file(content, name=name, content_type=content_type)
        return Attachment.from_bytes(content, name=name, content_type=content_type)
    file = next((getattr(item, name) for name in ("file", "stream") if hasattr(item, name)), None)
    if hasattr(item, "filename") and file is not None:
        return _from_upload(file, item.filename, getattr(item, "content_type", None))
    if hasattr(item, "read"):
        return Attachment.from_file(item)
    what = "a Path, an open binary file, an Attachment or a tuple (name, bytes, type)"
    raise InvalidRequestError(f"an attachment must be {what}, not {shown(item)}")


def _from_upload(file: Any, name: Any, content_type: str | None) -> Attachment:
    """Attach an uploaded file from its beginning. End users choose its name, so invisible characters are removed."""
    with suppress(AttributeError, OSError, ValueError):
        file.seek(0)
    if not name:
        raise InvalidRequestError("the upload has no file name; perhaps no file was chosen in the form")
    name = INVISIBLE.sub("", name) if isinstance(name, str) else name
    return Attachment.from_file(file, name=name, content_type=content_type or None)


def _source_of(file: Any) -> Source:
    if not callable(getattr(file, "read", None)):
        raise InvalidRequestError(f"file must be an open binary file, not {type(file).__name__}")
    if inspect.iscoroutinefunction(file.read):
        raise InvalidRequestError("the file is asynchronous; open it without async, or use Attachment.from_path")
    if isinstance(file, io.TextIOBase):
        raise InvalidRequestError("the file is open in text mode; open it with 'rb'")
    if getattr(file, "closed", False):
        raise InvalidRequestError("the file is closed; keep it open until the call ends")
    try:
        seekable = file.seekable()
    except AttributeError:
        seekable = hasattr(file, "seek") and hasattr(file, "tell")
    return FileSource.of(file) if seekable else SpooledSource(checked(chunks_of(file)))
