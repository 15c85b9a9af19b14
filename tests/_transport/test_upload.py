"""Uploads: the bytes of each attempt as the service receives them."""

import asyncio
import hashlib
import io
import os
import tempfile
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import attrs
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_server import RawServer, ok

from lsq_service_async import (
    APIStatusError,
    Attachment,
    Config,
    InvalidRequestError,
    NewTicket,
    NotSentError,
    OutcomeUnknownError,
    RetryPolicy,
    ServiceClient,
    TicketUpdate,
)
from lsq_service_async._transport.attempt import RequestBody
from lsq_service_async._transport.context import CallContext
from lsq_service_async._transport.upload import BodyFailedError, FileReader
from lsq_service_async._wire import Call, Idempotency
from lsq_service_async.attachments import in_thread
from lsq_service_async.config import CallOptions
from lsq_service_async.emulator import Emulator
from lsq_service_async.emulator.faults import AnswerLost, EarlyStatus, ResetMidway, SlowRead, Status, StopReading
from lsq_service_async.limits import LocalLimiter

TICKET = NewTicket(lead_id="45b5", title="with files", status="Open")
DATA = os.urandom(3_000_000)
FAST = RetryPolicy(attempts=3, backoff=0.001)


def sha(data):
    return hashlib.sha256(data).hexdigest()


async def pieces(data):
    for start in range(0, len(data), 700_001):
        yield data[start : start + 700_001]


def a_pipe(data):
    left, right = os.pipe()

    def write():
        with os.fdopen(right, "wb") as file:
            file.write(data)

    threading.Thread(target=write).start()
    return os.fdopen(left, "rb")


class OnceOnly(io.BytesIO):
    """Reads like a response that is being downloaded: its seek raises."""

    def seek(self, *_):
        raise io.UnsupportedOperation("seek")

    def seekable(self):
        return False


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(DATA)
    return path


@pytest.fixture
async def emulator():
    async with Emulator(rate_limit=(1000, 1.0)) as emulator:
        yield emulator


@pytest.fixture
async def client(emulator):
    async with ServiceClient(Config(**emulator.settings, retry=FAST, timeout=5.0)) as client:
        yield client


# --- whole on every attempt ---------------------------------------------------------------------------------------


async def test_every_source_is_sent_whole_on_every_attempt(client, emulator, path):
    """Each of three attempts sends the same bytes of every kind of source, and the receipt has their digests."""
    emulator.faults.add(Status(500), Status(503))
    with path.open("rb") as file, a_pipe(DATA) as pipe:
        file.seek(1_000_000)
        given_files = [
            path,
            Attachment.from_bytes(DATA, name="bytes"),
            file,
            Attachment.from_file(pipe, name="pipe"),
            Attachment.from_file(OnceOnly(DATA), name="once"),
            Attachment.from_async_iterable(pieces(DATA), name="stream"),
            Attachment.from_bytes(b"", name="empty"),
        ]
        receipt = await client.tickets.create(TICKET, attachments=given_files)
    want = [*map(sha, (DATA, DATA, DATA[1_000_000:], DATA, DATA, DATA, b""))]
    assert [[file.sha256 for file in call.files] for call in emulator.calls] == [want, want, want]
    assert [list(attempt.digests) for attempt in receipt.attempts] == [want, want, want]
    assert [attempt.status for attempt in receipt.attempts] == [500, 503, 200]
    assert len({call.sha256 for call in emulator.calls}) == 1  # the boundary is the same in all attempts


async def test_the_control_sends_an_empty_file():
    """httpx's own files= sends an empty file on the second attempt, if the source cannot be rewound."""
    async with Emulator(enforce_mandatory=False) as emulator:
        url = f"{emulator.settings['base_url']}/api/tenants/22824/tickets"
        keys = {"X-LSQ-ACCESS-KEY": "emulator-access-key", "X-LSQ-SECRET-KEY": "emulator-secret-key"}
        dto = '{"TypeId":"1","LeadId":"45b5","Fields":[],"RelatedTicketTypeId":1}'
        emulator.faults.add(Status(500))
        stream = OnceOnly(DATA)
        async with httpx.AsyncClient(headers=keys) as http:
            for _ in range(2):
                answer = await http.post(url, data={"ticketDTO": dto}, files={"files": ("stream", stream)})
    assert answer.status_code == 200
    assert [call.files[0].sha256 for call in emulator.calls] == [sha(DATA), sha(b"")]


