"""Files that no other user may change: others are refused before a link is followed or a file is changed."""

import os
import stat
import sys

import filelock
import pytest

from lsq_service_async._private_files import check_private_database, lock_private_file, open_private_file
from lsq_service_async.errors import ConfigurationError


@pytest.fixture
def path(tmp_path):
    """A private file with content."""
    path = tmp_path / "file"
    path.touch(0o600)
    path.write_text("content")
    return path


def write(path):
    os.close(open_private_file(path, os.O_WRONLY))


def as_other_user(monkeypatch):
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)


def test_a_new_file_has_mode_0600_and_an_existing_one_keeps_its_content(path, tmp_path):
    """A new file is for its owner only, and one that exists is opened as it is."""
    write(path)
    write(tmp_path / "new")
    assert path.read_text() == "content"
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        open_private_file(path, os.O_RDWR | os.O_EXCL)


@pytest.mark.parametrize("target", ["file", "missing"])
def test_a_symbolic_link_is_not_followed(path, tmp_path, target):
    """Neither is the target of a link opened, nor is it created."""
    (tmp_path / "link").symlink_to(tmp_path / target)
    with pytest.raises(ConfigurationError, match=r"link' is a symbolic link, which is not followed here. Name its"):
        write(tmp_path / "link")
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


@pytest.mark.parametrize("check", [write, check_private_database])
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666], ids=oct)
def test_a_file_that_others_can_write_is_refused(path, check, mode):
    """The message has the mode and the command that corrects it."""
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"Other users can write to '{path}': its mode is {mode:04o}.*chmod"):
        check(path)


@pytest.mark.parametrize("check", [write, check_private_database])
def test_a_file_of_another_user_is_refused(path, check, monkeypatch):
    """The message has the id of the owner."""
    as_other_user(monkeypatch)
    with pytest.raises(ConfigurationError, match=f"'{path}' belongs to the user with the id {path.stat().st_uid}, "):
        check(path)


@pytest.mark.parametrize("check", [open_private_file, lambda path, flags: check_private_database(path)])
def test_a_pipe_is_refused_without_waiting_for_its_other_end(tmp_path, check):
    """A pipe is not a regular file; without a reader, opening it would block."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="is not a regular file"):
        check(tmp_path / "pipe", os.O_RDWR)


@pytest.mark.parametrize("side", ["-wal", "-shm", "-journal"])
def test_a_database_is_refused_if_others_can_write_a_file_next_to_it(path, tmp_path, side):
    """SQLite would apply the content of that file. It is next to the target if the path is a link."""
    (tmp_path / "link").symlink_to(path)
    assert check_private_database(tmp_path / "link").st_size == 7
    other = tmp_path / f"file{side}"
    other.touch()
    other.chmod(0o666)
    with pytest.raises(ConfigurationError, match=f"Other users can write to '{other}'"):
        check_private_database(tmp_path / "link")


def test_a_link_of_another_user_to_a_private_database_is_refused(path, tmp_path, monkeypatch):
    """The other user could point the link elsewhere after the check."""
    (tmp_path / "link").symlink_to(path)
    other = list(os.lstat(path))
    other[stat.ST_UID] += 1
    monkeypatch.setattr(os, "lstat", lambda path: os.stat_result(other))
    with pytest.raises(ConfigurationError, match="link' belongs to the user with the id"):
        check_private_database(tmp_path / "link")


def test_on_windows_owner_and_mode_are_not_checked(path, monkeypatch):
    """Windows has neither user ids nor the bits of a mode."""
    path.chmod(0o666)
    monkeypatch.delattr(os, "geteuid")
    write(path)
    check_private_database(path)


@pytest.mark.parametrize("modules", [{}, {"fcntl": None}], ids=["POSIX", "Windows"])
def test_a_lock_has_one_owner(tmp_path, monkeypatch, modules):
    """A lock file is free again when its owner has released it. Without fcntl, filelock is used."""
    assert filelock.FileLock is filelock.UnixFileLock  # imported before fcntl is blocked
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    path = str(tmp_path / "run.lock")
    for _ in range(2):
        release = lock_private_file(path)
        assert lock_private_file(path) is None
        release()


def test_a_missing_filelock_is_named(tmp_path, monkeypatch):
    """Without fcntl and filelock, the error has the command that installs it."""
    for name in ("fcntl", "filelock"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match="pip install filelock"):
        lock_private_file(str(tmp_path / "run.lock"))
