"""Uses the package as on Windows: everything that only POSIX has is blocked. Run as ``python on_windows.py FOLDER``.

Not blocked, and so not tested: the paths of Windows, its event loop and files, which cannot be deleted while open.
"""

import asyncio
import contextlib
import errno
import os
import signal
import sys
import threading
import warnings
from pathlib import Path

import pytest

NAMES = "O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_PATH chown fchmod fork getegid geteuid getgid getuid mkfifo"


def not_implemented(*args, **options):
    raise NotImplementedError


def block():
    """Remove names that Windows lacks from the modules of the standard library."""
    for name in ("fcntl", "grp", "pwd", "resource", "termios"):
        sys.modules[name] = None
    for name in NAMES.split():
        delattr(os, name)
    os.supports_dir_fd.clear()
    del signal.SIGHUP
    for name in ("add_signal_handler", "remove_signal_handler", "add_reader", "remove_reader"):
        setattr(asyncio.SelectorEventLoop, name, not_implemented)
    open_file = os.open

    def open_no_folder(path, flags, mode=0o777, *, dir_fd=None):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return open_file(path, flags, mode, dir_fd=dir_fd)

    os.open = open_no_folder


block()

from lsq_service_async import (  # noqa: E402
    Attachment,
    BulkRow,
    Config,
    ConfigurationError,
    InvalidRequestError,
    NewTicket,
    ServiceClient,
)
from lsq_service_async.__main__ import main  # noqa: E402
from lsq_service_async.emulator import Emulator  # noqa: E402
from lsq_service_async.limits import HostLimiter  # noqa: E402

TICKET = NewTicket(lead_email="wim@example.com", title="x", status="Open")


async def calls(emulator, client, folder):
    """Make a single call, uploads of each kind, and a bulk run that is continued."""
    (folder / "photo.jpg").write_bytes(b"photo")
    (folder / "link.jpg").symlink_to(folder / "photo.jpg")
    files = [folder / "photo.jpg", ("note.txt", b"note", "text/plain"), Attachment.from_folder(folder, "photo.jpg")]
    files.append(Attachment.from_path(folder / "link.jpg"))
    receipt = await client.tickets.create(TICKET, attachments=files)
    assert [file.size for file in emulator.calls[-1].files] == [5, 4, 5, 5]
    assert (await client.tickets.get(receipt.number)).title == "x"
    for wrong, reason in ((folder, "only regular files"), (folder / "link.jpg", "symbolic link")):
        with pytest.raises(InvalidRequestError, match=reason):
            Attachment.from_path(wrong, follow_symlinks=False)

    journal = folder / "run.sqlite"
    rows = [BulkRow(f"row-{number}", TICKET) for number in range(3)]
    async for outcome in client.bulk.create(rows[:2], journal=journal):
        assert outcome.state == "created", outcome
    job = client.bulk.create(rows, journal=journal)
    async for _ in job:
        with pytest.raises(ConfigurationError, match="Another run uses the journal"):
            await anext(aiter(client.bulk.create(rows, journal=journal)))
    assert (job.summary().skipped, job.summary().created) == (2, 1)


@contextlib.contextmanager
def emulator_in_a_thread():
    """Serve an emulator while commands use the main thread, which alone gets signals."""
    loop, emulator = asyncio.new_event_loop(), Emulator(window=None)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(emulator.__aenter__(), loop).result()
    try:
        yield emulator
    finally:
        asyncio.run_coroutine_threadsafe(emulator.aclose(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def library(emulator, folder):
    async with ServiceClient(Config(**emulator.settings)) as client:
        await calls(emulator, client, folder)


def command_line(emulator, folder):
    for name, value in emulator.settings.items():
        os.environ[f"LSQ_{name.upper()}"] = value
    (folder / "rows.csv").write_text("title,lead_email,status\nx,wim@example.com,Open\n")
    for argv in (["doctor"], ["ticket", "get", "1"], ["bulk", "run", str(folder / "rows.csv")]):
        assert main(argv) == 0, argv


def host_limiter(folder):
    with pytest.raises(ConfigurationError, match="use RedisLimiter, or LocalLimiter in a single process"):
        HostLimiter(folder / "limit.sqlite")


if __name__ == "__main__":
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "only soft file lock")  # filelock has neither fcntl nor the locks of Windows
    here = Path(sys.argv[1])
    host_limiter(here)
    with emulator_in_a_thread() as server:
        asyncio.run(library(server, here))
        command_line(server, here)
    print("locks with", sys.modules["filelock"].FileLock.__name__)
