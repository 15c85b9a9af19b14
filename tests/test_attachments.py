"""Attachments: each source can be read completely any number of times, and unsuitable values raise clear errors."""

import asyncio
import gc
import gzip
import io
import lzma
import mimetypes
import os
import socket
import tempfile
import threading
from collections import namedtuple
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsq_service_async import Attachment, InvalidRequestError
from lsq_service_async.attachments import as_attachments, as_tuple

DATA = bytes(range(256)) * 5000  # more than one chunk of 1 MiB


def whole(attachment, size=70_000):
    """Read an attachment once, as the transport does."""
    reader = attachment.source.open()
    try:
        return b"".join(iter(lambda: reader.read(size), b""))
    finally:
        reader.close()


async def prepared(attachment):
    return await attachment


async def chunks(*parts):
    for part in parts:
        await asyncio.sleep(0)
        yield part


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(DATA)
    return path


async def test_a_path_is_opened_for_each_reader(path):
    """A path is opened for each reader and gives the same bytes every time."""
    attachment = await prepared(Attachment.from_path(path))
    assert (attachment.name, attachment.length) == ("data.bin", len(DATA))
    assert attachment.content_type == "application/octet-stream"
    assert whole(attachment) == whole(attachment) == DATA


async def test_a_file_that_was_replaced_is_not_sent(path):
    """Another file with the path and the length of the one that was attached may be anything."""
    attachment = Attachment.from_path(path)
    (path.parent / "other").write_bytes(bytes(len(DATA)))
    (path.parent / "other").replace(path)
    with pytest.raises(ValueError, match="another file has replaced it"):
        attachment.source.open()


@pytest.mark.parametrize("follow", [True, False])
def test_a_path_is_checked_without_the_flags_of_posix(path, tmp_path, monkeypatch, follow):
    """On Windows, which has neither flag, folders and links are recognised before the file is opened."""
    monkeypatch.delattr(os, "O_NOFOLLOW")
    monkeypatch.delattr(os, "O_NONBLOCK")
    link = tmp_path / "link"
    link.symlink_to(path)
    assert whole(Attachment.from_path(path, follow_symlinks=follow)) == DATA
    with pytest.raises(InvalidRequestError, match="only regular files can be sent"):
        Attachment.from_path(tmp_path, follow_symlinks=follow)
    if follow:
        assert whole(Attachment.from_path(link)) == DATA
    else:
        with pytest.raises(InvalidRequestError, match="symbolic link"):
            Attachment.from_path(link, follow_symlinks=False)


@pytest.mark.parametrize("has_dir_fd", [True, False])
async def test_a_file_below_a_folder_is_checked_when_it_is_sent(path, tmp_path, monkeypatch, has_dir_fd):
    """A name from untrusted text is relative to the folder; links inside of the folder are followed."""
    if not has_dir_fd:  # Windows
        monkeypatch.setattr(os, "supports_dir_fd", set())
    (tmp_path / "in" / "deep").mkdir(parents=True)
    attachment = Attachment.from_folder(tmp_path, "in/deep/data.bin")
    assert (attachment.name, attachment.length) == ("data.bin", None)
    with pytest.raises(InvalidRequestError, match=f"cannot attach 'in/deep/data.bin' from '{tmp_path}': No such file"):
        await attachment
    (tmp_path / "in" / "deep" / "data.bin").symlink_to(path)
    assert whole(await attachment) == DATA
    assert attachment.length == len(DATA)
    with pytest.raises(InvalidRequestError, match=r"'in/deep/data\.bin' has more than the 5 bytes"):
        await Attachment.from_folder(tmp_path, "in/deep/data.bin", max_file_bytes=5)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../data.bin", "it is not below this folder"),
        ("/etc/passwd", "it is not below this folder"),
        ("out", "it is not below this folder"),
        ("outer/data.bin", "it is not below this folder"),
        ("loop", "Too many levels of symbolic links"),
        ("here", "only regular files can be sent"),
        ("fifo", "only regular files can be sent"),
    ],
)
async def test_no_name_and_no_link_leads_out_of_a_folder(path, tmp_path, name, reason):
    """The error names the folder."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "out").symlink_to(path)
    (folder / "outer").symlink_to(tmp_path)
    (folder / "loop").symlink_to("loop")
    (folder / "here").symlink_to(".")
    os.mkfifo(folder / "fifo")
    with pytest.raises(InvalidRequestError, match=reason):
        await Attachment.from_folder(folder, name)


async def test_a_folder_that_becomes_a_link_after_the_check_is_not_followed(path, tmp_path, monkeypatch):
    """Each folder of a path is opened without following links, so that no moment is left for an exchange."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "data.bin").write_bytes(b"inner")
    attachment = await Attachment.from_folder(folder, "deep/data.bin")
    resolve = os.path.realpath

    def exchange(name, **options):
        found = resolve(name, **options)
        if str(name).endswith("data.bin"):
            (folder / "deep").rename(folder / "moved")
            (folder / "deep").symlink_to(tmp_path)
        return found

    monkeypatch.setattr(os.path, "realpath", exchange)
    with pytest.raises(InvalidRequestError, match=r"Too many levels|Not a directory"):
        await attachment


