"""Reading a request body of any size in constant memory: texts are kept, files are hashed as they come."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

TEXT_LIMIT = 1 << 20
"""Bytes of JSON that are kept; a longer text is not per specification."""

FORM_TYPE = "multipart/form-data"


@dataclass(frozen=True)
class SeenFile:
    """A file as it arrived: its name, its content type ("" when none was sent), its bytes counted and hashed."""

    name: str
    content_type: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Body:
    """A whole request body.

    ``text`` is the JSON: the body itself, or the part ``ticketDTO`` of a form (None when that is missing).
    ``problem`` says in a few words why it is not per specification; None when all is well.
    """

    media_type: str
    text: bytes | None
    files: tuple[SeenFile, ...]
    size: int
    sha256: str
    problem: str | None


class BodyReader:
    """Takes a body chunk by chunk. What is wrong with it is remembered, never raised: the rest is still counted."""

    def __init__(self, content_type: str) -> None:
        media_type, options = parse_options_header(content_type)
        self._media_type = media_type.decode("latin-1").lower()
        self._content = _Form(options.get(b"boundary", b"")) if self._media_type == FORM_TYPE else _Plain()
        self._problem: str | None = None
        self._sha256 = hashlib.sha256()
        self.size: int = 0

    def feed(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._sha256.update(chunk)
        self._try(chunk)

    def finish(self) -> Body:
        self._try(None)
        return Body(
            self._media_type,
            self._content.text,
            tuple(self._content.files),
            self.size,
            self._sha256.hexdigest(),
            self._problem,
        )

    def _try(self, chunk: bytes | None) -> None:
        if self._problem is not None:
            return
        try:
            self._content.end() if chunk is None else self._content.feed(chunk)
        except FormParserError as error:
            self._problem = str(error)


class _Plain:
    """The body is the text."""

    def __init__(self) -> None:
        self.text: bytes | None = b""
        self.files: list[SeenFile] = []
        self._kept = _KeptText()

    def feed(self, chunk: bytes) -> None:
        self._kept.feed(chunk)

    def end(self) -> None:
        self.text = bytes(self._kept.data)


class _Form:
    """The parts ``ticketDTO`` (one plain text) and ``files`` (any number of files); no other part is documented."""

    def __init__(self, boundary: bytes) -> None:
        self.text: bytes | None = None
        self.files: list[SeenFile] = []
        self._boundary = boundary
        self._parser: MultipartParser | None = None
        self._headers: dict[str, str] = {}
        self._name = bytearray()
        self._value = bytearray()
        self._part: _KeptText | _HashedFile = _KeptText()
        self._whole = False

    def feed(self, chunk: bytes) -> None:
        if self._parser is None:
            self._parser = self._open()
        self._parser.write(chunk)

    def end(self) -> None:
        if not self._whole:
            raise FormParserError("the form has no closing boundary")

    def _open(self) -> MultipartParser:
        if not self._boundary:
            raise FormParserError("the content type names no boundary")
        return MultipartParser(
            self._boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._keep_header,
                "on_headers_finished": self._open_part,
                "on_part_data": lambda data, start, end: self._part.feed(data[start:end]),
                "on_part_end": self._close_part,
                "on_end": self._close,
            },
        )

    def _keep_header(self) -> None:
        self._headers[_decoded(self._name).lower()] = _decoded(self._value)
        self._name.clear()
        self._value.clear()

    def _open_part(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", "").encode())
        name, is_file = options.get(b"name"), b"filename" in options
        if name == b"ticketDTO" and not is_file and self.text is None:
            self._part = _KeptText()
        elif name == b"files" and is_file:
            self._part = _HashedFile(_decoded(options[b"filename"]), self._headers.get("content-type", ""))
        else:
            raise FormParserError("a form has one plain text part ticketDTO, and file parts called files")

    def _close_part(self) -> None:
        if isinstance(self._part, _HashedFile):
            self.files.append(self._part.seen())
        else:
            self.text = bytes(self._part.data)

    def _close(self) -> None:
        self._whole = True


class _KeptText:
    def __init__(self) -> None:
        self.data = bytearray()

    def feed(self, chunk: bytes) -> None:
        self.data += chunk
        if len(self.data) > TEXT_LIMIT:
            raise FormParserError(f"the JSON is longer than {TEXT_LIMIT} bytes")


class _HashedFile:
    def __init__(self, name: str, content_type: str) -> None:
        self._name = name
        self._content_type = content_type
        self._size = 0
        self._sha256 = hashlib.sha256()

    def feed(self, chunk: bytes) -> None:
        self._size += len(chunk)
        self._sha256.update(chunk)

    def seen(self) -> SeenFile:
        return SeenFile(self._name, self._content_type, self._size, self._sha256.hexdigest())


def _decoded(raw: bytes | bytearray) -> str:
    # Form headers are UTF-8 by habit, not by rule: a name in another charset is kept readable, not refused.
    return raw.decode("utf-8", "replace")