async def test_digests_can_be_left_out(emulator, path):
    """attachment_digests=False saves the CPU of hashing."""
    async with ServiceClient(Config(**emulator.settings, attachment_digests=False)) as client:
        receipt = await client.tickets.create(TICKET, attachments=[path])
    assert receipt.attempts[0].digests == ()
    assert emulator.calls[0].files[0].sha256 == sha(DATA)


async def test_an_update_with_files_is_not_repeated_when_unanswered(client, emulator, path):
    """An unanswered update is repeated without files, but not with files: they would be added twice."""
    number = (await client.tickets.create(TICKET)).number
    emulator.faults.add(AnswerLost(times=2))
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.tickets.update(number, TicketUpdate(), attachments=[path])
    assert not caught.value.safe_to_repeat
    assert len(emulator.tickets[number].files) == 1
    await client.tickets.update(number, TicketUpdate(status="On Hold"))
    assert [call.method for call in emulator.calls] == ["POST", "PUT", "PUT", "PUT"]


async def test_an_update_with_files_that_is_sent_again_is_a_possible_duplicate(client, emulator, path):
    """An update that was repeated after a 500 is a possible duplicate only if it has files."""
    number = (await client.tickets.create(TICKET)).number
    emulator.faults.add(Status(500, method="PUT"))
    assert (await client.tickets.update(number, TicketUpdate(), attachments=[path])).possible_duplicate
    emulator.faults.add(Status(500, method="PUT"))
    assert not (await client.tickets.update(number, TicketUpdate(status="On Hold"))).possible_duplicate


async def test_one_file_may_be_in_two_uploads_at_once(client, emulator, path):
    """One file object can be read by several uploads at once."""
    with path.open("rb") as file:
        attachment = Attachment.from_file(file)
        await asyncio.gather(*(client.tickets.create(TICKET, attachments=[attachment]) for _ in range(4)))
    assert [call.files[0].sha256 for call in emulator.calls] == [sha(DATA)] * 4


# --- a file that changes ------------------------------------------------------------------------------------------


def change_after(path, change):
    """Return an attachment of the file, which is changed once its first chunk is read."""
    attachment = Attachment.from_path(path)

    class Changing(type(attachment.source)):
        def open(self):
            reader = super().open()
            read = reader.read

            class Reader:
                def read(self, size):
                    piece = read(size)
                    change()
                    return piece

                close = reader.close

            return Reader()

    return attrs.evolve(attachment, source=Changing(path, attachment.length, True))


@pytest.mark.parametrize("how", ["grows", "shrinks"])
async def test_a_file_that_changes_while_it_is_sent_is_an_error(client, emulator, path, how):
    """A file that changes size while it is sent raises NotSentError, and is neither padded, cut nor sent again."""
    change = {"grows": lambda: os.truncate(path, 5_000_000), "shrinks": lambda: os.truncate(path, 2_000_000)}[how]
    with pytest.raises(NotSentError, match=how.replace("ows", "ew").replace("shrinks", "shrank")) as caught:
        await client.tickets.create(TICKET, attachments=[change_after(path, change)])
    assert [attempt.outcome.value for attempt in caught.value.attempts] == ["not applied"]
    assert len(emulator.tickets) == 0
    assert (await client.tickets.create(TICKET)).number == "1"


@pytest.mark.parametrize("what", ["deleted", "a folder", "a fifo", "longer", "shorter"])
async def test_a_file_that_was_replaced_is_an_error(client, emulator, path, what):
    """A file that was replaced after its attachment was made raises NotSentError."""
    attachment = Attachment.from_path(path)
    path.unlink()
    {
        "deleted": lambda: None,
        "a folder": path.mkdir,
        "a fifo": lambda: os.mkfifo(path),
        "longer": lambda: path.write_bytes(DATA + b"!"),
        "shorter": lambda: path.write_bytes(DATA[:-1]),
    }[what]()
    with pytest.raises(NotSentError, match=r"cannot be read|grew|shrank"):
        await client.tickets.create(TICKET, attachments=[attachment])
    assert len(emulator.tickets) == 0