async def test_bytes_are_copied():
    """A bytearray that changes later does not change the attachment."""
    data = bytearray(b"hello")
    attachment = await prepared(Attachment.from_bytes(data, name="note.txt"))
    data[:] = b"other"
    assert (whole(attachment), attachment.length, attachment.content_type) == (b"hello", 5, "text/plain")


async def test_an_open_file_is_read_from_its_position(path):
    """An open file is read from its position each time, and stays open."""
    with path.open("rb") as file:
        file.seek(1000)
        attachment = await prepared(Attachment.from_file(file))
        assert (attachment.name, attachment.length) == (str(path.name), len(DATA) - 1000)
        assert whole(attachment) == whole(attachment) == DATA[1000:]
        assert not file.closed


async def test_one_file_may_have_two_readers(path):
    """Two readers of one open file keep their own positions."""
    with path.open("rb") as file:
        attachment = Attachment.from_file(file)
        one, two = attachment.source.open(), attachment.source.open()
        mixed = [(one.read(1000), two.read(1000)) for _ in range(len(DATA) // 1000 + 1)]
    assert b"".join(first for first, _ in mixed) == b"".join(second for _, second in mixed) == DATA


async def test_a_stream_is_copied_first():
    """An async iterable has a length after it was copied, and can be read any number of times."""
    attachment = Attachment.from_async_iterable(chunks(DATA, b"", b"end"), name="stream.bin")
    assert attachment.length is None
    with pytest.raises(ValueError, match="not been copied"):
        attachment.source.open()
    await asyncio.gather(prepared(attachment), prepared(attachment))
    assert attachment.length == len(DATA) + 3
    assert whole(attachment) == whole(attachment) == DATA + b"end"


async def test_an_async_iterable_needs_no_aclose():
    """An async iterable without aclose is accepted."""

    class Parts:
        def __init__(self):
            self.left = [b"a", b"b"]

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop(0)

    assert whole(await Attachment.from_async_iterable(Parts(), name="a")) == b"ab"


async def test_awaiting_an_attachment_reads_its_stream():
    """Awaiting an attachment reads its stream, so that its length is known before the call."""
    attachment = await Attachment.from_async_iterable(chunks(b"abc"), name="a")
    assert (attachment.length, whole(attachment)) == (3, b"abc")
    assert (await Attachment.from_bytes(b"x", name="x")).length == 1


@pytest.mark.parametrize("close", [True, False])
async def test_a_pipe_is_copied_first(close):
    """A pipe, which cannot be rewound, is copied and can be read twice."""
    left, right = os.pipe()
    with os.fdopen(left, "rb") as read_end, os.fdopen(right, "wb") as write_end:
        write_end.write(b"from a pipe")
        write_end.close()
        attachment = await prepared(Attachment.from_file(read_end, name="pipe.txt"))
        if close:
            read_end.close()
        assert whole(attachment) == whole(attachment) == b"from a pipe"


async def test_a_pipe_that_returns_none_is_refused():
    """A non-blocking pipe that returns None is refused instead of being sent as if it had ended."""
    left, right = os.pipe()
    os.set_blocking(left, False)
    with os.fdopen(left, "rb", buffering=0) as read_end, os.fdopen(right, "wb", buffering=0) as write_end:
        write_end.write(b"first half")
        with pytest.raises(InvalidRequestError, match="not NoneType"):
            await Attachment.from_file(read_end, name="a")


async def test_pipes_that_block_do_not_delay_other_attachments():
    """Pipes that block use their own threads, so that other attachments can be read meanwhile."""
    pipes = [os.pipe() for _ in range(40)]
    files = [os.fdopen(left, "rb", buffering=0) for left, _ in pipes]
    waiting = [asyncio.ensure_future(prepared(Attachment.from_file(file, name="a"))) for file in files]
    await asyncio.sleep(0.1)
    async with asyncio.timeout(5):
        assert whole(await Attachment.from_async_iterable(chunks(b"abc"), name="b")) == b"abc"
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
    for (_, right), file in zip(pipes, files, strict=True):
        os.close(right)
        file.close()


async def test_a_copy_that_is_cancelled_before_it_began_can_be_made_later(monkeypatch):
    """A copy that is cancelled before it read anything can be made later, and its late temporary file is closed."""
    made, go_on = [], threading.Event()
    temporary_file = tempfile.TemporaryFile

    def slowly(mode):
        go_on.wait(5)
        made.append(temporary_file(mode))
        return made[0]

    attachment = Attachment.from_async_iterable(chunks(b"abc"), name="a")
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "TemporaryFile", slowly)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await attachment
        go_on.set()
        async with asyncio.timeout(5):
            while not (made and made[0].closed):  # noqa: ASYNC110 -- a thread makes it
                await asyncio.sleep(0.01)
    assert whole(await attachment) == b"abc"


async def test_a_pipe_that_was_closed_is_refused():
    """A pipe that was closed before it is read raises InvalidRequestError."""
    left, right = os.pipe()
    os.close(right)
    with os.fdopen(left, "rb", buffering=0) as read_end:
        attachment = Attachment.from_file(read_end, name="a")
    with pytest.raises(InvalidRequestError, match="the file cannot be read"):
        await attachment


async def test_a_stream_of_text_is_refused():
    """A stream that returns text raises InvalidRequestError."""

    class Text:
        def read(self, size):
            return "text"

    with pytest.raises(InvalidRequestError, match="not str"):
        await Attachment.from_file(Text(), name="a")


@pytest.mark.parametrize("given", [None, "photo.jpg", Path("photo.jpg"), b"data", 5, iter([b"a"])])
def test_from_file_needs_a_file(given):
    """from_file refuses a value without a read method."""
    with pytest.raises(InvalidRequestError, match="must be an open binary file"):
        Attachment.from_file(given, name="a")


@pytest.mark.parametrize("given", [5, 0, False, "", b"", bytearray(), memoryview(b""), {}, {"a.txt": b"x"}])
def test_attachments_are_a_list(given):
    """A call refuses attachments that are not a list, also those that are empty. None is no attachment."""
    with pytest.raises(InvalidRequestError, match="must be a list"):
        as_tuple(given)
    assert as_tuple(None) == ()


def test_an_open_file_is_not_a_list_of_lines():
    """A file that is not in a list is refused, also at its end, where it has no more lines."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"hello")
        with pytest.raises(InvalidRequestError, match="must be a list"):
            as_tuple(file)


class Async:
    """A file of anyio or aiofiles."""

    async def read(self, size=-1):
        return b""

    seekable = seek = tell = read


class Broken(io.BytesIO):
    """A file and an upload whose methods fail."""

    def fail(self, *_):
        raise ZeroDivisionError("broken")

    seekable = fail
    filename = property(fail)


def damaged(compression):
    data = bytearray(compression.compress(DATA))
    data[50:60] = bytes(10)
    return compression.open(io.BytesIO(data))


def placed(position):
    file = io.BytesIO(DATA)
    file.seek(position)
    return file


def released():
    with memoryview(DATA) as data:
        return data


def detached():
    file = io.BufferedReader(io.BytesIO(DATA))
    file.detach()
    return file


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(DATA)[:-9])), "cannot be read: EOFError"),
        (lambda: damaged(gzip), "cannot be read: "),
        (lambda: damaged(lzma), "cannot be read: LZMAError"),
        (detached, "cannot be read: ValueError"),
        (lambda: Broken(DATA), "cannot be read: ZeroDivisionError"),
        (Async, "is asynchronous"),
        (lambda: placed(len(DATA)), "at its end"),
        (lambda: placed(len(DATA) + 5), "at its end"),
    ],
    ids=["cut gzip", "damaged gzip", "damaged xz", "detached", "broken", "async", "at its end", "beyond its end"],
)
def test_a_file_that_cannot_be_read_is_an_invalid_request(make, says):
    """The error is the same however the file is attached, whatever the file raises, and no warning is left."""
    for attach in (lambda file: Attachment.from_file(file, name="a"), lambda file: as_attachments([("a", file)])):
        with pytest.raises(InvalidRequestError, match=says):
            attach(make())


@pytest.mark.parametrize(
    ("attach", "says"),
    [
        (lambda: Attachment.from_path(None), "path cannot be used: TypeError"),
        (lambda: Attachment.from_path(b"/a"), "path cannot be used: TypeError"),
        (lambda: as_attachments(list(os.scandir(b"/"))), "path cannot be used: TypeError"),
        (lambda: as_attachments([Broken()]), "an attachment cannot be used: ZeroDivisionError"),
        (lambda: as_tuple(1 / 0 for _ in [1]), "attachments cannot be used: ZeroDivisionError"),
        (lambda: Attachment.from_bytes(released(), name="a"), "bytes cannot be used: ValueError"),
        (lambda: Attachment.from_folder(None, "a"), "folder cannot be used: TypeError"),
        (lambda: Attachment.from_folder("/", "a", max_file_bytes="5"), "max_file_bytes must be a whole number"),
        (lambda: Attachment.from_folder("/", "a", max_file_bytes=True), "max_file_bytes must be a whole number"),
        (lambda: Attachment.from_folder("/", "a", max_file_bytes=-1), "max_file_bytes must be a whole number"),
        (lambda: Attachment.from_path(__file__, follow_symlinks="no"), "follow_symlinks must be True or False"),
        (lambda: Attachment("a.txt", "text/plain", b"x"), "such as Attachment.from_bytes"),
    ],
)  # fmt: skip
def test_any_wrong_argument_is_an_invalid_request(attach, says):
    """A wrong argument, also an object whose methods fail, raises InvalidRequestError when the attachment is made."""
    with pytest.raises(InvalidRequestError, match=says):
        attach()


async def test_an_object_that_cannot_seek_is_copied_first():
    """An object that has only a read method is copied before it is sent."""

    class Once:
        def __init__(self):
            self.parts = [b"a", b"b"]

        def read(self, size):
            return self.parts.pop(0) if self.parts else b""

    attachment = await prepared(Attachment.from_file(Once(), name="once"))
    assert whole(attachment) == b"ab"
    left, right = socket.socketpair()
    with left, right, left.makefile("rb") as file:
        right.sendall(b"x")
        right.shutdown(socket.SHUT_WR)
        assert whole(await prepared(Attachment.from_file(file, name="s"))) == b"x"


async def test_the_copy_is_private_and_gone_with_its_last_user(tmp_path, monkeypatch):
    """The temporary file has mode 0600 and no name, and is closed with its attachment."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    attachment = await Attachment.from_async_iterable(chunks(b"private"), name="a")
    descriptor = attachment.source.spool.file.fileno()
    assert os.fstat(descriptor).st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == []
    del attachment
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


async def test_a_copy_that_failed_is_not_sent(tmp_path):
    """A stream that fails raises its error, and a later call does not send the rest."""

    async def breaking():
        yield b"first half"
        raise RuntimeError("the source broke")

    attachment = Attachment.from_async_iterable(breaking(), name="a")
    with pytest.raises(RuntimeError, match="the source broke"):
        await prepared(attachment)
    with pytest.raises(InvalidRequestError, match="earlier call"):
        await prepared(attachment)


class Uploaded:
    """An uploaded file as Starlette passes it to a handler."""

    def __init__(self, data, filename, content_type=None):
        self.file = tempfile.SpooledTemporaryFile(max_size=10)  # noqa: SIM115 -- closed by the test
        self.file.write(data)
        self.file.seek(0)
        self.filename = filename
        self.content_type = content_type


async def test_each_kind_of_attachment_is_accepted(path):
    """Paths, open files, uploads and attachments are accepted with their names and content types."""
    upload = Uploaded(b"uploaded, and on disk", "../up.png", "image/png")
    plain = Uploaded(b"", "up.txt")
    with path.open("rb") as file:
        ready = Attachment.from_bytes(b"x", name="x.json")
        given = as_attachments([path, file, upload, plain, ready])
        assert [(item.name, item.content_type) for item in given] == [
            ("data.bin", "application/octet-stream"),
            ("data.bin", "application/octet-stream"),
            ("up.png", "image/png"),
            ("up.txt", "text/plain"),
            ("x.json", "application/json"),
        ]
        assert whole(given[2]) == b"uploaded, and on disk"
        assert given[4] is ready
    upload.file.close()
    plain.file.close()


class FileStorage:
    """An uploaded file as Quart and Flask pass it: ``name`` is that of the form field, and the rest is the stream's."""

    def __init__(self, stream, filename, content_type=""):
        self.stream, self.filename, self.content_type, self.name = stream, filename, content_type, "evidence"

    def __getattr__(self, name):
        return getattr(self.stream, name)


@pytest.mark.parametrize("make", [io.BytesIO, lambda data: Uploaded(data, "x").file], ids=["memory", "spooled"])
@pytest.mark.parametrize("storage", [False, True], ids=["Starlette", "Quart"])
@pytest.mark.parametrize("read", [0, 4, -1])
def test_an_upload_is_sent_from_its_beginning(make, storage, read):
    """An upload keeps its name and type, and is sent completely, also if a handler has read some or all of it."""
    stream = make(b"%PDF-1.7 and more")
    upload = FileStorage(stream, "photo.jpg", "image/jpeg")
    if not storage:
        upload = Uploaded(b"", "photo.jpg", "image/jpeg")
        upload.file.close()
        upload.file = stream
    stream.read(read)
    [attachment] = as_attachments([upload])
    assert (attachment.name, attachment.content_type) == ("photo.jpg", "image/jpeg")
    assert whole(attachment) == b"%PDF-1.7 and more"
    stream.close()


@pytest.mark.parametrize(
    ("given_name", "sent"),
    [
        ("\u200ephoto.jpg", "photo.jpg"),
        ("in\u202egpj.exe", "ingpj.exe"),
        ("C:\\a\r\nX: y\x00\u2028.txt", "aX: y.txt"),
        ("\ufeffa\u200b\xad\u2060\u3164\U000e0041.txt", "a.txt"),
        ("\ud800क्‍ष👨‍👩‍👧.txt", "क्‍ष👨‍👩‍👧.txt"),
    ],
)
def test_the_name_of_an_upload_is_cleaned(given_name, sent):
    """Invisible marks, which some systems add to names, are removed from an upload, and refused elsewhere."""
    [attachment] = as_attachments([FileStorage(io.BytesIO(b"x"), given_name)])
    assert attachment.name == sent
    with pytest.raises(InvalidRequestError, match="must not have invisible characters"):
        as_attachments([(given_name, b"x")])


@pytest.mark.parametrize("name", ["", None, "\u200e", "..", 5])
def test_an_upload_without_a_name_is_refused(name):
    """An upload has no name if no file was chosen in a form."""
    with pytest.raises(InvalidRequestError, match=r"file name|no name"):
        as_attachments([FileStorage(io.BytesIO(b""), name)])


def test_a_stream_that_cannot_be_rewound_is_copied():
    """An upload may be a stream that has no positions; it is attached from where it stands."""

    class Stream:
        def read(self, size):
            return b""

    [attachment] = as_attachments([FileStorage(Stream(), "a.txt")])
    assert (attachment.name, attachment.length) == ("a.txt", None)


def test_a_tuple_is_an_attachment():
    """A tuple has the name, the bytes or an open file, and optionally the content type."""
    file = io.BytesIO(b"from here")
    file.seek(5)
    items = as_attachments([("note.txt", b"hello", "text/x-log"), ("a/b.csv", bytearray(b"1")), ("c", file, None)])
    assert [(item.name, item.content_type, whole(item)) for item in items] == [
        ("note.txt", "text/x-log", b"hello"),
        ("b.csv", "text/csv", b"1"),
        ("c", "application/octet-stream", b"here"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [(), ("a",), ("a", b"", "text/plain", {}), ("a", "text"), ("a", None), (b"a", b""), ("a", b"", "a b"),
     namedtuple("File", "type body name")("image/jpeg", b"", "a.jpg")],
)  # fmt: skip
def test_a_tuple_of_another_kind_is_refused(wrong):
    """A tuple that is not (name, bytes, type) raises InvalidRequestError."""
    with pytest.raises(InvalidRequestError, match=r"an attachment|file name|content type"):
        as_attachments([wrong])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a.xlsx A.XLSX", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ("a.odt", "application/vnd.oasis.opendocument.text"),
        ("a.jpg a.JPEG a.jfif", "image/jpeg"),
        ("a.heic", "image/heic"),
        ("a.webp", "image/webp"),
        ("a.txt a.log", "text/plain"),
        ("a.md", "text/markdown"),
        ("a.msg", "application/vnd.ms-outlook"),
        ("a.m4a", "audio/mp4"),
        ("a.zip", "application/zip"),
        ("a.csv.gz a.tar.gz a.tgz a.svgz", "application/gzip"),
        ("a.tar.xz a.txt.xz", "application/x-xz"),
        ("a.json.bz2", "application/x-bzip2"),
        ("a.csv.zst", "application/zstd"),
        ("a.csv.Z", "application/x-compress"),
        (".gz a.gz. a.unknown data:,x a", "application/octet-stream"),
    ],
)
def test_content_types_of_common_files(names, expected):
    """The content type depends on the last suffix only: on neither the machine nor the rest of the name."""
    mimetypes.add_type("text/x-machine", ".docx")
    for name in names.split():
        assert Attachment.from_bytes(b"", name=name).content_type == expected
    mimetypes.init()


