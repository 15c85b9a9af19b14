"""Reads request bodies of any size in constant memory. Files are hashed as they arrive."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

TEXT_LIMIT = 1 << 20
"""The largest size of a JSON text in bytes."""

PART_LIMIT = 1000
"""The largest number of parts in a form."""

FORM_TYPE = "multipart/form-data"


@dataclass(frozen=True)
class ReceivedFile:
    """A received file: its name, content type ("" if none was sent), size in bytes, and SHA-256."""

    name: str
    content_type: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Body:
    """A whole request body.

    ``text`` is the JSON: the body itself, or the part ``ticketDTO`` of a form. ``problem`` is the reason why the body
    does not match the vendor's pages, or None. ``contents`` has the stored files, by their SHA-256.
    """

    media_type: str
    text: bytes | None
    files: tuple[ReceivedFile, ...]
    size: int
    sha256: str
    problem: str | None
    contents: Mapping[str, bytes] = field(default_factory=dict)


@dataclass
class _Part:
    """A JSON body, or a part of a form. A file is hashed, and is stored only with ``keep``."""

    keep: bool = False
    file_name: str | None = None
    content_type: str = ""
    size: int = 0
    text: bytearray = field(default_factory=bytearray)
    sha256: Any = field(default_factory=hashlib.sha256)

    def feed(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.file_name is not None:
            self.sha256.update(chunk)
            self.text += chunk if self.keep else b""
        elif self.size > TEXT_LIMIT:
            raise FormParserError(f"the JSON is longer than {TEXT_LIMIT} bytes")
        else:
            self.text += chunk


class BodyReader:
    """Reads a body chunk by chunk. With ``keep``, the contents of files are stored.

    The first error becomes the ``problem`` of the body. After an error, bytes are only counted and hashed.
    """

    def __init__(self, content_type: str, *, keep: bool = False) -> None:
        media_type, options = parse_options_header(content_type)
        self.size: int = 0
        self._media_type = media_type.decode("latin-1").lower()
        self._sha256 = hashlib.sha256()
        self._text: bytes | None = None
        self._files: list[ReceivedFile] = []
        self._keep, self._contents = keep, dict[str, bytes]()
        self._problem: str | None = None
        self._is_complete = False
        self._headers: dict[str, str] = {}
        self._name, self._value = bytearray(), bytearray()
        self._parts = 0
        self._part = _Part()
        self._write: Callable[[bytes], object] = self._part.feed
        if self._media_type == FORM_TYPE:
            boundary = options.get(b"boundary", b"")
            self._problem = None if boundary else "the content type has no boundary"
            try:
                self._write = MultipartParser(
                    boundary,
                    {
                        "on_part_begin": self._begin_part,
                        "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
                        "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                        "on_header_end": self._keep_header,
                        "on_headers_finished": self._open_part,
                        "on_part_data": lambda data, start, end: self._part.feed(data[start:end]),
                        "on_part_end": self._close_part,
                        "on_end": lambda: setattr(self, "_is_complete", True),
                    },
                ).write
            except FormParserError as error:
                self._problem = str(error)

    def feed(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._sha256.update(chunk)
        if self._problem is None:
            try:
                self._write(chunk)
            except FormParserError as error:
                self._problem = str(error)

    def finish(self) -> Body:
        if self._media_type != FORM_TYPE:
            self._close_part()
        elif self._problem is None and not self._is_complete:
            self._problem = "the form has no closing boundary"
        digest = self._sha256.hexdigest()
        files = tuple(self._files)
        return Body(self._media_type, self._text, files, self.size, digest, self._problem, self._contents)

    def _begin_part(self) -> None:
        self._headers.clear()
        self._parts += 1
        if self._parts > PART_LIMIT:
            raise FormParserError(f"the form has more than {PART_LIMIT} parts")

    def _keep_header(self) -> None:
        self._headers[self._name.decode("utf-8", "replace").lower()] = self._value.decode("utf-8", "replace")
        self._name.clear()
        self._value.clear()

    def _open_part(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", "").encode())
        name, is_file = options.get(b"name"), b"filename" in options
        if name == b"ticketDTO" and not is_file and self._text is None:
            self._part = _Part()
        elif name == b"files" and is_file:
            file_name = options[b"filename"].decode("utf-8", "replace")
            self._part = _Part(self._keep, file_name, self._headers.get("content-type", ""))
        else:
            text = "a form must have one part ticketDTO without a file name, and its file parts must be named files"
            raise FormParserError(text)

    def _close_part(self) -> None:
        part = self._part
        if part.file_name is None:
            self._text = bytes(part.text)
        else:
            digest = part.sha256.hexdigest()
            self._files.append(ReceivedFile(part.file_name, part.content_type, part.size, digest))
            if part.keep:
                self._contents[digest] = bytes(part.text)