@pytest.mark.parametrize("error", [StopIteration(), RuntimeError("my storage is down"), TimeoutError("slow")])
async def test_an_exception_of_a_file_is_named(client, emulator, error):
    """Any exception of a file, even StopIteration, raises NotSentError without a retry."""

    class Broken(Zeros):
        def read(self, size):
            raise error

    attachment = attrs.evolve(Attachment.from_bytes(b"", name="broken"), source=Broken(100))
    with pytest.raises(NotSentError, match="'broken' cannot be read") as caught:
        await client.tickets.create(TICKET, attachments=[attachment])
    assert len(caught.value.attempts) == 1


async def test_a_file_that_gives_text_is_named(client):
    """A file that returns str raises NotSentError."""

    class Text(Zeros):
        def read(self, size):
            return "text"

    attachment = attrs.evolve(Attachment.from_bytes(b"", name="text"), source=Text(4))
    with pytest.raises(NotSentError, match="str, not bytes"):
        await client.tickets.create(TICKET, attachments=[attachment])


async def test_a_read_that_hangs_is_given_up(emulator):
    """A read that makes no progress ends at the timeout, and closing does not wait for its thread."""
    allowed = threading.Event()

    class Stuck(Zeros):
        def read(self, size):
            allowed.wait(20)
            return super().read(size)

    attachment = attrs.evolve(Attachment.from_bytes(b"", name="stuck"), source=Stuck(100))
    started = asyncio.get_running_loop().time()
    async with ServiceClient(Config(**emulator.settings, timeout=0.2)) as client:
        with pytest.raises(NotSentError, match="returned no bytes"):
            await client.tickets.create(TICKET, attachments=[attachment])
    assert asyncio.get_running_loop().time() - started < 10
    allowed.set()


def test_a_file_that_outlives_its_loop_is_closed_by_its_thread():
    """A thread whose read returns after the loop has ended closes its file."""
    allowed, closed = threading.Event(), threading.Event()

    class Slow(Zeros):
        def read(self, size):
            allowed.wait(20)
            return super().read(size)

        def close(self):
            closed.set()

    attachment = attrs.evolve(Attachment.from_bytes(b"", name="slow"), source=Slow(100))

    async def main():
        reader = FileReader(attachment, hash_file=False, timeout=0.01)
        with pytest.raises(BodyFailedError):
            await anext(reader.chunks())
        await reader.aclose()
        threading.Timer(0.1, allowed.set).start()

    asyncio.run(main())
    assert closed.wait(10)


async def test_a_full_default_executor_delays_no_upload(client, emulator, path):
    """Files are opened, copied, read and closed in threads of the package."""
    loop, released = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    work = loop.run_in_executor(None, released.wait, 60)
    try:
        with path.open("rb") as file:
            stream = Attachment.from_async_iterable(pieces(DATA), name="stream")
            async with asyncio.timeout(30):
                await client.tickets.create(TICKET, attachments=[path, file, stream])
    finally:
        released.set()
        await work
    assert [file.sha256 for file in emulator.calls[-1].files] == [sha(DATA)] * 3


async def test_the_deadline_covers_opening_the_files(client, emulator):
    """A file that blocks while it is opened ends at the deadline, and nothing is sent."""
    released = threading.Event()

    class Blocking(io.BytesIO):
        def seekable(self):
            return released.wait(60)

    try:
        async with asyncio.timeout(30):
            with pytest.raises(NotSentError, match="deadline passed while attachments were prepared"):
                await client.with_options(deadline=0.05).tickets.create(TICKET, attachments=[Blocking(b"x")])
    finally:
        released.set()
    assert emulator.calls == ()


async def test_each_process_has_its_own_threads(monkeypatch):
    """A forked process does not have the threads of its parent, so it must not wait for them."""
    await in_thread(os.getpid)
    before, pid = set(threading.enumerate()), os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: -pid)
    assert await in_thread(threading.current_thread) not in before


async def test_a_file_that_is_closed_too_early_is_an_error(client, emulator, path):
    """A file that its caller closed before the call raises NotSentError."""
    with path.open("rb") as file:
        attachment = Attachment.from_file(file)
    with pytest.raises(NotSentError, match="closed file"):
        await client.tickets.create(TICKET, attachments=[attachment])


# --- services that do not take it -----------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path):
    """A file that is larger than the buffers of a loopback connection."""
    path = tmp_path / "large.bin"
    path.write_bytes(DATA * 8)
    return path