def test_a_link_is_followed_unless_that_is_forbidden(path, tmp_path):
    """A symbolic link is followed unless follow_symlinks is False."""
    link = tmp_path / "link.txt"
    link.symlink_to(path)
    assert whole(Attachment.from_path(link)) == DATA
    assert Attachment.from_path(link).name == "link.txt"
    with pytest.raises(InvalidRequestError, match="symbolic link"):
        Attachment.from_path(link, follow_symlinks=False)
    assert whole(Attachment.from_path(path, follow_symlinks=False)) == DATA


def fifo(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


def listening(tmp_path):
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(tmp_path / "socket"))
    return tmp_path / "socket"


NOT_TO_ATTACH = {
    "directory": (lambda tmp: [tmp], "only regular files"),
    "fifo": (lambda tmp: [fifo(tmp)], "only regular files"),
    "device": (lambda tmp: [Path("/dev/null")], "only regular files"),
    "socket": (lambda tmp: [listening(tmp)], "only regular files"),
    "missing": (lambda tmp: [tmp / "missing"], "No such file"),
    "null byte": (lambda tmp: [Path("a\x00b")], "cannot attach"),
    "text mode": (lambda tmp: [io.StringIO("x")], "text mode"),
    "bare bytes": (lambda tmp: [b"x"], "need a name"),
    "no file": (lambda tmp: [5], "must be a Path"),
    "a string": (lambda tmp: "photo.jpg", "must be a list"),
    "a path alone": (lambda tmp: tmp, "must be a list"),
    "a file alone": (lambda tmp: io.BytesIO(b"x"), "must be a list"),
    "nameless": (lambda tmp: [io.BytesIO(b"x")], "has no name"),
}


