"""Bodies read chunk by chunk."""

from __future__ import annotations

import hashlib
import logging
import tracemalloc

import pytest

from lsq_service_async.emulator.multipart import TEXT_LIMIT, Body, BodyReader, ReceivedFile

FORM = "multipart/form-data; boundary=xyz"
WHOLE = (
    b'--xyz\r\nContent-Disposition: form-data; name="ticketDTO"\r\n\r\n{"a": 1}\r\n'
    b'--xyz\r\nContent-Disposition: form-data; name="files"; filename="b\xc3\xbc \'1\'.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nline\r\n--xy\r\nz\r\n"
    b'--xyz\r\nContent-Disposition: form-data; name="files"; filename=""\r\n\r\n\r\n--xyz--\r\n'
)


def read(content_type: str, *chunks: bytes) -> Body:
    reader = BodyReader(content_type)
    for chunk in chunks:
        reader.feed(chunk)
    return reader.finish()


def part(disposition: str, content: str = "x") -> bytes:
    return f"--xyz\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n".encode()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_a_form_is_the_same_however_it_is_cut(size: int) -> None:
    """One byte at a time or all at once: the same text, the same files with name, type, length and SHA-256."""
    body = read(FORM, *(WHOLE[at : at + size] for at in range(0, len(WHOLE), size)))
    content = b"line\r\n--xy\r\nz"
    assert (
        Body(
            media_type="multipart/form-data",
            text=b'{"a": 1}',
            files=(
                ReceivedFile("bü '1'.txt", "text/plain", len(content), hashlib.sha256(content).hexdigest()),
                ReceivedFile("", "", 0, hashlib.sha256(b"").hexdigest()),
            ),
            size=len(WHOLE),
            sha256=hashlib.sha256(WHOLE).hexdigest(),
            problem=None,
        )
        == body
    )


def test_json_is_kept_as_it_came() -> None:
    """The text is the body, the parameters of its content type aside."""
    body = read("Application/JSON; charset=utf-8", b'{"a"', b": 1}")
    assert (body.media_type, body.text, body.files, body.problem) == ("application/json", b'{"a": 1}', (), None)


@pytest.mark.parametrize(
    ("content_type", "content", "problem"),
    [
        pytest.param("multipart/form-data", WHOLE, "no boundary", id="no boundary in the header"),
        pytest.param("multipart/form-data; boundary=", WHOLE, "no boundary", id="empty boundary"),
        pytest.param(f"multipart/form-data; boundary={'x' * 300}", WHOLE, "oundary", id="endless boundary"),
        pytest.param("multipart/form-data; boundary=other", WHOLE, "boundary", id="another boundary"),
        pytest.param(FORM, WHOLE[:-20], "no closing boundary", id="cut"),
        pytest.param(FORM, part('name="ticketDTO"') * 2, "one plain text part", id="two ticketDTO"),
        pytest.param(FORM, part('name="ticketDTO"; filename="a"'), "one plain text part", id="ticketDTO as a file"),
        pytest.param(FORM, part('name="files"'), "file parts called files", id="files that is no file"),
        pytest.param(FORM, part('name="file"; filename="a"'), "file parts called files", id="another name"),
        pytest.param(FORM, part(""), "file parts called files", id="no name"),
        pytest.param(FORM, b"--xyz\r\n\r\nx\r\n", "file parts called files", id="no disposition"),
        pytest.param(FORM, part('name="ticketDTO"', "x" * (TEXT_LIMIT + 1)), "longer than", id="long ticketDTO"),
        pytest.param("application/json", b"x" * (TEXT_LIMIT + 1), "longer than", id="long JSON"),
    ],
)
def test_what_is_wrong_with_a_body_is_remembered(content_type: str, content: bytes, problem: str) -> None:
    """It is said in words, and the body is counted and hashed to its end all the same."""
    body = read(content_type, content, b"more")
    assert problem in (body.problem or "")
    assert (len(content) + 4, hashlib.sha256(content + b"more").hexdigest()) == (body.size, body.sha256)


def test_an_empty_form_is_no_form() -> None:
    """Not a byte: the boundary that closes it is missing."""
    assert "no closing boundary" in (read(FORM).problem or "")


def test_a_form_without_a_ticket_has_no_text() -> None:
    """Files alone are well formed; that the ticket is missing shows as None."""
    body = read(FORM, part('name="files"; filename="a"'), b"--xyz--")
    assert (body.text, len(body.files), body.problem) == (None, 1, None)


def test_a_file_of_any_size_takes_constant_memory(caplog: pytest.LogCaptureFixture) -> None:
    """64 MiB in chunks of 64 KiB leave less than 1 MiB behind at any moment."""
    # Some versions log every chunk, and pytest keeps what is logged.
    caplog.set_level(logging.WARNING, "python_multipart")
    chunk, reader = b"x" * 65536, BodyReader(FORM)
    tracemalloc.start()
    try:
        reader.feed(part('name="files"; filename="big"', "")[:-2])
        for _ in range(1024):
            reader.feed(chunk)
        reader.feed(b"\r\n--xyz--")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (reader.finish().files[0].size, peak < 1 << 20) == (64 << 20, True)
