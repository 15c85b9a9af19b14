"""Bodies read chunk by chunk."""

import hashlib
import logging
import tracemalloc

import pytest

from lsq_service_async.emulator.multipart import PART_LIMIT, TEXT_LIMIT, Body, BodyReader, ReceivedFile

FORM = "multipart/form-data; boundary=xyz"
WHOLE = (
    b'--xyz\r\nContent-Disposition: form-data; name="ticketDTO"\r\n\r\n{"a": 1}\r\n'
    b'--xyz\r\nContent-Disposition: form-data; name="files"; filename="b\xc3\xbc \'1\'.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nline\r\n--xy\r\nz\r\n"
    b'--xyz\r\nContent-Disposition: form-data; name="files"; filename=""\r\n\r\n\r\n--xyz--\r\n'
)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def read(content_type, *chunks):
    reader = BodyReader(content_type)
    for chunk in chunks:
        reader.feed(chunk)
    return reader.finish()


def part(disposition, content="x"):
    return f"--xyz\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n".encode()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_the_size_of_chunks_makes_no_difference(size):
    """A form gives the same text and files, with name, type, size and SHA-256, in chunks of any size."""
    content = b"line\r\n--xy\r\nz"
    assert read(FORM, *(WHOLE[at : at + size] for at in range(0, len(WHOLE), size))) == Body(
        media_type="multipart/form-data",
        text=b'{"a": 1}',
        files=(
            ReceivedFile("bü '1'.txt", "text/plain", len(content), sha256(content)),
            ReceivedFile("", "", 0, sha256(b"")),
        ),
        size=len(WHOLE),
        sha256=sha256(WHOLE),
        problem=None,
    )


def test_json_is_kept_unchanged():
    """The text of a JSON body is the body, and parameters of its content type are ignored."""
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
        pytest.param(FORM, part('name="ticketDTO"') * 2, "one part ticketDTO", id="two ticketDTO"),
        pytest.param(FORM, part('name="ticketDTO"; filename="a"'), "one part ticketDTO", id="ticketDTO as a file"),
        pytest.param(FORM, part('name="files"'), "file parts must be named files", id="files without a file name"),
        pytest.param(FORM, part('name="file"; filename="a"'), "file parts must be named files", id="another name"),
        pytest.param(FORM, part(""), "file parts must be named files", id="no name"),
        pytest.param(FORM, b"--xyz\r\n\r\nx\r\n", "file parts must be named files", id="no disposition"),
        pytest.param(FORM, part('name="ticketDTO"', "x" * (TEXT_LIMIT + 1)), "longer than", id="long ticketDTO"),
        pytest.param("application/json", b"x" * (TEXT_LIMIT + 1), "longer than", id="long JSON"),
        pytest.param(FORM, part('name="files"; filename="a"') * (PART_LIMIT + 1), "more than 1000 parts", id="parts"),
        pytest.param(FORM, part(f'name="files"; filename="{"a" * 5000}"'), "header size", id="long value"),
        pytest.param(FORM, b"--xyz\r\n" + b"A" * 5000, "header size", id="long name"),
        pytest.param(FORM, b"--xyz\r\n" + b"A: b\r\n" * 9, "header count", id="many headers"),
    ],
)
def test_an_error_in_a_body_is_kept_as_its_problem(content_type, content, problem):
    """A body with an error is counted and hashed to its end."""
    body = read(content_type, content, b"more")
    assert problem in (body.problem or "")
    assert (body.size, body.sha256) == (len(content) + 4, sha256(content + b"more"))


def test_an_empty_form_is_an_error():
    """A form without a single byte has no closing boundary."""
    assert "no closing boundary" in read(FORM).problem


def test_a_form_without_a_ticket_has_no_text():
    """A form of files alone is well formed, and its text is None."""
    body = read(FORM, part('name="files"; filename="a"'), b"--xyz--")
    assert (body.text, len(body.files), body.problem) == (None, 1, None)


def test_a_file_of_any_size_takes_constant_memory(caplog):
    """Reading 64 MiB in chunks of 64 KiB takes less than 1 MiB of memory."""
    # Some versions of python-multipart log every chunk, and pytest keeps the records.
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