@pytest.mark.filterwarnings("ignore:.*SpooledTemporaryFile:ResourceWarning")
@pytest.mark.parametrize("what", NOT_TO_ATTACH)
def test_a_value_that_cannot_be_attached_is_refused(tmp_path, what):
    """A value that cannot be attached raises an error with the reason."""
    make, says = NOT_TO_ATTACH[what]
    with pytest.raises(InvalidRequestError, match=says):
        as_attachments(make(tmp_path))


def test_a_file_at_its_end_is_refused(path):
    """A file that is at its end is refused, because it would be sent empty; an empty file is accepted."""
    with path.open("rb") as file:
        file.read()
        with pytest.raises(InvalidRequestError, match="rewind"):
            Attachment.from_file(file)
    assert Attachment.from_file(io.BytesIO(b""), name="empty").length == 0


def test_text_mode_is_found_in_wrappers_too(tmp_path):
    """A temporary file in text mode, which is not a TextIOBase, is refused."""
    with tempfile.NamedTemporaryFile("w+", dir=tmp_path) as file, pytest.raises(InvalidRequestError, match="'rb'"):
        Attachment.from_file(file, name="a")


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_a_file_may_return_other_kinds_of_bytes(kind):
    """A wrapper of a buffer may return a bytearray. It is not a file in text mode."""

    class File(io.BytesIO):
        def read(self, size=-1):
            return kind(super().read(size))

    assert whole(Attachment.from_file(File(DATA), name="a")) == DATA