async def test_a_reset_in_the_middle_is_repeated(client, emulator, large):
    """A create whose connection is reset during the upload is repeated, because the service cannot have all of it."""
    emulator.faults.add(ResetMidway(after_bytes=1_000_000))
    receipt = await client.tickets.create(TICKET, attachments=[large])
    assert [attempt.outcome.value for attempt in receipt.attempts] == ["not applied", "applied"]
    assert emulator.calls[-1].files[0].sha256 == sha(DATA * 8)
    assert len(emulator.tickets) == 1


async def test_a_body_that_is_too_large_is_reported(client, emulator, large):
    """An early 413 is raised if it arrives; if a reset prevents that, the error suggests that the request is too
    large."""
    emulator.faults.add(EarlyStatus(413, times=3))
    with pytest.raises((APIStatusError, NotSentError)) as caught:
        await client.tickets.create(TICKET, attachments=[large])
    assert getattr(caught.value, "status_code", None) == 413 or "too large" in str(caught.value)
    emulator.faults.clear()
    emulator.faults.add(EarlyStatus(413, close=False))
    with pytest.raises(APIStatusError) as caught:
        await client.tickets.create(TICKET, attachments=[large])
    assert caught.value.status_code == 413


async def test_a_service_that_stops_reading_is_given_up(emulator, large):
    """An upload without progress ends at the timeout."""
    emulator.faults.add(StopReading(after_bytes=100_000))
    once = RetryPolicy(attempts=1)
    async with ServiceClient(Config(**emulator.settings, retry=once, timeout=0.3)) as client:
        with pytest.raises(NotSentError):
            await client.tickets.create(TICKET, attachments=[large])


async def test_a_service_that_reads_slowly_is_waited_for(emulator, large):
    """An upload with progress may take longer than the timeout."""
    emulator.faults.add(SlowRead(bytes_per_second=20_000_000))
    async with ServiceClient(Config(**emulator.settings, timeout=1.0)) as client:
        receipt = await client.tickets.create(TICKET, attachments=[large])
    assert len(receipt.attempts) == 1
    assert receipt.attempts[0].seconds > 1.0


# --- bounds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"max_file_bytes": 4_000_000}, "'data.bin' has more than the 4,000,000 bytes that max_file_bytes allows"),
        ({"max_upload_bytes": 6_000_000}, "bytes in total, more than max_upload_bytes=6,000,000"),
    ],
    ids=["one file", "all files"],
)
@pytest.mark.parametrize("kind", ["path", "folder", "bytes", "file", "stream"])
async def test_sizes_are_limited_by_settings(emulator, path, kind, settings, says):
    """Files that are too large are refused before anything is sent, and an endless stream is read only up to then."""
    large = path.with_name("data.bin")
    large.write_bytes(DATA + bytes(1_500_000))
    drawn = 0

    async def endless():
        nonlocal drawn
        while True:
            drawn += 500_000
            yield bytes(500_000)

    attachment = {
        "path": lambda: large,
        "folder": lambda: Attachment.from_folder(large.parent, "data.bin"),
        "bytes": lambda: ("data.bin", large.read_bytes()),
        "file": lambda: ("data.bin", io.BytesIO(large.read_bytes())),
        "stream": lambda: Attachment.from_async_iterable(endless(), name="data.bin"),
    }[kind]()
    async with ServiceClient(Config(**emulator.settings, **settings)) as client:
        await client.tickets.create(TICKET, attachments=[path])
        with pytest.raises(InvalidRequestError, match=says):
            await client.tickets.create(TICKET, attachments=[path, attachment])
    assert (len(emulator.calls), drawn <= 4_500_000) == (1, True)