async def test_a_copy_that_fails_closes_its_source():
    """A generator is closed if copying it fails."""
    closed = []

    async def source():
        try:
            yield bytes(100)
            yield "text"
        finally:
            closed.append(True)

    with pytest.raises(InvalidRequestError):
        await Attachment.from_async_iterable(source(), name="a")
    assert closed == [True]


def test_a_closed_file_is_refused(path):
    """A closed file, and one whose position cannot be read, are refused."""
    with path.open("rb") as file:
        pass
    with pytest.raises(InvalidRequestError, match="closed"):
        Attachment.from_file(file)

    class Stuck(io.BytesIO):
        def tell(self):
            raise OSError("stuck")

    with pytest.raises(InvalidRequestError, match="stuck"):
        Attachment.from_file(Stuck(), name="x")


def test_contents_must_be_bytes():
    """Text in place of bytes is refused."""
    with pytest.raises(InvalidRequestError, match="bytes, not str"):
        Attachment.from_bytes("text", name="a")
    with pytest.raises(InvalidRequestError, match="async iterable of bytes"):
        Attachment.from_async_iterable([b"x"], name="a")

    async def text():
        yield "text"

    with pytest.raises(InvalidRequestError, match="bytes, not str"):
        asyncio.run(prepared(Attachment.from_async_iterable(text(), name="a")))


@pytest.mark.parametrize(
    ("given_name", "sent"),
    [
        ("/etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("C:\\a\\b.txt", "b.txt"),
        ('a "quoted" name.txt', 'a "quoted" name.txt'),
        ("家族👨‍👩‍👧.png", "家族👨‍👩‍👧.png"),
        ("क्‍ष.txt", "क्‍ष.txt"),
        ("x" * 255, "x" * 255),
    ],
)
def test_the_basename_is_taken(given_name, sent):
    """The name of an attachment is the basename of a path of any system, otherwise unchanged."""
    assert Attachment.from_bytes(b"", name=given_name).name == sent


UNSEEN = ["a\nb", "a\r\nX-Header: 1", "a\x00", "a\x7f", "a\u202egpj.exe", "\u2066a", "a\u2028b", "\ud800"]


@pytest.mark.parametrize("name", [*UNSEEN, "", "a/", "..", ".", "x" * 256, "é" * 128, None, 5])
def test_a_name_that_could_deceive_is_refused(name):
    """A name with control or bidi characters, line ends or more than 255 bytes is refused."""
    with pytest.raises(InvalidRequestError, match="file"):
        Attachment.from_bytes(b"", name=name)


@pytest.mark.parametrize("content_type", ["text/plain", "application/vnd.ms-excel", 'text/plain; charset="utf-8"'])
def test_a_content_type_is_a_token(content_type):
    """A media type is accepted with and without parameters."""
    assert Attachment.from_bytes(b"", name="a", content_type=content_type).content_type == content_type


@pytest.mark.parametrize("content_type", ["", "text", "text/", "a/b\r\nX: 1", "a/b\n", "a/b;", "a b/c", 5, "é/x"])
def test_text_that_is_not_a_media_type_is_refused(content_type):
    """Text that is not a media type is refused, because httpx would send its line ends."""
    with pytest.raises(InvalidRequestError, match="content type"):
        Attachment.from_bytes(b"", name="a", content_type=content_type)


@given(st.text(max_size=300))
def test_no_name_breaks_a_header(name):
    """Any text is either refused or safe as a file name in a header."""
    try:
        accepted = Attachment.from_bytes(b"", name=name).name
    except InvalidRequestError:
        return
    assert accepted.isprintable() or not set(accepted) & set("\r\n\x00\u2028\u202e")
    assert 1 <= len(accepted.encode()) <= 255


class Unhashable(io.BytesIO):
    """A file that cannot be the key of a mapping."""

    __hash__ = None


@pytest.mark.parametrize("kind", [io.BytesIO, Unhashable])
def test_several_calls_may_read_one_open_file(kind):
    """Each call has its own position and begins where the file stood. A read does not move the file."""
    file = kind(b"skip0123456789")
    file.seek(4)
    first = Attachment.from_file(file, name="a.bin").source
    reader = first.open()
    assert reader.read(3) == b"012"
    second = Attachment.from_file(file, name="b.bin").source
    other = second.open()
    assert (second.length, other.read(4), reader.read(7), other.read(9)) == (10, b"0123", b"3456789", b"456789")
    assert file.tell() == 4


def test_one_open_file_has_one_lock():
    """Threads that read the file for several calls wait for each other, so that none moves it during a read."""
    file = io.BytesIO(b"x")
    assert Attachment.from_file(file, name="a").source.lock is Attachment.from_file(file, name="b").source.lock