async def test_a_copy_that_cannot_be_written_is_not_sent(client, emulator, tmp_path, monkeypatch):
    """A missing temporary folder ends the call with NotSentError."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(NotSentError, match="temporary file"):
        await client.tickets.create(TICKET, attachments=[Attachment.from_async_iterable(pieces(DATA), name="a")])
    assert emulator.calls == ()


class Zeros:
    """A source of any number of zeros."""

    def __init__(self, length):
        self.length = length
        self.open = lambda: self
        self.left = length

    async def prepare(self, most):
        self.left = self.length

    def read(self, size):
        piece = bytes(min(size, self.left))
        self.left -= len(piece)
        return piece

    def close(self):
        pass


async def test_memory_does_not_grow_with_the_file(config):
    """An upload of 128 MiB needs less than 16 MiB of memory."""

    async def swallow(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        while len(await reader.read(1 << 20)) > 100:
            pass
        writer.write(ok())

    async with RawServer(swallow).running() as server:
        async with ServiceClient(attrs.evolve(config, base_url=server.origin)) as client:
            attachment = attrs.evolve(Attachment.from_bytes(b"", name="zeros"), source=Zeros(128 << 20))
            tracemalloc.start()
            try:
                await client.tickets.create(TICKET, attachments=[attachment])
                assert tracemalloc.get_traced_memory()[1] < 16 << 20
            finally:
                tracemalloc.stop()


async def test_a_slow_disk_does_not_stop_the_loop(client, emulator):
    """Files are read in threads: this read waits for a task of the event loop."""
    allowed = threading.Event()

    class Slow(Zeros):
        def read(self, size):
            assert allowed.wait(5)
            return super().read(size)

    async def allow():
        await asyncio.sleep(0.05)
        allowed.set()

    attachment = attrs.evolve(Attachment.from_bytes(b"", name="slow"), source=Slow(100))
    await asyncio.gather(client.tickets.create(TICKET, attachments=[attachment]), allow())
    assert emulator.calls[0].files[0].sha256 == sha(bytes(100))


class Sizes(LocalLimiter):
    """Records whether each call is a large upload."""

    def __init__(self):
        super().__init__()
        self.is_large = []

    async def acquire(self, lane, **about):
        self.is_large.append(about["is_large"])
        return await super().acquire(lane, **about)


@pytest.mark.parametrize(("sizes", "is_large"), [([], False), ([5 << 20], False), ([5 << 20, 4 << 20], True)], ids=str)
async def test_uploads_over_8_mib_are_large(emulator, sizes, is_large):
    """The sizes of all attachments together decide whether the limiter treats a call as a large upload."""
    limiter = Sizes()
    files = [Attachment.from_bytes(bytes(size), name="zeros") for size in sizes]
    async with ServiceClient(Config(**emulator.settings), limiter=limiter) as client:
        await client.tickets.create(TICKET, attachments=files)
    assert limiter.is_large == [is_large]


# --- the encoding -------------------------------------------------------------------------------------------------


def body_of(call):
    async def collect():
        context = CallContext(
            call=call,
            options=CallOptions(),
            clock=asyncio.get_running_loop().time,
            started=0.0,
            deadline=None,
            reference="r",
            boundary="b" * 32,
            attachments=call.attachments,
        )
        async with asyncio.timeout(None) as timer:
            body = RequestBody(context, timer, hash_files=True)
            chunks = [chunk async for chunk in body]
        return body, b"".join(chunks)

    return asyncio.run(collect())


def accepted(name):
    try:
        return Attachment.from_bytes(b"", name=name) is not None
    except InvalidRequestError:
        return False


names = st.text(min_size=1, max_size=60).filter(accepted) | st.sampled_from(['a"b', "a%b", "ä", "日本.txt", "a;b=c"])


@settings(max_examples=25)
@given(st.binary(), st.lists(st.tuples(names, st.binary(max_size=3000)), max_size=3))
def test_the_encoding_is_that_of_httpx(dto, files):
    """The multipart encoding equals that of httpx byte for byte, and its length is exact."""
    attachments = tuple(Attachment.from_bytes(data, name=name) for name, data in files)
    read = Call(
        operation="o",
        method="POST",
        path="/",
        idempotency=Idempotency.NON_IDEMPOTENT,
        parse=dict,
        body=dto,
        is_multipart=True,
        attachments=attachments,
    )
    body, encoded = body_of(read)
    theirs = httpx.Request(
        "POST",
        "http://x",
        headers={"content-type": f"multipart/form-data; boundary={'b' * 32}"},
        files=[
            ("ticketDTO", (None, dto)),
            *(
                ("files", (item.name, data, item.content_type))
                for item, (_, data) in zip(attachments, files, strict=True)
            ),
        ],
    )
    assert encoded == theirs.read()
    assert body.length == len(encoded)
    assert body.content_type == theirs.headers["content-type"]
